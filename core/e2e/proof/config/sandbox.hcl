plugin "ddan" {
  command = "postern-ddan"
  config {
    server "127.0.0.1" {
      port        = env("SANDBOX_PORT")
      api_key     = env("SANDBOX_KEY")
      fingerprint = env("SANDBOX_FINGERPRINT")
    }
  }
}
virtual_analyzer {
  analyzer    = "ddan"
  query_delay = env("PROOF_QUERY_DELAY")
}
exception "virtual_analyzer" {
  action "quarantine" { area = "unanalysed" }
}
rule "Scripts" {
  scan "filename" {
    names   = ["*.js"]
    analyze = true
  }
  action "quarantine" { area = "scripts" }
}
