rule "Default spam rule" {
  notes   = "social engineering protection is off until chosen"
  enabled = false
  scan "snap" {} # aggressive where samples are submitted, conservative where not
  action "quarantine" { area = "spam" }
}
