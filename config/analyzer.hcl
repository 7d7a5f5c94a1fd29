# Double-checking what is only suspected. With SANDBOX_KEY set samples go to the sandbox, which `make run` sets for the simulator in
# examples/sandbox-simulator; without it nothing is submitted, and `validate` warns of the rules that then never match.

plugin "ddan" {
  command = "postern-ddan"
  config {
    server "127.0.0.1" { # the appliance's name or address
      port        = env("SANDBOX_PORT", "443")
      api_key     = env("SANDBOX_KEY", "none")
      fingerprint = env("SANDBOX_FINGERPRINT", "")
    }
  }
}

virtual_analyzer {
  analyzer    = "ddan"
  submit      = env("SANDBOX_KEY", "") != ""
  query_delay = env("SANDBOX_QUERY_DELAY", "60s")
}

exception "virtual_analyzer" {
  action "quarantine" {}
  action "notify" { notification = "Exception" }
}

notification "VA High Risk Mail Notification" {
  to      = ["postmaster@example.org"]
  subject = "Virtual Analyzer detected high risk messages"
  body    = <<-EOT
    Sender: %SENDER%
    Recipient: %RCPTS%
    Subject: %SUBJECT%
    DDAN detected %FILENAME% in this mail as high risk and deleted the whole mail.
  EOT
}
notification "VA Risk Mail Notification" {
  to      = ["postmaster@example.org"]
  subject = "Virtual Analyzer detected risk messages"
  body    = <<-EOT
    Sender: %SENDER%
    Recipient: %RCPTS%
    Subject: %SUBJECT%
    DDAN detected %FILENAME% in this mail as risk and quarantined the whole mail.
  EOT
}
