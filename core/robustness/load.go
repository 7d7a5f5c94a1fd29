package robustness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

// Door is where the gateway takes mail now, while it is killed and started again.
type Door struct {
	mu      sync.Mutex
	address string // "" while there is none
	changed chan struct{}
}

// NewDoor is closed.
func NewDoor() *Door { return &Door{changed: make(chan struct{})} }

// Set opens the door at the address; "" closes it.
func (d *Door) Set(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.address = address
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *Door) wait(ctx context.Context) (string, error) {
	for {
		d.mu.Lock()
		address, changed := d.address, d.changed
		d.mu.Unlock()
		if address != "" {
			return address, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// Load sends letters of all kinds and writes them down.
type Load struct {
	Ledger *Ledger
	Door   *Door
	Kinds  []Kind
	// Verdicts is the file that the sandbox reads its verdicts from, or "".
	Verdicts string
	// VerdictLine is how such a line is written, of a SHA-256 and a level; "" is what the plugin `verdicts` reads.
	VerdictLine string
	// Prefix makes the ids of this load unique.
	Prefix string
	// Seed makes it send the same again.
	Seed uint64
	// Pause is the mean time of a client between two letters.
	Pause time.Duration

	number  atomic.Int64
	mu      sync.Mutex // of the file of verdicts
	stop    chan struct{}
	clients sync.WaitGroup
	failed  error
}

// retryAfter is how long a client waits before it sends again what was not taken.
const retryAfter = 100 * time.Millisecond

// patienceOfClient is how long a letter may take.
const patienceOfClient = 6 * time.Minute

// Start begins to send over so many connections.
func (l *Load) Start(ctx context.Context, clients int) {
	l.stop = make(chan struct{})
	for n := range clients {
		random := rand.New(rand.NewPCG(l.Seed, uint64(n)))
		l.clients.Go(func() {
			if err := l.client(ctx, random); err != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.failed = errors.Join(l.failed, err)
			}
		})
	}
}

// Sent is how many letters it has begun to send.
func (l *Load) Sent() int64 { return l.number.Load() }

// Stop lets every client finish its letter; the door has to be open.
func (l *Load) Stop() error {
	close(l.stop)
	l.clients.Wait()
	return l.failed
}

func (l *Load) client(ctx context.Context, random *rand.Rand) error {
	c := &sender{load: l}
	defer c.hangUp()
	for {
		select {
		case <-l.stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		letter := NewLetter(fmt.Sprintf("%s%d", l.Prefix, l.number.Add(1)), l.Kinds[random.IntN(len(l.Kinds))])
		if err := l.note(letter); err != nil {
			return err
		}
		if err := c.send(ctx, letter); err != nil {
			return fmt.Errorf("send %s: %w", letter.ID, err)
		}
		if l.Pause > 0 {
			if err := wait(ctx, time.Duration(random.Int64N(int64(2*l.Pause)))); err != nil {
				return err
			}
		}
	}
}

// note tells the sandbox what to say of the letter's file.
func (l *Load) note(letter *Letter) error {
	if letter.Kind.Verdict == "" || l.Verdicts == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.Verdicts, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("write verdict: %w", err)
	}
	line := l.VerdictLine
	if line == "" {
		line = "%s %s Made\n"
	}
	_, err = fmt.Fprintf(f, line, letter.SHA256, letter.Kind.Verdict)
	return errors.Join(err, f.Close())
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sender is one client: it keeps its connection, and sends a letter again until somebody has answered for it.
type sender struct {
	load   *Load
	client *harness.Client
}

func (s *sender) send(ctx context.Context, letter *Letter) error {
	for {
		done, err := s.attempt(ctx, letter)
		if err != nil || done {
			return err
		}
		if err := wait(ctx, retryAfter); err != nil {
			return err
		}
	}
}

// attempt reports whether the letter needs no other.
func (s *sender) attempt(ctx context.Context, letter *Letter) (done bool, err error) {
	if s.client == nil {
		address, err := s.load.Door.wait(ctx)
		if err != nil {
			return false, err
		}
		if s.client, err = harness.Dial(address); err != nil {
			s.client = nil
			return false, nil // it is just being killed
		}
	}
	if err := s.client.Within(patienceOfClient); err != nil {
		return false, err
	}
	ledger := s.load.Ledger
	ledger.Sending(letter)
	reply, err := s.client.Send(letter.From, letter.To, letter.Data)
	if err != nil {
		ledger.Broken(letter)
		s.hangUp()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, err
		}
		return false, nil
	}
	ledger.Answered(letter, reply)
	if reply.Code == 421 {
		s.hangUp()
	}
	return reply.Code/100 != 4, nil
}

func (s *sender) hangUp() {
	if s.client != nil {
		_ = s.client.Close() // the gateway may be gone
		s.client = nil
	}
}
