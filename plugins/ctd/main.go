// Command postern-ctd fetches lists of suspicious objects: from Control Manager or Apex Central, TAXII 2.1 servers, MISP feeds and servers, and
// files. The core stores and matches them.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/objects"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
	"github.com/postern-mail/postern/sdk/servers"
)

// niceness lets mail go first where both want the processor: lists are not urgent.
const niceness = 10

func main() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceness) // without it lists are fetched all the same
	runtime.GOMAXPROCS(1)
	serve.Main(plugin(&connector{now: time.Now, open: func(path string) (file, error) { return os.Open(path) }}))
}

// source is one list.
type source interface {
	// fetch sends what the list has, all of it where the cursor is empty. complete says that all was sent; next is where the following
	// fetch goes on.
	fetch(ctx context.Context, cursor string, out *sender) (complete bool, next string, err error)
}

// connector is the plugin with the sources of its configuration, which configure sets once before anything else is called.
type connector struct {
	now     func() time.Time
	open    func(path string) (file, error)
	sources []namedSource
	log     hclog.Logger
}

// namedSource is a source under the name of its list, with a digest of its configuration: a cursor of another one is not gone on from.
type namedSource struct {
	name, config string
	source
}

func plugin(c *connector) serve.Plugin {
	return serve.Plugin{
		Name: "ctd", Version: "1.0.0", Summary: "Fetches lists of suspicious files, URLs, domains and addresses (Connected Threat Defense).",
		Config: schema.Body{Blocks: []schema.Block{
			{
				Name: "control_manager", Summary: "the user-defined suspicious objects of Control Manager or Apex Central", Labels: []string{"url"}, Repeated: true, Endpoint: "{url}",
				Body: schema.Body{Attributes: with(reached(),
					schema.Attribute{Name: "application_id", Summary: "of the automation API", Type: schema.String, Required: true},
					schema.Attribute{Name: "api_key", Summary: "of the automation API", Type: schema.String, Required: true, Sensitive: true},
				)},
			},
			{
				Name: "taxii", Summary: "the indicators of a collection of a TAXII 2.1 server", Labels: []string{"name"}, Repeated: true,
				Body: schema.Body{Attributes: with(reached(), address("of the server's discovery, of an API root, or of a collection"), action(), fullEvery(),
					schema.Attribute{Name: "collection", Summary: "its id or title, where the url is not the collection's", Type: schema.String},
					schema.Attribute{Name: "username", Summary: "for HTTP Basic", Type: schema.String},
					schema.Attribute{Name: "password", Summary: "for HTTP Basic", Type: schema.String, Sensitive: true},
					schema.Attribute{Name: "token", Summary: "bearer token", Type: schema.String, Sensitive: true},
				)},
			},
			{
				Name: "misp_feed", Summary: "a MISP feed: a folder with manifest.json", Labels: []string{"name"}, Repeated: true,
				Body: schema.Body{Attributes: with(reached(), address("of the folder"), action(),
					schema.Attribute{Name: "username", Summary: "for HTTP Basic", Type: schema.String},
					schema.Attribute{Name: "password", Summary: "for HTTP Basic", Type: schema.String, Sensitive: true},
				)},
			},
			{
				Name: "misp", Summary: "the attributes of a MISP server, by its search", Labels: []string{"name"}, Repeated: true,
				Body: schema.Body{Attributes: with(reached(), address("of the server"), action(), fullEvery(),
					schema.Attribute{Name: "api_key", Summary: "of a user of the server", Type: schema.String, Required: true, Sensitive: true},
				)},
			},
			{
				Name: "file", Summary: "a file of CSV or JSON, read again when it has changed", Labels: []string{"name"}, Repeated: true,
				Body: schema.Body{Attributes: []schema.Attribute{
					{Name: "path", Summary: "of the file, absolute", Type: schema.Path, Required: true}, action(),
				}},
			},
		}},
		Configure: c.configure,
		Objects:   c,
	}
}

func with(attributes []schema.Attribute, more ...schema.Attribute) []schema.Attribute {
	return append(more, attributes...)
}

// reached are the attributes of every source behind HTTP.
func reached() []schema.Attribute {
	return []schema.Attribute{
		{Name: "proxy", Summary: "URL of the proxy to go through", Type: schema.Endpoint},
		{Name: "ca_file", Summary: "PEM file of the authorities its certificate is checked by", Type: schema.Path},
		{Name: "fingerprint", Summary: "SHA-256 of its certificate, which is then the one that is accepted", Type: schema.String},
		{Name: "insecure", Summary: "whether any certificate is accepted", Type: schema.Bool, Default: false},
	}
}

func address(summary string) schema.Attribute {
	return schema.Attribute{Name: "url", Summary: summary, Type: schema.Endpoint, Required: true}
}

func action() schema.Attribute {
	return schema.Attribute{
		Name: "action", Summary: "scan action of entries that say none themselves", Type: schema.String, Default: "block",
		OneOf: []string{"none", "log", "block", "quarantine"},
	}
}

func fullEvery() schema.Attribute {
	return schema.Attribute{Name: "full_every", Summary: "how often the whole list is fetched, and not only what is new", Type: schema.Duration, Default: "24h"}
}

