package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/bodgit/sevenzip"

	"github.com/postern-mail/postern/sdk/scanner"
)

const sevenMagic = "7z\xbc\xaf\x27\x1c"

func (j *job) sevenzip(f file) error {
	if err := check7z(f.data, nil); err != nil {
		return j.limit7z(f, err)
	}
	r, err := sevenzip.NewReader(f.reader(), int64(len(f.data)))
	if isSealed7z(err) {
		return j.locked7z(f, nil)
	}
	if err != nil {
		return err
	}
	first := firstOf7z(r)
	if first == nil {
		return nil
	}
	if isSealed7z(readAll7z(first, 1)) {
		return j.locked7z(f, r.File)
	}
	return j.members7z(f, r, "")
}

func (j *job) limit7z(f file, err error) error {
	return j.trouble(scanner.TroubleLimit, "archive_claims", fmt.Sprintf("%s: %v", f.name, err))
}

func isSealed7z(err error) bool {
	var read *sevenzip.ReadError
	var value sevenzip.ReadError
	return errors.As(err, &read) && read.Encrypted || errors.As(err, &value) && value.Encrypted
}

// firstOf7z is the smallest file with content of the first folder: what a password is tried on.
func firstOf7z(r *sevenzip.Reader) *sevenzip.File {
	for _, m := range r.File {
		if !m.FileInfo().IsDir() && m.UncompressedSize > 0 {
			return m
		}
	}
	return nil
}

// readAll7z reads a file, or its beginning: at the end the checksum was compared.
func readAll7z(m *sevenzip.File, most int64) error {
	r, err := m.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(r, most))
	return err
}

func (j *job) members7z(f file, r *sevenzip.Reader, opened string) error {
	var broken error
	for _, m := range r.File {
		if m.FileInfo().IsDir() {
			if err := j.inTime(); err != nil {
				return err
			}
			continue
		}
		content, err := m.Open()
		if err == nil {
			err = j.emit(f, item{name: m.Name, opened: opened}, content)
			err = errors.Join(err, content.Close())
		}
		if err != nil && ends(err) {
			return err
		}
		if isSealed7z(err) {
			if err := j.locked(f, m.Name); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			if broken = errors.Join(broken, fmt.Errorf("%s: %w", m.Name, err)); j.ctx.Err() != nil {
				return broken
			}
		}
	}
	return broken
}

// locked7z tries the passwords. names are nil where the directory is encrypted too.
func (j *job) locked7z(f file, names []*sevenzip.File) error {
	var claim error
	password := j.tryPasswords(func(password string) bool {
		if err := check7z(f.data, &password); err != nil {
			claim = errors.Join(claim, err)
			return false
		}
		r, err := sevenzip.NewReaderWithPassword(f.reader(), int64(len(f.data)), password)
		if err != nil {
			return false
		}
		first := firstOf7z(r)
		const enough = 64 << 20
		return first == nil || readAll7z(first, enough) == nil
	})
	if password != nil {
		// A reader that has tried a password is not to be used again: what it knows of the encryption is spoilt.
		r, err := sevenzip.NewReaderWithPassword(f.reader(), int64(len(f.data)), password.Text)
		if err != nil {
			return err
		}
		return j.members7z(f, r, password.Source)
	}
	if errors.Is(claim, errClaims) {
		return j.limit7z(f, errClaims)
	}
	for _, m := range names {
		if !m.FileInfo().IsDir() {
			if err := j.locked(f, m.Name); err != nil {
				return err
			}
		}
	}
	if names == nil {
		return j.sealed(f)
	}
	return nil
}
