# A rule that wants a sandbox where nothing is submitted.

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
  submit      = false
  max_wait    = "900s"
}
rule "programs" {
  scan "filetype" {
    types   = ["executable"]
    analyze = true
  }
  action "delete_message" {}
}
