gateway {
  hostname         = "gw.example.org"
  internal_domains = ["example.org"]
  admin_address    = "postmaster@example.org"
}
listener "smtp" "in" { address = "127.0.0.1:25" }
relay "all" {
  domains = ["*"]
  hosts   = ["127.0.0.1:26"]
}
store "sqlite" { path = "/var/lib/postern" }

plugin "unpack" { command = "postern-unpack" }
plugin "atse" { command = "postern-atse" }
plugin "snap" { command = "postern-snap" }
plugin "filetype" { command = "postern-filetype" }
plugin "filename" { command = "postern-filename" }
plugin "actions" { command = "postern-actions" }

exception "malformed_message" {
  action "quarantine" { area = "malformed" }
}
exception "encryption" {
  action "quarantine" { area = "encrypted" }
}
exception "security_settings" {
  action "tag_subject" { text = "[limits]" }
}
exception "plugin_unavailable" {
  action "defer" {}
}
exception "virtual_analyzer" {
  action "quarantine" { area = "unanalysed" }
  unsupported {
    action "tag_subject" { text = "[not analysed]" }
  }
}
