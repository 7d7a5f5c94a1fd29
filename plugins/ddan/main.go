// Command postern-ddan gives samples to sandbox appliances over their web service (/web_service/sample_upload): it asks whether the
// appliance knows a sample, uploads it where it does not, and asks for many verdicts in one request.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
	"github.com/postern-mail/postern/sdk/servers"
)

func main() {
	serve.Main(plugin(&connector{environment: environment{
		now: time.Now, random: rand.Reader, hostname: os.Hostname, scratch: os.TempDir(), pause: firstPause,
	}}))
}

// environment is what comes from outside.
type environment struct {
	now      func() time.Time
	random   io.Reader
	hostname func() (string, error)
	scratch  string        // folder where archives are made
	pause    time.Duration // before the second attempt of a call
}

func plugin(c *connector) serve.Plugin {
	return serve.Plugin{
		Name: "ddan", Version: "1.0.0", Summary: "Has samples analysed by sandbox appliances of the kind Deep Discovery Analyzer.",
		Config: schema.Body{
			Attributes: []schema.Attribute{{
				Name: "unsupported_rating", Summary: "the negative rating that means that the appliance does not take the kind of file",
				Type: schema.Number, Default: -1, Max: schema.Bound(-1),
			}},
			Blocks: []schema.Block{{
				Name: "server", Summary: "an appliance", Labels: []string{"host"}, Required: true, Repeated: true, Endpoint: "{host}:{port}",
				Body: schema.Body{Attributes: append([]schema.Attribute{
					{Name: "port", Summary: "of the web service", Type: schema.Number, Default: 443, Min: schema.Bound(1), Max: schema.Bound(65535)},
					{Name: "api_key", Summary: "as the appliance shows it in Help > About", Type: schema.String, Required: true, Sensitive: true},
				}, servers.Attributes()...)},
			}},
		},
		Configure: c.configure,
		Analyzer:  servers.InTime(c),
	}
}

// connector is the plugin with the appliances of its configuration, which configure sets once before anything else is called.
type connector struct {
	environment
	pool        *servers.Pool
	appliances  map[string]*appliance
	unsupported int
	log         hclog.Logger
}

type serverConfig struct {
	servers.Config
	Host   string `json:"host"`
	Port   int    `json:"port"`
	APIKey string `json:"api_key"`
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
	c.appliances, c.unsupported, c.log = map[string]*appliance{}, config.Unsupported, configuration.Log
	var list []servers.Server
	enabled := false
	for _, server := range config.Servers {
		path := []string{"config", "server", server.Host}
		if _, twice := c.appliances[server.Host]; twice {
			done.Problems = append(done.Problems, serve.Problem{
				Path: path, Summary: "Server named twice", Detail: "Samples are asked for by the name of their server: each name stands once.",
			})
			continue
		}
		if strings.TrimSpace(server.APIKey) == "" {
			done.Problems = append(done.Problems, serve.Problem{
				Path: append(path, "api_key"), Summary: "No API key", Detail: "The appliance shows it in Help > About.",
			})
		}
		client, problems := server.Client(path...)
		done.Problems = append(done.Problems, problems...)
		if client == nil {
			continue
		}
		a := newAppliance(server, hostname, client, c.now, c.random)
		c.appliances[server.Host] = a
		list = append(list, servers.Server{Name: server.Host, Preference: int(server.Preference), Enabled: server.Enabled, Check: a.test})
		enabled = enabled || server.Enabled
	}
	if !enabled && len(done.Problems) == 0 {
		done.Problems = append(done.Problems, serve.Problem{
			Path: []string{"config"}, Summary: "No server is enabled", Detail: "Samples are not submitted until one is.", Warning: true,
		})
	}
	c.pool = servers.New(c.now, list)
	return done, nil
}

// Choose names the appliance whose turn it is.
func (c *connector) Choose(ctx context.Context, exclude []string) (string, error) {
	return c.pool.Choose(ctx, exclude), nil
}
