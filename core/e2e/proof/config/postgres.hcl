store "postgres" { url = env("PROOF_STORE") }
