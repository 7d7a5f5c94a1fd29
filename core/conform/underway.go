package conform

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/pluginprocess"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

const (
	held   = 20                     // calls that are under way when it is drained, or cancelled
	settle = 200 * time.Millisecond // for what was sent to be taken up
)

// open is a call that waits for more frames.
type open struct {
	finish func() error // sends the rest
	done   chan error   // of what the plugin answers
}

// openCalls begins calls that go on until they are finished.
func (s *suite) openCalls(ctx context.Context, process *pluginprocess.Process) ([]*open, error) {
	var out []*open
	for n := range held {
		name := fmt.Sprintf("held-%d", n)
		switch {
		case s.has(pluginv1.Role_ROLE_SCANNER):
			stream, err := s.openScan(ctx, process.Conn(), name)
			if err != nil {
				return nil, alive(process, err)
			}
			o := &open{finish: stream.CloseSend, done: make(chan error, 1)}
			out = append(out, o)
			go func() { o.done <- stream.RecvMsg(new(pluginv1.ScanResponse)) }()
		case s.has(pluginv1.Role_ROLE_UNPACKER):
			stream, err := s.openUnpack(ctx, process.Conn(), name)
			if err != nil {
				return nil, alive(process, err)
			}
			o := &open{finish: stream.CloseSend, done: make(chan error, 1)}
			out = append(out, o)
			go func() { o.done <- readMembers(stream) }()
		}
	}
	return out, nil
}

// cancelled gives calls up in the middle, and by their deadline.
func cancelled(ctx context.Context, s *suite) (string, error) {
	process, err := s.configured(ctx)
	if err != nil {
		return "", err
	}
	defer process.Stop()
	small := s.smallCalls()
	if len(small) == 0 {
		return "", errNothing
	}
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	calls, err := s.openCalls(calling, process)
	if err != nil {
		return "", err
	}
	for _, make := range small {
		short, stop := context.WithTimeout(ctx, time.Millisecond)
		_ = make(short, process.Conn(), "short") // it fails, or was quick
		stop()
	}
	time.Sleep(settle)
	cancel()
	for _, c := range calls {
		<-c.done
	}
	if err := s.works(ctx, process); err != nil {
		return "", err
	}
	if err := s.drained(ctx, process); err != nil {
		return "", fmt.Errorf("cancelled calls do not end: %w", err)
	}
	return fmt.Sprintf("%d calls cancelled", len(calls)+len(small)), nil
}

// drainWithin is how long a plugin may take to finish what is as good as done.
const drainWithin = 5 * time.Second

func (s *suite) drained(ctx context.Context, process *pluginprocess.Process) error {
	ctx, cancel := context.WithTimeout(ctx, drainWithin)
	defer cancel()
	if _, err := pluginv1.NewPluginServiceClient(process.Conn()).Drain(ctx, &pluginv1.DrainRequest{}); err != nil {
		return alive(process, fmt.Errorf("drain: %w", err))
	}
	return nil
}

// drain asks for the end while calls are under way.
func drain(ctx context.Context, s *suite) (string, error) {
	process, err := s.configured(ctx)
	if err != nil {
		return "", err
	}
	defer process.Stop()
	calls, err := s.openCalls(ctx, process)
	if err != nil {
		return "", err
	}
	if len(calls) == 0 {
		return s.drainShort(ctx, process)
	}
	time.Sleep(settle) // for the calls to be taken up
	drained := make(chan error, 1)
	go func() { drained <- s.drained(ctx, process) }()
	ended := false
	select {
	case err = <-drained:
		ended = true
	case <-time.After(settle):
	}
	var problems []error
	for n, c := range calls {
		select {
		case answer := <-c.done: // it answered before it had everything, as it may
			problems = append(problems, answer)
			continue
		default:
		}
		if ended {
			<-finished(calls[n:])
			return "", errors.Join(err, errors.New("it was answered while calls were under way"))
		}
		problems = append(problems, c.finish(), <-c.done)
	}
	if !ended {
		err = <-drained
	}
	for _, problem := range problems {
		if problem != nil {
			return "", alive(process, fmt.Errorf("a call under way was not answered: %w", problem))
		}
	}
	return fmt.Sprintf("%d calls under way", len(calls)), err
}

// drainShort drains while calls are made that cannot be held open.
func (s *suite) drainShort(ctx context.Context, process *pluginprocess.Process) (string, error) {
	var (
		all    sync.WaitGroup
		failed = make(chan error, held*len(s.smallCalls()))
	)
	for name, make := range s.smallCalls() {
		for n := range held {
			all.Go(func() { failed <- s.within(ctx, process, make, fmt.Sprintf("%s-%d", name, n)) })
		}
	}
	err := s.drained(ctx, process)
	all.Wait()
	close(failed)
	for answer := range failed {
		if answer != nil {
			return "", fmt.Errorf("a call under way was not answered: %w", answer)
		}
	}
	return fmt.Sprintf("%d calls under way", cap(failed)), err
}

// finished ends calls whose answers are not looked at.
func finished(calls []*open) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, c := range calls {
			_ = c.finish()
			<-c.done
		}
	}()
	return done
}
