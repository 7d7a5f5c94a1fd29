package pluginprocess

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageVariable holds the settings of a stage, and makes a process one.
const stageVariable = "POSTERN_SANDBOX_STAGE"

// The files that a stage is started with, beside the standard ones.
const (
	stageImage  = 3 // the sealed executable
	stageReport = 4 // where it tells how far it came
)

// settings are what a stage is told.
type settings struct {
	Args   []string `json:"args"`
	Script bool     `json:"script"`
	Work   string   `json:"work"`  // the folder that it may write
	Inbox  string   `json:"inbox"` // the folder that it may read
	Read   []string `json:"read"`
	Write  []string `json:"write"`
	Ports  []uint16 `json:"ports"`
	// Own says that the process has a user namespace, whose processes are its own and can be counted.
	Own    bool   `json:"own"`
	Data   uint64 `json:"data"` // bytes of RLIMIT_DATA
	Cgroup string `json:"cgroup"`
}

// stageResult is what a stage tells before it becomes the plugin, or why it cannot.
type stageResult struct {
	Landlock int      `json:"landlock"`
	TCP      bool     `json:"tcp"`
	Calls    bool     `json:"calls"`
	Memory   bool     `json:"memory"`
	Absent   []string `json:"absent"`
	Error    string   `json:"error"`
}

// RunStage is called first thing in main. It returns at once where the process is not a stage. A stage gives up what a plugin is not to
// have and becomes the plugin; it never returns. It needs no C library: with one, threads that it does not know of could keep what this
// one gives up.
func RunStage() {
	text, isStage := os.LookupEnv(stageVariable)
	if !isStage {
		return
	}
	// Landlock and no_new_privs are a thread's own, and the thread that executes is the one whose rights the plugin gets.
	runtime.LockOSThread()
	err := enter(text)
	tell(stageResult{Error: err.Error()})
	os.Exit(1)
}

// enter returns only with an error.
func enter(text string) error {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	unix.CloseOnExec(stageReport)
	if !s.Script {
		unix.CloseOnExec(stageImage)
	}
	var result stageResult
	result.Memory = joinCgroup(s.Cgroup)
	// Where memory runs out a plugin goes before its host. It is a wish: some systems do not let it be said.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	if err := limit(&s); err != nil {
		return err
	}
	dropCapabilities()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up gaining rights: %w", err)
	}
	var err error
	if result.Landlock, result.TCP, result.Absent, err = landlock(&s); err != nil {
		return err
	}
	if result.Calls, err = filterCalls(len(s.Ports) > 0); err != nil {
		return err
	}
	// What was asked for at the fork is forgotten by some changes of rights.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("ask to die with the host: %w", err)
	}
	if hostGone() {
		return errors.New("the host has gone")
	}
	tell(result)
	env := make([]string, 0, len(os.Environ()))
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, stageVariable+"=") {
			env = append(env, variable)
		}
	}
	return fmt.Errorf("become the plugin: %w", syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", stageImage), s.Args, env))
}

// tell writes one line for the host. Where it cannot be written the host has gone.
func tell(result stageResult) {
	line, _ := json.Marshal(result) // plain fields
	_, _ = unix.Write(stageReport, append(line, '\n'))
}

// hostGone reports whether the other end of standard input is closed: it may have been before the death signal was asked for.
func hostGone() bool {
	poll := []unix.PollFd{{Fd: 0, Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&unix.POLLHUP != 0
}

// Limits of a plugin's process.
const (
	openFiles  = 1024
	ownThreads = 1024    // of all its processes
	fileBytes  = 4 << 30 // of one file
)

func limit(s *settings) error {
	limits := map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: openFiles, unix.RLIMIT_FSIZE: fileBytes}
	if s.Data > 0 {
		limits[unix.RLIMIT_DATA] = s.Data
	}
	// Elsewhere all processes of the user would count. The kernel holds nobody to it who is root outside, whatever he may do here.
	if s.Own {
		limits[unix.RLIMIT_NPROC] = ownThreads
	}
	for which, most := range limits {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(which, &now); err != nil {
			return fmt.Errorf("read limit %d: %w", which, err)
		}
		most = min(most, now.Max)
		if err := syscall.Setrlimit(which, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("set limit %d: %w", which, err)
		}
	}
	return nil
}

// dropCapabilities leaves nothing of root's powers, whoever started the host. One who has none cannot drop any, and has none to lose.
func dropCapabilities() {
	for capability := range uintptr(64) {
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
	}
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_ = unix.Capset(&header, &none[0])
}

// joinCgroup makes this process a member; what it becomes and starts is one too.
func joinCgroup(folder string) bool {
	return folder != "" && os.WriteFile(folder+"/cgroup.procs", []byte("0"), 0) == nil
}
