package plugincatalog

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Reach is what grants come to for a sandbox: the files, folders and TCP ports beside the plugin's own folder and the system's libraries.
type Reach struct {
	Read  []string
	Write []string
	// Ports are where endpoints listen. A sandbox holds ports, not addresses: the kernel's Landlock knows no more.
	Ports []uint16
}

// ReachOf reads grants as Grants and the policy write them: "read PATH", "write PATH", "connect ENDPOINT".
func ReachOf(grants []string) Reach {
	var r Reach
	for _, grant := range grants {
		verb, value, _ := strings.Cut(grant, " ")
		switch verb {
		case "read":
			r.Read = append(r.Read, value)
		case "write":
			r.Write = append(r.Write, value)
		case "connect":
			if port, tcp := portOf(value); tcp && !slices.Contains(r.Ports, port) {
				r.Ports = append(r.Ports, port)
			}
		}
	}
	return r
}

// portOf is the TCP port of an endpoint that CheckEndpoint accepts; false for a unix socket.
func portOf(endpoint string) (uint16, bool) {
	text := ""
	switch {
	case strings.HasPrefix(endpoint, "unix:"):
		return 0, false
	case strings.Contains(endpoint, "://"):
		u, err := url.Parse(endpoint)
		if err != nil {
			return 0, false
		}
		if text = u.Port(); text == "" {
			text = map[string]string{"http": "80", "https": "443", "ldap": "389", "ldaps": "636"}[u.Scheme]
		}
	default:
		_, text, _ = net.SplitHostPort(endpoint)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err == nil && port > 0
}

// The guards of a sandbox: what an operator may require and what the listing shows.
const (
	GuardFiles     = "files"      // Landlock: no file but those granted
	GuardTCP       = "tcp"        // no TCP but to granted ports
	GuardNoNetwork = "no_network" // no TCP, no UDP, nothing; never with a TCP endpoint granted
	GuardCalls     = "calls"      // a filter of system calls: no kinds of sockets, namespaces and looks into the kernel that it does not need
	GuardProcesses = "processes"  // a PID namespace: it sees, signals and outlives nobody
	GuardUser      = "user"       // a user namespace
	GuardMemory    = "memory"     // a memory cgroup, over all of its processes
)

// Guards are all of them.
func Guards() []string {
	return []string{GuardFiles, GuardTCP, GuardNoNetwork, GuardCalls, GuardProcesses, GuardUser, GuardMemory}
}
