rule "Programs" {
  scan "filetype" { types = ["executable"] }
  action "quarantine" { area = "programs" }
}
rule "Virus" {
  kind = "virus"
  scan "atse" {}
  action "quarantine" { area = "virus" }
}
rule "Tagged" {
  scan "filename" { names = ["*.zip"] }
  action "tag_subject" { text = "[archive]" }
}
