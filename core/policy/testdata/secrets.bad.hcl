# Values that must not be shown, in attributes that are wrong.

gateway {
  hostname         = "mx1.example.org"
  internal_domains = ["example.org", "*.example.org"]
}

store "postgres" {
  url  = ["postgres://postern:s3cret@db/postern"]
  path = "x"
}
plugin "actions" {
  command = "actions"
  env     = { TOKEN = "a-s3cret", OTHER = env("UNSET_TOKEN") }
}
plugin "ddan" {
  command = env("SOME_COMMAND")
  config {
    server "one" { api_key = ["a-s3cret"] }
    server "two" {
      api_kye = "a-s3cret"
      port    = env("PORT")
    }
    server "three" {
      api_key = s3cret
      enabled = file("${env("FOLDER")}/key")
    }
    server "four" {
      api_key = env("UNSET_KEY")
      timeout = env("TIMEOUT")
    }
  }
}
listener "smtp" "in" {
  address      = env("ADDRESS")
  bare_newlines = env("NEWLINES")
}
notification "n" {
  subject = "${env("SUBJECT")}\n"
  to      = [env("RECIPIENT")]
  body    = { (env("KEY")) = 1 }
}
plugin "remote" {
  command = "remote"
  env     = { for name in [env("A"), env("A")] : name => "x" }
}
relay "r" {
  domains = ["example.org"]
  hosts   = ["h"]
  retry   = [for name in [env("A")] : name + 1]
}
rule "r" {
  scan "remote" { token = ["a-s3cret"] }
  action "publish" { token = ["a-s3cret"] }
}
