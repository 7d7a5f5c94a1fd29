package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/conform"
	"github.com/postern-mail/postern/core/e2e/harness"
)

// conforming are the plugins that have to pass, with the file of those that need a configuration.
func conforming() map[string]string {
	return map[string]string{
		"postern-actions": "", "postern-atse": "", "postern-cape": "cape", "postern-ctd": "ctd", "postern-ddan": "ddan", "postern-filename": "filename",
		"postern-filetype": "filetype", "postern-snap": "", "postern-unpack": "", "postern-verdicts": "verdicts",
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
	short := false
	for _, plugin := range built {
		file, known := conforming()[filepath.Base(plugin)]
		if !known {
			return fmt.Errorf("%s was built and is not in this proof", plugin)
		}
		if file != "" {
			file = filepath.Join(e.bin, "..", "core", "e2e", "testdata", "conform", file+".hcl")
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
		e.printf("%-18s %2d passed, %d failed, %d not applicable, in %4d ms %s", filepath.Base(plugin), counts[conform.Passed], counts[conform.Failed],
			counts[conform.NotApplicable], time.Since(began).Milliseconds(), strings.Join(failed, "; "))
	}
	if short {
		return errShort
	}
	return nil
}
