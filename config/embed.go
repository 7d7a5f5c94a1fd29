// Package config embeds what belongs to the program and not to the operator: the hidden rules in builtin/. The other files of this
// folder are the configuration that `make run` serves with.
package config

import "embed"

// Builtin holds the folder builtin/ with its *.hcl files.
//
//go:embed builtin/*.hcl
var Builtin embed.FS
