plugin "ddan" {
  command = "postern-ddan"
  limits { start_timeout = "60s" }
  config {
    server "127.0.0.1" {
      port        = env("SANDBOX_PORT")
      api_key     = env("SANDBOX_KEY")
      fingerprint = env("SANDBOX_FINGERPRINT")
    }
  }
}
