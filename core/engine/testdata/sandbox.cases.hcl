case "a sure detection waits for nobody" {
  parts = ["a.exe"]
  finding "atse" {
    rule = "Virus"
    kind = "virus"
    name = "EICAR"
    part = 1
  }
}
case "a possible detection waits, and what later rules would need is submitted too" {
  parts = ["a.doc", "b.js"]
  finding "atse" {
    rule     = "Virus"
    kind     = "virus"
    possible = true
    name     = "HEUR_MACRO"
    part     = 1
  }
  finding "filename" {
    rule = "Scripts to the analyzer"
    kind = "name"
    name = "b.js"
    part = 2
  }
}
case "high: analyzed advanced threat" {
  parts = ["a.doc"]
  finding "atse" {
    rule     = "Virus"
    kind     = "virus"
    possible = true
    name     = "HEUR_MACRO"
    part     = 1
  }
  verdict {
    part  = 1
    level = "high"
  }
}
case "medium is below the level low: the next rule is tried" {
  parts = ["a.exe", "b.zip"]
  finding "atse" {
    rule     = "Virus"
    kind     = "virus"
    possible = true
    name     = "HEUR_PE"
    part     = 1
  }
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
  finding "filetype" {
    rule = "Archives"
    kind = "type"
    name = "zip"
    part = 2
  }
  verdict {
    part  = 1
    level = "medium"
  }
}
case "a rule's own level: low is enough for the level high" {
  parts = ["b.js"]
  finding "filename" {
    rule = "Scripts to the analyzer"
    kind = "name"
    name = "b.js"
    part = 1
  }
  verdict {
    part  = 1
    level = "low"
  }
}
case "no risk" {
  parts = ["b.js"]
  finding "filename" {
    rule = "Scripts to the analyzer"
    kind = "name"
    name = "b.js"
    part = 1
  }
  verdict {
    part  = 1
    level = "no risk"
  }
}
case "a final action fires at the first of several samples" {
  parts = ["a.js", "b.js"]
  finding "filename" {
    rule = "Scripts to the analyzer"
    kind = "name"
    name = "a.js"
    part = 1
  }
  finding "filename" {
    rule = "Scripts to the analyzer"
    kind = "name"
    name = "b.js"
    part = 2
  }
  verdict {
    part  = 2
    level = "high"
  }
}
case "cutting off waits for all samples" {
  parts = ["a.doc", "b.doc"]
  finding "filename" {
    rule = "Suspicious attachments are cut off"
    kind = "name"
    name = "a.doc"
    part = 1
  }
  finding "filename" {
    rule = "Suspicious attachments are cut off"
    kind = "name"
    name = "b.doc"
    part = 2
  }
  verdict {
    part  = 2
    level = "high"
  }
}
case "an earlier rule that waits is not overtaken by a later one" {
  parts = ["a.exe", "b.js"]
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
  finding "filename" {
    rule = "Scripts to the analyzer"
    kind = "name"
    name = "b.js"
    part = 2
  }
  verdict {
    part  = 2
    level = "high"
  }
}
case "failed: the exception takes the rule's place" {
  parts = ["a.exe"]
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
  verdict {
    part  = 1
    state = "failed"
  }
}
case "expired" {
  parts = ["a.exe"]
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
  verdict {
    part  = 1
    state = "expired"
  }
}
case "unsupported has actions of its own, and the rules go on" {
  parts = ["a.exe", "b.zip"]
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
  finding "filetype" {
    rule = "Archives"
    kind = "type"
    name = "zip"
    part = 2
  }
  verdict {
    part  = 1
    state = "unsupported"
  }
}
case "of two samples one failed and one is a threat: the rule matches" {
  parts = ["a.exe", "b.exe"]
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 2
  }
  verdict {
    part  = 1
    state = "failed"
  }
  verdict {
    part  = 2
    level = "high"
  }
}
case "social engineering sends the mail itself, sure or not" {
  finding "snap" {
    rule = "Social"
    kind = "social"
    name = "look-alike domain"
  }
}
case "social engineering confirmed" {
  finding "snap" {
    rule     = "Social"
    kind     = "social"
    possible = true
    name     = "brand in link"
  }
  verdict { level = "high" }
}
case "limits of a message whose virus rule waits" {
  parts = ["a.doc"]
  finding "atse" {
    rule     = "Virus"
    kind     = "virus"
    possible = true
    name     = "HEUR_MACRO"
    part     = 1
  }
  trouble "encryption" {
    reason = "encrypted_member"
    plugin = "unpack"
  }
}
case "released from analysis: the verdict is no risk, for that rule only" {
  to    = ["bob@example.org", "carol@example.org"]
  parts = ["a.exe"]
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
  waiver "filetype" {
    kind = "type"
    name = "exe"
    to   = ["carol@example.org"]
  }
}
case "two rules wait: the first times out, the second is high: the exception has the first rule's place" {
  parts = ["a.exe", "b.js"]
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
  finding "filename" {
    rule = "Scripts to the analyzer"
    kind = "name"
    name = "b.js"
    part = 2
  }
  verdict {
    part  = 1
    state = "expired"
  }
  verdict {
    part  = 2
    level = "high"
  }
}
case "a virus in one attachment, an encrypted zip beside it" {
  parts = ["a.exe", "b.zip"]
  finding "atse" {
    rule = "Virus"
    kind = "virus"
    name = "EICAR"
    part = 1
  }
  trouble "encryption" {
    reason = "encrypted_member"
    plugin = "unpack"
  }
}
