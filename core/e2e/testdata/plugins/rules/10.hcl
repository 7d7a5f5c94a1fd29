rule "Marked" {
  scan "hostile" {}
  action "mark" {}
}
