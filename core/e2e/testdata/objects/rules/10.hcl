rule "Scripts" {
  scan "filename" {
    names   = ["*.js"]
    analyze = true
  }
  action "quarantine" { area = "scripts" }
}
