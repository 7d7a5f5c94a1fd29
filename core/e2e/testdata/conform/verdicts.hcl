plugin "verdicts" {
  command = "postern-verdicts"
  config { file = "/dev/null" }
}
