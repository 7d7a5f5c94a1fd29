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
}
store "sqlite" { path = env("POSTERN_STATE") }

plugin "hostile" {
  command = env("SITE_HOSTILE")
  config {
    mark = "first"
  }
}
plugin "actions" { command = "postern-actions" }
