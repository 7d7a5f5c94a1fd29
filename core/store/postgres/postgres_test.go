package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/postern-mail/postern/core/store"
	"github.com/postern-mail/postern/core/store/postgres"
	"github.com/postern-mail/postern/core/store/postgres/pgtest"
	"github.com/postern-mail/postern/core/store/storetest"
)

func options() store.Options {
	return store.Options{Clock: time.Now, Log: slog.New(slog.DiscardHandler), Node: "node"}
}

func TestContract(t *testing.T) {
	server := pgtest.Start(t)
	storetest.Suite{
		Options: options(),
		NewPlace: func(t *testing.T) storetest.Place {
			url := server.Database(t)
			return storetest.Place{Open: func(t *testing.T, o store.Options) store.Store {
				t.Helper()
				s, err := postgres.Open(context.Background(), url, o)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}}
		},
	}.Run(t)
}

func TestServerThatForgetsIsRefused(t *testing.T) {
	url := pgtest.Start(t).Database(t)
	if _, err := postgres.Open(t.Context(), url+"&synchronous_commit=off", options()); !errors.Is(err, postgres.ErrNotDurable) {
		t.Errorf("opening says %v", err)
	}
}
