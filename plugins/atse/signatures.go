package main

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-mail/postern/sdk/scanner"
)

// ruleSet is what one file says of malware.
type ruleSet interface {
	// match returns the malware's name and why, or "".
	match(part *scanner.Part) (name, evidence string, err error)
	count() int
}

// signatures are those of one file in ClamAV's formats.
type signatures struct {
	// md5 is looked into only for files of a size that some MD5 signature has: the core gives SHA-1 and SHA-256, but no MD5.
	md5      map[string][]signature
	md5Sizes map[int64]bool
	anySize  bool // some MD5 signature is for any size
	sha      map[string][]signature
	content  contentSignatures
}

type signature struct {
	name string
	size int64 // -1: any
}

// Bounds of one file of signatures.
const (
	maxSignatureFile = 512 << 20
	maxSignatureLine = 64 << 10
)

func isSignatureFile(name string) bool {
	return slices.Contains([]string{".hdb", ".hsb", ".ndb", ".yar", ".yara"}, filepath.Ext(name))
}

// signatureFiles are the files at and below a path.
func signatureFiles(path string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() && isSignatureFile(name) {
			files = append(files, name)
		}
		return nil
	})
	slices.Sort(files)
	return files, err
}

// loadSignatures reads one file; of one that holds a bad line nothing is taken. Signatures of a kind that is not supported are told, and the
// others of the file serve.
func loadSignatures(path string) (_ ruleSet, unsupported []string, err error) {
	if ext := filepath.Ext(path); ext == ".yar" || ext == ".yara" {
		rules, err := loadYARA(path)
		return rules, nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	s := &signatures{md5: map[string][]signature{}, md5Sizes: map[int64]bool{}, sha: map[string][]signature{}}
	lines := bufio.NewScanner(io.LimitReader(f, maxSignatureFile))
	lines.Buffer(nil, maxSignatureLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		switch err := s.add(filepath.Ext(path), line); {
		case errors.Is(err, errUnsupported):
			unsupported = append(unsupported, fmt.Sprintf("%s:%d: %v", path, n, err))
		case err != nil:
			return nil, nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, unsupported, nil
}

func (s *signatures) add(extension, line string) error {
	if extension == ".ndb" {
		sig, err := parseContentSignature(line)
		if err != nil {
			return err
		}
		return s.content.add(sig)
	}
	digest, sig, err := parseSignature(line)
	if err != nil {
		return err
	}
	if len(digest) != 2*md5.Size {
		s.sha[digest] = append(s.sha[digest], sig)
		return nil
	}
	s.md5[digest] = append(s.md5[digest], sig)
	s.md5Sizes[sig.size] = true
	s.anySize = s.anySize || sig.size < 0
	return nil
}

func (s *signatures) count() int { return len(s.sha) + len(s.md5) + s.content.count }

// parseSignature reads HashString:FileSize:MalwareName[:MinFL[:MaxFL]]; a size of "*" is any.
func parseSignature(line string) (digest string, sig signature, err error) {
	fields := strings.Split(line, ":")
	if len(fields) < 3 || len(fields) > 5 || fields[2] == "" {
		return "", sig, fmt.Errorf("%q is not hash:size:name", line)
	}
	digest = strings.ToLower(fields[0])
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != 16 && len(raw) != 20 && len(raw) != 32 {
		return "", sig, fmt.Errorf("%q is no MD5, SHA-1 or SHA-256 in hexadecimal", fields[0])
	}
	sig = signature{name: fields[2], size: -1}
	if fields[1] != "*" {
		if sig.size, err = strconv.ParseInt(fields[1], 10, 64); err != nil || sig.size < 0 {
			return "", sig, fmt.Errorf("size %q is neither a number nor *", fields[1])
		}
	}
	return digest, sig, nil
}

func (s *signatures) match(part *scanner.Part) (name, evidence string, err error) {
	for _, digest := range []string{part.SHA256, part.SHA1} {
		if name := find(s.sha[digest], part.Size); name != "" {
			return name, "hash " + digest, nil
		}
	}
	if s.anySize || s.md5Sizes[part.Size] {
		digest, err := digestOf(part.Body, md5.New())
		if err != nil {
			return "", "", err
		}
		if name := find(s.md5[digest], part.Size); name != "" {
			return name, "hash " + digest, nil
		}
	}
	if s.content.count == 0 {
		return "", "", nil
	}
	data, err := beginning(part, maxContent)
	if err != nil {
		return "", "", err
	}
	if sig, at := s.content.find(data); sig != nil {
		return sig.name, fmt.Sprintf("its bytes at %d", at), nil
	}
	return "", "", nil
}

func find(list []signature, size int64) string {
	for _, sig := range list {
		if sig.size < 0 || sig.size == size {
			return sig.name
		}
	}
	return ""
}

func digestOf(body scanner.Body, h hash.Hash) (string, error) {
	r, err := body.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

const (
	eicarName = "Eicar-Test-Signature"
	// eicarLongest is the longest test file: 68 bytes and white space after them, by its definition.
	eicarLongest = 128
)

// eicar is the test file. It is put together here, so that this program is not taken for it.
func eicar() []byte {
	return []byte("X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE" + "!$H+H*")
}

// isEICAR reports whether the content is the EICAR test file: it begins with it, and only white space follows. In text that a mail
// carries as its body some lines may stand around it, so there the string alone counts.
func isEICAR(part *scanner.Part) (bool, error) {
	inline := part.Kind == "text" || part.Kind == "html"
	if part.Size < int64(len(eicar())) || !inline && part.Size > 4*eicarLongest {
		return false, nil
	}
	r, err := part.Body.Open()
	if err != nil {
		return false, err
	}
	defer r.Close()
	head, err := io.ReadAll(io.LimitReader(r, 64<<10))
	if err != nil {
		return false, err
	}
	if inline {
		return bytes.Contains(head, eicar()), nil
	}
	rest, isTest := bytes.CutPrefix(bytes.TrimLeft(head, " \t\r\n"), eicar())
	return isTest && len(bytes.Trim(rest, " \t\r\n\x1a\x00")) == 0, nil
}
