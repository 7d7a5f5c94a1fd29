plugin "ctd" {
  command = "postern-ctd"
  config {
    misp_feed "feed" {
      url     = env("OBJECTS_URL")
      ca_file = env("OBJECTS_CA")
    }
  }
}
suspicious_objects {
  source     = "ctd"
  sync_every = env("OBJECTS_EVERY")
}
