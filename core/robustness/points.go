package robustness

import (
	"fmt"
	"path"
	"strings"
)

// Point is a place in the source where the gateway can be made to end as by kill -9.
type Point struct {
	Name string
	File string
	// Anchor stands in the file exactly once; the process ends before it.
	Anchor string
}

// Points are the places between which something could be lost or doubled: before and after whatever becomes durable, or leaves.
func Points() []Point {
	return []Point{
		{"intake-message-read", "core/intake/session.go", "	arrival := &gate.Arrival{\n"},
		{"intake-before-reply", "core/intake/session.go", "	return smtpError(reply)\n"},
		{"intake-reply-sent", "core/intake/framer.go", "	return len(p), nil\n}\n\n// dataAnswer"},
		{"gate-before-commit", "core/gate/settle.go", "	if err := g.Store.Commit(ctx, p.change); err != nil {\n		return message.Reply{}, fmt.Errorf(\"commit message"},
		{"gate-committed", "core/gate/settle.go", "	w.committed = true\n	g.after(p)\n	return accepted(w.message), nil\n"},
		{"gate-before-refusal", "core/gate/settle.go", "	if err := g.Store.Commit(ctx, p.change); err != nil {\n		return message.Reply{}, fmt.Errorf(\"commit refusal"},
		{"gate-refusal-committed", "core/gate/settle.go", "	g.after(p)\n	text := fate.Final.Text\n"},
		{"gate-relayed", "core/gate/settle.go", "	g.journal(w, fate.Recipients, \"Normal\", detail)\n"},
		{"gate-journaled", "core/gate/settle.go", "	if len(fate.Matches) > 0 {\n		p := g.newPlan(w)\n"},
		{"gate-event-committed", "core/gate/settle.go", "	reply := handed.Final\n"},
		{"store-before-body", "core/store/internal/rows/commit.go", "	bodies, err := s.prepare(ctx, change.Bodies)\n"},
		{"store-body-written", "core/store/sqlite/bodies.go", "	if err := os.Rename(fresh, path); err != nil {\n"},
		{"store-body-named", "core/store/sqlite/bodies.go", "	return syncPath(filepath.Dir(path))\n}\n\nfunc (b *bodies) makeFolder"},
		{"store-bodies-synced", "core/store/internal/rows/commit.go", "	if err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error { return s.apply("},
		{"store-rows-written", "core/store/sqlite/writer.go", "	if err := tx.Commit(); err != nil {\n"},
		{"store-committed", "core/store/sqlite/writer.go", "	return nil\n}\n\n// apply makes one change"},
		{"journal-before-append", "core/store/journal/journal.go", "	err = j.write(append(line, '\\n'))\n"},
		{"journal-moved", "core/store/journal/journal.go", "		if err := os.Remove(path); err != nil {\n			return fmt.Errorf(\"drain"},
		{"hop-envelope-taken", "core/delivery/transaction.go", "	if c.offers(\"CHUNKING\") {\n"},
		{"hop-before-dot", "core/delivery/transaction.go", "	if _, err := c.w.WriteString(endOfData); err != nil {\n"},
		{"hop-dot-sent", "core/delivery/transaction.go", "	reply, _, err := c.read(ctx, finalTimeout)\n"},
		{"hop-answered", "core/delivery/transaction.go", "	o.final = reply\n	return nil\n}\n"},
		{"outbox-before-send", "core/delivery/outbox.go", "	a := &attempt{delivery: d,"},
		{"outbox-sent", "core/delivery/outbox.go", "	// The mail may have left: its outcome is recorded even where the gateway is ending.\n"},
		{"outbox-recorded", "core/delivery/outbox.go", "	_, next, err = d.due(context.WithoutCancel(ctx), job)\n"},
		{"desk-server-named", "core/analysis/submit.go", "		receipt, err := d.give(ctx, generation, s, waiting, askFirst)\n"},
		{"desk-submitted", "core/analysis/submit.go", "		if err != nil || !receipt.Unreachable {\n"},
		{"desk-verdict-known", "core/analysis/desk.go", "	s.State, s.Verdict, s.Asked, s.Expires = stateDone,"},
		{"desk-before-wake", "core/analysis/desk.go", "	var copies []string\n	for i := range waiting {\n"},
		{"wake-begun", "core/gate/wake.go", "	err := g.rejudge(ctx, c, scope, expired)\n"},
		{"wake-before-commit", "core/gate/wake.go", "	if err := g.Store.Commit(ctx, p.change); err != nil {\n		return fmt.Errorf(\"commit decision"},
		{"wake-committed", "core/gate/wake.go", "	if c.State == store.CopyUndecided {\n		g.undecided.Add(-1)\n"},
		{"release-before-commit", "core/gate/release.go", "	if err := s.Commit(ctx, change); err != nil {\n		return fmt.Errorf(\"release"},
		{"release-committed", "core/gate/release.go", "	return nil\n}\n\n// waiversOf"},
	}
}

// PointVariable names the environment variable that says which point ends the process: "name:n" for the n-th time that it is reached.
const PointVariable = "POSTERN_FAULT"

const pointSource = `package %s

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var faultsReached atomic.Int64

// fault ends the process, as kill -9 would, where its environment asks for that at this point.
func fault(point string) {
	name, count, _ := strings.Cut(os.Getenv("POSTERN_FAULT"), ":")
	if name != point {
		return
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || faultsReached.Add(1) != n {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
`

// PointBuild is what Build needs for a gateway that can be ended at every point.
func PointBuild() (added map[string]string, edits []Edit) {
	added = map[string]string{}
	for _, p := range Points() {
		indent := p.Anchor[:len(p.Anchor)-len(strings.TrimLeft(p.Anchor, "\t"))]
		edits = append(edits, Edit{File: p.File, Old: p.Anchor, New: fmt.Sprintf("%sfault(%q)\n%s", indent, p.Name, p.Anchor)})
		folder := path.Dir(p.File)
		added[folder+"/faultpoint.go"] = fmt.Sprintf(pointSource, path.Base(folder))
	}
	return added, edits
}
