// Package unpacker is what the author of an unpacker implements: a container goes in, its members come out. The core counts, hashes
// and holds the one budget of the message.
package unpacker

import (
	"context"
	"io"
	"time"

	"github.com/postern-mail/postern/sdk/scanner"
)

// Unpacker takes containers apart. Unpack is called concurrently.
type Unpacker interface {
	// Unpack emits every member of the container, members of members included, through out. It stops at the first error of out.
	Unpack(ctx context.Context, container *Container, out Emitter) error
}

// Container is one file to take apart.
type Container struct {
	Name      string
	Declared  string
	Size      int64
	Content   io.ReadSeeker
	Budget    Budget
	Passwords []Password
}

// Password is a word that may open what is encrypted, with where it stood: "subject", "body", "file name".
type Password struct{ Text, Source string }

// Budget is what is left of the message's budget. The core cuts off what goes beyond; an unpacker that respects it saves the work.
type Budget struct {
	Bytes, FileBytes     int64
	Files, Layers, Ratio int           // Ratio 0: no limit
	Time                 time.Duration // 0: no limit
}

// Member is one file found in a container.
type Member struct {
	// Parent is the number of the container it is in; 0: the one that was pushed.
	Parent int
	Name   string // as stored
	// Encrypted says that its content could not be opened: nothing is written for it.
	Encrypted bool
	// OpenedWith is the source of the password that opened it, never the password; empty: it was not encrypted.
	OpenedWith string
}

// Emitter takes members.
type Emitter interface {
	// Member begins a file and returns its number. What is then written is its content, until the next call of the emitter.
	Member(Member) (number int, content io.Writer, err error)
	// Trouble reports what could not be taken apart. Part and Query are not used.
	Trouble(scanner.Trouble) error
	// Link reports a link found in the member with the number (0: the container that was pushed), as it stood.
	Link(member int, raw, text string) error
}
