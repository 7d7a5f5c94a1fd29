plugin "snap" { command = "postern-snap" }

rule "Social engineering" {
  scan "snap" {}
  action "quarantine" { area = "spam" }
}
# Tells the score of every mail, and changes nothing.
rule "Scores" {
  scan "snap" {
    aggressive_score   = -1000
    conservative_score = 1000
  }
  action "pass" {}
}
