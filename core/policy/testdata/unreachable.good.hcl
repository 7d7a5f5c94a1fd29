# Rules that can never act. Those named "fine" can.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}
plugin "atse" { command = "atse" }
plugin "filetype" { command = "filetype" }
plugin "filename" { command = "filename" }
plugin "actions" { command = "actions" }

rule "programs" {
  route  = "both"
  except = [{ from = "boss@example.org" }]
  scan "filetype" { types = ["executable"] }
  scan "filename" { names = ["*.exe"] }
  action "quarantine" {}
  action "tag_subject" { text = "x" }
}
rule "shadowed: narrower" {
  route  = "incoming"
  from   = ["*@*.example.com"]
  except = [{ from = "*@example.org" }]
  scan "filename" { names = ["*.exe"] }
  action "delete_message" {}
}
rule "shadowed: all of them" {
  route  = "outgoing"
  from   = ["a@example.org"]
  except = [{ from = "boss@example.org", to = "*" }]
  match  = "all"
  scan "filename" { names = ["*.pdf"] }
  scan "filetype" {
    types = ["executable"]
    not   = false
  }
  action "delete_message" {}
}
rule "fine: another name" {
  route  = "incoming"
  except = [{ from = "boss@example.org" }]
  scan "filename" { names = ["*.exe"] }
  scan "filename" { names = ["*.com"] }
  action "delete_message" {}
}
rule "fine: the boss" {
  route = "incoming"
  scan "filename" { names = ["*.exe"] }
  action "delete_message" {}
}
rule "fine: wider" {
  except = [{ from = "boss@example.org" }]
  scan "filename" { names = ["*.exe"] }
  action "pass" {}
}
rule "fine: after a rule that goes on" {
  scan "filename" { names = ["*.exe"] }
  action "delete_message" {}
}
rule "fine: stricter" {
  security_level = "high"
  scan "filename" { names = ["*.exe"] }
  action "delete_message" {}
}
rule "fine: not" {
  scan "filename" {
    names = ["*.exe"]
    not   = true
  }
  action "pass" {}
}
rule "no internal recipient" {
  route = "incoming"
  to    = ["*@example.com"]
  scan "atse" {}
  action "pass" {}
}
rule "no internal sender" {
  route = "outgoing"
  from  = ["*@*.com", "a@example.net"]
  scan "atse" {}
  action "pass" {}
}
rule "neither internal" {
  route = "both"
  from  = ["a@example.com"]
  to    = ["b@example.com"]
  scan "atse" {}
  action "pass" {}
}
rule "fine: some of *.org is internal" {
  route = "outgoing"
  from  = ["*@*.org"]
  scan "atse" {}
  action "pass" {}
}
rule "all excepted" {
  from   = ["a@example.com", "b@example.com"]
  except = [{ from = "*@example.com" }]
  scan "atse" {}
  action "pass" {}
}
rule "fine: one not excepted" {
  from   = ["a@example.com", "b@example.net"]
  except = [{ from = "*@example.com" }]
  scan "atse" {}
  action "pass" {}
}
rule "competing" {
  scan "atse" {}
  action "quarantine" {}
  action "deliver_now" {}
  action "change_recipient" { to = ["a@example.org"] }
}
rule "overlapping pairs" {
  enabled = false
  except = [
    { from = "a@example.com", to = "b@example.com" },
    { from = "*@example.com" },
    { from = "c@example.com", to = "*" },
    { from = "*@example.com", to = "*" },
    { to = "d@example.com" },
  ]
  scan "atse" {}
  action "pass" {}
}
rule "fine: below an internal domain" {
  route = "incoming"
  to    = ["a@shop.example.org"]
  scan "filename" { names = ["*.lnk"] }
  action "pass" {}
}
rule "two at once" {
  match = "all"
  scan "filename" { names = ["*.rar"] }
  scan "filetype" { types = ["media"] }
  action "delete_message" {}
}
rule "fine: one of the two" {
  scan "filename" { names = ["*.rar"] }
  action "pass" {}
}
rule "fine: after a rule that goes on with everything" {
  scan "filename" { names = ["*.rar"] }
  action "delete_message" {}
}
