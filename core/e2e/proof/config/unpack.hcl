rule "Virus" {
  kind = "virus"
  scan "atse" {}
  action "quarantine" { area = "virus" }
}
rule "Programs" {
  scan "filetype" { types = ["executable"] }
  action "quarantine" { area = "programs" }
}
rule "Scripts" {
  scan "filename" { preset = "recommended" }
  action "quarantine" { area = "names" }
}
