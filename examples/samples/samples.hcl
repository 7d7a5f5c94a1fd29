# The mails that `make run` sends, and what has to become of each. A fate is delivered, changed (delivered otherwise than it came),
# deleted, quarantined or rejected. verdict is what the sandbox simulator is to say of an attachment, which is held until then. {{EICAR}} in a mail stands for the EICAR test file, {{FILE:name}} for base64 of a file that the
# trial makes.

sample "plain" {
  file = "plain.eml"
  from = "alice@elsewhere.example"
  fate "bob@example.org" { is = "delivered" }
}
sample "virus" {
  file = "virus.eml"
  from = "mallory@elsewhere.example"
  fate "bob@example.org" {
    is   = "deleted"
    rule = "Default virus rule"
  }
}
sample "virus in two archives" {
  file = "virus-in-archive.eml"
  from = "mallory@elsewhere.example"
  fate "bob@example.org" {
    is   = "deleted"
    rule = "Default virus rule"
  }
}
sample "program under another name" {
  file    = "program.eml"
  from    = "alice@elsewhere.example"
  verdict = "figures.txt high name=TROJ_SAMPLE"
  fate "bob@example.org" {
    is   = "deleted"
    rule = "Executables to the analyzer"
  }
}
sample "program of medium risk" {
  file    = "tool.eml"
  from    = "alice@elsewhere.example"
  verdict = "tool.exe medium"
  fate "bob@example.org" { is = "delivered" }
}
sample "script of low risk" {
  file    = "macro.eml"
  from    = "alice@elsewhere.example"
  verdict = "helper.js low name=JS_SAMPLE"
  fate "bob@example.org" {
    is   = "quarantined"
    rule = "Scripts to the analyzer"
  }
}
sample "script without risk" {
  file    = "backup.eml"
  from    = "alice@elsewhere.example"
  verdict = "backup.vbs none"
  fate "bob@example.org" { is = "delivered" }
}
sample "script in an archive" {
  file = "script.eml"
  from = "alice@elsewhere.example"
  fate "bob@example.org" {
    is   = "changed"
    rule = "Scripts inside of archives and beside them"
  }
}
sample "one of three recipients" {
  file = "split.eml"
  from = "alice@elsewhere.example"
  fate "bob@example.org" { is = "delivered" }
  fate "carol@example.org" { is = "delivered" }
  fate "press@example.org" {
    is   = "quarantined"
    rule = "Archives for the press office"
  }
}
sample "unwanted sender" {
  file = "bulk.eml"
  from = "offers@bulk.example"
  fate "bob@example.org" {
    is   = "rejected"
    rule = "Senders that are never wanted"
  }
}
sample "encrypted archive" {
  file = "encrypted.eml"
  from = "alice@elsewhere.example"
  fate "bob@example.org" {
    is   = "quarantined"
    rule = "encryption"
  }
}
sample "mail that cannot be read" {
  file = "malformed.eml"
  from = "alice@elsewhere.example"
  fate "bob@example.org" {
    is   = "quarantined"
    rule = "malformed_message"
  }
}
