# Every block and most attributes of the language.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
  admin_address    = "postmaster@example.org"
  decide_within    = "30s"
  late_reject      = "quarantine"
}

store "sqlite" {
  path = "/var/lib/postern"
}

retention {
  quarantine = "30d"
  archive    = "90d"
  events     = "90d"
  tracking   = "30d"
  held_bytes = "50GiB"
}

monitor {
  listen         = "127.0.0.1:9152"
  traces         = "http://127.0.0.1:4318"
  traced_percent = 5
}

listener "smtp" "inbound" {
  address          = "0.0.0.0:25"
  max_message_size = "30MiB"
  max_recipients   = 1000
  relay_networks   = ["10.0.0.0/8", "192.0.2.7"]
  tls {
    cert_file = "/etc/postern/tls/cert.pem"
    key_file  = "/etc/postern/tls/key.pem"
  }
  upstream {
    networks    = ["192.0.2.64/26"]
    authserv_id = "mx.upstream.example"
  }
}

relay "mailstore" {
  domains = ["example.org", "*.example.org"]
  hosts   = ["10.0.0.5:25"]
  retry   = ["15m", "30m", "60m"]
  give_up = "24h"
}
relay "outside" {
  domains = ["*"]
  hosts   = ["smarthost.example.net"]
  tls     = "verify"
}

plugin "unpack" {
  command = "postern-unpack"
}
plugin "atse" {
  command   = "postern-atse"
  instances = 2
  config {
    clamd      = "unix:/run/clamav/clamd.ctl"
    signatures = ["/etc/postern/signatures"]
    heuristics = true
  }
  limits {
    memory  = "1GiB"
    timeout = "20s"
    read    = ["/etc/clamav/"]
    write   = ["/var/cache/atse"]
    connect = ["proxy.example.org:3128"]
  }
  sandbox {
    require = ["files", "processes"]
  }
}
plugin "snap" {
  command = "postern-snap"
}
plugin "filetype" {
  command = "postern-filetype"
}
plugin "filename" {
  command = "postern-filename"
}
plugin "actions" {
  command = "postern-actions"
}
plugin "ddan" {
  command = "postern-ddan"
  config {
    server "192.168.0.155" {
      port       = 443
      api_key    = env("DDAN_KEY_1")
      preference = 10
    }
    server "192.168.0.151" {
      api_key    = env("DDAN_KEY_2")
      preference = 20
      enabled    = false
      timeout    = "1m"
    }
  }
}
plugin "ctd" {
  command = "postern-ctd"
  config {
    control_manager "https://tmcm.example.org" {
      application_id = env("TMCM_APP")
      api_key        = env("TMCM_KEY")
      proxy          = "http://proxy.example.org:3128"
    }
  }
}

virtual_analyzer {
  analyzer       = "ddan"
  submit         = true
  security_level = "low"
  max_wait       = "1800s"
  query_delay    = "60s"
  max_retries    = 20
  mode           = "sync"
  cache {
    reset_at = "23:00"
    expiry   = "24h"
  }
}

suspicious_objects {
  source     = "ctd"
  files      = true
  urls       = true
  sync_every = "5m"
  learn {
    expiry = "7d"
  }
}

exception "virtual_analyzer" {
  action "quarantine" {}
  action "notify" { notification = "Exception" }
  unsupported {
    action "pass" {}
  }
}
exception "malformed_message" {
  action "quarantine" {}
  action "notify" { notification = "Exception" }
}
exception "encryption" {
  action "quarantine" {}
  action "notify" { notification = "Exception" }
}
exception "security_settings" {
  max_layers            = 20
  max_decompressed_size = "60MiB"
  max_files             = 353
  max_ratio             = 100
  action "quarantine" {}
  action "notify" { notification = "Exception" }
}
exception "plugin_unavailable" {
  action "defer" {}
}

notification "VA High Risk Mail Notification" {
  to      = ["admin@example.org"]
  subject = "Virtual Analyzer detected high risk messages"
  body    = <<-EOT
    Sender: %SENDER%
    Recipient: %RCPTS%
    DDAN detected %FILENAME% in this mail as high risk and deleted the whole mail.
  EOT
}
notification "VA Risk Mail Notification" {
  to      = ["admin@example.org"]
  subject = "Virtual Analyzer detected risk messages"
  body    = file("notifications/risk.txt")
}
notification "Virus found" {
  to      = ["admin@example.org"]
  subject = "%VIRUSNAME% found in %FILENAME%"
  body    = "From %SENDER% to %RCPTS%, subject %SUBJECT%, rule %RULENAME%, action %TACTION%."
}
notification "Exception" {
  subject = "Scanning exception: %DETECTED%"
  body    = "From %SENDER% to %RCPTS%, subject %SUBJECT%, %RULENAME%, action %TACTION%."
}

rule "Default spam rule" {
  enabled = false
  scan "snap" {}
  action "quarantine" { area = "spam" }
}

# Written after another rule, judged before it: it is a virus rule.
rule "Default virus rule" {
  kind = "virus"
  scan "atse" {}
  action "delete_message" {}
  action "notify" { notification = "Virus found" }
}

rule "Executables to the analyzer" {
  security_level = "low"
  scan "filetype" {
    types   = ["executable"]
    analyze = true
  }
  action "delete_message" {}
  action "notify" { notification = "VA High Risk Mail Notification" }
}

rule "Scripts to the analyzer" {
  security_level = "high"
  scan "filename" {
    names   = ["*.js", "*.vbs"]
    analyze = true
  }
  action "quarantine" { area = "scripts" }
  action "notify" { notification = "VA Risk Mail Notification" }
}

rule "Archives from outside to sales" {
  notes  = "shows routes, exceptions and combined scans"
  route  = "incoming"
  from   = ["*"]
  to     = ["sales@example.org", "*@shop.example.org"]
  except = [{ from = "orders@partner.example", to = "*" }]
  match  = "all"
  scan "filetype" {
    types = ["compressed"]
  }
  scan "filename" {
    names = ["*.zip"]
    not   = true
  }
  action "delete_attachments" { which = "matching" }
  action "tag_subject" { text = "[archive removed]" }
}

rule "Everything else there is" {
  route = "both"
  scan "filetype" { types = ["executable"] } # the query of the rule above, asked once
  scan "ctd" { objects = ["file"] }
  action "x_header" {
    name  = "X-Seen"
    value = "yes"
  }
  action "stamp" { text = "Checked." }
  action "bcc" { to = ["archive@example.org"] }
  action "archive" {}
  action "pass" {}
}

rule "Late news" {
  scan "filename" { names = ["*.mp4"] }
  action "postpone" { at = "22:30" }
}
rule "To the press" {
  from = ["news@*.example.com"]
  scan "filename" { names = ["*.pdf"] }
  action "hand_off" { host = "press.example.net" }
}
rule "To somebody else" {
  scan "filename" { names = ["*.doc"] }
  action "change_recipient" { to = ["review@example.org"] }
}
rule "Not here" {
  scan "filename" { names = ["*.exe"] }
  action "reject" { text = "No programs by mail, please" }
}
rule "Straight through" {
  scan "filename" { names = ["*.txt"] }
  action "deliver_now" {}
}
