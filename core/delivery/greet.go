package delivery

import (
	"context"
	"crypto/tls"
	"maps"
	"slices"

	"github.com/postern-mail/postern/core/policy"
)

// Greet connects to a host of the relay as a delivery would, secures the session as the relay asks for, and ends it. It returns what the
// host offers, and whether the session was inside TLS.
func Greet(ctx context.Context, relay *policy.Relay, host, hostname string) (offers []string, secured bool, err error) {
	c, err := dial(ctx, host, hostname, relay)
	if err != nil {
		return nil, false, err
	}
	_, secured = c.conn.(*tls.Conn)
	offers = slices.Sorted(maps.Keys(c.ext))
	c.quit()
	return offers, secured, nil
}
