package pluginv1

import _ "embed"

// Proto is the contract itself, for those who write plugins in other languages.
//
//go:embed plugin.proto
var Proto string

// What both sides of the contract hold fixed beside the messages.
const (
	// ProtocolVersion is the major version, go-plugin's integer. Minor versions are DescribeResponse.api_minor.
	ProtocolVersion = 1
	// CookieKey and CookieValue tell a plugin that it was started by Postern and not by hand. They are no secret.
	CookieKey   = "POSTERN_PLUGIN"
	CookieValue = "d5c1c7f0-plugin-v1"
	// MaxMessage is the largest gRPC message either side accepts, in bytes.
	MaxMessage = 1 << 20
	// StreamWindow and ConnectionWindow are how many bytes may be under way before the other side has taken them (RFC 9113 section 5.2).
	// Fixed ones save the pings by which gRPC finds its own.
	StreamWindow     = 1 << 20
	ConnectionWindow = 4 << 20
	// InlineBody is the largest body that travels in the opening itself; what is larger goes by file or in chunks.
	InlineBody = 256 << 10
	// InlineTotal bounds all inline bodies of one opening together.
	InlineTotal = 768 << 10
	// Chunk is the size of the pieces of a streamed body.
	Chunk = 64 << 10
	// MaxFindings and MaxText bound a report: findings in all, and bytes of any one string.
	MaxFindings = 256
	MaxText     = 4 << 10
)
