package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-mail/postern/core/message"
)

// Load checks a policy. The first source is the main file; rules count in the order of the sources. The policy is nil where a
// diagnostic is an error. The files are for WriteDiagnostics: secrets that stand in them are blanked.
func Load(sources []Source, options Options) (*Policy, map[string]*hcl.File, hcl.Diagnostics) {
	l := &loader{options: options, outside: &outside{options: options}, files: map[string]*hcl.File{}, order: map[string]int{}}
	l.context = l.outside.context()
	l.policy = &Policy{Notifications: map[string]Notification{}, Exceptions: map[message.Exception]ExceptionPolicy{}}
	whole := l.parse(options.Builtin, true)
	whole = l.parse(sources, false) && whole
	if whole {
		l.load()
	}
	l.hide()
	l.sort()
	if l.diags.HasErrors() {
		return nil, l.files, l.diags
	}
	l.policy.Revision = l.revision(sources)
	return l.policy, l.files, l.diags
}

// loader is one run of Load.
type loader struct {
	options Options
	outside *outside
	context *hcl.EvalContext
	files   map[string]*hcl.File
	order   map[string]int // of the files, for sorting
	blocks  []topBlock
	diags   hcl.Diagnostics
	policy  *Policy

	plugins map[string]*declared
	drafts  []*draft
	maxWait *hcl.Range // where virtual_analyzer's max_wait is written by hand
}

// topBlock is a block of a file, and whether the file comes with the product.
type topBlock struct {
	*hcl.Block
	builtin bool
}

var topSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "gateway"}, {Type: "listener", LabelNames: []string{"kind", "name"}}, {Type: "relay", LabelNames: []string{"name"}},
	{Type: "store", LabelNames: []string{"kind"}}, {Type: "retention"}, {Type: "monitor"}, {Type: "plugin", LabelNames: []string{"name"}},
	{Type: "virtual_analyzer"}, {Type: "suspicious_objects"}, {Type: "exception", LabelNames: []string{"name"}},
	{Type: "notification", LabelNames: []string{"name"}}, {Type: "rule", LabelNames: []string{"name"}},
}}

// parse collects the blocks of the sources. It reports whether all could be parsed: what is left of a broken file would only give
// more diagnostics that say nothing.
func (l *loader) parse(sources []Source, builtin bool) (whole bool) {
	whole = true
	for _, source := range sources {
		l.order[source.Name] = len(l.order)
		file, diags := hclsyntax.ParseConfig(source.Bytes, source.Name, hcl.InitialPos)
		l.diags = append(l.diags, diags...)
		if diags.HasErrors() {
			l.files[source.Name] = &hcl.File{Bytes: blank(source.Bytes, stringsOfBroken(source))}
			whole = false
			continue
		}
		file.Bytes = blank(source.Bytes, l.secrets(file.Body))
		l.files[source.Name] = file
		content, diags := file.Body.Content(topSchema)
		l.diags = append(l.diags, diags...)
		for _, block := range content.Blocks {
			l.blocks = append(l.blocks, topBlock{block, builtin})
		}
	}
	return whole
}

// load reads the blocks in the order in which they depend on each other, wherever they stand.
func (l *loader) load() {
	l.gateway()
	l.loadPlugins()
	for _, b := range l.named("notification", "notifications") {
		l.notification(b)
	}
	l.virtualAnalyzer()
	l.suspiciousObjects()
	l.store()
	l.retention()
	l.monitor()
	l.listeners()
	l.relays()
	l.exceptions()
	for _, b := range l.named("rule", "rules") {
		if !b.builtin || l.policy.Objects != nil {
			l.rule(b)
		}
	}
	l.dropHidden()
	l.number()
	if !l.diags.HasErrors() {
		l.lint()
	}
}

// of are the blocks of a type, in the order of the sources.
func (l *loader) of(kind string) []topBlock {
	var out []topBlock
	for _, b := range l.blocks {
		if b.Type == kind {
			out = append(out, b)
		}
	}
	return out
}

// named are the blocks of a type whose last label is their name, without those whose name is taken.
func (l *loader) named(kind, plural string) []topBlock {
	first := map[string]hcl.Range{}
	var out []topBlock
	for _, b := range l.of(kind) {
		name := b.Labels[len(b.Labels)-1]
		if at, taken := first[name]; taken {
			l.fail(b.DefRange, "Duplicate "+kind, fmt.Sprintf("There is a %s %q already at %s:%d; names of %s are unique over all files.",
				kind, name, at.Filename, at.Start.Line, plural))
			continue
		}
		if name == "" {
			l.fail(b.DefRange, "Missing name", fmt.Sprintf("A %s needs a name.", kind))
			continue
		}
		first[name] = b.DefRange
		out = append(out, b)
	}
	return out
}

// only is the one block of a type that may stand once in a policy, or nil.
func (l *loader) only(kind string) *hcl.Block {
	blocks := l.of(kind)
	for i := 1; i < len(blocks); i++ {
		first := blocks[0].DefRange
		l.fail(blocks[i].DefRange, "Duplicate block", fmt.Sprintf("There is a block %q already at %s:%d.", kind, first.Filename, first.Start.Line))
	}
	if len(blocks) == 0 {
		return nil
	}
	return blocks[0].Block
}

func (l *loader) fail(at hcl.Range, summary, detail string) {
	l.diags = l.diags.Append(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &at})
}

func (l *loader) warn(at hcl.Range, summary, detail string) {
	l.diags = l.diags.Append(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: summary, Detail: detail, Subject: &at})
}

// sort puts diagnostics in the order of the sources; they arise in the order of checking, in part from maps.
func (l *loader) sort() {
	slices.SortStableFunc(l.diags, func(a, b *hcl.Diagnostic) int {
		if a.Subject == nil || b.Subject == nil {
			return cmp.Compare(boolInt(a.Subject != nil), boolInt(b.Subject != nil))
		}
		return cmp.Or(
			cmp.Compare(l.order[a.Subject.Filename], l.order[b.Subject.Filename]),
			cmp.Compare(a.Subject.Start.Byte, b.Subject.Start.Byte),
			cmp.Compare(a.Summary, b.Summary),
			cmp.Compare(a.Detail, b.Detail),
		)
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// revision is a digest of everything that the policy was made of. Names of files are left out, so that gateways agree on it
// wherever their policies stand.
func (l *loader) revision(sources []Source) string {
	h := sha256.New()
	for _, source := range append(slices.Clone(sources), l.options.Builtin...) {
		addPart(h, source.Bytes)
	}
	for _, p := range l.policy.Plugins {
		addPart(h, []byte(p.Name))
		addPart(h, []byte(l.options.Catalog[p.Name].Digest))
	}
	// Maps are walked on the way, so what came from outside has no order of its own.
	slices.Sort(l.outside.seen)
	for _, text := range l.outside.seen {
		addPart(h, []byte(text))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// addPart adds a text with its length in front, so that no two lists of texts give the same bytes.
func addPart(h hash.Hash, text []byte) {
	fmt.Fprintf(h, "%d:", len(text)) // a hash never fails
	h.Write(text)
}

// suggest is " Did you mean ...?" where a known name is close to the given one.
func suggest(given string, known []string) string {
	best, distance := "", 3
	for _, name := range slices.Sorted(slices.Values(known)) {
		if d := levenshtein.Distance(given, name, nil); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}
