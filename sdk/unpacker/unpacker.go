// Package unpacker is what the author of an unpacker implements: a container goes in, its members come out. The core counts, hashes
// and holds the one budget of the message.
package unpacker

import (
	"context"
	"io"

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
	Passwords []string
}

// Budget is what is left of the message's budget. The core cuts off what goes beyond; an unpacker that respects it saves the work.
type Budget struct {
	Bytes, FileBytes     int64
	Files, Layers, Ratio int // Ratio 0: no limit
}

// Emitter takes members.
type Emitter interface {
	// Member begins a file found in the container with the number parent (0: the one that was pushed) and returns its own number.
	// What is then written is its content. An encrypted member has none.
	Member(parent int, name string, encrypted bool) (number int, content io.Writer, err error)
	// Trouble reports what could not be taken apart. Part and Query are not used.
	Trouble(scanner.Trouble) error
}
