# What core/robustness sends: each kind of letter takes another way through the gateway.
gateway {
  hostname         = "gw.example.org"
  internal_domains = ["example.org", "*.example.org"]
  admin_address    = "postmaster@example.org"
}
listener "smtp" "in" {
  address                    = "127.0.0.1:0"
  relay_networks             = ["127.0.0.0/8"]
  max_connections_per_client = 1000
  data_timeout               = "60s"
  idle_timeout               = "20s"
}
relay "hop" {
  domains = ["*"]
  hosts   = [env("SITE_HOP")]
  tls     = "none"
  retry   = ["1s"]
  give_up = "1h"
}
monitor { listen = "127.0.0.1:0" }

# Plugins may take long to start: a machine that proves is busy.
plugin "atse" {
  command = "postern-atse"
  limits { start_timeout = "60s" }
}
plugin "filename" {
  command = "postern-filename"
  limits { start_timeout = "60s" }
}
plugin "actions" {
  command = "postern-actions"
  limits { start_timeout = "60s" }
}
plugin "verdicts" {
  command = "postern-verdicts"
  limits { start_timeout = "60s" }
  config {
    file = env("PROOF_VERDICTS")
  }
}
virtual_analyzer {
  analyzer    = env("PROOF_ANALYZER", "verdicts")
  query_delay = "1s"
  max_retries = env("PROOF_RETRIES", "20")
}
exception "virtual_analyzer" {
  action "quarantine" { area = "unanalysed" }
}
exception "plugin_unavailable" {
  action "quarantine" { area = "unavailable" }
}
rule "Viruses" {
  kind = "virus"
  scan "atse" {}
  action "quarantine" { area = "virus" }
}
rule "Kept" {
  scan "filename" { names = ["*.kept"] }
  action "quarantine" { area = "kept" }
}
rule "Refused" {
  scan "filename" { names = ["*.refused"] }
  action "reject" { text = "Not here" }
}
rule "Noted" {
  scan "filename" { names = ["*.noted"] }
  action "pass" {}
}
rule "Scripts are analysed" {
  scan "filename" {
    names   = ["*.js"]
    analyze = true
  }
  action "quarantine" { area = "scripts" }
}
rule "Tagged" {
  to = ["*@tagged.example.org"]
  scan "filename" { names = ["*.mixed"] }
  action "tag_subject" { text = "[mixed]" }
}
