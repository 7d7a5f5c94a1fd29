case "a possible detection acts at once" {
  parts = ["a.doc"]
  finding "atse" {
    rule     = "Virus"
    kind     = "virus"
    possible = true
    name     = "HEUR_MACRO"
    part     = 1
  }
}
case "an analyze filter passes at once" {
  parts = ["a.exe"]
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
}
case "a cached verdict counts at once" {
  parts = ["a.exe"]
  finding "filetype" {
    rule = "Executables to the analyzer"
    kind = "type"
    name = "exe"
    part = 1
  }
  verdict {
    part  = 1
    level = "high"
  }
}
case "a cached verdict of no risk dismisses a possible detection" {
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
    level = "no risk"
  }
}
