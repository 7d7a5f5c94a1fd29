plugin "snap" { command = "postern-snap" }
plugin "verdicts" {
  command = "postern-verdicts"
  config {
    file = env("PROOF_VERDICTS")
  }
}
exception "virtual_analyzer" {
  action "quarantine" { area = "unanalysed" }
  action "notify" { notification = "Cell" }
  unsupported {
    action "tag_subject" { text = "[unsupported]" }
  }
}
notification "Cell" {
  to      = ["admin@example.org"]
  subject = "cell %RCPTS% by %RULENAME%"
  body    = "%SUBJECT%"
}
