package conform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/core/exposure"
	"github.com/postern-mail/postern/core/inspect"
	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/pluginprocess"
	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

const (
	atOnce = 200 // concurrent calls
	held   = 20  // calls that are under way when it is drained, or cancelled
	settle = 200 * time.Millisecond
)

// errNothing says that no role has calls for a check.
var errNothing = notApplicable("no role of it has such calls")

// calls makes one small call of each kind.
func calls(ctx context.Context, s *suite) (string, error) {
	process, err := s.shared(ctx)
	if err != nil {
		return "", err
	}
	small := s.smallCalls()
	if len(small) == 0 {
		return "", notApplicable("the core carries its actions out by itself")
	}
	names := slices.Sorted(maps.Keys(small))
	for _, name := range names {
		if err := s.within(ctx, process, small[name], name); err != nil {
			return "", err
		}
	}
	return strings.Join(names, ", "), nil
}

// within makes a call that has the time that the gateway gives it.
func (s *suite) within(ctx context.Context, process *pluginprocess.Process, make call, name string) error {
	ctx, cancel := context.WithTimeout(ctx, s.plugin.Timeout)
	defer cancel()
	return alive(process, make(ctx, process.Conn(), "conform-"+name))
}

// works makes the small calls again, after something that must not have harmed the plugin.
func (s *suite) works(ctx context.Context, process *pluginprocess.Process) error {
	for name, make := range s.smallCalls() {
		if err := s.within(ctx, process, make, "after-"+name); err != nil {
			return fmt.Errorf("it does not work any more: %w", err)
		}
	}
	return nil
}

// brokenCalls sends frames out of order.
func brokenCalls(ctx context.Context, s *suite) (string, error) {
	process, err := s.shared(ctx)
	if err != nil {
		return "", err
	}
	broken := map[string]func(ctx context.Context) error{}
	if s.has(pluginv1.Role_ROLE_SCANNER) {
		client := pluginv1.NewScannerServiceClient(process.Conn())
		for name, frame := range map[string]*pluginv1.ScanRequest{
			"a chunk first": {Frame: &pluginv1.ScanRequest_Chunk{Chunk: &pluginv1.BodyChunk{Part: 1, Data: []byte("x"), Last: true}}}, "an empty frame": {}, "no frame": nil,
		} {
			broken[name] = func(ctx context.Context) error {
				stream, err := client.Scan(ctx)
				if err == nil && frame != nil {
					err = stream.Send(frame)
				}
				if err == nil {
					_, err = stream.CloseAndRecv()
				}
				return err
			}
		}
	}
	if s.has(pluginv1.Role_ROLE_UNPACKER) {
		client := pluginv1.NewUnpackerServiceClient(process.Conn())
		broken["a chunk of a container first"] = func(ctx context.Context) error {
			stream, err := client.Unpack(ctx)
			if err == nil {
				err = stream.Send(&pluginv1.UnpackRequest{Frame: &pluginv1.UnpackRequest_Chunk{Chunk: []byte("x")}})
			}
			if err == nil {
				err = stream.CloseSend()
			}
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}
	}
	if len(broken) == 0 {
		return "", errNothing
	}
	for name, send := range broken {
		calling, cancel := context.WithTimeout(ctx, s.plugin.Timeout)
		err := send(calling)
		cancel()
		switch {
		case err == nil:
			return "", fmt.Errorf("%s was answered as if it were a call", name)
		case calling.Err() != nil && errors.Is(calling.Err(), context.DeadlineExceeded):
			return "", fmt.Errorf("%s is not answered at all", name)
		}
	}
	return "", s.works(ctx, process)
}

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
		return alive(process, fmt.Errorf("Drain: %w", err))
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
			return "", errors.Join(err, errors.New("Drain returned while calls were under way"))
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

