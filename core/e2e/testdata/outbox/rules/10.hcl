rule "by the outbox" { # an archived copy is an obligation: the mail is committed and delivered from the outbox
  scan "filename" { names = ["*.later"] }
  action "archive" { area = "all" }
}
rule "told" {
  scan "filename" { names = ["*.told"] }
  action "notify" { notification = "Told" }
  action "reject" { text = "No" }
}
