plugin "cape" {
  command = "postern-cape"
  config {
    server "sandbox" {
      url   = "http://127.0.0.1:1"
      token = "none"
    }
  }
}
