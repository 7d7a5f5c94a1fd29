plugin "ctd" {
  command = "postern-ctd"
  config {
    control_manager "OBJECTS_CONTROL_MANAGER" {
      application_id = "app"
      api_key        = env("OBJECTS_KEY")
      ca_file        = env("OBJECTS_CA_control_manager")
    }
    taxii "taxii" {
      url        = env("OBJECTS_URL_taxii")
      collection = "Objects"
      token      = env("OBJECTS_KEY")
      ca_file    = env("OBJECTS_CA_taxii")
      action     = "quarantine"
    }
    misp_feed "misp_feed" {
      url     = env("OBJECTS_URL_misp_feed")
      ca_file = env("OBJECTS_CA_misp_feed")
      action  = "block"
    }
    misp "misp" {
      url     = env("OBJECTS_URL_misp")
      api_key = env("OBJECTS_KEY")
      ca_file = env("OBJECTS_CA_misp")
      action  = "log"
    }
    file "file" {
      path = env("OBJECTS_FILE")
    }
  }
}
suspicious_objects {
  source     = "ctd"
  sync_every = "5m"
}
rule "Virus" {
  kind = "virus"
  scan "atse" {}
  action "quarantine" { area = "virus" }
}
rule "Comes later" {
  scan "filename" { names = ["*"] }
  action "tag_subject" { text = "[later]" }
}
