// Command hostile is a plugin that misbehaves in the way that its configuration names, for proofs that nothing comes of it but the
// exception plugin_unavailable. It speaks the contract without the SDK, which would keep it from the worst. In the mode "good" it finds
// its marker in every mail, and its action writes down which version of it acted.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

func main() {
	if startMode() != "stays" {
		go func() { // as the contract has it: the host is gone when standard input ends
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	before()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: pluginv1.ProtocolVersion, MagicCookieKey: pluginv1.CookieKey, MagicCookieValue: pluginv1.CookieValue,
		},
		Plugins: goplugin.PluginSet{"postern": &served{}},
		Logger:  hclog.NewNullLogger(),
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(options, grpc.MaxSendMsgSize(1<<30))...)
		},
	})
}

// served gives go-plugin the services.
type served struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (*served) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	h := &hostile{version: version()}
	pluginv1.RegisterPluginServiceServer(server, h)
	pluginv1.RegisterScannerServiceServer(server, scans{h: h})
	pluginv1.RegisterActionServiceServer(server, acts{h: h})
	return nil
}

func (*served) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is not a host")
}

// trailer is what may stand behind the program, in its last bytes, as "trailer NAME=VALUE\n": a copy with another one is another version.
const trailer = "trailer "

func trailing(name string) string {
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return ""
	}
	defer program.Close()
	end := make([]byte, 64)
	if _, err := program.Seek(-int64(len(end)), io.SeekEnd); err != nil {
		return ""
	}
	if _, err := io.ReadFull(program, end); err != nil {
		return ""
	}
	at := bytes.LastIndex(end, []byte(trailer+name+"="))
	if at < 0 {
		return ""
	}
	return strings.TrimSpace(string(end[at+len(trailer)+len(name)+1:]))
}

func version() string {
	if v := trailing("version"); v != "" {
		return v
	}
	return "1.0.0"
}

// startMode is how it misbehaves whatever its configuration says.
func startMode() string {
	if told := trailing("mode"); told != "" {
		return told
	}
	return os.Getenv("HOSTILE")
}

// before misbehaves before there is a plugin.
func before() {
	switch startMode() {
	case "tcp-address":
		fmt.Println("1|1|tcp|127.0.0.1:19999|grpc")
		select {}
	case "outside-address":
		fmt.Println("1|1|unix|/run/postern-outside|grpc")
		select {}
	case "no-handshake":
		fmt.Println("good day")
		select {}
	case "child": // which outlives its parent where it can
		child := exec.Command("/bin/sleep", "1000")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(5)
		}
	case "slow-start":
		select {}
	case "exits-early":
		fmt.Fprintln(os.Stderr, "panic: I do not want to")
		os.Exit(3)
	}
}

type hostile struct {
	pluginv1.UnimplementedPluginServiceServer
	config struct {
		Mode   string `json:"mode"`
		Secret string `json:"secret"`
		TCP    string `json:"tcp"`
		UDP    string `json:"udp"`
		Mark   string `json:"mark"`
	}
	version   string
	last      atomic.Pointer[string] // the call before
	described atomic.Int32           // times
	work      sync.WaitGroup
	busy      atomic.Int32
}

func (h *hostile) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	names := []string{"mode", "secret", "tcp", "udp", "mark"}
	if startMode() == "schema" {
		names = append(names, "more")
	}
	d := &pluginv1.DescribeResponse{
		Name: "hostile", Version: version(), ApiMinor: []uint32{0}, Summary: "Misbehaves as it is told.",
		Roles:  []pluginv1.Role{pluginv1.Role_ROLE_SCANNER, pluginv1.Role_ROLE_ACTION},
		Config: &pluginv1.Schema{}, Scan: &pluginv1.Schema{}, Inputs: &pluginv1.Inputs{Parts: true, Header: true},
		Actions: []*pluginv1.ActionDescription{{
			Name: "mark", Summary: "write down who acted", Effect: pluginv1.Effect_EFFECT_EDIT, Label: "Marked", Config: &pluginv1.Schema{},
		}},
	}
	switch startMode() {
	case "changes":
		d.Summary += strings.Repeat(" Really.", int(h.described.Add(1)))
	case "no-files", "no-chunks":
		d.Inputs.Bodies = pluginv1.Bodies_BODIES_ALL
	}
	for _, name := range names {
		d.Config.Attributes = append(d.Config.Attributes, &pluginv1.Attribute{Name: name, Summary: name, Type: pluginv1.Type_TYPE_STRING})
	}
	return d, nil
}

