# One rule for each category, in the order that the proof reads them.
rule "executable" {
  scan "filetype" { types = ["executable"] }
  action "pass" {}
}
rule "document" {
  scan "filetype" { types = ["document"] }
  action "pass" {}
}
rule "image" {
  scan "filetype" { types = ["image"] }
  action "pass" {}
}
rule "media" {
  scan "filetype" { types = ["media"] }
  action "pass" {}
}
rule "compressed" {
  scan "filetype" { types = ["compressed"] }
  action "pass" {}
}
rule "script" {
  scan "filetype" { types = ["script"] }
  action "pass" {}
}
