# Stages, routes, final and other actions; nothing is submitted to a sandbox.

rule "Virus" {
  kind = "virus"
  scan "atse" {}
  action "delete_message" {}
}
rule "Tag programs" {
  scan "filetype" { types = ["executable"] }
  action "tag_subject" { text = "[program]" }
}
rule "Scripts" {
  scan "filename" { names = ["*.js"] }
  action "quarantine" { area = "scripts" }
  action "tag_subject" { text = "[script]" }
}
rule "Several final actions" {
  scan "filename" { names = ["*.several"] }
  action "quarantine" { area = "several" }
  action "deliver_now" {}
}
rule "Sales only" {
  route  = "incoming"
  to     = ["sales@example.org"]
  except = [{ from = "orders@partner.example", to = "*" }]
  scan "filetype" { types = ["compressed"] }
  action "quarantine" { area = "sales" }
}
rule "Outgoing archives" {
  route = "outgoing"
  scan "filetype" { types = ["compressed"] }
  action "bcc" { to = ["watch@example.org"] }
}
rule "Archives but not zip" {
  match = "all"
  scan "filetype" { types = ["compressed"] }
  scan "filename" {
    names = ["*.zip"]
    not   = true
  }
  action "reject" { text = "No such archives" }
}
rule "Off" {
  enabled = false
  scan "filename" { names = ["*"] }
  action "delete_message" {}
}
rule "Social" {
  scan "snap" {}
  action "quarantine" { area = "spam" }
}
rule "Analyzed" {
  scan "filename" {
    names   = ["*.doc"]
    analyze = true
  }
  action "delete_message" {}
}
