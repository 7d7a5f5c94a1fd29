# Wrong types and values out of range, all in one pass.

gateway {
  hostname         = "not a host"
  internal_domains = ["example.*", "*"]
  admin_address    = "nobody"
  decide_within    = 30
  late_reject      = "bounce"
}
listener "smtp" "a" {
  address          = "25"
  max_message_size = "30 megabytes"
  max_recipients   = 0
  relay_networks   = ["10.0.0.0/33", "10.0.0.1"]
  idle_timeout     = "-1s"
  auth_checks      = "sometimes"
}
listener "http" "b" {
  address = ":80"
}
relay "r" {
  domains = []
  hosts   = ["mx:0", "two words"]
  retry   = ["soon"]
  tls     = null
}
store "mysql" {
  path = "/x"
}
retention {
  quarantine = "30"
  held_bytes = "1B"
}
plugin "filetype" {
  command   = ""
  instances = 1.5
  env       = ["A=B"]
  limits {
    memory  = "lots"
    read    = ["relative"]
    connect = ["nowhere"]
  }
  sandbox {
    require = ["everything"]
  }
}
plugin "actions" {
  command = "actions"
}
virtual_analyzer {
  security_level = "lowest"
  max_wait       = "299s"
  max_retries    = -1
  cache {
    reset_at = "24:00"
  }
}
rule "r" {
  kind    = "worm"
  enabled = "no"
  from    = ["*user@example.com", "*@*"]
  to      = []
  except  = [{ from = "a@b.example", two = "*" }, "x@y.example"]
  scan "filetype" { types = ["exe"] }
  scan "filetype" {
    types   = "executable"
    analyze = "maybe"
  }
  action "postpone" { at = "6:00" }
  action "bcc" { to = ["nobody"] }
  action "hand_off" {
    host = "a b"
    port = 99999
  }
  action "hand_off" {
    host = "a b"
  }
  action "reject" { text = "Zu groß" }
}
exception "security_settings" {
  max_decompressed_size = "9999999999GiB"
  max_layers            = 0
  action "pass" {}
}