// sourceConfig is any source's block.
type sourceConfig struct {
	Name          string  `json:"name"`
	URL           string  `json:"url"`
	Path          string  `json:"path"`
	Action        string  `json:"action"`
	FullEvery     float64 `json:"full_every"`
	ApplicationID string  `json:"application_id"`
	APIKey        string  `json:"api_key"`
	Collection    string  `json:"collection"`
	Username      string  `json:"username"`
	Password      string  `json:"password"`
	Token         string  `json:"token"`
	Proxy         string  `json:"proxy"`
	CAFile        string  `json:"ca_file"`
	Fingerprint   string  `json:"fingerprint"`
	Insecure      bool    `json:"insecure"`
}

// actionOf reads the action of a source or entry; unknown ones have none.
func actionOf(word string) objects.Action {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "log":
		return objects.Log
	case "block":
		return objects.Block
	case "quarantine":
		return objects.Quarantine
	}
	return objects.None
}

func (c *connector) configure(_ context.Context, configuration *serve.Configuration) (*serve.Configured, error) {
	var config map[string][]json.RawMessage
	if err := json.Unmarshal(configuration.Config, &config); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c.log = configuration.Log
	done := &serve.Configured{}
	names := map[string]bool{}
	for _, kind := range []string{"control_manager", "taxii", "misp_feed", "misp", "file"} {
		for _, raw := range config[kind] {
			var s sourceConfig
			if err := json.Unmarshal(raw, &s); err != nil {
				return nil, fmt.Errorf("read configuration of %s: %w", kind, err)
			}
			problems := &problems{path: []string{"config", kind, s.Name + map[bool]string{true: s.URL}[kind == "control_manager"]}}
			src := c.make(kind, &s, problems)
			switch {
			case names[s.Name]:
				problems.add("", "Two lists of one name", "Objects are kept by the name of their list: each name stands once.", false)
			case s.Name == "local" || s.Name == "virtual-analyzer" || len(s.Name) > 200:
				problems.add("", "Unsuitable name", "The lists local and virtual-analyzer are the gateway's own, and a name has at most 200 characters.", false)
			}
			names[s.Name] = true
			done.Problems = append(done.Problems, problems.list...)
			c.sources = append(c.sources, namedSource{s.Name, digest(raw), src})
		}
	}
	if len(c.sources) == 0 {
		done.Problems = append(done.Problems, serve.Problem{
			Path: []string{"config"}, Summary: "No list is fetched", Detail: "There is no block control_manager, taxii, misp_feed, misp or file.", Warning: true,
		})
	}
	return done, nil
}

// problems are those of one source's block.
type problems struct {
	path []string
	list []serve.Problem
}

func (p *problems) add(attribute, summary, detail string, warning bool) {
	path := p.path
	if attribute != "" {
		path = append(path[:len(path):len(path)], attribute)
	}
	p.list = append(p.list, serve.Problem{Path: path, Summary: summary, Detail: detail, Warning: warning})
}

// make makes the source of a block. It gives a list without a name that of its host.
func (c *connector) make(kind string, s *sourceConfig, p *problems) source {
	if kind == "file" {
		if !filepath.IsAbs(s.Path) {
			p.add("path", "Not an absolute path", "The plugin does not run in the configuration folder.", false)
		}
		return &fileSource{path: s.Path, action: actionOf(s.Action), open: c.open}
	}
	base, err := url.Parse(s.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		p.add("url", "Not the address of a list", "It is like https://lists.example.org/feed, without user and query.", false)
		return nil
	}
	if base.Scheme == "http" {
		p.add("url", "The list is fetched in the clear", "It can be read and changed on the way.", true)
	}
	if s.Insecure {
		p.add("insecure", "The server's certificate is not checked", "Whoever answers can list what he likes. Better give ca_file or fingerprint.", true)
	}
	client, err := servers.NewClient(servers.Identity{CAFile: s.CAFile, Fingerprint: s.Fingerprint, Insecure: s.Insecure, Proxy: s.Proxy})
	if err != nil {
		attribute := "ca_file"
		switch {
		case s.Fingerprint != "":
			attribute = "fingerprint"
		case s.Proxy != "":
			attribute = "proxy"
		}
		p.add(attribute, "No way to reach the server", err.Error()+".", false)
		return nil
	}
	w := &web{base: strings.TrimSuffix(s.URL, "/"), client: client}
	full := time.Duration(s.FullEvery * float64(time.Second))
	switch kind {
	case "control_manager":
		s.Name = base.Host
		return &controlManager{web: w, application: s.ApplicationID, key: s.APIKey, now: c.now}
	case "taxii":
		if s.Token != "" {
			w.authorize("Bearer " + s.Token)
		} else if s.Username != "" {
			w.basic(s.Username, s.Password)
		}
		return &taxii{web: w, collection: s.Collection, action: actionOf(s.Action), fullEvery: full, now: c.now, log: c.log}
	case "misp_feed":
		if s.Username != "" {
			w.basic(s.Username, s.Password)
		}
		return &mispFeed{web: w, action: actionOf(s.Action), known: map[string]knownEvent{}}
	}
	w.authorize(s.APIKey)
	return &mispSearch{web: w, action: actionOf(s.Action), fullEvery: full, now: c.now}
}
