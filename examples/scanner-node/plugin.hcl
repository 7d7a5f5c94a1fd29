plugin "invites" { command = "./postern-invites" }

rule "Invitations" {
  scan "invites" { foreign_organizer = true }
  action "pass" {}
}
