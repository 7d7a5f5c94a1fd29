# What has to be said is not.

listener "smtp" "in" {}
relay "r" {}
plugin "ddan" { command = "ddan" }
plugin "actions" { command = "actions" }
plugin "filetype" { command = "filetype" }
exception "encryption" {}
notification "n" {}
rule "no scan" {
  action "pass" {}
}
rule "no action" {
  scan "filetype" { types = ["executable"] }
}
rule "no types" {
  scan "filetype" {}
  action "reject" {}
}
rule "" {
  scan "filetype" { types = ["executable"] }
  action "pass" {}
}
