plugin "hostile" {
  command = "-"
  env = { HOSTILE = env("START") }
  config { mode = env("MODE") }
  limits { timeout = "2s" }
}
rule "x" {
  scan "hostile" {}
  action "pass" {}
}
