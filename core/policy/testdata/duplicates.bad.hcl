# What may be said once is said twice.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}
plugin "atse" { command = "atse" }
plugin "filetype" { command = "filetype" }
plugin "filename" { command = "filename" }
plugin "actions" { command = "actions" }

gateway {
  hostname         = "mx2.example.org"
  internal_domains = ["example.net"]
}
listener "smtp" "in" { address = ":25" }
listener "smtp" "also" { address = ":25" }
plugin "atse" { command = "atse" }
plugin "filetype" {
  command = "x"
  config {}
  config {}
}
notification "n" {
  subject = "s"
  body    = "b"
}
notification "n" {
  subject = "s"
  body    = "b"
}
exception "encryption" {
  action "pass" {}
}
exception "encryption" {
  action "quarantine" {}
}
rule "r" {
  scan "atse" {}
  action "pass" {}
}
rule "r" {
  scan "atse" {}
  action "pass" {}
}
rule "TMCM_M_Suspicious file detection" {
  scan "atse" {}
  action "pass" {}
}
