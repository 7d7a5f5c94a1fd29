rule "scripts" {
  security_level = "high"
  scan "filename" {
    names   = ["*.js"]
    analyze = true
  }
  action "quarantine" { area = "scripts" }
}
