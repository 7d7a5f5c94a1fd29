// Command postern-ddan gives samples to sandbox appliances over their web service (/web_service/sample_upload): it asks whether the
// appliance knows a sample, uploads it where it does not, and asks for many verdicts in one request.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/analyzer"
	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
	"github.com/postern-mail/postern/sdk/servers"
)

func main() {
	serve.Main(plugin(environment{now: time.Now, random: rand.Reader, hostname: os.Hostname, scratch: os.TempDir()}))
}

// environment is what comes from outside.
type environment struct {
	now      func() time.Time
	random   io.Reader
	hostname func() (string, error)
	scratch  string // folder where archives are made
	pause    time.Duration
}

func plugin(e environment) serve.Plugin {
	if e.pause == 0 {
		e.pause = firstPause
	}
	c := &connector{environment: e}
	return serve.Plugin{
		Name: "ddan", Version: "1.0.0", Summary: "Has samples analysed by sandbox appliances of the kind Deep Discovery Analyzer.",
		Config: schema.Body{
			Attributes: []schema.Attribute{{
				Name: "unsupported_rating", Summary: "the negative rating that means that the appliance does not take the kind of file",
				Type: schema.Number, Default: -1, Max: schema.Bound(-1),
			}},
			Blocks: []schema.Block{{
				Name: "server", Summary: "an appliance", Labels: []string{"host"}, Required: true, Repeated: true,
				Body: schema.Body{Attributes: []schema.Attribute{
					{Name: "port", Summary: "of the web service", Type: schema.Number, Default: 443, Min: schema.Bound(1), Max: schema.Bound(65535)},
					{Name: "api_key", Summary: "as the appliance shows it in Help > About", Type: schema.String, Required: true, Sensitive: true},
					{Name: "preference", Summary: "lower is used first; equal ones share", Type: schema.Number, Default: 10},
					{Name: "enabled", Summary: "whether it is given samples", Type: schema.Bool, Default: true},
					{Name: "ca_file", Summary: "PEM file of the authorities its certificate is checked by", Type: schema.Path},
					{Name: "fingerprint", Summary: "SHA-256 of its certificate, which is then the one that is accepted", Type: schema.String},
					{Name: "insecure", Summary: "whether any certificate is accepted", Type: schema.Bool, Default: false},
				}},
			}},
		},
		Configure: c.configure,
		Analyzer:  c,
	}
}

// connector is the plugin; configure sets what it works with once.
type connector struct {
	environment
	current atomic.Pointer[site]
}

// site is the appliances of a configuration.
type site struct {
	pool        *servers.Pool
	appliances  map[string]*appliance
	unsupported int
	pause       time.Duration
	scratch     string
	now         func() time.Time
	log         hclog.Logger
}

type serverConfig struct {
	Host        string  `json:"host"`
	Port        int     `json:"port"`
	APIKey      string  `json:"api_key"`
	Preference  float64 `json:"preference"`
	Enabled     bool    `json:"enabled"`
	CAFile      string  `json:"ca_file"`
	Fingerprint string  `json:"fingerprint"`
	Insecure    bool    `json:"insecure"`
}

func (c *connector) configure(_ context.Context, configuration *serve.Configuration) (*serve.Configured, error) {
	var config struct {
		Unsupported int            `json:"unsupported_rating"`
		Servers     []serverConfig `json:"server"`
	}
	if err := json.Unmarshal(configuration.Config, &config); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	hostname, err := c.hostname()
	if err != nil {
		return nil, fmt.Errorf("find own name: %w", err)
	}
	done := &serve.Configured{}
	s := &site{appliances: map[string]*appliance{}, unsupported: config.Unsupported, pause: c.pause, scratch: c.scratch, now: c.now, log: configuration.Log}
	var list []servers.Server
	enabled := false
	for _, server := range config.Servers {
		problem := func(attribute, summary, detail string, warning bool) {
			path := []string{"config", "server", server.Host}
			if attribute != "" {
				path = append(path, attribute)
			}
			done.Problems = append(done.Problems, serve.Problem{Path: path, Summary: summary, Detail: detail, Warning: warning})
		}
		if _, twice := s.appliances[server.Host]; twice {
			problem("", "Server named twice", "Samples are asked for by the name of their server: each name stands once.", false)
			continue
		}
		if strings.TrimSpace(server.APIKey) == "" {
			problem("api_key", "No API key", "The appliance shows it in Help > About.", false)
		}
		if server.Insecure {
			problem("insecure", "The appliance's certificate is not checked",
				"Whoever answers at this address is given samples and can call them harmless. Better give ca_file or fingerprint.", true)
		}
		client, err := servers.NewClient(servers.Identity{CAFile: server.CAFile, Fingerprint: server.Fingerprint, Insecure: server.Insecure})
		if err != nil {
			problem(map[bool]string{true: "ca_file", false: "fingerprint"}[server.Fingerprint == ""], "No way to know the appliance", err.Error()+".", false)
			continue
		}
		a := newAppliance(server, hostname, client, c.now, c.random)
		s.appliances[server.Host] = a
		list = append(list, servers.Server{Name: server.Host, Preference: int(server.Preference), Enabled: server.Enabled, Check: a.test})
		enabled = enabled || server.Enabled
	}
	if !enabled && len(done.Problems) == 0 {
		done.Problems = append(done.Problems, serve.Problem{
			Path: []string{"config"}, Summary: "No server is enabled", Detail: "Samples are not submitted until one is.", Warning: true,
		})
	}
	s.pool = servers.New(c.now, list)
	c.current.Store(s)
	return done, nil
}

var errNotConfigured = errors.New("not configured")

// Choose names the appliance whose turn it is.
func (c *connector) Choose(ctx context.Context, exclude []string) (string, error) {
	s := c.current.Load()
	if s == nil {
		return "", errNotConfigured
	}
	ctx, cancel := servers.Within(ctx)
	defer cancel()
	return s.pool.Choose(ctx, exclude), nil
}

// Submit hands one sample over.
func (c *connector) Submit(ctx context.Context, sample *analyzer.Sample) (*analyzer.Receipt, error) {
	s := c.current.Load()
	if s == nil {
		return nil, errNotConfigured
	}
	ctx, cancel := servers.Within(ctx)
	defer cancel()
	return s.submit(ctx, sample)
}

// Results asks for many verdicts.
func (c *connector) Results(ctx context.Context, submissions []analyzer.Submission) ([]analyzer.Result, error) {
	s := c.current.Load()
	if s == nil {
		return nil, errNotConfigured
	}
	ctx, cancel := servers.Within(ctx)
	defer cancel()
	return s.results(ctx, submissions)
}
