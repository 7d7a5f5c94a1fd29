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

const atOnce = 200 // concurrent calls

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
	ctx, cancel := context.WithTimeout(ctx, s.plugin.Timeout) // for the plugin's own work only
	defer cancel()
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
	ctx, cancel := context.WithTimeout(ctx, s.plugin.Timeout)
	defer cancel()
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
