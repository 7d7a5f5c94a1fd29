# A rule that gives the sandbox what two scanners match.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}
plugin "atse" { command = "atse" }
plugin "filetype" { command = "filetype" }
plugin "filename" { command = "filename" }
plugin "actions" { command = "actions" }

plugin "ddan" {
  command = "ddan"
  config {
    server "a" { api_key = "k" }
  }
}
virtual_analyzer {
  analyzer    = "ddan"
  max_wait    = "900s"
  query_delay = "60s"
  max_retries = 10
}
rule "both" {
  scan "filetype" {
    types   = ["executable"]
    analyze = true
  }
  scan "filetype" {
    types   = ["document"]
    analyze = true
  }
  scan "filename" {
    names   = ["*.js"]
    analyze = true
  }
  action "delete_message" {}
}
rule "the same, not analyzed" {
  scan "filetype" { types = ["executable"] }
  action "delete_message" {}
}
