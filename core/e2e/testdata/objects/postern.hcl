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
  give_up = "1m"
}

plugin "filename" { command = "postern-filename" }
plugin "actions" { command = "postern-actions" }
plugin "ctd" {
  command = "postern-ctd"
  config {
    file "fetched" { path = env("SITE_LIST") }
  }
}
suspicious_objects {
  source     = "ctd"
  sync_every = "1s"
  learn {
    expiry = "30d"
    action = "block"
  }
}
plugin "ddan" {
  command = "postern-ddan"
  config {
    server "127.0.0.1" {
      port        = env("SANDBOX_PORT")
      api_key     = env("SANDBOX_KEY")
      fingerprint = env("SANDBOX_FINGERPRINT")
    }
  }
}

virtual_analyzer {
  analyzer    = "ddan"
  query_delay = "1s"
}
exception "virtual_analyzer" {
  action "quarantine" { area = "unanalysed" }
  unsupported {
    action "pass" {}
  }
}
