package main

import (
	"strings"

	"github.com/postern-mail/postern/sdk/compound"
)

const maxEquations = 100

func isCompound(s *subject) bool { return begins(s.data, compound.Magic) }

// compoundFile looks at an old Office document, or at the project of macros of a new one. What cannot be read gives no sign: that the file
// is broken is said by what takes it apart.
func compoundFile(s *subject) []hit {
	o, _ := compound.Read(s.data)
	if o == nil {
		return nil
	}
	hits := vba(o)
	equations := 0
	for _, path := range o.Paths {
		switch base := path[strings.LastIndexByte(path, '/')+1:]; {
		case path == "Workbook" || path == "Book":
			hits = append(hits, workbook(readStream(o, path))...)
		case path == "WordDocument":
			hits = append(hits, wordBinaryFields(readStream(o, path))...)
		case base == "Equation Native" && equations < maxEquations:
			equations++
			start, _ := o.ReadSome(path, 4<<10)
			hits = append(hits, equation(start)...)
		}
	}
	return hits
}

// readStream is what could be read of a stream.
func readStream(o *compound.File, path string) []byte {
	data, _ := o.Read(path)
	return data
}
