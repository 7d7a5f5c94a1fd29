plugin "verdicts" {
  command = "postern-verdicts"
  config {
    file = env("PROOF_VERDICTS")
  }
}
virtual_analyzer {
  analyzer    = "verdicts"
  query_delay = "4s"
}

rule "Dave gets no documents" {
  to = ["dave@example.org"]
  scan "filename" { names = ["*.pdf"] }
  action "quarantine" { area = "documents" }
}
rule "Erin is told" {
  to = ["erin@example.org"]
  scan "filename" { names = ["*.pdf"] }
  action "tag_subject" { text = "[document]" }
}
rule "Carol's documents are analysed" {
  to = ["carol@example.org"]
  scan "filename" {
    names   = ["*.pdf"]
    analyze = true
  }
  action "quarantine" { area = "sandbox" }
}
