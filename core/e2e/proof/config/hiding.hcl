rule "Virus" {
  kind = "virus"
  scan "atse" {}
  action "quarantine" { area = "virus" }
}
rule "Names" {
  scan "filename" { names = ["*.zip"] }
  action "quarantine" { area = "names" }
}
