# Plugins used as what they are not.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}
plugin "atse" { command = "atse" }
plugin "filetype" { command = "filetype" }
plugin "filename" { command = "filename" }
plugin "actions" { command = "actions" }

virtual_analyzer {
  analyzer = "atse"
}
suspicious_objects {
  source = "filename"
  learn {
    action = "none"
    expiry = "1m"
  }
}
rule "r" {
  scan "actions" {}
  scan "suspicious_objects" {}
  action "pass" {}
}
