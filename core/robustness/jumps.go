package robustness

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// JumpVariable names the environment variable that names the file of a SystemClock.
const JumpVariable = "POSTERN_CLOCK"

// JumpBuild is what makes the system's clock of a build jump: package time adds what stands in a file to the time of day. The monotonic
// clock is left alone, as it is by whatever sets the clock of a machine.
func JumpBuild() (added map[string]string, edits []Edit) {
	return map[string]string{InGoroot + "src/time/jump.go": jumpSource}, []Edit{{
		InGoroot + "src/time/time.go", "	sec, nsec, mono := runtimeNow()\n", "	sec, nsec, mono := runtimeNow()\n	sec += jumped()\n",
	}}
}

// JumpControl makes a gateway count waits by the system's clock. What does not find fault with it shows nothing.
func JumpControl() []Edit {
	return []Edit{{
		"core/store/internal/rows/steady.go", "func (s *Store) Steady() time.Time { return s.steady.Now() }",
		"func (s *Store) Steady() time.Time { return s.clock().Round(0).UTC() }",
	}}
}

const jumpSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var jumpSeconds = mapJump()

func mapJump() *int64 {
	name, found := syscall.Getenv("POSTERN_CLOCK")
	if !found {
		return new(int64)
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("open " + name + ": " + err.Error())
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("map " + name + ": " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}

func jumped() int64 {
	if jumpSeconds == nil {
		return 0 // before this package is ready
	}
	return atomic.LoadInt64(jumpSeconds)
}
`

// SystemClock is the clock of a gateway that was built to jump.
type SystemClock struct {
	file   *os.File
	offset time.Duration
}

// NewSystemClock is one that is right, in a new file.
func NewSystemClock(path string) (*SystemClock, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("make clock: %w", err)
	}
	c := &SystemClock{file: f}
	return c, c.Jump(0)
}

// Environment tells a gateway of it.
func (c *SystemClock) Environment() string { return JumpVariable + "=" + c.file.Name() }

// Jump makes it jump by whole seconds.
func (c *SystemClock) Jump(by time.Duration) error {
	c.offset += by
	if _, err := c.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(c.offset/time.Second)), 0); err != nil {
		return fmt.Errorf("set clock: %w", err)
	}
	return nil
}

// Close ends it; what uses it goes on.
func (c *SystemClock) Close() error { return c.file.Close() }
