package main

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
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

// signatures are hash signatures by digest.
type signatures struct {
	// md5 is looked into only for files of a size that some MD5 signature has: the core gives SHA-1 and SHA-256, but no MD5.
	md5      map[string][]signature
	md5Sizes map[int64]bool
	anySize  bool // some MD5 signature is for any size
	sha      map[string][]signature
	files    int
}

type signature struct {
	name string
	size int64 // -1: any
}

// maxSignatureFile bounds one file of signatures.
const maxSignatureFile = 512 << 20

// loadSignatures reads .hdb and .hsb files. What does not load is told, file and line, and the others serve.
func loadSignatures(paths []string) (s *signatures, problems []string) {
	s = &signatures{md5: map[string][]signature{}, md5Sizes: map[int64]bool{}, sha: map[string][]signature{}}
	for _, path := range paths {
		files, err := signatureFiles(path)
		if err != nil {
			problems = append(problems, err.Error())
		}
		for _, file := range files {
			if err := s.load(file); err != nil {
				problems = append(problems, err.Error())
				continue
			}
			s.files++
		}
	}
	return s, problems
}

func signatureFiles(path string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ext := filepath.Ext(name); !entry.IsDir() && (ext == ".hdb" || ext == ".hsb") {
			files = append(files, name)
		}
		return nil
	})
	slices.Sort(files)
	return files, err
}

// load reads one file; of one that holds a bad line nothing is taken.
func (s *signatures) load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxSignatureFile))
	fresh := map[string][]signature{}
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		digest, sig, err := parseSignature(line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		fresh[digest] = append(fresh[digest], sig)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for digest, list := range fresh {
		s.add(digest, list)
	}
	return nil
}

func (s *signatures) add(digest string, list []signature) {
	if len(digest) != 2*md5.Size {
		s.sha[digest] = append(s.sha[digest], list...)
		return
	}
	s.md5[digest] = append(s.md5[digest], list...)
	for _, sig := range list {
		s.md5Sizes[sig.size] = true
		s.anySize = s.anySize || sig.size < 0
	}
}

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

func (s *signatures) version() string {
	return fmt.Sprintf("built-in 1, %d signatures from %d files", len(s.sha)+len(s.md5), s.files)
}

// match returns the malware's name and why, or "".
func (s *signatures) match(part *scanner.Part) (name, evidence string, err error) {
	isTest, err := isEICAR(part)
	if err != nil {
		return "", "", err
	}
	if isTest {
		return eicarName, "the content is the EICAR test file", nil
	}
	for _, digest := range []string{part.SHA256, part.SHA1} {
		if name := find(s.sha[digest], part.Size); name != "" {
			return name, "hash " + digest, nil
		}
	}
	if !s.anySize && !s.md5Sizes[part.Size] {
		return "", "", nil
	}
	digest, err := digestOf(part.Body, md5.New())
	if err != nil {
		return "", "", err
	}
	if name := find(s.md5[digest], part.Size); name != "" {
		return name, "hash " + digest, nil
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
