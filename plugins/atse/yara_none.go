//go:build !yara

package main

import "fmt"

func loadYARA(file string) (ruleSet, error) {
	return nil, fmt.Errorf("%s: this build has no libyara: build with `make build TAGS=yara`, or let clamd load the rules", file)
}
