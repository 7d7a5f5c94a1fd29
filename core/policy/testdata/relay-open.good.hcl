# Correct, but hardly meant.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}

listener "smtp" "in" {
  address        = ":25"
  relay_networks = ["0.0.0.0/0"]
}
relay "first" {
  domains = ["*.example.org"]
  hosts   = ["a.example.net", "192.0.2.1", "[2001:db8::1]:2525"]
  ca_file = "/etc/ca.pem"
}
relay "second" {
  domains = ["mail.example.org", "*.shop.example.org"]
  hosts   = ["b.example.net"]
}
relay "third" {
  domains = ["example.org"]
  hosts   = ["b.example.net"]
}
