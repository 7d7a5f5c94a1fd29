package robustness

// Bug is a mistake that one could make, and that a proof has to catch.
type Bug struct {
	Name, What string
	// Proof is the one that catches it.
	Proof string
	Edits []Edit
}

// Bugs are the negative controls (docs/scorecard.md): what cannot find them shows nothing.
func Bugs() []Bug {
	return []Bug{
		{"early-250", "250 is said before the commit", "commit-before-250", []Edit{{
			"core/gate/settle.go",
			"	if err := g.Store.Commit(ctx, p.change); err != nil {\n		return message.Reply{}, fmt.Errorf(\"commit message: %w\", err)\n	}\n",
			"	go func() { _ = g.Store.Commit(context.WithoutCancel(ctx), p.change) }()\n",
		}}},
		{"no-sync", "SQLite does not sync", "commit-before-250", []Edit{{
			"core/store/sqlite/sqlite.go", `"synchronous(FULL)"`, `"synchronous(OFF)"`,
		}}},
		{"body-not-synced", "a large body is not synced before its row", "commit-before-250", []Edit{{
			"core/store/sqlite/bodies.go",
			"	if err := f.Sync(); err != nil {\n		return path, errors.Join(err, f.Close())\n	}\n	return path, f.Close()",
			"	return path, f.Close()",
		}, {
			"core/store/sqlite/bodies.go", "errors.Join(f.Close(), syncPath(path))", "f.Close()",
		}}},
		{"no-dot-stuffing", "dots are not stuffed on the way out", "end-of-data", []Edit{{
			"core/delivery/data.go", "if !d.inLine && line[0] == '.' {", "if false {",
		}}},
		{"fail-open", "a scanner that does not answer counts as one that found nothing", "plugin-killed", []Edit{{
			"core/inspect/scan.go", "		report.Troubles = []message.Trouble{{", "		_ = []message.Trouble{{",
		}}},
		{"eager-bare-dot", "LF.LF ends data, as CRLF.CRLF does", "end-of-data", []Edit{{
			"core/intake/framer.go",
			"		case len(b) >= 3 && b[1] == '\\r' && b[2] == '\\n':\n			return nil, 3, true\n",
			"		case len(b) >= 3 && b[1] == '\\r' && b[2] == '\\n':\n			return nil, 3, true\n		case len(b) >= 2 && b[1] == '\\n':\n			return nil, 2, true\n",
		}}},
		{"cut-is-end", "a connection that ends in the midst of data ends the message", "client-cuts", []Edit{{
			"core/intake/framer.go",
			"		if err := f.dataDeadline(); err != nil {\n			return err\n		}\n		if err := f.fill(); err != nil {\n			return err\n		}\n	}\n}\n\n// takeData",
			"		if err := f.dataDeadline(); err != nil {\n			return err\n		}\n		if err := f.fill(); err != nil {\n			return f.endData()\n		}\n	}\n}\n\n// takeData",
		}}},
	}
}
