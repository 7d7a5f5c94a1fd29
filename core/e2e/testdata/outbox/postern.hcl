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
  give_up = env("SITE_GIVE_UP", "1m")
}

plugin "filename" { command = "postern-filename" }
plugin "actions" { command = "postern-actions" }

notification "Told" {
  to      = ["admin@example.org"]
  subject = "told of %SUBJECT%"
  body    = "%SENDER%"
}
