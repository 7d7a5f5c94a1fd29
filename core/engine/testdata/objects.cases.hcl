case "a known virus on the list: the virus rule reports it" {
  parts = ["a.exe"]
  finding "atse" {
    rule = "Virus"
    kind = "virus"
    name = "EICAR"
    part = 1
  }
  finding "ctd" {
    rule          = "TMCM_M_Suspicious file detection"
    kind          = "file"
    name          = "a.exe"
    part          = 1
    object_action = "block"
  }
}
case "an unknown file on the list is quarantined" {
  parts = ["a.js"]
  finding "ctd" {
    rule          = "TMCM_M_Suspicious file detection"
    kind          = "file"
    name          = "a.js"
    part          = 1
    object_action = "quarantine"
  }
  finding "filename" {
    rule = "Scripts"
    kind = "name"
    name = "a.js"
    part = 1
  }
}
case "one that is only logged passes, and later rules judge" {
  parts = ["a.js"]
  finding "ctd" {
    rule          = "TMCM_M_Suspicious file detection"
    kind          = "file"
    name          = "a.js"
    part          = 1
    object_action = "log"
  }
  finding "filename" {
    rule = "Scripts"
    kind = "name"
    name = "a.js"
    part = 1
  }
}
case "of two objects the stricter counts" {
  finding "ctd" {
    rule          = "TMCM_M_Suspicious URL detection"
    kind          = "domain"
    name          = "a.example"
    object_action = "none"
  }
  finding "ctd" {
    rule          = "TMCM_M_Suspicious URL detection"
    kind          = "url"
    name          = "http://a.example/x"
    object_action = "block"
  }
}
case "a possible virus beside a listed object waits: the list does not overtake the virus rule" {
  parts = ["a.doc", "b.exe"]
  finding "atse" {
    rule     = "Virus"
    kind     = "virus"
    possible = true
    name     = "HEUR_MACRO"
    part     = 1
  }
  finding "ctd" {
    rule          = "TMCM_M_Suspicious file detection"
    kind          = "file"
    name          = "b.exe"
    part          = 2
    object_action = "block"
  }
}
case "the possible virus was harmless: the list decides" {
  parts = ["a.doc", "b.exe"]
  finding "atse" {
    rule     = "Virus"
    kind     = "virus"
    possible = true
    name     = "HEUR_MACRO"
    part     = 1
  }
  finding "ctd" {
    rule          = "TMCM_M_Suspicious file detection"
    kind          = "file"
    name          = "b.exe"
    part          = 2
    object_action = "block"
  }
  verdict {
    part  = 1
    level = "no risk"
  }
}
