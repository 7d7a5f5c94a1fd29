// Command postern-cape gives samples to open sandboxes over REST: CAPEv2 and Cuckoo3. Their scores are made levels by thresholds.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
	"github.com/postern-mail/postern/sdk/servers"
)

func main() { serve.Main(plugin(&connector{now: time.Now})) }

// The flavors.
const (
	flavorCape   = "cape"
	flavorCuckoo = "cuckoo3"
)

func plugin(c *connector) serve.Plugin {
	score := func(name, summary string) schema.Attribute {
		return schema.Attribute{Name: name, Summary: summary, Type: schema.Number, Min: schema.Bound(0), Max: schema.Bound(10)}
	}
	return serve.Plugin{
		Name: "cape", Version: "1.0.0", Summary: "Has samples analysed by CAPEv2 or Cuckoo3.",
		Config: schema.Body{
			Attributes: []schema.Attribute{
				{Name: "flavor", Summary: "which sandbox the servers are", Type: schema.String, Default: flavorCape, OneOf: []string{flavorCape, flavorCuckoo}},
			},
			Blocks: []schema.Block{{
				Name: "server", Summary: "a sandbox", Labels: []string{"name"}, Required: true, Repeated: true,
				Body: schema.Body{Attributes: append([]schema.Attribute{
					{Name: "url", Summary: "of its web interface", Type: schema.Endpoint, Required: true},
					{Name: "token", Summary: "for the API", Type: schema.String, Required: true, Sensitive: true},
				}, servers.Attributes()...)},
			}, {
				Name: "thresholds", Summary: "what a score from 0 to 10 means; the defaults are the flavor's own", Body: schema.Body{Attributes: []schema.Attribute{
					score("no_risk", "the highest score without risk: 0"),
					score("medium", "the lowest score of medium risk: 4 with CAPE, 6 with Cuckoo3"),
					score("high", "the lowest score of high risk: 7 with CAPE, 8 with Cuckoo3"),
				}},
			}},
		},
		Configure: c.configure,
		Analyzer:  servers.InTime(c),
	}
}

// connector is the plugin with the sandboxes of its configuration, which configure sets once before anything else is called.
type connector struct {
	now        func() time.Time
	pool       *servers.Pool
	sandboxes  map[string]*sandbox
	thresholds thresholds
	log        hclog.Logger
}

// protocol is what the flavors do differently.
type protocol interface {
	// find looks for a sample that was submitted before; "" where there is none.
	find(ctx context.Context, sample *analyzer.Sample) (id string, err error)
	// submit hands the sample over.
	submit(ctx context.Context, sample *analyzer.Sample) (id string, err error)
	// report is how far an analysis is, and what was found.
	report(ctx context.Context, submission analyzer.Submission) (*report, error)
	// check asks for something small that needs the token.
	check(ctx context.Context) error
}

type serverConfig struct {
	servers.Config
	Name  string `json:"name"`
	URL   string `json:"url"`
	Token string `json:"token"`
}

func (c *connector) configure(_ context.Context, configuration *serve.Configuration) (*serve.Configured, error) {
	var config struct {
		Flavor     string `json:"flavor"`
		Thresholds struct {
			NoRisk *float64 `json:"no_risk"`
			Medium *float64 `json:"medium"`
			High   *float64 `json:"high"`
		} `json:"thresholds"`
		Servers []serverConfig `json:"server"`
	}
	if err := json.Unmarshal(configuration.Config, &config); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	done := &serve.Configured{}
	problem := func(warning bool, summary, detail string, path ...string) {
		done.Problems = append(done.Problems, serve.Problem{Path: append([]string{"config"}, path...), Summary: summary, Detail: detail, Warning: warning})
	}
	c.sandboxes, c.log, c.thresholds = map[string]*sandbox{}, configuration.Log, thresholds{medium: 4, high: 7}
	if config.Flavor == flavorCuckoo {
		c.thresholds = thresholds{medium: 6, high: 8}
	}
	for into, written := range map[*float64]*float64{
		&c.thresholds.noRisk: config.Thresholds.NoRisk, &c.thresholds.medium: config.Thresholds.Medium, &c.thresholds.high: config.Thresholds.High,
	} {
		if written != nil {
			*into = *written
		}
	}
	if t := c.thresholds; t.noRisk >= t.medium || t.medium > t.high {
		problem(false, "Thresholds out of order", "They rise from no_risk over medium to high.", "thresholds")
	}
	var list []servers.Server
	for _, server := range config.Servers {
		if _, twice := c.sandboxes[server.Name]; twice {
			problem(false, "Server named twice", "Samples are asked for by the name of their server: each name stands once.", "server", server.Name)
			continue
		}
		base, err := url.Parse(server.URL)
		if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.User != nil || base.RawQuery != "" {
			problem(false, "Not the address of a web interface", "It is like https://sandbox.example.org, without user and query.", "server", server.Name, "url")
			continue
		}
		if base.Scheme == "http" {
			problem(true, "The sandbox is asked in the clear", "Token and samples can be read on the way, and verdicts changed.", "server", server.Name, "url")
		}
		client, problems := server.Client("config", "server", server.Name)
		done.Problems = append(done.Problems, problems...)
		if client == nil {
			continue
		}
		b := &sandbox{name: server.Name, base: strings.TrimSuffix(server.URL, "/"), token: server.Token, client: client, now: c.now}
		b.protocol = &cape{b}
		if config.Flavor == flavorCuckoo {
			b.protocol = &cuckoo{b}
		}
		c.sandboxes[server.Name] = b
		list = append(list, servers.Server{Name: server.Name, Preference: int(server.Preference), Enabled: server.Enabled, Check: b.protocol.check})
	}
	c.pool = servers.New(c.now, list)
	return done, nil
}

// Choose names the sandbox whose turn it is.
func (c *connector) Choose(ctx context.Context, exclude []string) (string, error) {
	return c.pool.Choose(ctx, exclude), nil
}

// thresholds make a level of a score.
type thresholds struct{ noRisk, medium, high float64 }

// level is NoLevel for what is no score.
func (t thresholds) level(score float64) analyzer.Risk {
	const highest = 10
	switch {
	case !(score >= 0 && score <= highest): // also not a number
		return analyzer.NoLevel
	case score >= t.high:
		return analyzer.High
	case score >= t.medium:
		return analyzer.Medium
	case score > t.noRisk:
		return analyzer.Low
	}
	return analyzer.NoRisk
}
