# All that must be said.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org"]
}
