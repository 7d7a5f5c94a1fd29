gateway {
  hostname         = "gw.example.org"
  internal_domains = ["example.org"]
}
store "sqlite" { path = "/x" }
listener "smtp" "in" { address = ":25" }
relay "mail" {
  domains = ["*"]
  hosts   = ["mail.example.org"]
}
monitor {
  listen         = "9152"
  traced_percent = 101
}
