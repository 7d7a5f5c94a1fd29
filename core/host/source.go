package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"

	"github.com/postern-mail/postern/config"
	"github.com/postern-mail/postern/core/plugincatalog"
	"github.com/postern-mail/postern/core/pluginprocess"
	"github.com/postern-mail/postern/core/policy"
)

// LockFile is the catalog's name within the configuration folder.
const LockFile = "plugins.lock.hcl"

// Configuration is one reading of the configuration folder.
type Configuration struct {
	Policy  *policy.Policy // nil where a diagnostic is an error
	Catalog plugincatalog.Catalog
	Files   map[string]*hcl.File
	Diags   hcl.Diagnostics

	// verify asks whether the executables of plugins that run on are still the pinned ones on disk, as the next start needs them.
	verify bool
	// sealed are executables by digest that need not be sealed again.
	sealed  map[string]*pluginprocess.Image
	folder  string
	builtin []policy.Source
	sources []policy.Source
}

// ErrPolicy says that the policy has errors; the diagnostics tell them.
var ErrPolicy = errors.New("the policy has errors")

// ReadConfiguration checks the policy in the folder against the pinned plugins. No plugin is started. An error is about the folder;
// what is wrong with the policy is in the diagnostics.
func ReadConfiguration(folder string) (*Configuration, error) {
	catalog, err := plugincatalog.Load(filepath.Join(folder, LockFile))
	if err != nil {
		return nil, err
	}
	builtin, err := policy.LoadRules(config.Builtin, "builtin", "")
	if err != nil {
		return nil, err
	}
	sources, err := policy.LoadDir(os.DirFS(folder), folder)
	if err != nil {
		return nil, fmt.Errorf("read the configuration folder %s (--config names another): %w", folder, err)
	}
	c := &Configuration{folder: folder, builtin: builtin, sources: sources}
	return c.with(catalog), nil
}

// with is the same sources checked against another catalog.
func (c *Configuration) with(catalog plugincatalog.Catalog) *Configuration {
	next := &Configuration{Catalog: catalog, folder: c.folder, builtin: c.builtin, sources: c.sources}
	next.Policy, next.Files, next.Diags = policy.Load(c.sources, policy.Options{
		Catalog: catalog, Builtin: c.builtin, Env: os.LookupEnv, ReadFile: policy.FilesIn(c.folder),
	})
	return next
}

// Write prints the diagnostics with their source lines.
func (c *Configuration) Write(w io.Writer, color bool) error {
	if len(c.Diags) == 0 {
		return nil
	}
	if err := policy.WriteDiagnostics(w, c.Files, c.Diags, 0, color); err != nil {
		return fmt.Errorf("print diagnostics: %w", err)
	}
	return nil
}
