package pluginprocess

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// controlGroup makes a control group with the limit of memory beside the host's own, and returns its folder; "" where the system has not
// delegated the memory of a folder to this user, as systemd does by `Delegate=memory pids` with `DelegateSubgroup=`. Where processes are
// delegated too they are counted: by themselves root's are not (see limit).
func controlGroup(root, own, name string, memory int64) string {
	parent := filepath.Dir(filepath.Join(root, own))
	if !strings.HasPrefix(parent, root) || !delegated(parent) {
		return ""
	}
	controllers, err := os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
	if err != nil || !slices.Contains(strings.Fields(string(controllers)), "memory") {
		return ""
	}
	folder := filepath.Join(parent, "plugin-"+name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return ""
	}
	if err := os.WriteFile(filepath.Join(folder, "memory.max"), []byte(strconv.FormatInt(memory, 10)), 0o644); err != nil {
		_ = os.Remove(folder)
		return ""
	}
	if slices.Contains(strings.Fields(string(controllers)), "pids") {
		_ = os.WriteFile(filepath.Join(folder, "pids.max"), []byte(strconv.Itoa(ownThreads)), 0o644)
	}
	// Older kernels lack these; the limit holds without.
	_ = os.WriteFile(filepath.Join(folder, "memory.swap.max"), []byte("0"), 0o644)
	_ = os.WriteFile(filepath.Join(folder, "memory.oom.group"), []byte("1"), 0o644)
	return folder
}

// delegated reports whether systemd has marked the folder as another's to manage.
func delegated(folder string) bool {
	value := make([]byte, 8)
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(folder, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// ownCgroup is where the unified hierarchy is mounted and where in it this process is; false where there is none.
func ownCgroup() (root, own string, found bool) {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", "", false
	}
	for line := range strings.Lines(string(groups)) {
		if path, unified := strings.CutPrefix(strings.TrimSpace(line), "0::"); unified {
			own = path
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || own == "" {
		return "", "", false
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			return fields[4], own, true
		}
	}
	return "", "", false
}
