# A file that does not parse: nothing tells what in it is secret.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}

plugin "ddan" {
  command = "ddan"
  config {
    server "one" { api_key = "a-s3cret }
  }
}
