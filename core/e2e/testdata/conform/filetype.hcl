plugin "filetype" { command = "postern-filetype" }
rule "Types" {
  scan "filetype" { types = ["executable", "document"] }
  action "pass" {}
}
