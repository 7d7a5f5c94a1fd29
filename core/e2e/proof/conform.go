package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/conform"
	"github.com/postern-mail/postern/core/e2e/harness"
)

// conforming are the plugins that have to pass, with the file of those that need a configuration.
func conforming() map[string]string {
	const files = "core/e2e/testdata/conform/"
	return map[string]string{
		"postern-actions": "", "postern-atse": "", "postern-cape": files + "cape.hcl", "postern-ctd": files + "ctd.hcl", "postern-ddan": files + "ddan.hcl",
		"postern-filename": files + "filename.hcl", "postern-filetype": files + "filetype.hcl", "postern-snap": "", "postern-unpack": "",
		"postern-verdicts":         files + "verdicts.hcl",
		"examples/postern-allowed": "examples/scanner-go/plugin.hcl", "examples/postern-invites": "examples/scanner-node/plugin.hcl",
	}
}

// conformance holds every plugin of the tree to the contract.
func conformance(ctx context.Context, e *env) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	built, err := filepath.Glob(filepath.Join(e.bin, "postern-*"))
	if err != nil {
		return err
	}
	for _, plugin := range built {
		if _, known := conforming()[filepath.Base(plugin)]; !known {
			return fmt.Errorf("%s was built and is not in this proof", plugin)
		}
	}
	short := false
	for _, name := range slices.Sorted(maps.Keys(conforming())) {
		plugin, file := filepath.Join(e.bin, name), conforming()[name]
		if file != "" {
			file = filepath.Join(e.bin, "..", file)
		}
		began := time.Now()
		report, err := harness.Conform(ctx, e.bin, plugin, file)
		if err != nil {
			return err
		}
		counts := map[conform.Outcome]int{}
		var failed []string
		for _, row := range report.Rows {
			if counts[row.Outcome]++; row.Outcome == conform.Failed {
				failed = append(failed, row.Check+": "+row.Detail)
			}
		}
		short = short || len(failed) > 0
		e.printf("%-24s %2d passed, %d failed, %d not applicable, in %4d ms %s", name, counts[conform.Passed], counts[conform.Failed],
			counts[conform.NotApplicable], time.Since(began).Milliseconds(), strings.Join(failed, "; "))
	}
	if short {
		return errShort
	}
	return nil
}
