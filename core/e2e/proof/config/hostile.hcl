plugin "hostile" {
  command = env("HOSTILE_PLUGIN")
  env     = { HOSTILE = "@START@" }
  config {
    mode   = "@MODE@"
    mark   = "@MARK@"
    secret = env("HOSTILE_SECRET", "")
    tcp    = env("HOSTILE_TCP", "")
    udp    = env("HOSTILE_UDP", "")
  }
  limits {
    memory        = "128MiB"
    timeout       = "3s"
    start_timeout = "3s"
  }
}
rule "Breach" {
  scan "hostile" {}
  @ACTIONS@
}
