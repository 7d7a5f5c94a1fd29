package policy

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/postern-mail/postern/core/plugincatalog"
)

// shape is what a block of the core may hold.
type shape struct {
	required, optional []string
	blocks             []hcl.BlockHeaderSchema
}

func (s shape) schema() *hcl.BodySchema {
	schema := &hcl.BodySchema{Blocks: s.blocks}
	for _, name := range s.required {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name, Required: true})
	}
	for _, name := range s.optional {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name})
	}
	return schema
}

// reader reads the attributes of one block. What is wrong becomes a diagnostic and the fallback is returned, so that one pass shows
// everything. Details never hold the value: the source line does, unless it is secret.
type reader struct {
	loader  *loader
	content *hcl.BodyContent
	at      hcl.Range // of the block's header
}

func (l *loader) read(block *hcl.Block, s shape) *reader {
	content, diags := block.Body.Content(s.schema())
	l.diags = append(l.diags, diags...)
	return &reader{loader: l, content: content, at: block.DefRange}
}

// item is one string of a list with its place.
type item struct {
	text string
	at   hcl.Range
}

func (r *reader) fail(at hcl.Range, name, detail string) {
	r.loader.fail(at, "Unsuitable value", fmt.Sprintf("Attribute %q: %s.", name, detail))
}

// has reports whether the attribute is written.
func (r *reader) has(name string) bool { return r.content.Attributes[name] != nil }

// place is where the attribute is written, or else the block.
func (r *reader) place(name string) hcl.Range {
	if a := r.content.Attributes[name]; a != nil {
		return a.Expr.Range()
	}
	return r.at
}

// convert evaluates an expression to a whole value of the type.
func (r *reader) convert(name string, expr hcl.Expression, want cty.Type) (cty.Value, bool) {
	value, diags := expr.Value(r.loader.context)
	r.loader.diags = append(r.loader.diags, diags...)
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	value, _ = value.UnmarkDeep()
	value, err := convert.Convert(value, want)
	if err != nil {
		r.fail(expr.Range(), name, err.Error())
		return cty.NilVal, false
	}
	if !value.IsWhollyKnown() || value.IsNull() {
		r.fail(expr.Range(), name, "it must not be null; leave it out for the default")
		return cty.NilVal, false
	}
	return value, true
}

func (r *reader) scalar(name string, want cty.Type) (cty.Value, bool) {
	a := r.content.Attributes[name]
	if a == nil {
		return cty.NilVal, false
	}
	return r.convert(name, a.Expr, want)
}

func (r *reader) text(name, fallback string) string {
	if v, ok := r.scalar(name, cty.String); ok {
		return v.AsString()
	}
	return fallback
}

// filled is a string that must not be empty where it is written.
func (r *reader) filled(name, fallback string) string {
	v, ok := r.scalar(name, cty.String)
	if !ok {
		return fallback
	}
	if v.AsString() == "" {
		r.fail(r.place(name), name, "it must not be empty")
	}
	return v.AsString()
}

func (r *reader) choice(name, fallback string, options ...string) string {
	text := r.text(name, fallback)
	if r.has(name) && !slices.Contains(options, text) {
		r.fail(r.place(name), name, "it must be one of "+strings.Join(options, ", "))
		return fallback
	}
	return text
}

func (r *reader) flag(name string, fallback bool) bool {
	if v, ok := r.scalar(name, cty.Bool); ok {
		return v.True()
	}
	return fallback
}

func (r *reader) number(name string, fallback, low, high int) int {
	v, ok := r.scalar(name, cty.Number)
	if !ok {
		return fallback
	}
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != big.Exact || n < int64(low) || n > int64(high) {
		r.fail(r.place(name), name, fmt.Sprintf("it must be a whole number from %d to %d", low, high))
		return fallback
	}
	return int(n)
}

func (r *reader) duration(name string, fallback, low, high time.Duration) time.Duration {
	v, ok := r.scalar(name, cty.String)
	if !ok {
		return fallback
	}
	d, err := plugincatalog.ParseDuration(v.AsString())
	if err != nil {
		r.fail(r.place(name), name, err.Error())
		return fallback
	}
	if d < low || d > high {
		r.fail(r.place(name), name, fmt.Sprintf("it must be from %s to %s", showDuration(low), showDuration(high)))
		return fallback
	}
	return d
}

