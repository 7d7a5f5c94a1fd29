package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/store"
)

// controlFile tells commands where a running gateway listens, and the word that lets them in. Who can read it may control the gateway: root
// and the gateway's own user. A plugin, which is the same user, cannot: its sandbox does not let it.
const controlFile = "control.json"

// ErrNotRunning says that no gateway serves with the state folder.
var ErrNotRunning = errors.New("no gateway is running")

// ErrRefused says that the gateway did not do what it was asked for, and serves on as before.
var ErrRefused = errors.New("refused")

type access struct {
	Socket string `json:"socket"`
	Token  string `json:"token"`
	Pid    int    `json:"pid"`
}

// Answer is what the gateway says to a command.
type Answer struct {
	Text    string              `json:"text"`            // for the person who asked
	Error   string              `json:"error,omitempty"` // why it was not done
	Kind    string              `json:"kind,omitempty"`  // "policy", "not found"
	Plugins []pluginpool.Status `json:"plugins,omitempty"`
}

// control is the gateway's end.
type control struct {
	server *http.Server
	file   string
	cancel context.CancelFunc // of commands that go on until they are told to end
	done   chan struct{}
}

// openControl listens for commands.
func (h *Host) openControl() (*control, error) {
	a := access{Socket: filepath.Join(h.builder.RunDir, "control"), Token: rand.Text(), Pid: os.Getpid()}
	listener, err := net.Listen("unix", a.Socket)
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	life, cancel := context.WithCancel(context.Background())
	c := &control{cancel: cancel, file: filepath.Join(h.stateDir, controlFile), done: make(chan struct{})}
	c.server = &http.Server{
		Handler: admitted(a.Token, h.commands()), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return life },
	}
	text, _ := json.Marshal(a) // plain fields
	temporary := c.file + ".new"
	if err := errors.Join(os.WriteFile(temporary, text, 0o600), os.Rename(temporary, c.file)); err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("listen for commands: %w", err), listener.Close())
	}
	go func() {
		defer close(c.done)
		if err := c.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("listening for commands ended", "error", err)
		}
	}()
	return c, nil
}

// close lets no new command in and waits for those under way.
func (c *control) close() error {
	c.cancel()
	err := c.server.Shutdown(context.Background())
	<-c.done
	if removeErr := os.Remove(c.file); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}

func admitted(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
			http.Error(w, "not admitted", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		next.ServeHTTP(w, r)
	})
}

// commands are what can be asked for.
func (h *Host) commands() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do func(r *http.Request) (string, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			text, err := do(r)
			answer := Answer{Text: text}
			if err != nil {
				h.log.Error("a command was refused", "command", pattern, "error", err)
				answer.Error = err.Error()
				switch {
				case errors.Is(err, ErrPolicy):
					answer.Kind = "policy"
				case errors.Is(err, store.ErrNotFound):
					answer.Kind = "not found"
				}
			}
			reply(w, answer)
		})
	}
	// What was begun is finished, also where the command does not wait for it.
	steady := func(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }
	handle("POST /reload", func(r *http.Request) (string, error) { return h.Reload(steady(r)) })
	handle("POST /rollback", func(r *http.Request) (string, error) { return h.Rollback(steady(r)) })
	handle("POST /plugins/{name}/swap", func(r *http.Request) (string, error) {
		return h.SwapPlugin(steady(r), r.PathValue("name"), r.FormValue("file"), r.FormValue("digest"))
	})
	handle("POST /plugins/{name}/rollback", func(r *http.Request) (string, error) {
		return h.RollbackPlugin(steady(r), r.PathValue("name"))
	})
	handle("POST /plugins/{name}/restart", func(r *http.Request) (string, error) { return h.restartPlugin(r.PathValue("name")) })
	handle("POST /plugins/{name}/shadow", func(r *http.Request) (string, error) {
		messages, err := strconv.Atoi(r.FormValue("messages"))
		if err != nil || messages < 1 {
			return "", errors.New("the number of messages must be at least 1")
		}
		text, _, err := h.Shadow(r.Context(), r.PathValue("name"), r.FormValue("file"), messages)
		return text, err
	})
	mux.HandleFunc("GET /plugins", func(w http.ResponseWriter, _ *http.Request) {
		g := h.acquire()
		defer g.Release()
		reply(w, Answer{Plugins: g.Status()})
	})
	return mux
}

func reply(w http.ResponseWriter, answer Answer) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // where it does not arrive the command has gone
}

func (h *Host) restartPlugin(name string) (string, error) {
	g := h.acquire()
	defer g.Release()
	pool := g.Pool(name)
	if pool == nil {
		return "", fmt.Errorf("restart plugin %s: no such plugin serves: %w", name, store.ErrNotFound)
	}
	pool.Restart()
	return name + " is started anew\n", nil
}

// Command asks the gateway that runs with the state folder: method and path as above, and the form.
func Command(ctx context.Context, stateDir, method, path string, form string) (*Answer, error) {
	text, err := os.ReadFile(filepath.Join(stateDir, controlFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w with the state folder %s (--state names another)", ErrNotRunning, stateDir)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	var a access
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", a.Socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://postern"+path, bytes.NewBufferString(form))
	if err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+a.Token)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := client.Do(request)
	var failed *net.OpError
	if errors.As(err, &failed) && failed.Op == "dial" {
		return nil, fmt.Errorf("%w with the state folder %s: it left %s behind", ErrNotRunning, stateDir, controlFile)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		detail, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		return nil, fmt.Errorf("ask the gateway: %s: %s", response.Status, bytes.TrimSpace(detail))
	}
	answer := &Answer{}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return nil, fmt.Errorf("ask the gateway: %w", err)
	}
	if answer.Error == "" {
		return answer, nil
	}
	reason := ErrRefused
	switch answer.Kind {
	case "policy":
		reason = ErrPolicy
	case "not found":
		reason = store.ErrNotFound
	}
	return answer, &refusal{text: answer.Error, reason: reason}
}

// refusal is the gateway's reason, with what it means for the exit code.
type refusal struct {
	text   string
	reason error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.reason }
