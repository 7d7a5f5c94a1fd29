package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestLongStateFolder: plugins are reached by sockets, whose paths are bounded; the gateway starts whatever the length of its state folder.
func TestLongStateFolder(t *testing.T) {
	t.Parallel()
	for _, length := range []int{52, 53, 54, 60, 66, 120} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			dir, err := os.MkdirTemp("", "long")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			site := newSite(t, "outbox") // stopped before the folder is removed
			write(t, site, "store.hcl", "store \"sqlite\" { path = env(\"POSTERN_STATE\") }\n")
			site.Setup.State = dir + "/" + strings.Repeat("x", max(1, length-len(dir)-1))
			start(t, site)
		})
	}
}
