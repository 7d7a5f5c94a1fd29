gateway {
  hostname         = "gw.example.org"
  internal_domains = ["example.org", "*.example.org"]
  admin_address    = "postmaster@example.org"

  notifications_per_minute = 1000
}
listener "smtp" "in" {
  address                    = "127.0.0.1:0"
  relay_networks             = ["127.0.0.0/8"]
  max_connections_per_client = 200
}
relay "sink" {
  domains = ["*"]
  hosts   = [env("SITE_HOP")]
  tls     = "none"
}
store "sqlite" { path = env("POSTERN_STATE") }

plugin "unpack" { command = "postern-unpack" }
plugin "atse" { command = "postern-atse" }
plugin "filetype" { command = "postern-filetype" }
plugin "filename" { command = "postern-filename" }
plugin "actions" { command = "postern-actions" }

exception "malformed_message" {
  action "quarantine" { area = "malformed" }
}
exception "encryption" {
  action "pass" {}
}
exception "security_settings" {
  action "quarantine" { area = "limits" }
}
exception "plugin_unavailable" {
  action "quarantine" { area = "unavailable" }
}
