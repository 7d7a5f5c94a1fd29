rule "Senders that are never wanted" {
  from = ["*@bulk.example"]
  scan "filename" { names = ["*"] }
  action "reject" { text = "Attachments from this sender are not accepted" }
}

rule "Programs" {
  notes   = "by content, whatever the name says, also inside archives; where no sandbox looks at them"
  enabled = env("SANDBOX_KEY", "") == ""
  scan "filetype" { types = ["executable"] }
  action "quarantine" { area = "programs" }
}

rule "Scripts inside of archives and beside them" {
  scan "filename" { names = ["*.hta", "*.ps1", "*.wsf"] }
  action "delete_attachments" { which = "matching" }
  action "tag_subject" { text = "[script removed]" }
}

rule "Archives for the press office" {
  notes  = "one recipient of several: the message is split"
  route  = "incoming"
  to     = ["press@example.org"]
  except = [{ from = "*@partner.example", to = "*" }]
  scan "filetype" { types = ["compressed"] }
  action "quarantine" { area = "press" }
}
