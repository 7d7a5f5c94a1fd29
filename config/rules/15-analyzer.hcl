# The product guide's two samples: what the sandbox calls a high risk among programs is deleted, any risk among scripts is quarantined.

rule "Executables to the analyzer" {
  security_level = "low"
  scan "filetype" {
    types   = ["executable"]
    analyze = true
  }
  action "delete_message" {}
  action "notify" { notification = "VA High Risk Mail Notification" }
}

rule "Scripts to the analyzer" {
  security_level = "high"
  scan "filename" {
    names   = ["*.js", "*.vbs"]
    analyze = true
  }
  action "quarantine" { area = "scripts" }
  action "notify" { notification = "VA Risk Mail Notification" }
}