// showDuration is the short form: "5m" and not Go's "5m0s".
func showDuration(d time.Duration) string {
	text := d.String()
	if d >= 48*time.Hour && d%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
	}
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (r *reader) size(name string, fallback, low int64) int64 {
	v, ok := r.scalar(name, cty.String)
	if !ok {
		return fallback
	}
	size, ok := parseSize(v.AsString())
	if !ok {
		r.fail(r.place(name), name, `a size is a whole number with a unit: B, KiB, MiB, GiB or TiB, such as "30MiB"`)
		return fallback
	}
	if size < low {
		r.fail(r.place(name), name, fmt.Sprintf("it must be at least %d bytes", low))
		return fallback
	}
	return size
}

func parseSize(text string) (int64, bool) {
	digits := strings.TrimRight(text, "BKMGTi")
	shift, known := map[string]uint{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[text[len(digits):]]
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 63)
	if !known || err != nil || n > math.MaxInt64>>shift {
		return 0, false
	}
	return int64(n << shift), true
}

// clock is HH:MM, or one of the other words.
func (r *reader) clock(name, fallback string, others ...string) string {
	text := r.text(name, fallback)
	if !slices.Contains(others, text) && !validClock(text) {
		r.fail(r.place(name), name, strings.Join(append([]string{`it must be a time of day such as "23:00"`}, others...), " or "))
		return fallback
	}
	return text
}

func validClock(text string) bool {
	_, err := time.Parse("15:04", text)
	return err == nil && len(text) == len("15:04")
}

// elements are the members of a list of strings, each with its own place where the list is written out.
func (r *reader) elements(name string) []item {
	a := r.content.Attributes[name]
	if a == nil {
		return nil
	}
	var items []item
	if exprs, diags := hcl.ExprList(a.Expr); !diags.HasErrors() {
		for _, expr := range exprs {
			if v, ok := r.convert(name, expr, cty.String); ok {
				items = append(items, item{text: v.AsString(), at: expr.Range()})
			}
		}
		return items
	}
	v, ok := r.convert(name, a.Expr, cty.List(cty.String))
	if !ok {
		return nil
	}
	for _, element := range v.AsValueSlice() {
		if element.IsNull() {
			r.fail(a.Expr.Range(), name, "an element is null")
			continue
		}
		items = append(items, item{text: element.AsString(), at: a.Expr.Range()})
	}
	return items
}

// list reads a list of strings of a kind that parse knows.
func list[T any](r *reader, name string, parse func(string) (T, error)) []T {
	var out []T
	for _, e := range r.elements(name) {
		value, err := parse(e.text)
		if err != nil {
			r.fail(e.at, name, err.Error())
			continue
		}
		out = append(out, value)
	}
	return out
}

// some is a list that must not be empty.
func some[T any](r *reader, name string, parse func(string) (T, error)) []T {
	before := len(r.loader.diags)
	out := list(r, name, parse)
	if r.has(name) && len(out) == 0 && len(r.loader.diags) == before {
		r.fail(r.place(name), name, "the list must not be empty")
	}
	return out
}

func (r *reader) texts(name string) []string {
	return list(r, name, func(text string) (string, error) { return text, nil })
}

// single is the only block of the type, or nil.
func (r *reader) single(kind string) *hcl.Block {
	var found *hcl.Block
	for _, b := range r.content.Blocks.OfType(kind) {
		if found != nil {
			r.loader.fail(b.DefRange, "Duplicate block", fmt.Sprintf("There is a block %q already on line %d.", kind, found.DefRange.Start.Line))
			continue
		}
		found = b
	}
	return found
}

var (
	errNetwork = errors.New(`a network is "10.0.0.0/8" or one address`)
	errHost    = errors.New(`a host is "mail.example.org:25", "192.0.2.1:25" or "[2001:db8::1]:25"`)
	errAddress = errors.New(`it must be a mail address such as "admin@example.org"`)
)

// parseNetwork takes "10.0.0.0/8", and a bare address for a network of its own.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errNetwork
	}
	return prefix.Masked(), nil
}

// parseHost takes "host:port" and "host", which means port 25.
func parseHost(text string) (string, error) {
	if !strings.Contains(text, ":") {
		text += ":25"
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || !validHost(host) || !validPort(port, 1) {
		return "", errHost
	}
	return net.JoinHostPort(host, port), nil
}

func validHost(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil || validDomain(asciiDomain(host))
}

func validPort(port string, low uint64) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n >= low
}

func parseAddress(text string) (string, error) {
	if !validAddress(text) {
		return "", errAddress
	}
	return text, nil
}
