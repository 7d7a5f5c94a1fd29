plugin "verdicts" {
  command = "postern-verdicts"
  config {
    file = env("PROOF_VERDICTS")
  }
}
virtual_analyzer {
  analyzer        = "verdicts"
  query_delay     = env("PROOF_QUERY_DELAY")
  max_submissions = 50000
}
rule "Scripts" {
  scan "filename" {
    names   = ["*.js"]
    analyze = true
  }
  action "quarantine" { area = "scripts" }
}
