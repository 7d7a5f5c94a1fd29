plugin "filename" { command = "postern-filename" }
rule "Names" {
  scan "filename" { names = ["*.bin"] }
  scan "filename" { preset = "recommended" }
  action "pass" {}
}
