# Things that have another place.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}
plugin "atse" { command = "atse" }
plugin "filetype" { command = "filetype" }
plugin "filename" { command = "filename" }
plugin "actions" { command = "actions" }

plugin "more_actions" { command = "more" }

exception "encryption" {
  max_layers = 3
  action "pass" {}
  unsupported {
    action "pass" {}
  }
}
rule "hidden" {
  hidden = true
  scan "atse" {}
  action "defer" {}
}
rule "when" {
  scan "atse" {}
  when {
    object_action = ["block", "maybe"]
    action "pass" {}
  }
}
rule "ambiguous" {
  scan "atse" { objects = ["file"] }
  action "quarantine" {}
}
