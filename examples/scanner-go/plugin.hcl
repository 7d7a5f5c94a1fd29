plugin "allowed" { command = "./postern-allowed" }

rule "Partners" {
  scan "allowed" { senders = ["*.partner.example"] }
  action "pass" {}
}
