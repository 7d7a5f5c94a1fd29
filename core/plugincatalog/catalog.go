// Package plugincatalog knows what each plugin is without starting it: names go in, the pinned digest and description come out.
// The descriptions stand in a lock file (plugins.lock.hcl) that `postern plugin pin` writes. With a description's schema it also
// turns the blocks an operator wrote for a plugin into the checked JSON that the plugin is given.
package plugincatalog

import (
	"slices"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// Entry is one pinned plugin.
type Entry struct {
	Name string
	// Digest is "sha256:" and the lower-case hexadecimal SHA-256 of the executable.
	Digest      string
	Description *pluginv1.DescribeResponse
	// File is the gateway's own copy of the executable, "" where the policy's command is it. A hot swap makes one.
	File string
	// Previous is what was swapped out, for a rollback; nil: nothing.
	Previous *Entry
}

// Replaced is the entry with its former self as what can be gone back to.
func (e Entry) Replaced(former Entry) Entry {
	former.Previous = nil
	e.Previous = &former
	return e
}

// HasRole reports whether the plugin describes the role.
func (e Entry) HasRole(role pluginv1.Role) bool {
	return slices.Contains(e.Description.GetRoles(), role)
}

// Catalog holds entries by plugin name. It is not changed after it was built.
type Catalog map[string]Entry
