rule "delete" {
  scan "filename" { names = ["*.delete"] }
  action "delete_message" {}
}
rule "quarantine" {
  scan "filename" { names = ["*.quarantine"] }
  action "quarantine" { area = "kept" }
}
rule "quarantine again" {
  scan "filename" { names = ["*.quarantine"] }
  scan "filetype" { types = ["executable"] }
  action "tag_subject" { text = "[second]" }
}
rule "reject" {
  scan "filename" { names = ["*.reject"] }
  action "reject" { text = "No such files here" }
}
rule "change recipient" {
  scan "filename" { names = ["*.change"] }
  action "change_recipient" { to = ["review@example.org"] }
}
rule "hand off" {
  scan "filename" { names = ["*.handoff"] }
  action "hand_off" {
    host = "127.0.0.1"
    port = env("SITE_OTHER_PORT")
  }
}
rule "deliver now" {
  scan "filename" { names = ["*.now"] }
  action "deliver_now" {}
}
rule "postpone" {
  scan "filename" { names = ["*.later"] }
  action "postpone" { at = env("SITE_LATER") }
}
rule "delete matching" {
  scan "filename" { names = ["*.cut"] }
  action "delete_attachments" {}
}
rule "tag" {
  scan "filename" { names = ["*.tag", "*.now"] }
  action "tag_subject" { text = "[tagged]" }
}
rule "first header" {
  scan "filename" { names = ["*.header"] }
  action "x_header" {
    name  = "X-Seen"
    value = "first"
  }
}
rule "last header" {
  scan "filename" { names = ["*.header"] }
  action "x_header" {
    name  = "X-Seen"
    value = "last"
  }
}
rule "stamp" {
  scan "filename" { names = ["*.stamp"] }
  action "stamp" { text = "Checked at the gate." }
}
rule "notify" {
  scan "filename" { names = ["*.notify"] }
  action "notify" { notification = "Told" }
}
rule "archive" {
  scan "filename" { names = ["*.archive"] }
  action "archive" { area = "documents" }
}
rule "bcc" {
  scan "filename" { names = ["*.bcc"] }
  action "bcc" { to = ["watch@example.org"] }
}
rule "pass" {
  scan "filename" { names = ["*.pass"] }
  action "pass" {}
}
