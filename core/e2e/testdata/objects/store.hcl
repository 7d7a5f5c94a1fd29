store "sqlite" { path = env("POSTERN_STATE") }
