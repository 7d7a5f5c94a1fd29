rule "Default virus rule" {
  kind = "virus"
  scan "atse" {}
  action "delete_message" {}
  action "notify" { notification = "Virus found" }
}
