package objects

import (
	"bytes"
	"hash/fnv"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/store"
)

// entry is what a set knows of an object besides its key. The value itself is in the store.
type entry struct {
	expires uint32 // seconds since 1970; 0: never
	check   uint32 // the action, whether it is an exception, and a digest of the note
}

const (
	checkAction    = 0x03
	checkException = 0x04
	checkNote      = 0xffffff00
)

func entryOf(o *store.Object) entry {
	e := entry{check: uint32(o.Action) & checkAction}
	if o.Exception {
		e.check |= checkException
	}
	if !o.Expires.IsZero() {
		e.expires = uint32(min(max(o.Expires.Unix(), 1), 1<<32-1))
	}
	if o.Note != "" {
		h := fnv.New32a()
		_, _ = h.Write([]byte(o.Note))
		e.check |= h.Sum32() & checkNote
	}
	return e
}

func (e entry) action() store.ObjectAction { return store.ObjectAction(e.check & checkAction) }
func (e entry) exception() bool            { return e.check&checkException != 0 }
func (e entry) live(now uint32) bool       { return e.expires == 0 || e.expires > now }

// rank orders entries of one list with one key: an exception counts before all, then the stricter action.
func (e entry) rank() int8 {
	if e.exception() {
		return int8(store.ObjectQuarantine) + 1
	}
	return int8(e.action())
}

// set is one list: keys in order, 24 bytes for each object.
type set struct {
	name       string
	generation int64
	keys       []Key
	entries    []entry
	shapes     shapes
}

// shapes are the lengths that a lookup has to try: of URLs that end with "*", and of networks.
type shapes struct{ url, ip4, ip6 []int }

// builder makes a set.
type builder struct {
	set    set
	sorted bool
	seen   map[[2]int]bool // family and length
}

func newBuilder(name string, generation int64, size int64) *builder {
	size = min(max(size, 0), 1<<24)
	return &builder{
		set:    set{name: name, generation: generation, keys: make([]Key, 0, size), entries: make([]entry, 0, size)},
		sorted: true, seen: map[[2]int]bool{},
	}
}

func (b *builder) add(o *store.Object) {
	if len(o.Key) != len(Key{}) {
		return // no key of this program
	}
	key := Key(o.Key)
	if n := len(b.set.keys); n > 0 && bytes.Compare(b.set.keys[n-1][:], key[:]) >= 0 {
		b.sorted = false
	}
	b.set.keys = append(b.set.keys, key)
	b.set.entries = append(b.set.entries, entryOf(o))
	switch {
	case o.Type == URL && strings.HasSuffix(o.Value, "*"):
		b.shape(0, len(o.Value)-1)
	case o.Type == IP:
		if network, err := netip.ParsePrefix(o.Value); err == nil && network.Addr().Is4() {
			b.shape(4, network.Bits())
		} else if err == nil {
			b.shape(6, network.Bits())
		}
	}
}

func (b *builder) shape(family, length int) { b.seen[[2]int{family, length}] = true }

func (b *builder) build() *set {
	s := &b.set
	if !b.sorted {
		sort.Sort(byKey{s})
	}
	for shape := range b.seen {
		lengths := map[int]*[]int{0: &s.shapes.url, 4: &s.shapes.ip4, 6: &s.shapes.ip6}[shape[0]]
		*lengths = append(*lengths, shape[1])
	}
	return s
}

type byKey struct{ *set }

func (s byKey) Len() int           { return len(s.keys) }
func (s byKey) Less(i, j int) bool { return bytes.Compare(s.keys[i][:], s.keys[j][:]) < 0 }
func (s byKey) Swap(i, j int) {
	s.keys[i], s.keys[j] = s.keys[j], s.keys[i]
	s.entries[i], s.entries[j] = s.entries[j], s.entries[i]
}

// find is the place of a key.
func (s *set) find(key Key) (int, bool) {
	return slices.BinarySearchFunc(s.keys, key, func(a, b Key) int { return bytes.Compare(a[:], b[:]) })
}

// live counts what has not expired.
func (s *set) live(now time.Time) (n int64) {
	seconds := uint32(now.Unix())
	for i := range s.entries {
		if s.entries[i].live(seconds) {
			n++
		}
	}
	return n
}

// Lists are all lists as they were at one time. They are never changed.
type Lists struct {
	sets   []*set
	shapes shapes
}

