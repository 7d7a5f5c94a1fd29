// Command postern-allowed is a scanner for Postern that recognises the mail of senders on a list, where it can be known that it is theirs:
// a rule that scans with it can deliver such mail before the rules for everybody else.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net/mail"
	"os"
	"strings"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

func main() { serve.Main(plugin()) }

// options is what an operator may write in the plugin's block.
type options struct {
	File string `summary:"a file with more senders for every scan block, one per line, # begins a comment" type:"path"`
}

// query is what an operator may write in a scan block.
type query struct {
	Senders       []string `summary:"addresses, domains (partner.example) and domains with all below them (*.partner.example)"`
	Authenticated bool     `summary:"only where SPF or DMARC says that the mail is the sender's" default:"true"`
}

func plugin() serve.Plugin {
	a := &allowed{queries: map[int]query{}}
	return serve.Plugin{
		Name: "allowed", Version: "1.0.0", Summary: "Recognises mail of senders on a list.",
		Config: schema.Of(options{}), Scan: schema.Of(query{}), Configure: a.configure, Scanner: a,
		Inputs: scanner.Inputs{Envelope: true, Header: true, Auth: true},
	}
}

type allowed struct{ queries map[int]query } // not changed after configure

func (a *allowed) configure(_ context.Context, c *serve.Configuration) (*serve.Configured, error) {
	var (
		o    options
		done = &serve.Configured{}
		more []string
	)
	if err := c.Decode(&o); err != nil {
		return nil, err
	}
	if o.File != "" {
		var err error
		if more, err = readSenders(o.File); err != nil {
			done.Problems = append(done.Problems, serve.Problem{
				Path: []string{"config", "file"}, Summary: "The senders cannot be read", Detail: err.Error(),
			})
		}
		done.Signatures = fmt.Sprintf("%d senders", len(more))
	}
	for _, block := range c.Queries {
		var q query
		if err := block.Decode(&q); err != nil {
			return nil, err
		}
		if q.Senders = append(q.Senders, more...); len(q.Senders) == 0 {
			done.Problems = append(done.Problems, serve.Problem{
				Path: []string{"scan", fmt.Sprint(block.Number), "senders"}, Summary: "No senders to recognise",
				Detail: `Give senders = ["partner.example"], or a file in the plugin's block.`,
			})
		}
		a.queries[block.Number] = q
	}
	return done, nil
}

func readSenders(path string) (senders []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text != "" {
			senders = append(senders, text)
		}
	}
	return senders, lines.Err()
}

// identity is one sender that a message has, and whether it is surely the one.
type identity struct {
	address string
	sure    bool
	how     string
}

// Scan compares the envelope's sender, for whom SPF speaks, and the header's, for whom DMARC does.
func (a *allowed) Scan(_ context.Context, m *scanner.Message) (*scanner.Report, error) {
	identities := []identity{{m.Envelope.From, m.Auth.SPF == "pass", "envelope, SPF " + m.Auth.SPF}}
	for _, f := range m.Header {
		if !strings.EqualFold(f.Name, "From") {
			continue
		}
		// More than one author, or what cannot be read, is nobody on a list.
		if author, err := mail.ParseAddress(f.Value); err == nil {
			identities = append(identities, identity{author.Address, m.Auth.DMARC == "pass", "header, DMARC " + m.Auth.DMARC})
		}
	}
	report := &scanner.Report{}
	for _, number := range m.Queries {
		if f, found := a.queries[number].find(identities); found {
			f.Query = number
			report.Findings = append(report.Findings, f)
		}
	}
	return report, nil
}

func (q query) find(identities []identity) (scanner.Finding, bool) {
	for _, i := range identities {
		for _, sender := range q.Senders {
			if matches(sender, i.address) && (i.sure || !q.Authenticated) {
				return scanner.Finding{Kind: "sender", Certainty: scanner.Sure, Name: sender, Part: -1, Evidence: i.address + " (" + i.how + ")"}, true
			}
		}
	}
	return scanner.Finding{}, false
}

// matches reports whether an entry of the list means the address.
func matches(entry, address string) bool {
	entry, address = strings.ToLower(entry), strings.ToLower(address)
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return false
	}
	domain := address[at+1:]
	if parent, wild := strings.CutPrefix(entry, "*."); wild {
		return domain == parent || strings.HasSuffix(domain, "."+parent)
	}
	return entry == address || entry == domain
}
