package spool

import (
	"bytes"
	"io"
	"os"
	"testing"
)

func TestBodiesStayInMemoryWithinLimitAndBudget(t *testing.T) {
	tests := []struct {
		name   string
		budget int64
		limit  int
		pieces []int
		file   bool
	}{
		{"empty", 1 << 20, 1000, nil, false},
		{"small", 1 << 20, 10000, []int{100, 200}, false},
		{"at the limit", 1 << 20, 300, []int{100, 200}, false},
		{"over the limit", 1 << 20, 299, []int{100, 200}, true},
		{"over the budget", 5000, 1 << 20, []int{4000, 4000}, true},
		{"no budget at all", 0, 1 << 20, []int{1}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(dir, test.budget)
			if err != nil {
				t.Fatal(err)
			}
			scope := s.NewScope()
			w := scope.Create(test.limit)
			var want []byte
			for i, n := range test.pieces {
				piece := bytes.Repeat([]byte{byte('a' + i)}, n)
				want = append(want, piece...)
				if _, err := w.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			body, err := w.Finish()
			if err != nil {
				t.Fatal(err)
			}
			if got := body.Path() != ""; got != test.file {
				t.Errorf("in a file: %v, want %v", got, test.file)
			}
			for range 2 {
				r, err := body.Open()
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
			if body.Size() != int64(len(want)) {
				t.Errorf("size %d, want %d", body.Size(), len(want))
			}
			if err := scope.Release(); err != nil {
				t.Fatal(err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 || s.MemoryUsed() != 0 {
				t.Errorf("after release: %d files, %d bytes in memory", len(left), s.MemoryUsed())
			}
		})
	}
}

func TestOpenRemovesLeftovers(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewScope().Create(0).Write([]byte("left behind")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, 0); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%d files left", len(left))
	}
}
