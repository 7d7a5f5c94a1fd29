package plugincatalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"google.golang.org/protobuf/encoding/protojson"

	pluginv1 "github.com/postern-mail/postern/sdk/proto/plugin/v1"
)

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Load reads a lock file. A file that does not exist is an empty catalog: nothing was pinned yet.
func Load(path string) (Catalog, error) {
	source, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Catalog{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load plugin catalog: %w", err)
	}
	catalog, diags := Parse(source, path)
	if diags.HasErrors() {
		return nil, fmt.Errorf("load plugin catalog: %w", diags)
	}
	return catalog, nil
}

// Parse reads the text of a lock file. The catalog is nil where a diagnostic is an error.
func Parse(source []byte, filename string) (Catalog, hcl.Diagnostics) {
	file, diags := hclsyntax.ParseConfig(source, filename, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	type pinned struct {
		Digest      string `hcl:"digest"`
		File        string `hcl:"file,optional"`
		Description string `hcl:"description"`
	}
	var lock struct {
		Plugins []struct {
			Name        string    `hcl:"name,label"`
			Digest      string    `hcl:"digest"`
			File        string    `hcl:"file,optional"`
			Description string    `hcl:"description"`
			Previous    *pinned   `hcl:"previous,block"`
			Range       hcl.Range `hcl:",def_range"`
		} `hcl:"plugin,block"`
	}
	diags = append(diags, gohcl.DecodeBody(file.Body, nil, &lock)...)
	if diags.HasErrors() {
		return nil, diags
	}
	catalog := Catalog{}
	for _, p := range lock.Plugins {
		entry, err := readEntry(p.Name, p.Digest, p.File, p.Description)
		if err == nil && p.Previous != nil {
			var previous Entry
			previous, err = readEntry(p.Name, p.Previous.Digest, p.Previous.File, p.Previous.Description)
			entry.Previous = &previous
		}
		if _, twice := catalog[p.Name]; err == nil && twice {
			err = errors.New("the plugin is pinned twice")
		}
		if err != nil {
			diags = diags.Append(&hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Unusable entry of the plugin lock file",
				Detail:  fmt.Sprintf("%s. Write the entry anew with `postern plugin pin`.", err),
				Subject: &p.Range,
			})
			continue
		}
		catalog[p.Name] = entry
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return catalog, diags
}

func readEntry(name, digest, file, description string) (Entry, error) {
	entry := Entry{Name: name, Digest: digest, File: file, Description: &pluginv1.DescribeResponse{}}
	if err := protojson.Unmarshal([]byte(description), entry.Description); err != nil {
		return entry, err
	}
	return entry, entry.check()
}

func (e Entry) check() error {
	if !ValidName(e.Name) {
		return fmt.Errorf("the name %q is not of the form [a-z][a-z0-9_-]*", e.Name)
	}
	if !digestPattern.MatchString(e.Digest) {
		return errors.New(`the digest is not "sha256:" and 64 hexadecimal digits`)
	}
	return Check(e.Description)
}

// Save replaces a lock file. A crash leaves the old file or the new one.
func Save(path string, catalog Catalog) error {
	text, err := Format(catalog)
	if err != nil {
		return fmt.Errorf("save plugin catalog: %w", err)
	}
	if err := replaceFile(path, text); err != nil {
		return fmt.Errorf("save plugin catalog: %w", err)
	}
	return nil
}

func replaceFile(path string, text []byte) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	_, err = temporary.Write(text)
	if err == nil {
		err = temporary.Chmod(0o644)
	}
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// Format is the text of a lock file; the same catalog always gives the same text.
func Format(catalog Catalog) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# Written by `postern plugin pin`: what each plugin said it is, and the executable that said so.\n")
	for _, name := range slices.Sorted(maps.Keys(catalog)) {
		entry := catalog[name]
		fmt.Fprintf(&out, "\nplugin %q {\n", entry.Name)
		if err := formatEntry(&out, "  ", entry); err != nil {
			return nil, fmt.Errorf("plugin %s: %w", name, err)
		}
		if entry.Previous != nil {
			out.WriteString("  previous { # what `postern plugin rollback` goes back to\n")
			if err := formatEntry(&out, "    ", *entry.Previous); err != nil {
				return nil, fmt.Errorf("plugin %s: %w", name, err)
			}
			out.WriteString("  }\n")
		}
		out.WriteString("}\n")
	}
	return out.Bytes(), nil
}

func formatEntry(out *bytes.Buffer, indent string, e Entry) error {
	if err := e.check(); err != nil {
		return err
	}
	description, err := formatDescription(e.Description)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%sdigest      = %q\n", indent, e.Digest)
	if e.File != "" {
		fmt.Fprintf(out, "%sfile        = %s\n", indent, hclwrite.TokensForValue(cty.StringVal(e.File)).Bytes())
	}
	fmt.Fprintf(out, "%sdescription = <<JSON\n%s\nJSON\n", indent, description)
	return nil
}

// formatDescription is the description as indented JSON. protojson varies its white space on purpose, so that is taken out first.
func formatDescription(d *pluginv1.DescribeResponse) (string, error) {
	text, err := protojson.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("encode description: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return "", fmt.Errorf("encode description: %w", err)
	}
	return heredocSafe(indented.String()), nil
}

// heredocSafe writes JSON so that HCL reads it back unchanged: it takes "${" and "%{" for templates and normalises Unicode, and
// both can only stand inside JSON strings, where an escape says the same.
func heredocSafe(text string) string {
	var out strings.Builder
	for i, r := range text {
		switch {
		case (r == '$' || r == '%') && strings.HasPrefix(text[i+1:], "{"), r > 0x7e && r <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
