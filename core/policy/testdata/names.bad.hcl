# Names that nothing in the policy or the catalog has.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}
plugin "atse" { command = "atse" }
plugin "filetype" { command = "filetype" }
plugin "filename" { command = "filename" }
plugin "actions" { command = "actions" }

gatewya {}

virtual_analyzer {
  analyzer = "filetyp"
}

notification "Virus found" {
  subject = "s"
  body    = "b"
  colour  = "red"
}

exception "encrypted" {
  action "quarantine" {}
}

rule "r" {
  kynd = "virus"
  scan "filetypes" { types = ["executable"] }
  scan "filename" {
    name = ["*.exe"]
  }
  action "quarantin" {}
  action "notify" { notification = "Virus fuond" }
  action "tag_subject" {
    text  = "x"
    where = "front"
  }
  acton "pass" {}
}
