plugin "ctd" {
  command = "postern-ctd"
  config {
    taxii "list" {
      url        = "http://127.0.0.1:1/taxii"
      collection = "none"
    }
  }
}
