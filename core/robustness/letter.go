package robustness

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Fate is what a recipient's copy of a letter has to come to.
type Fate int

// The fates.
const (
	Delivered  Fate = iota // as it was sent
	Tagged                 // delivered with TagText before its subject, and nothing else changed
	Kept                   // in quarantine and nowhere else
	Analysed               // delivered as it was sent, or kept where its verdict did not come in time
	Either                 // delivered or kept, once: somebody may have released it
	NeverTaken             // refused while the client waits
)

// TagText is what the rules of the proofs put before a subject.
const TagText = "[mixed] "

// Kind is a kind of letter: each takes another way through the gateway (core/e2e/proof/config/ledger.hcl).
type Kind struct {
	Name      string
	Extension string // of the file it carries
	Size      int    // of that file; 0 is a line
	// To are the domains of its recipients with their fates; the letter's id is their local part.
	To []To
	// Verdict is what the sandbox says of the file, "" where it is not asked.
	Verdict string
}

// To is one recipient.
type To struct {
	Domain string
	Fate   Fate
}

// Kinds are the kinds of letters, in the order that Load draws them from.
func Kinds() []Kind {
	here := func(f Fate) []To { return []To{{"example.org", f}} }
	return []Kind{
		{Name: "clean", Extension: "txt", To: here(Delivered)},
		{Name: "noted", Extension: "noted", To: here(Delivered)}, // relayed in session, with an event
		{Name: "kept", Extension: "kept", To: here(Kept)},
		{Name: "large", Extension: "kept", Size: 150 << 10, To: here(Kept)}, // its body is a file of its own
		{Name: "cleared", Extension: "js", To: here(Analysed), Verdict: "none"},
		{Name: "condemned", Extension: "js", To: here(Kept), Verdict: "high"},
		{Name: "split", Extension: "mixed", To: []To{{"example.org", Delivered}, {"tagged.example.org", Tagged}}},
		{Name: "soft", Extension: "txt", To: []To{{"example.org", Delivered}, {SoftDomain, Delivered}}},
		{Name: "refused", Extension: "refused", To: here(NeverTaken)},
	}
}

// SoftDomain is a domain whose recipients the next hop refuses for now when they are first named.
const SoftDomain = "soft.example.org"

// Letter is one mail that a client sends until it has a final reply.
type Letter struct {
	ID   string // its subject, Message-ID and the local part of its recipients
	Kind Kind
	From string
	To   []string
	Data []byte
	// SHA256 is the digest of the file it carries, by which the sandbox knows it.
	SHA256 string
}

// NewLetter makes a letter. Its text has lines that begin with dots, which a careless writer would send as the end of data.
func NewLetter(id string, kind Kind) *Letter {
	content := fmt.Appendf(nil, "// file of %s\n", id)
	for len(content) < kind.Size {
		content = fmt.Appendf(content, "%s %d\n", id, len(content))
	}
	l := &Letter{ID: id, Kind: kind, From: "alice@outside.example"}
	for _, to := range kind.To {
		l.To = append(l.To, id+"@"+to.Domain)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Alice <alice@outside.example>\nTo: %s\nSubject: %s\nMessage-ID: <%s@outside.example>\nMIME-Version: 1.0\n"+
		"Content-Type: multipart/mixed; boundary=\"=-b\"\n\n--=-b\nContent-Type: text/plain\n\nSee the file.\n.\n..two dots\n.hidden\n"+
		"MAIL FROM:<evil@outside.example>\n\n--=-b\nContent-Type: text/plain\nContent-Disposition: attachment; filename=\"file.%s\"\n\n%s\n--=-b--\n",
		strings.Join(l.To, ", "), id, id, kind.Extension, content)
	l.Data = bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte("\r\n"))
	// What is scanned is the part's content as it is in the mail, its line ends with it.
	asSent := sha256.Sum256(bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n")))
	l.SHA256 = hex.EncodeToString(asSent[:])
	return l
}

// fateOf is what the recipient's copy has to come to.
func (l *Letter) fateOf(recipient string) (Fate, bool) {
	for i, to := range l.To {
		if strings.EqualFold(to, recipient) {
			return l.Kind.To[i].Fate, true
		}
	}
	return 0, false
}

// asSent reports whether what arrived is the letter, byte for byte behind the trace.
func (l *Letter) asSent(arrived []byte, fate Fate) bool {
	want := l.Data
	if fate == Tagged {
		want = bytes.Replace(want, []byte("\r\nSubject: "), []byte("\r\nSubject: "+TagText), 1)
	}
	return bytes.HasPrefix(arrived, []byte("Received: ")) && bytes.HasSuffix(arrived, want)
}

// idOf is the letter's id that a mail names as its Message-ID, "" where it has none of ours.
func idOf(mail []byte) string {
	_, rest, _ := bytes.Cut(mail, []byte("\r\nMessage-ID: <"))
	id, _, found := bytes.Cut(rest, []byte("@outside.example>"))
	if !found {
		return ""
	}
	return string(id)
}
