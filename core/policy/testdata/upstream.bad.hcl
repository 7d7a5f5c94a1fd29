# An upstream without a name or network, and twice.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org"]
}
store "sqlite" { path = "/var/lib/postern" }
relay "all" {
  domains = ["*"]
  hosts   = ["next.example.org:25"]
}
listener "smtp" "a" {
  address = ":25"
  upstream {
    networks = []
  }
}
listener "smtp" "b" {
  address     = ":26"
  auth_checks = false
  upstream {
    networks    = ["here"]
    authserv_id = ""
  }
  upstream {
    networks    = ["10.0.0.0/8"]
    authserv_id = "mx"
  }
}
listener "smtp" "c" {
  address        = ":27"
  relay_networks = ["10.0.0.0/8"]
  upstream {
    networks    = ["192.0.2.1", "10.1.0.0/16"]
    authserv_id = "mx"
  }
}
