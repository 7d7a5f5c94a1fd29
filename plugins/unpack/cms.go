package main

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"strings"
)

// Object identifiers of CMS (RFC 5652, RFC 3274) as they are encoded.
const (
	cmsSigned     = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
	cmsCompressed = "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x09"
)

// isCMS knows S/MIME mail whose content stands inside of its signature, or compressed: a mail client shows it. What is encrypted for its
// reader is no container.
func isCMS(f file) bool {
	start := f.data[:min(len(f.data), 24)]
	return len(start) > 0 && start[0] == 0x30 && (bytes.Contains(start, []byte(cmsSigned)) || bytes.Contains(start, []byte(cmsCompressed)))
}

// cms emits the content of signed or compressed S/MIME, which is a mail part. Most signatures stand apart from what they sign: those, and
// broken ones, have nothing to show. Only where the name says that the content is inside is it a trouble that none is found.
func (j *job) cms(f file) error {
	kind, content, err := cmsContent(f.data)
	if content == nil {
		if strings.HasSuffix(strings.ToLower(f.name), ".p7m") {
			return err
		}
		return nil
	}
	if !bytes.HasSuffix([]byte(cmsCompressed), kind) {
		return errors.Join(j.bytes(f, "content.eml", content), err)
	}
	r, zlibErr := zlib.NewReader(bytes.NewReader(content))
	if zlibErr != nil {
		return zlibErr
	}
	return errors.Join(j.member(f, "content.eml", r), err)
}

// cmsContent finds the content, nil where there is none. What is cut off is read as far as it goes, with an error.
func cmsContent(data []byte) (kind, content []byte, err error) {
	outer, _, err := readBER(data, 0)
	if errors.Is(err, errBER) {
		return nil, nil, err
	}
	identifier, rest, _ := readBER(outer.body, 0)
	wrapped, _, _ := readBER(rest, 0) // [0]
	inner, _, _ := readBER(wrapped.body, 0)
	return identifier.body, encapsulated(inner.body), err
}

// encapsulated finds the sequence of a type and a content among the fields.
func encapsulated(fields []byte) []byte {
	const sequence, identifier, zero, octets = 0x30, 0x06, 0xa0, 0x04
	for len(fields) > 0 {
		var field ber
		if field, fields, _ = readBER(fields, 0); field.tag != sequence {
			continue
		}
		kind, inner, err := readBER(field.body, 0)
		if err != nil || kind.tag != identifier {
			continue
		}
		if wrapped, _, _ := readBER(inner, 0); wrapped.tag == zero {
			if value, _, _ := readBER(wrapped.body, 0); value.tag&^0x20 == octets {
				return value.octets(0)
			}
		}
	}
	return nil
}

// ber is one value (X.690).
type ber struct {
	tag  byte
	body []byte
}

// errBER says that a value cannot be read.
var errBER = errors.New("not BER")

// maxBER bounds how deep values are nested.
const maxBER = 24

// readBER reads one value. A length that is not said ends with two zeros behind the last inner value. What is cut off comes with
// io.ErrUnexpectedEOF.
func readBER(data []byte, depth int) (value ber, rest []byte, err error) {
	if len(data) < 2 || depth > maxBER || data[0]&0x1f == 0x1f || data[1] > 0x84 {
		return ber{}, nil, errBER
	}
	value.tag = data[0]
	length, data := int(data[1]), data[2:]
	if length == 0x80 {
		body := data
		for {
			if len(data) < 2 {
				value.body = body
				return value, nil, io.ErrUnexpectedEOF
			}
			if data[0] == 0 && data[1] == 0 {
				value.body = body[:len(body)-len(data)]
				return value, data[2:], nil
			}
			if _, data, err = readBER(data, depth+1); err != nil {
				value.body = body
				return value, nil, err
			}
		}
	}
	if length > 0x80 {
		n := length & 0x7f
		if n > len(data) {
			return value, nil, io.ErrUnexpectedEOF
		}
		length = 0
		for _, c := range data[:n] {
			length = length<<8 | int(c)
		}
		data = data[n:]
	}
	if length > len(data) {
		value.body = data
		return value, nil, io.ErrUnexpectedEOF
	}
	value.body = data[:length]
	return value, data[length:], nil
}

// octets puts the pieces of an octet string together.
func (b *ber) octets(depth int) []byte {
	const constructed = 0x20
	if b.tag&constructed == 0 {
		return b.body
	}
	var out []byte
	for rest := b.body; len(rest) > 0 && depth < maxBER; {
		var piece ber
		piece, rest, _ = readBER(rest, 0)
		out = append(out, piece.octets(depth+1)...)
	}
	return out
}
