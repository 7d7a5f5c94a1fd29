package host

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"

	"google.golang.org/protobuf/proto"

	"github.com/postern-mail/postern/core/pluginpool"
	"github.com/postern-mail/postern/core/pluginprocess"
)

// poolSet holds the running pools. A pool belongs to every generation whose policy wants the very same plugin with the very same
// configuration, and ends with the last of them.
type poolSet struct {
	mu      sync.Mutex
	running map[string]*sharedPool
}

type sharedPool struct {
	key     string
	pool    *pluginpool.Pool
	users   int
	seen    fileState // of the executable when it was sealed
	granted granted
}

// keep returns the running pool with the key, which is then one more generation's, or nil.
func (s *poolSet) keep(key string) *sharedPool {
	s.mu.Lock()
	defer s.mu.Unlock()
	shared := s.running[key]
	if shared != nil {
		shared.users++
	}
	return shared
}

// add takes a new pool in, for one generation.
func (s *poolSet) add(shared *sharedPool) *sharedPool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		s.running = map[string]*sharedPool{}
	}
	shared.users = 1
	s.running[shared.key] = shared
	return shared
}

// release gives the pool back and stops it where no generation has it any more.
func (s *poolSet) release(shared *sharedPool) {
	s.mu.Lock()
	shared.users--
	last := shared.users == 0
	if last && s.running[shared.key] == shared {
		delete(s.running, shared.key)
	}
	s.mu.Unlock()
	if last {
		shared.pool.Stop()
	}
}

// image is the sealed executable with the digest, where some pool runs it already.
func (s *poolSet) image(digest string) (*pluginprocess.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shared := range s.running {
		if image := shared.pool.Image(); image.Digest() == digest {
			return image.Share()
		}
	}
	return nil, nil
}

// poolKey names everything that an instance depends on.
func poolKey(spec *pluginpool.Spec, files granted) (string, error) {
	options := proto.MarshalOptions{Deterministic: true}
	description, err := options.Marshal(spec.Description)
	if err != nil {
		return "", fmt.Errorf("name the instances of plugin %s: %w", spec.Process.Name, err)
	}
	configure, err := options.Marshal(spec.Configure)
	if err != nil {
		return "", fmt.Errorf("name the instances of plugin %s: %w", spec.Process.Name, err)
	}
	p := &spec.Process
	text, err := json.Marshal([]any{
		p.Name, p.Digest, p.Args, p.Env, p.Memory, p.Reach, p.Require, p.StartTimeout, description, configure, spec.Instances, spec.Concurrency,
		spec.Timeout, files.list(),
	})
	if err != nil {
		return "", fmt.Errorf("name the instances of plugin %s: %w", spec.Process.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// fileState tells whether a file may have changed.
type fileState struct {
	inode, size      uint64
	modified, change syscall.Timespec
}

func stateOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileState{}
	}
	return fileState{inode: stat.Ino, size: uint64(stat.Size), modified: stat.Mtim, change: stat.Ctim}
}

// unchanged checks that the executable on disk is still the pinned one: what runs is a copy, but the next start takes the file.
func (s *sharedPool) unchanged(executable string) error {
	if now := stateOf(executable); now == s.seen && now != (fileState{}) {
		return nil
	}
	digest, err := pluginprocess.Digest(executable)
	if err != nil {
		return err
	}
	if running := s.pool.Image().Digest(); digest != running {
		return fmt.Errorf("%w: %s is %s, pinned is %s", pluginprocess.ErrDigest, executable, digest, running)
	}
	return nil
}
