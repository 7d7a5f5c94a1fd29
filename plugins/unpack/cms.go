package main

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
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

// cms emits the content of signed or compressed S/MIME, which is a mail part.
func (j *job) cms(f file) error {
	outer, _, err := readBER(f.data, 0)
	if err != nil {
		return err
	}
	kind, rest, err := readBER(outer.body, 0)
	if err != nil {
		return err
	}
	wrapped, _, err := readBER(rest, 0) // [0]
	if err != nil {
		return err
	}
	data, _, err := readBER(wrapped.body, 0)
	if err != nil {
		return err
	}
	content, found := encapsulated(data.body)
	if !found {
		return nil // the signature stands apart from what it signs
	}
	if !bytes.HasSuffix([]byte(cmsCompressed), kind.body) {
		return j.bytes(f, "content.eml", content)
	}
	r, err := zlib.NewReader(bytes.NewReader(content))
	if err != nil {
		return err
	}
	return j.member(f, "content.eml", r)
}

// encapsulated finds the sequence of a type and a content among the fields.
func encapsulated(fields []byte) (content []byte, found bool) {
	const sequence, identifier, zero, octets = 0x30, 0x06, 0xa0, 0x04
	for len(fields) > 0 {
		field, rest, err := readBER(fields, 0)
		if err != nil {
			return nil, false
		}
		fields = rest
		if field.tag != sequence {
			continue
		}
		kind, inner, err := readBER(field.body, 0)
		if err != nil || kind.tag != identifier || len(inner) == 0 {
			continue
		}
		wrapped, _, err := readBER(inner, 0)
		if err != nil || wrapped.tag != zero {
			continue
		}
		value, _, err := readBER(wrapped.body, 0)
		if err == nil && value.tag&^0x20 == octets {
			return value.octets(0), true
		}
	}
	return nil, false
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

// readBER reads one value. A length that is not said ends with two zeros behind the last inner value.
func readBER(data []byte, depth int) (value ber, rest []byte, err error) {
	if len(data) < 2 || depth > maxBER || data[0]&0x1f == 0x1f {
		return ber{}, nil, errBER
	}
	value.tag = data[0]
	length, data := int(data[1]), data[2:]
	switch {
	case length == 0x80:
		body := data
		for {
			if len(data) < 2 {
				return ber{}, nil, io.ErrUnexpectedEOF
			}
			if data[0] == 0 && data[1] == 0 {
				value.body = body[:len(body)-len(data)]
				return value, data[2:], nil
			}
			if _, data, err = readBER(data, depth+1); err != nil {
				return ber{}, nil, err
			}
		}
	case length > 0x84:
		return ber{}, nil, errBER
	case length > 0x80:
		n := length & 0x7f
		if n > len(data) {
			return ber{}, nil, io.ErrUnexpectedEOF
		}
		length = 0
		for _, c := range data[:n] {
			length = length<<8 | int(c)
		}
		data = data[n:]
	}
	if length > len(data) {
		return ber{}, nil, io.ErrUnexpectedEOF
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
		piece, after, err := readBER(rest, 0)
		if err != nil {
			break
		}
		out = append(out, piece.octets(depth+1)...)
		rest = after
	}
	return out
}
