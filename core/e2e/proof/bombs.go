package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/e2e/harness"
)

const (
	verdictWithin   = 10 * time.Second
	coreMayGrow     = 64 << 20
	unpackerMemory  = 512 << 20
	bombsCountMeant = 40
)

// bombsMade are the bombs of the proof's own making.
func bombsMade() []bomb {
	fixed := func(content string) func() ([]byte, error) {
		return func() ([]byte, error) { return []byte(content), nil }
	}
	run := func(n int64, open opener) func() ([]byte, error) {
		return func() ([]byte, error) { return compressed(n, open) }
	}
	return []bomb{
		{"overlap.zip", overlapZip},
		{"zeros.zip", func() ([]byte, error) { return zipOf(zip.Deflate, []string{"a"}, zeros{}, large) }},
		{"many-zeros.zip", func() ([]byte, error) { return zipOf(zip.Deflate, numbered(30, "%d"), zeros{}, 40<<20) }},
		{"wide-and-deep.zip", func() ([]byte, error) {
			leaf, err := zipOf(zip.Deflate, []string{"a"}, zeros{}, 8<<20)
			if err != nil {
				return nil, err
			}
			return zipNest(5, 12, leaf)
		}},
		{"deep.zip", func() ([]byte, error) { return zipNest(60, 1, []byte("leaf")) }},
		{"empty-files.zip", func() ([]byte, error) { return zipOf(zip.Store, numbered(20_000, "%d"), nil, 0) }},
		{"claims-4GiB.zip", lyingZip(22, 24, 0xfffffff0)},
		{"claims-packed.zip", lyingZip(18, 20, 0x7ffffff0)},
		{"unknown-method.zip", lyingZip(8, 10, 77)},
		{"sealed.zip", func() ([]byte, error) { return sealedZip(5000) }},
		{"zeros.docx", func() ([]byte, error) {
			return zipOf(zip.Deflate, []string{"[Content_Types].xml", "word/embeddings/oleObject1.bin"}, zeros{}, large)
		}},
		{"zeros.gz", run(large, toGzip)},
		{"zeros-twice.gz", func() ([]byte, error) {
			once, err := compressed(4*large, toGzip)
			if err != nil {
				return nil, err
			}
			return gzipped(once)
		}},
		{"deep.gz", func() ([]byte, error) {
			content := []byte("leaf")
			var err error
			for range 80 {
				if content, err = gzipped(content); err != nil {
					return nil, err
				}
			}
			return content, nil
		}},
		{"torn.gz", func() ([]byte, error) {
			content, err := compressed(1<<20, toGzip)
			return content[:len(content)/2], err
		}},
		{"zeros.bz2", bzip2Bomb},
		{"zeros.xz", run(large, toXZ)},
		{"dictionary.xz", dictionaryXZ},
		{"zeros.lzma", run(large, toLZMA)},
		{"dictionary.lzma", fixed("\x5d\x00\x00\x00\xf0\xff\xff\xff\xff\xff\xff\xff\xff\x00\x05\x41\xfb\xff\xff\xff\xe0\x00\x00\x00")},
		{"zeros.zst", run(8*large, toZstd)},
		{"window.zst", fixed("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00")},
		{"zeros.lz4", run(large, toLZ4)},
		{"many.tar", func() ([]byte, error) { return tarMany(5_000) }},
		{"deep.tar", func() ([]byte, error) { return tarNest(40) }},
		{"claims-8GiB.tar", lyingTar},
		{"deep-path.tar", func() ([]byte, error) {
			name := strings.Repeat("d/", 4000) + "leaf"
			content, err := tarred([]tar.Header{{Name: name, Mode: 0o600, Typeflag: tar.TypeReg, Format: tar.FormatPAX}}, func(int) []byte { return []byte("x") })
			return content[:len(content)-1600], err
		}},
		{"zeros.tar.xz", func() ([]byte, error) {
			content, err := tarred([]tar.Header{{Name: "a", Mode: 0o600, Typeflag: tar.TypeReg}}, func(int) []byte { return make([]byte, large) })
			if err != nil {
				return nil, err
			}
			return compressedOf(content, toXZ)
		}},
		{"claims-4GiB.cpio", fixed(cpioEntry("a", 0xfffffff0, "small") + cpioEntry("TRAILER!!!", 0, ""))},
		{"many.cpio", func() ([]byte, error) {
			return []byte(strings.Repeat(cpioEntry("a", 1, "x"), 20_000) + cpioEntry("TRAILER!!!", 0, "")), nil
		}},
		{"claims-much.ar", fixed("!<arch>\n" + fmt.Sprintf("%-16s%-12s%-6s%-6s%-8s%-10s`\n", "a/", "0", "0", "0", "644", "9999999999") + "small")},
		{"zeros.cab", cabBomb(60_000, 1_900_000_000)},
		{"claims-4GiB.cab", cabBomb(1, 0xfffffff0)},
		{"claims-4GiB.szdd", fixed("SZDD\x88\xf0\x27\x33A\x00\xf0\xff\xff\xff\xff12345678")},
		{"runs.hqx", binHexBomb},
		{"deep.rtf", func() ([]byte, error) { return rtfNest(40) }},
		{"many-objects.rtf", fixed("{\\rtf1" + strings.Repeat("{\\object{\\*\\objdata 0105000002000000ffff}}", 5000) + "}")},
		{"deep.html", func() ([]byte, error) { return htmlNest(30) }},
		{"many.html", func() ([]byte, error) {
			page := "<html>" + strings.Repeat("<a href=\"data:application/zip;base64,"+base64.StdEncoding.EncodeToString([]byte("PK\x03\x04broken.............."))+"\">x</a>", 1000)
			return []byte(page), nil
		}},
		{"zeros.pdf", func() ([]byte, error) {
			body, err := compressed(large, toZlib)
			return pdfOf(1, "/Filter /FlateDecode", body), err
		}},
		{"filters.pdf", func() ([]byte, error) {
			body, err := compressed(4*large, toZlib)
			if err == nil {
				body, err = compressedOf(body, toZlib)
			}
			return pdfOf(1, "/Filter [/FlateDecode /FlateDecode]", body), err
		}},
		{"many-files.pdf", func() ([]byte, error) { return pdfOf(3000, "", []byte("x")), nil }},
		{"claims-much.dat", func() ([]byte, error) { return tnefOf(1, 0x7fffffff, []byte("small")), nil }},
		{"many.dat", func() ([]byte, error) { return tnefOf(5000, 1, []byte("x")), nil }},
		{"loop.doc", loopedOLE},
		{"many.mbox", func() ([]byte, error) {
			return []byte(strings.Repeat("From a@b.example Mon Mar  2 10:00:00 2026\nFrom: a@b.example\nSubject: x\n\nx\n\n", 5_000)), nil
		}},
	}
}

