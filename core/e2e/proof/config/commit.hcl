rule "Kept" {
  scan "filename" { names = ["*.kept"] }
  action "quarantine" {}
}
rule "Tagged for one" {
  to = ["bob@example.org"]
  scan "filename" { names = ["*.mixed"] }
  action "tag_subject" { text = "[mixed]" }
}
