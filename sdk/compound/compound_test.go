package compound_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/postern-mail/postern/sdk/compound"
	"github.com/postern-mail/postern/sdk/compound/compoundtest"
)

func TestRead(t *testing.T) {
	content := strings.Repeat("0123456789", 500)
	file := compoundtest.File("First", content, "Storage/Second", "short")
	o, err := compound.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(o.Paths, " "); got != "First Storage/Second" {
		t.Errorf("streams are %q", got)
	}
	if got, err := o.Read("First"); err != nil || string(got) != content {
		t.Errorf("First is %d bytes, %v", len(got), err)
	}
	if got, err := o.ReadSome("Storage/Second", 5); err != nil || string(got) != "short" {
		t.Errorf("Second begins with %q, %v", got, err)
	}
	if _, err := o.Read("Third"); err == nil {
		t.Error("a stream that is not there was read")
	}
	cut, err := compound.Read(file[:len(file)-4096])
	if err == nil && cut != nil {
		_, err = cut.Read("First")
	}
	if err == nil {
		t.Error("a file without its end is read as whole")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(compoundtest.File("a", "b"))
	f.Add([]byte(compound.Magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		o, err := compound.Read(data)
		if o == nil {
			if err == nil {
				t.Error("neither a file nor an error")
			}
			return
		}
		for _, path := range o.Paths {
			if _, err := o.Read(path); err == nil && !o.Has(path) {
				t.Errorf("%q is read and not there", path)
			}
		}
		if !bytes.Equal(before, data) {
			t.Error("the data were changed")
		}
	})
}
