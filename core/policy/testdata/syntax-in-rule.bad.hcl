# A file that does not parse; names and functions are shown.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}

rule "r" {
  scan "filename" { names = ["*.s3cret"], not = true }
  notes = env("X")
}
