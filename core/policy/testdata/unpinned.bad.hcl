# A plugin without an entry in the lock file; nothing else is said of what it may offer.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}

plugin "greylist" {
  command = "greylist"
  config {
    password = "unpinned-s3cret"
  }
}
plugin "Bad Name" { command = "x" }
plugin "suspicious_objects" { command = "x" }

rule "r" {
  scan "greylist" { anything = true }
  action "wait_a_while" {}
}
