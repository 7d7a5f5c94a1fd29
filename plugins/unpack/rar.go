package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nwaples/rardecode/v2"
)

// newRAR reads rar 2 to 5; an archive that asks for a larger dictionary than windowBytes is refused.
func newRAR(data []byte, password string) (*rardecode.Reader, error) {
	options := []rardecode.Option{rardecode.MaxDictionarySize(windowBytes), rardecode.BufferSize(64 << 10)}
	if password != "" {
		options = append(options, rardecode.Password(password))
	}
	return rardecode.NewReader(bytes.NewReader(data), options...)
}

func (j *job) rar(f file) error {
	headers, sealed, err := rarListing(f.data, "")
	if sealed || needsPassword(headers) {
		return j.lockedRAR(f, headers, sealed)
	}
	if errors.Is(err, rardecode.ErrUnknownVersion) {
		return j.tool7(f, "rar", "")
	}
	r, err := newRAR(f.data, "")
	if err != nil {
		return j.rarByTool(f, err)
	}
	return j.rarMembers(f, r, "")
}

// rarByTool has the tool open what the reader does not know: rar 1.5 and old encryption.
func (j *job) rarByTool(f file, err error) error {
	if errors.Is(err, rardecode.ErrUnsupportedDecoder) || errors.Is(err, rardecode.ErrUnknownDecoder) || errors.Is(err, rardecode.ErrNoSig) ||
		errors.Is(err, rardecode.ErrUnknownVersion) {
		return j.tool7(f, "rar", "")
	}
	return err
}

// rarListing reads the headers only. sealed says that not even they can be read without a password.
func rarListing(data []byte, password string) (headers []*rardecode.FileHeader, sealed bool, err error) {
	r, err := newRAR(data, password)
	for err == nil && len(headers) < maxEntries {
		var h *rardecode.FileHeader
		if h, err = r.Next(); err == nil {
			headers = append(headers, h)
		}
	}
	sealed = errors.Is(err, rardecode.ErrArchiveEncrypted)
	if errors.Is(err, rardecode.ErrArchivedFileEncrypted) {
		return headers, len(headers) == 0, nil
	}
	return headers, sealed, err
}

func needsPassword(headers []*rardecode.FileHeader) bool {
	return slices.ContainsFunc(headers, func(h *rardecode.FileHeader) bool { return h.Encrypted })
}

// rarMembers emits the files. Those whose name is all that is known are named.
func (j *job) rarMembers(f file, r *rardecode.Reader, opened string) error {
	var broken error
	for {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return broken
		case err != nil:
			return errors.Join(broken, err)
		case h.IsDir || h.LinkType != 0:
			if err := j.inTime(); err != nil {
				return err
			}
			continue
		}
		it := item{name: h.Name}
		if h.Encrypted {
			it.opened = opened
		}
		err = j.emit(f, it, r)
		if err != nil && ends(err) {
			return err
		}
		if errors.Is(err, rardecode.ErrUnsupportedDecoder) || errors.Is(err, rardecode.ErrUnknownDecoder) {
			return j.tool7(f, "rar", "")
		}
		if err != nil {
			broken = errors.Join(broken, fmt.Errorf("%s: %w", h.Name, err))
		}
	}
}

// lockedRAR tries the passwords on the first encrypted file, and opens the archive with the one that fits.
func (j *job) lockedRAR(f file, headers []*rardecode.FileHeader, sealed bool) error {
	// What a wrong password gives may ask for 256 MiB: one attempt at a time.
	select {
	case j.settings.heavy <- struct{}{}:
	case <-j.ctx.Done():
		return j.inTime()
	}
	password := j.rarPassword(f)
	if password == nil {
		for _, h := range headers {
			if !h.IsDir {
				if err := j.namedOrPlain(f, h); err != nil {
					return err
				}
			}
		}
		if sealed || len(headers) == 0 {
			return j.sealed(f)
		}
		return nil
	}
	r, err := newRAR(f.data, password.Text)
	if err != nil {
		return err
	}
	return j.rarMembers(f, r, password.Source)
}

// rarPassword finds the password, and makes room for the next who tries.
func (j *job) rarPassword(f file) *password {
	defer func() { <-j.settings.heavy }()
	return j.tryPasswords(func(password string) bool { return rarOpens(f.data, password) })
}

// namedOrPlain emits the unencrypted files of an archive that holds encrypted ones too, and names the others.
func (j *job) namedOrPlain(f file, h *rardecode.FileHeader) error {
	if h.Encrypted {
		return j.locked(f, h.Name)
	}
	r, err := newRAR(f.data, "")
	for err == nil {
		var at *rardecode.FileHeader
		if at, err = r.Next(); err == nil && at.Name == h.Name {
			return j.member(f, h.Name, r)
		}
	}
	return err
}

// rarOpens reports whether the password opens the first encrypted file, whose checksum tells.
func rarOpens(data []byte, password string) bool {
	r, err := newRAR(data, password)
	for err == nil {
		var h *rardecode.FileHeader
		h, err = r.Next()
		if err == nil && h.Encrypted && !h.IsDir {
			const enough = 64 << 20
			n, err := io.Copy(io.Discard, io.LimitReader(r, enough))
			return err == nil && (n > 0 || h.UnPackedSize == 0)
		}
	}
	return false
}

// tryPasswords calls open with the words of the mail, the configured ones, and the additional ones, until one opens or time is up.
func (j *job) tryPasswords(open func(password string) bool, additional ...password) *password {
	tried := append([]password{}, additional...)
	for _, p := range j.settings.passwords {
		tried = append(tried, password{Text: p, Source: "configured"})
	}
	for _, p := range j.words {
		tried = append(tried, password{Text: p.Text, Source: p.Source})
	}
	for _, p := range tried {
		if j.tries <= 0 || j.ctx.Err() != nil {
			return nil
		}
		started := time.Now()
		opened := open(p.Text)
		j.tries -= time.Since(started)
		if opened {
			return &p
		}
	}
	return nil
}

// password is one to try, with where it comes from.
type password struct{ Text, Source string }
