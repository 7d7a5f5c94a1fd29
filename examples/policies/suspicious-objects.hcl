# Lists of suspicious files, URLs, domains and addresses, from every kind of source. Copy the file beside postern.hcl, keep the sources that
# you have, run `postern plugin pin` for the plugin, and `postern validate`. `postern objects status` shows how the lists are.

plugin "ctd" {
  command = "postern-ctd"
  config {
    control_manager "https://tmcm.example.org" { # or Apex Central; every entry says its own scan action
      application_id = env("TMCM_APP", "none")
      api_key        = env("TMCM_KEY", "none")
      proxy          = "http://proxy.example.org:3128"
    }
    taxii "isac" {
      url        = "https://taxii.example.org/taxii2/" # discovery, an API root, or a collection
      collection = "Indicators"                        # its id or title
      username   = env("TAXII_USER", "none")
      password   = env("TAXII_PASSWORD", "none")
      action     = "block" # of all its entries, which say none themselves
      full_every = "24h"   # in between only what is new is fetched
    }
    misp_feed "circl" {
      url    = "https://www.circl.lu/doc/misp/feed-osint"
      action = "log"
    }
    misp "own-misp" {
      url         = "https://misp.example.org"
      api_key     = env("MISP_KEY", "none")
      fingerprint = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"
    }
    file "own-list" { # CSV: value, and of type, action, match, expires, note, exception those that there are
      path = "/etc/postern/objects.csv"
    }
  }
  limits {
    timeout = "5m" # for one fetch of all lists
  }
}

suspicious_objects {
  source     = "ctd"
  files      = true # TMCM_M_Suspicious file detection
  urls       = true # TMCM_M_Suspicious URL detection
  sync_every = "5m"
  learn { # files that the sandbox finds to be of high risk are listed, without it they are not
    action = "quarantine"
    expiry = "30d"
  }
}
