case "nothing found" {}
case "a sure virus" {
  parts = ["a.exe", "b.js"]
  finding "atse" {
    rule = "Virus"
    kind = "virus"
    name = "EICAR"
    part = 1
  }
  finding "filename" {
    rule = "Scripts"
    kind = "name"
    name = "b.js"
    part = 2
  }
}
case "a possible virus acts at once where nothing is submitted, as probable" {
  parts = ["a.doc"]
  finding "atse" {
    rule     = "Virus"
    kind     = "virus"
    possible = true
    name     = "HEUR_MACRO"
    part     = 1
  }
}
case "a rule without a final action goes on, one with it ends" {
  parts = ["a.exe", "b.js", "c.zip"]
  finding "filetype" {
    rule = "Tag programs"
    kind = "type"
    name = "exe"
    part = 1
  }
  finding "filename" {
    rule = "Scripts"
    kind = "name"
    name = "b.js"
    part = 2
  }
}
case "of several final actions the strongest is carried out" {
  parts = ["a.several"]
  finding "filename" {
    rule = "Several final actions"
    kind = "name"
    name = "a.several"
    part = 1
  }
}
case "malformed: no rule runs" {
  finding "atse" {
    rule = "Virus"
    kind = "virus"
    name = "EICAR"
    part = 0
  }
  trouble "malformed_message" { reason = "mime_depth" }
}
case "limits after the virus rules, and the other rules go on where the exception is not final" {
  parts = ["b.js"]
  trouble "security_settings" { reason = "archive_ratio" }
  finding "filename" {
    rule = "Scripts"
    kind = "name"
    name = "b.js"
    part = 1
  }
}
case "a virus goes before limits and encryption" {
  trouble "security_settings" { reason = "archive_ratio" }
  trouble "encryption" {
    reason = "encrypted_member"
    plugin = "unpack"
  }
  finding "atse" {
    rule = "Virus"
    kind = "virus"
    name = "EICAR"
    part = 0
  }
}
case "encryption ends with its final action" {
  parts = ["b.js"]
  trouble "encryption" {
    reason = "encrypted_member"
    plugin = "unpack"
  }
  finding "filename" {
    rule = "Scripts"
    kind = "name"
    name = "b.js"
    part = 1
  }
}
case "a scanner that did not answer takes its rule's place" {
  trouble "plugin_unavailable" {
    reason = "timeout"
    plugin = "filename"
  }
}
case "what a scanner found counts although it had trouble too" {
  parts = ["b.js"]
  trouble "plugin_unavailable" {
    reason = "timeout"
    plugin = "filename"
  }
  finding "filename" {
    rule = "Scripts"
    kind = "name"
    name = "b.js"
    part = 1
  }
}
case "an unpacker that did not answer has kept members from every rule" {
  trouble "plugin_unavailable" { reason = "crash" }
}
case "a dead virus scanner is not a clean bill" {
  trouble "plugin_unavailable" {
    reason = "not_ready"
    plugin = "atse"
  }
}
case "one of three recipients" {
  to    = ["bob@example.org", "sales@example.org", "carol@example.org"]
  parts = ["a.zip"]
  finding "filetype" {
    rule = "Sales only"
    kind = "type"
    name = "zip"
    part = 1
  }
}
case "an exception of the route" {
  from  = "orders@partner.example"
  to    = ["sales@example.org"]
  parts = ["a.zip"]
  finding "filetype" {
    rule = "Sales only"
    kind = "type"
    name = "zip"
    part = 1
  }
}
case "outgoing" {
  from  = "bob@example.org"
  to    = ["x@outside.example"]
  parts = ["a.zip"]
  finding "filetype" {
    rule = "Outgoing archives"
    kind = "type"
    name = "zip"
    part = 1
  }
  finding "filename" {
    rule = "Archives but not zip"
    kind = "name"
    name = "a.zip"
    part = 1
  }
}
case "every scan, one of them inverted" {
  parts = ["a.rar"]
  finding "filetype" {
    rule = "Archives but not zip"
    kind = "type"
    name = "rar"
    part = 1
  }
}
case "an inverted scan that did not answer matches nothing" {
  parts = ["a.rar"]
  finding "filetype" {
    rule = "Archives but not zip"
    kind = "type"
    name = "rar"
    part = 1
  }
  trouble "plugin_unavailable" {
    reason = "crash"
    plugin = "filename"
  }
}
case "social engineering is conservative without a sandbox: possible" {
  finding "snap" {
    rule     = "Social"
    kind     = "social"
    possible = true
    name     = "brand in link"
  }
}
case "social engineering is conservative without a sandbox: sure" {
  finding "snap" {
    rule = "Social"
    kind = "social"
    name = "look-alike domain"
  }
}
case "an analyze filter never matches without a sandbox" {
  parts = ["a.doc"]
  finding "filename" {
    rule = "Analyzed"
    kind = "name"
    name = "a.doc"
    part = 1
  }
}
case "a waived finding, for one recipient" {
  to    = ["bob@example.org", "carol@example.org"]
  parts = ["b.js"]
  finding "filename" {
    rule = "Scripts"
    kind = "name"
    name = "b.js"
    part = 1
  }
  waiver "filename" {
    kind = "name"
    name = "b.js"
    to   = ["carol@example.org"]
  }
}
case "a waived exception" {
  trouble "encryption" {
    reason = "encrypted_member"
    plugin = "unpack"
  }
  waiver "unpack" {
    kind = "encryption"
    name = "encrypted_member"
  }
}
case "a waiver is of one certainty" {
  parts = ["a.exe"]
  finding "atse" {
    rule = "Virus"
    kind = "virus"
    name = "EICAR"
    part = 1
  }
  waiver "atse" {
    kind     = "virus"
    name     = "EICAR"
    possible = true
  }
}
case "what was not asked is asked" {
  unasked = ["atse", "filename"]
}
