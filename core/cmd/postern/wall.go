package main

import (
	"time"

	"github.com/postern-mail/postern/core/clock"
	"github.com/postern-mail/postern/core/store"
)

// onTheWall turns times of waits, which the store keeps in steady time, into what the clock will show then.
func onTheWall(s store.Store, waits ...*time.Time) {
	ahead := now().Sub(s.Steady())
	if ahead.Abs() < clock.Limit {
		return
	}
	for _, at := range waits {
		if !at.IsZero() {
			*at = at.Add(ahead).Round(time.Second)
		}
	}
}

func copyOnTheWall(s store.Store, c *store.Copy) { onTheWall(s, &c.DueAt, &c.FirstWait, &c.Deadline) }
