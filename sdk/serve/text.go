package serve

import (
	"strings"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

// text makes a string fit for the wire: valid UTF-8 (gRPC refuses anything else) and not over the contract's length.
func text(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > pluginv1.MaxText {
		s = strings.ToValidUTF8(s[:pluginv1.MaxText], "")
	}
	return s
}
