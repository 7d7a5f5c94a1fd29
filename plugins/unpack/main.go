// Command postern-unpack takes containers apart: archives, compressed files, documents with files in them, and those inside of them.
// It reads what strangers send with many readers, some of them foreign code: whatever one of them does stays in this process, which
// the host limits and starts again.
package main

import (
	"os"

	"github.com/postern-mail/postern/sdk/schema"
	"github.com/postern-mail/postern/sdk/serve"
)

func main() {
	if isConfined() {
		os.Exit(runConfined(os.Args[2:]))
	}
	serve.Main(plugin())
}

func plugin() serve.Plugin {
	u := &unpack{}
	return serve.Plugin{
		Name: "unpack", Version: "1.1.0", Summary: "Takes archives, compressed files and documents apart, layer by layer.",
		Config: schema.Body{Attributes: []schema.Attribute{
			{Name: "passwords", Summary: "words to try on what is encrypted, besides those of the mail", Type: schema.Strings, Sensitive: true},
			{Name: "tool", Summary: "path of Debian's 7zz; found by itself where it is left out", Type: schema.Path},
		}},
		Configure:  u.configure,
		Unpacker:   u,
		Containers: containers(),
	}
}
