gateway {
  hostname         = "gw.example.org"
  internal_domains = ["example.org"]
  admin_address    = "postmaster@example.org"
}
listener "smtp" "in" {
  address        = "127.0.0.1:0"
  relay_networks = ["127.0.0.0/8"]
}
relay "sink" {
  domains = ["*"]
  hosts   = [env("SITE_HOP")]
  tls     = "none"
  retry   = ["1s"]
  give_up = "2s"
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

notification "Told" {
  to      = ["admin@example.org"]
  subject = "%RULENAME%: %SUBJECT%"
  body    = "From %SENDER% to %RCPTS%: %FILENAME%, %TACTION%, %GATEWAY%"
}
