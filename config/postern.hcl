# What `make run` serves with: one listener for the local machine, a local next hop, the built-in signatures, SQLite.
# An installation starts from this file; every block and attribute is described in core/docs/policy.md.

gateway {
  hostname         = "postern.example.org"
  internal_domains = ["example.org"]
  admin_address    = "postmaster@example.org"
}

listener "smtp" "inbound" {
  address        = "127.0.0.1:2525"
  relay_networks = ["127.0.0.0/8"] # may send to anywhere; everyone else only to internal_domains
}

relay "mailstore" {
  domains = ["*"]
  hosts   = ["127.0.0.1:2526"]
  tls     = "none" # it is on this machine
}

store "sqlite" {
  path = env("POSTERN_STATE", ".state")
}

plugin "unpack" {
  command = "postern-unpack"
}
plugin "atse" {
  command = "postern-atse"
}
plugin "snap" {
  command = "postern-snap"
  config {
    internal_domains = ["example.org"] # look-alikes of them are looked for
  }
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
exception "plugin_unavailable" { # a scanner that died is not a clean bill
  action "defer" {}
}

notification "Virus found" {
  to      = ["postmaster@example.org"]
  subject = "%VIRUSNAME% found in %FILENAME%"
  body    = "From %SENDER% to %RCPTS%, subject %SUBJECT%, rule %RULENAME%, action %TACTION%."
}
notification "Exception" {
  to      = ["postmaster@example.org"]
  subject = "Scanning exception: %DETECTED%"
  body    = "From %SENDER% to %RCPTS%, subject %SUBJECT%, %RULENAME%, action %TACTION%."
}