// escapes are archives whose names try to leave the folder they are unpacked in. They are no bombs: nothing in them is to be refused.
func escapes() ([]bomb, error) {
	names := []string{"../../../../../../../tmp/" + escapeName, "/tmp/" + escapeName, `..\..\..\tmp\` + escapeName, `C:\tmp\` + escapeName, "a\x00b/" + escapeName}
	zipFile, err := zipOf(zip.Store, names, strings.NewReader(strings.Repeat("x", len(names))), 1)
	if err != nil {
		return nil, err
	}
	tarFile, err := tarred([]tar.Header{
		{Name: "link", Linkname: "/tmp", Typeflag: tar.TypeSymlink, Mode: 0o777},
		{Name: "link/" + escapeName, Typeflag: tar.TypeReg, Mode: 0o600},
		{Name: "../../../../../../../tmp/" + escapeName, Typeflag: tar.TypeReg, Mode: 0o600},
	}, func(i int) []byte { return []byte("x")[:min(i, 1)] })
	if err != nil {
		return nil, err
	}
	of := func(content []byte) func() ([]byte, error) { return func() ([]byte, error) { return content, nil } }
	return []bomb{{"escape.zip", of(zipFile)}, {"escape.tar", of(tarFile)}}, nil
}

// bombs sends every archive of the corpus and every bomb, one after the other, and watches the clock, the memory and the processes.
func bombs(ctx context.Context, e *env) (err error) {
	s, err := newLimitedSite(ctx, e)
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	unpacker, err := harness.ChildNamed(s.Gateway.Pid(), "postern-unpack")
	if err != nil {
		return err
	}
	own := bombsMade()
	more, err := escapes()
	if err != nil {
		return err
	}
	archives, err := readArchives(filepath.Join(e.corpora, "archives"))
	if err != nil {
		return err
	}
	client, err := s.Dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	// The first mail warms up what is made once.
	if _, err := client.Send("a@outside.example", []string{"warm@example.org"}, harness.Document("warm", "a.txt", []byte("warm"))); err != nil {
		return err
	}
	before, err := anonymous(s.Gateway.Pid())
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	peaks := make(chan map[string]int64, 1)
	go func() { peaks <- watch(watching, map[string]int{"core": s.Gateway.Pid(), "unpack": unpacker}) }()
	slowest, sendErr := sendBombs(ctx, e, client, append(append(append([]bomb{}, own...), more...), archives...))
	stop()
	peak := <-peaks
	if sendErr != nil {
		return sendErr
	}
	after, childErr := harness.ChildNamed(s.Gateway.Pid(), "postern-unpack")
	clean, exceptions, err := bombFates(ctx, e, s, own, archives)
	if err != nil {
		return err
	}
	if after != unpacker {
		e.printf("    the unpacker ended: %s", lastWords(s.Gateway.Log()))
	}
	escaped := findEscaped()
	e.printf("%d bombs of its own making, %d that try to escape, %d archives of the corpus", len(own), len(more), len(archives))
	e.printf("    slowest verdict %v: %s (claimed: %v)", slowest.took.Round(time.Millisecond), slowest.name, verdictWithin)
	e.printf("    core memory grew by %d MiB at most (claimed: %d), unpack's own memory at most %d MiB (limit: %d)",
		(peak["core"]-before)>>20, coreMayGrow>>20, peak["unpack"]>>20, unpackerMemory>>20)
	e.printf("    bombs that passed as clean: %v; files outside: %v; the unpacker's process is the same: %v", clean, escaped, childErr == nil && after == unpacker)
	e.printf("    of the corpus: %d met an exception, the others were opened", exceptions)
	if len(own) < bombsCountMeant || slowest.took > verdictWithin || peak["core"]-before > coreMayGrow || peak["unpack"] > unpackerMemory ||
		len(clean)+len(escaped) > 0 || after != unpacker {
		return errShort
	}
	return nil
}

// newLimitedSite is a gateway whose unpacker has a limit of memory.
func newLimitedSite(ctx context.Context, e *env) (*harness.Site, error) {
	files := map[string][]byte{"postern.hcl": nil, "sqlite.hcl": nil, "corpora.hcl": nil}
	for name := range files {
		content, err := configs.ReadFile("config/" + name)
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	for plain, limited := range map[string]string{
		`plugin "unpack" { command = "postern-unpack" }`: fmt.Sprintf(
			"plugin \"unpack\" {\n  command = \"postern-unpack\"\n  limits { memory = \"%d MiB\" }\n}", unpackerMemory>>20),
		// What it suspects would be kept before the limits are asked.
		`plugin "atse" { command = "postern-atse" }`: "plugin \"atse\" {\n  command = \"postern-atse\"\n  config { heuristics = false }\n}",
	} {
		if !bytes.Contains(files["postern.hcl"], []byte(plain)) {
			return nil, fmt.Errorf("the policy has no %s to replace", plain)
		}
		files["postern.hcl"] = bytes.Replace(files["postern.hcl"], []byte(plain), []byte(limited), 1)
	}
	return harness.NewSite(ctx, e.bin, e.scratch, files)
}

// lastWords are the lines of the log that say why a plugin ended.
func lastWords(log string) string {
	var out []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, "plugin process ended") || strings.Contains(line, "fatal error") || strings.Contains(line, "panic") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "\n")
}

func readArchives(dir string) ([]bomb, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []bomb
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		out = append(out, bomb{entry.Name(), func() ([]byte, error) { return os.ReadFile(path) }})
	}
	return out, nil
}

type timing struct {
	name string
	took time.Duration
}

func bombRecipient(name string) string { return strings.ToLower(name) + "@example.org" }

func sendBombs(ctx context.Context, e *env, client *harness.Client, all []bomb) (slowest timing, err error) {
	for _, b := range all {
		content, err := b.make()
		if err != nil {
			return slowest, fmt.Errorf("make %s: %w", b.name, err)
		}
		mail := harness.Document("bomb", b.name, content)
		started := time.Now()
		reply, err := client.Send("a@outside.example", []string{bombRecipient(b.name)}, mail)
		if err != nil {
			return slowest, fmt.Errorf("send %s: %w", b.name, err)
		}
		if took := time.Since(started); took > slowest.took {
			slowest = timing{b.name, took}
		}
		if !reply.Accepted() {
			e.printf("    %s was answered %s", b.name, reply)
		}
		if err := ctx.Err(); err != nil {
			return slowest, err
		}
	}
	return slowest, nil
}

// bombFates names the bombs that met no exception, with the rules that they met instead, and counts the corpus archives that did.
func bombFates(ctx context.Context, e *env, s *harness.Site, own, archives []bomb) (clean []string, exceptions int, err error) {
	f, err := readFates(ctx, s)
	if err != nil {
		return nil, 0, err
	}
	excepted := func(b bomb) bool {
		for _, rule := range f.rules[bombRecipient(b.name)] {
			switch rule {
			case "security_settings", "encryption", "plugin_unavailable", "malformed_message":
				return true
			}
		}
		return false
	}
	for _, b := range append(append([]bomb{}, own...), archives...) {
		if slices.Contains(f.rules[bombRecipient(b.name)], "plugin_unavailable") {
			e.printf("    %s met plugin_unavailable", b.name)
		}
	}
	for _, b := range own {
		if !excepted(b) {
			clean = append(clean, fmt.Sprint(b.name, f.rules[bombRecipient(b.name)]))
		}
	}
	for _, b := range archives {
		if excepted(b) {
			exceptions++
		}
	}
	return clean, exceptions, nil
}

// findEscaped looks for files that names in archives meant to write.
func findEscaped() []string {
	var out []string
	for _, dir := range []string{"/tmp", ".", os.TempDir()} {
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && strings.Contains(entry.Name(), escapeName) {
				out = append(out, path)
			}
			return nil // what cannot be read was not written by the gateway
		})
	}
	return out
}

// dictionaryXZ asks for a dictionary of 1.5 GiB.
func dictionaryXZ() ([]byte, error) {
	content, err := compressed(1<<10, toXZ)
	if err != nil {
		return nil, err
	}
	// The header of the block: its size, flags, filter 0x21, one byte of properties, the dictionary; a checksum at its end.
	const block = 12
	at := bytes.Index(content[block:], []byte{0x21, 0x01}) + block
	content[at+2] = 37
	length := (int(content[block]) + 1) * 4
	binary.LittleEndian.PutUint32(content[block+length-4:], checksum(content[block:block+length-4]))
	return content, nil
}
