rule "Virus" {
  kind = "virus"
  scan "atse" {}
  action "quarantine" { area = "virus" }
}
