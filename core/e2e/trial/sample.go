package main

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsimple"
)

// sample is one mail with what has to become of it.
type sample struct {
	Name string `hcl:"name,label"`
	File string `hcl:"file"`
	From string `hcl:"from"`
	// Verdict is a line for the simulator, about an attachment that is held until it is known.
	Verdict string `hcl:"verdict,optional"`
	Fates   []fate `hcl:"fate,block"`
	data    []byte
}

type fate struct {
	Recipient string `hcl:"recipient,label"`
	Is        string `hcl:"is"`
	Rule      string `hcl:"rule,optional"`
}

func (s *sample) recipients() []string {
	var out []string
	for _, f := range s.Fates {
		out = append(out, f.Recipient)
	}
	return out
}

func readSamples(folder string) ([]sample, error) {
	var file struct {
		Samples []sample `hcl:"sample,block"`
	}
	if err := hclsimple.DecodeFile(filepath.Join(folder, "samples.hcl"), nil, &file); err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	made, err := makeFiles()
	if err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	for i := range file.Samples {
		s := &file.Samples[i]
		raw, err := os.ReadFile(filepath.Join(folder, s.File))
		if err != nil {
			return nil, fmt.Errorf("read samples: %w", err)
		}
		s.data = fill(raw, made)
	}
	return file.Samples, nil
}

// eicar is the EICAR test file, put together here so that nothing in the repository is taken for it.
func eicar() string {
	return "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE" + "!$H+H*"
}

// makeFiles makes the attachments that the samples name.
func makeFiles() (map[string][]byte, error) {
	inner, err := zipOf("eicar.com", []byte(eicar()))
	if err != nil {
		return nil, err
	}
	program := append([]byte("MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00"), make([]byte, 512)...)
	made := map[string][]byte{
		"program": program, "other-program": append(program[:len(program):len(program)], "another one"...), "text": []byte("Cheap.\r\n"),
		"script": []byte("var helper = 1;\r\n"), "other-script": []byte("' makes a backup\r\n"),
	}
	for name, member := range map[string]struct {
		name    string
		content []byte
	}{
		"eicar-in-two-zips": {"inner.zip", inner},
		"script-in-zip":     {"invoice.hta", []byte("var x = new ActiveXObject('WScript.Shell');")},
		"text-in-zip":       {"kit.txt", []byte("Press kit")},
		"encrypted-zip":     {"secret.txt", []byte("not readable")},
	} {
		if made[name], err = zipOf(member.name, member.content); err != nil {
			return nil, err
		}
	}
	markEncrypted(made["encrypted-zip"])
	return made, nil
}

func zipOf(name string, content []byte) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// markEncrypted sets the encryption flag in the local header and in the directory.
func markEncrypted(archive []byte) {
	archive[6] |= 1
	archive[bytes.Index(archive, []byte("PK\x01\x02"))+8] |= 1
}

// fill puts the made files into a mail's text and gives it SMTP's line ends.
func fill(raw []byte, made map[string][]byte) []byte {
	text := strings.ReplaceAll(string(raw), "{{EICAR}}", eicar())
	text = regexp.MustCompile(`\{\{FILE:([a-z-]+)\}\}`).ReplaceAllStringFunc(text, func(token string) string {
		return lines(base64.StdEncoding.EncodeToString(made[token[len("{{FILE:"):len(token)-2]]))
	})
	return []byte(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n"))
}

func lines(encoded string) string {
	var b strings.Builder
	for len(encoded) > 76 {
		b.WriteString(encoded[:76] + "\n")
		encoded = encoded[76:]
	}
	return b.String() + encoded
}