func newLists(sets []*set) *Lists {
	l := &Lists{sets: sets}
	merge := func(into *[]int, lengths []int) {
		*into = append(*into, lengths...)
		slices.Sort(*into)
		*into = slices.Compact(*into)
	}
	for _, s := range sets {
		merge(&l.shapes.url, s.shapes.url)
		merge(&l.shapes.ip4, s.shapes.ip4)
		merge(&l.shapes.ip6, s.shapes.ip6)
	}
	return l
}

// Len is the number of objects in all lists.
func (l *Lists) Len() (n int) {
	for _, s := range l.sets {
		n += len(s.keys)
	}
	return n
}

func (l *Lists) named(name string) *set {
	for _, s := range l.sets {
		if s.name == name {
			return s
		}
	}
	return nil
}

// candidate is an object that would match if it were listed.
type candidate struct {
	kind  string // file, url, domain, ip
	value string
	key   Key
}

// file are the objects that match a file.
func fileCandidates(sha1, sha256 string) []candidate {
	var out []candidate
	if sha256 != "" {
		out = append(out, candidate{"file", "sha256 " + sha256, keyOf(SHA256, sha256)})
	}
	if sha1 != "" {
		out = append(out, candidate{"file", "sha1 " + sha1, keyOf(SHA1, sha1)})
	}
	return out
}

// urlCandidates are the objects that match a URL, the most particular first. Lengths that are not listed are left out.
func urlCandidates(raw string, tried shapes) []candidate {
	text, ok := urlText(raw)
	if !ok {
		return nil
	}
	out := []candidate{{"url", text, keyOf(URL, text)}}
	for i := len(tried.url) - 1; i >= 0; i-- {
		if n := tried.url[i]; n <= len(text) {
			out = append(out, candidate{"url", text[:n] + "*", keyOf(prefix, text[:n])})
		}
	}
	end := strings.IndexAny(text, "/?")
	if end < 0 {
		end = len(text)
	}
	host, _ := splitPort(text[:end])
	if address, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return append(out, addressCandidates(address.Unmap(), tried)...)
	}
	return append(out, domainCandidates(host)...)
}

func addressCandidates(address netip.Addr, tried shapes) []candidate {
	out := []candidate{{"ip", address.String(), keyOf(IP, address.String())}}
	lengths := tried.ip4
	if address.Is6() {
		lengths = tried.ip6
	}
	for i := len(lengths) - 1; i >= 0; i-- {
		if network, err := address.Prefix(lengths[i]); err == nil {
			out = append(out, candidate{"ip", network.String(), keyOf(IP, network.String())})
		}
	}
	return out
}

// maxLabels bounds how many names above a host are looked up.
const maxLabels = 32

func domainCandidates(host string) []candidate {
	var out []candidate
	for n := 0; strings.Contains(host, ".") && n < maxLabels; n++ { // what has no dot is never listed
		out = append(out, candidate{"domain", host, keyOf(Domain, host)})
		_, host, _ = strings.Cut(host, ".")
	}
	return out
}

// all are the shapes that a value of the length can have: for lookups that do not know the lists.
func allShapes(text string) shapes {
	var s shapes
	for n := range len(text) + 1 {
		s.url = append(s.url, n)
	}
	for n := range 129 {
		s.ip6 = append(s.ip6, n)
		if n <= 32 {
			s.ip4 = append(s.ip4, n)
		}
	}
	return s
}

// hit is a listed object that a candidate stands for.
type hit struct {
	candidate
	list  string
	entry entry
}

// lookUp returns what is listed and has not expired; exempt where one of them is an exception.
func (l *Lists) lookUp(candidates []candidate, now uint32) (hits []hit, exempt bool) {
	for _, c := range candidates {
		for _, s := range l.sets {
			i, found := s.find(c.key)
			if !found || !s.entries[i].live(now) {
				continue
			}
			hits = append(hits, hit{c, s.name, s.entries[i]})
			exempt = exempt || s.entries[i].exception()
		}
	}
	return hits, exempt
}

func (h *hit) String() string {
	if h.entry.exception() {
		return h.list + " excepts " + h.value
	}
	return h.list + " lists " + h.value + " (" + h.entry.action().String() + ")"
}

func plural(n int) string {
	if n == 1 {
		return "1 object"
	}
	return strconv.Itoa(n) + " objects"
}
