# What is only suspected is double-checked afterwards: asynchronous mode.

plugin "ddan" {
  command = "postern-ddan"
  config {
    server "192.0.2.155" { api_key = "k" }
  }
}
virtual_analyzer {
  analyzer       = "ddan"
  security_level = "low"
  mode           = "async"
}
rule "Virus" {
  kind = "virus"
  scan "atse" {}
  action "delete_message" {}
}
rule "Executables to the analyzer" {
  scan "filetype" {
    types   = ["executable"]
    analyze = true
  }
  action "delete_message" {}
}
rule "Scripts to the analyzer" {
  security_level = "high"
  scan "filename" {
    names   = ["*.js", "*.vbs"]
    analyze = true
  }
  action "quarantine" { area = "scripts" }
}
rule "Suspicious attachments are cut off" {
  scan "filename" {
    names   = ["*.doc"]
    analyze = true
  }
  action "delete_attachments" { which = "matching" }
}
rule "Social" {
  scan "snap" {}
  action "quarantine" { area = "spam" }
}
rule "Archives" {
  scan "filetype" { types = ["compressed"] }
  action "tag_subject" { text = "[archive]" }
}