func (h *hostile) Configure(_ context.Context, r *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	if err := json.Unmarshal([]byte(r.GetConfigJson()), &h.config); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	response := &pluginv1.ConfigureResponse{Signatures: version()}
	wrong := &pluginv1.Diagnostic{Severity: pluginv1.Severity_SEVERITY_ERROR, Path: []string{"config", "mode"}, Summary: "Not to my taste"}
	switch mode := startMode(); {
	case mode == "refuses":
		response.Diagnostics = append(response.Diagnostics, wrong)
	case mode == "careless" && h.config.Mode == "":
		panic("there is no mode")
	case mode == "vague" && h.config.Mode == "":
		wrong.Path = nil
		response.Diagnostics = append(response.Diagnostics, wrong)
	}
	return response, nil
}

func (h *hostile) Drain(context.Context, *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	if startMode() != "drains-early" {
		h.work.Wait()
	}
	return &pluginv1.DrainResponse{}, nil
}

type acts struct {
	pluginv1.UnimplementedActionServiceServer
	h *hostile
}

// Perform writes down which version with which configuration acted.
func (a acts) Perform(_ context.Context, r *pluginv1.PerformRequest) (*pluginv1.PerformResponse, error) {
	return &pluginv1.PerformResponse{Call: r.GetCall(), Edits: []*pluginv1.Edit{{Edit: &pluginv1.Edit_SetHeader{
		SetHeader: &pluginv1.SetHeader{Name: "X-Acted", Value: a.h.config.Mark + " " + a.h.version},
	}}}}, nil
}

type scans struct {
	pluginv1.UnimplementedScannerServiceServer
	h *hostile
}

// Scan reads what is sent and misbehaves. A message without queries is the self-check, which goes well but in one mode.
func (s scans) Scan(stream pluginv1.ScannerService_ScanServer) error {
	s.h.work.Add(1)
	defer s.h.work.Done()
	mode := startMode()
	var opening *pluginv1.ScanOpening
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if mode == "deaf" {
				time.Sleep(time.Minute)
			}
			return err
		}
		if o := frame.GetOpening(); o != nil {
			opening = o
		}
		if frame.GetChunk() != nil && mode == "no-chunks" {
			return errors.New("a body in pieces")
		}
	}
	if opening == nil {
		if mode == "trusting" {
			panic("there is no opening")
		}
		return status.Error(codes.InvalidArgument, "there is no opening")
	}
	if len(opening.GetQueries()) == 0 {
		if mode == "self-check" {
			return errors.New("it cannot do its work")
		}
		return stream.SendAndClose(&pluginv1.ScanResponse{Call: opening.GetCall()})
	}
	if mode == "litters" {
		if _, err := os.CreateTemp("", "litter"); err != nil {
			return err
		}
	}
	for _, p := range opening.GetParts() {
		if p.GetTransfer() == pluginv1.BodyTransfer_BODY_TRANSFER_FILE && mode == "no-files" {
			return errors.New("a body in a file")
		}
	}
	answer, err := s.h.misbehave(stream.Context(), opening)
	if err != nil {
		return err
	}
	return stream.SendAndClose(answer)
}

// found is an answer with one finding.
func found(o *pluginv1.ScanOpening, kind, name string) *pluginv1.ScanResponse {
	return &pluginv1.ScanResponse{Call: o.GetCall(), Findings: []*pluginv1.Finding{{
		Query: o.GetQueries()[0], Kind: kind, Certainty: pluginv1.Certainty_CERTAINTY_SURE, Name: name, Part: -1,
	}}}
}