// concurrent makes many calls at once.
func concurrent(ctx context.Context, s *suite) (string, error) {
	process, err := s.shared(ctx)
	if err != nil {
		return "", err
	}
	small := s.smallCalls()
	delete(small, "Fetch") // one at a time
	if len(small) == 0 {
		return "", errNothing
	}
	ctx, cancel := context.WithTimeout(ctx, max(s.plugin.Timeout, patience))
	defer cancel()
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		failed []error
	)
	names := slices.Sorted(maps.Keys(small))
	for n := range atOnce {
		name := names[n%len(names)]
		all.Go(func() {
			if err := small[name](ctx, process.Conn(), fmt.Sprintf("concurrent-%d", n)); err != nil {
				mu.Lock()
				failed = append(failed, err)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(failed) > 0 {
		return "", alive(process, fmt.Errorf("%d of %d calls failed, the first: %w", len(failed), atOnce, failed[0]))
	}
	return fmt.Sprintf("%d calls at once", atOnce), nil
}

// bodyByFile hands a large body over as a file.
func bodyByFile(ctx context.Context, s *suite) (string, error) {
	return s.largeBody(ctx, pluginv1.BodyTransfer_BODY_TRANSFER_FILE)
}

// bodyInChunks hands the same body over in chunks.
func bodyInChunks(ctx context.Context, s *suite) (string, error) {
	return s.largeBody(ctx, pluginv1.BodyTransfer_BODY_TRANSFER_CHUNKS)
}

func (s *suite) largeBody(ctx context.Context, transfer pluginv1.BodyTransfer) (string, error) {
	process, err := s.shared(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, s.plugin.Timeout)
	defer cancel()
	began, why := time.Now(), errNothing
	if s.has(pluginv1.Role_ROLE_SCANNER) {
		if why = s.scanLarge(ctx, process, transfer); why != nil && !errors.Is(why, errNotApplicable) {
			return "", why
		}
	}
	if s.has(pluginv1.Role_ROLE_UNPACKER) {
		if why = s.unpackLarge(ctx, process, transfer); why != nil {
			return "", why
		}
	}
	return fmt.Sprintf("%d MiB in %d ms", largeBody>>20, time.Since(began).Milliseconds()), why
}

func (s *suite) scanLarge(ctx context.Context, process *pluginprocess.Process, transfer pluginv1.BodyTransfer) (err error) {
	if s.description.GetInputs().GetBodies() <= pluginv1.Bodies_BODIES_NONE {
		return notApplicable("it asks for no bodies")
	}
	if err := s.makeSample(ctx, &s.samples.large, largeBody); err != nil {
		return err
	}
	inbox := process.Inbox()
	if transfer == pluginv1.BodyTransfer_BODY_TRANSFER_CHUNKS {
		inbox = ""
	}
	view, err := exposure.Scan("large-"+transfer.String(), s.queries(), s.samples.mail, s.samples.large, s.description.GetInputs(), inbox)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, view.Close()) }()
	uses := func(p *pluginv1.Part) bool { return p.GetTransfer() == transfer }
	if !slices.ContainsFunc(view.Opening.GetParts(), uses) {
		return notApplicable("what it asks for of bodies always fits into the opening")
	}
	answer, err := inspect.Exchange(ctx, process.Conn(), view)
	if err == nil {
		err = inspect.Fill(&message.Report{Plugin: s.description.GetName(), Queries: s.queries()}, answer, s.samples.large)
	}
	return alive(process, err)
}

func (s *suite) unpackLarge(ctx context.Context, process *pluginprocess.Process, transfer pluginv1.BodyTransfer) (err error) {
	content, err := container(s.description.GetContainers(), largeBody)
	if err != nil {
		return err
	}
	part := &pluginv1.Part{Id: 1, Names: []string{"large.zip"}, DeclaredType: "application/zip", Kind: "attachment", Size: uint64(len(content)), Transfer: transfer}
	if transfer == pluginv1.BodyTransfer_BODY_TRANSFER_FILE {
		part.File = filepath.Join(process.Inbox(), "large")
		if err := os.WriteFile(part.File, content, 0o400); err != nil {
			return fmt.Errorf("write the container: %w", err)
		}
		defer func() { err = errors.Join(err, os.Remove(part.File)) }()
		content = nil
	}
	return alive(process, exchangeContainer(ctx, process.Conn(), "large", part, content))
}

const (
	mostLeft = 1 << 20 // bytes that may be left of all calls together
	fewFiles = 10
)

// files looks at what the calls left in the plugin's folder.
func files(ctx context.Context, s *suite) (string, error) {
	process, err := s.shared(ctx)
	if err != nil {
		return "", err
	}
	fresh, err := s.configured(ctx)
	if err != nil {
		return "", err
	}
	defer fresh.Stop()
	without, bytesWithout, err := sizeBelow(fresh.Folder())
	if err != nil {
		return "", err
	}
	for deadline := time.Now().Add(goneWithin); ; time.Sleep(settle) {
		count, size, err := sizeBelow(process.Folder())
		switch {
		case err != nil:
			return "", err
		case count-without <= fewFiles && size-bytesWithout <= mostLeft:
			if s.level.Landlock == 0 {
				return "", notApplicable("this kernel does not hold a process to its files; nothing is left in the plugin's folder")
			}
			return "nothing left; the kernel holds it to its folder", nil
		case time.Now().After(deadline):
			return "", fmt.Errorf("%d files with %d bytes are left in TMPDIR when all calls have ended", count-without, size-bytesWithout)
		}
	}
}
