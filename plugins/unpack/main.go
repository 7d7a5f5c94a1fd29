// Command postern-unpack takes containers apart: archives and compressed files, and those inside of them.
package main

import (
	"github.com/postern-mail/postern/sdk/serve"
)

func main() { serve.Main(plugin()) }

func plugin() serve.Plugin {
	return serve.Plugin{
		Name: "unpack", Version: "1.0.0", Summary: "Takes archives and compressed files apart, layer by layer.",
		Unpacker: unpack{},
		// What a file begins with decides; the names are for archives with something in front of them.
		Containers: []string{
			"magic:504B0304", "magic:504B0506", "magic:1F8B", "magic:425A68", "magic:28B52FFD", "magic:7573746172@257",
			"application/zip", "application/x-zip-compressed", ".zip", ".jar", ".docx", ".xlsx", ".pptx", ".docm", ".xlsm", ".pptm",
		},
	}
}
