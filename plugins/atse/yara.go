package main

import (
	"errors"
	"time"
)

// yaraPatience bounds the look at one part with the rules of one file, by whole seconds as libyara does.
const yaraPatience = 10 * time.Second

// errSlowRules says that the rules took too long for a part, so that it is not known.
var errSlowRules = errors.New("the YARA rules took longer than " + yaraPatience.String())
