plugin "ddan" {
  command = "postern-ddan"
  config {
    server "127.0.0.1" {
      port    = 1
      api_key = "none"
    }
  }
}
