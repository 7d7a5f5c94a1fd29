# Suspicious objects beside what the other rules see.

plugin "ddan" {
  command = "postern-ddan"
  config {
    server "192.0.2.155" { api_key = "k" }
  }
}
plugin "ctd" {
  command = "postern-ctd"
  config {
    control_manager "https://tmcm.example.org" {
      application_id = "a"
      api_key        = "k"
    }
  }
}
suspicious_objects { source = "ctd" }
virtual_analyzer { analyzer = "ddan" }
rule "Virus" {
  kind = "virus"
  scan "atse" {}
  action "delete_message" {}
}
rule "Scripts" {
  scan "filename" { names = ["*.js"] }
  action "quarantine" { area = "scripts" }
}
