package main

import (
	"context"
	"errors"
)

const bareRelay = "bare-relay"

func runBareRelay(context.Context, string) error { return errors.New("todo") }
func throughput(context.Context, *env) error { return errors.New("todo") }
func memory(context.Context, *env) error { return errors.New("todo") }