// attempt is a breach where what must not succeed did.
func attempt(o *pluginv1.ScanOpening, what string, err error) (*pluginv1.ScanResponse, error) {
	if err != nil {
		return nil, fmt.Errorf("denied: %w", err)
	}
	return found(o, "breach", what), nil
}

func dial(network, address string) error {
	conn, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte("out"))
	return errors.Join(err, conn.Close())
}

func (h *hostile) misbehave(ctx context.Context, o *pluginv1.ScanOpening) (*pluginv1.ScanResponse, error) {
	switch h.config.Mode {
	case "good", "":
		return found(o, "marker", "marker "+h.version), nil
	case "alone":
		defer h.busy.Add(-1)
		if h.busy.Add(1) > 1 {
			return nil, errors.New("one at a time")
		}
		time.Sleep(10 * time.Millisecond)
		return found(o, "marker", "marker"), nil
	case "chatty":
		_, _ = syscall.Write(1, []byte("good day\n"))
		return found(o, "marker", "marker"), nil
	case "bad-log":
		fmt.Fprintln(os.Stderr, `{"@message":5,"@level":{},"@timestamp":[1]}`)
		return nil, errors.New("after a bad log line")
	case "huge-line":
		piece := bytes.Repeat([]byte("x"), 1<<20)
		for range 64 {
			_, _ = os.Stderr.Write(piece)
		}
		return nil, errors.New("after a huge line")
	case "flood":
		line := []byte(strings.Repeat("flood ", 20) + "\n")
		for begin := time.Now(); time.Since(begin) < 2*time.Second; {
			_, _ = os.Stderr.Write(line)
			_, _ = syscall.Write(1, line)
		}
		return nil, errors.New("after a flood")
	case "stops-itself":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {}
	case "forks":
		// To a lower limit than it was given, to meet it before the time for a call is over; by a shell, since this program would run
		// out of descriptors first.
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NPROC, &limit); err != nil || limit.Max > 1024 {
			select {} // it was given none
		}
		limit.Cur = 64
		if err := unix.Setrlimit(unix.RLIMIT_NPROC, &limit); err != nil {
			return nil, err
		}
		if exec.Command("/bin/sh", "-c", "i=0; while [ $i -lt 64 ]; do /bin/sleep 1000 & i=$((i+1)); done").Run() != nil {
			os.Exit(4)
		}
		select {} // root's are not counted
	case "crashes":
		panic("on purpose")
	case "huge-reply":
		return found(o, "x", strings.Repeat("y", 16<<20)), nil
	case "many-findings":
		answer := found(o, "x", "y")
		for range 5000 {
			answer.Findings = append(answer.Findings, answer.GetFindings()[0])
		}
		return answer, nil
	case "bad-text":
		return found(o, "x", strings.Repeat("y", 64<<10)), nil
	case "foreign-part":
		answer := found(o, "x", "y")
		answer.Findings[0].Part = 99
		return answer, nil
	case "foreign-query":
		answer := found(o, "x", "y")
		answer.Findings[0].Query = 99
		return answer, nil
	case "foreign-call": // the answer to the message before
		answer := found(o, "x", "y")
		answer.Call = "0123456789abcdef01234567"
		if last := h.last.Swap(&o.Call); last != nil {
			answer.Call = *last
		}
		return answer, nil
	case "reads-file":
		_, err := os.ReadFile(h.config.Secret)
		return attempt(o, "file", err)
	case "dials-tcp":
		return attempt(o, "tcp", dial("tcp", h.config.TCP))
	case "dials-udp":
		return attempt(o, "udp", dial("udp", h.config.UDP))
	case "allocates":
		for kept := map[int][]byte{}; ; {
			kept[len(kept)] = bytes.Repeat([]byte("x"), 1<<20)
		}
	case "leaks-descriptors":
		for {
			fd, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0)
			if err != nil {
				return nil, err
			}
			if fd > 100_000 {
				return found(o, "breach", "descriptors"), nil
			}
		}
	case "late":
		<-ctx.Done()
		time.Sleep(200 * time.Millisecond)
		return found(o, "x", "late"), nil
	case "hangs":
		select {}
	}
	return nil, status.Errorf(codes.Unimplemented, "there is no mode %q", h.config.Mode)
}
