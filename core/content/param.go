package content

import (
	"mime"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// param is one parameter as it stands in a Content-Type or Content-Disposition value.
type param struct {
	name     string // lower case, without the RFC 2231 section number and stars
	section  int    // RFC 2231 section 3; -1: none
	extended bool   // a star at the end: percent-encoded, with charset and language before section 0 or alone
	value    string // raw
}

// mediaType is the strict reading of a Content-Type value; ok is false where it is not a valid one.
func mediaType(value string) (kind string, params map[string]string, ok bool) {
	kind, params, err := mime.ParseMediaType(unfold(value))
	return kind, params, err == nil && strings.Contains(kind, "/")
}

// lenientType is what a lenient reader takes for the media type.
func lenientType(value string) string {
	value = stripComments(unfold(decodeWords(value)))
	value, _, _ = strings.Cut(value, ";")
	value = strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(strings.ToLower(strings.Join(strings.Fields(value), "")))
	if kind, _, found := strings.Cut(value, ","); found {
		return kind
	}
	return value
}

// params reads the parameters of a value in one of the ways readers do: with quotes and escapes honoured, or not.
func params(value string, honourQuotes bool) []param {
	var out []param
	for _, piece := range splitParams(value, honourQuotes) {
		name, raw, found := strings.Cut(piece, "=")
		if !found {
			continue
		}
		p := param{name: canonicalName(strings.Trim(name, `"' `)), section: -1, value: strings.TrimSpace(raw)}
		if base, extended := strings.CutSuffix(p.name, "*"); extended {
			p.name, p.extended = base, true
		}
		if base, digits, hasSection := strings.Cut(p.name, "*"); hasSection {
			if n, err := strconv.Atoi(digits); err == nil && n >= 0 {
				p.name, p.section = base, n
			} else {
				p.name = base
			}
		}
		out = append(out, p)
	}
	return out
}

// splitParams cuts a value at its semicolons.
func splitParams(value string, honourQuotes bool) []string {
	if !honourQuotes {
		return strings.Split(value, ";")
	}
	var out []string
	begin, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case ';':
			if !quoted {
				out = append(out, value[begin:i])
				begin = i + 1
			}
		}
	}
	return append(out, value[begin:])
}

// candidates are all values that readers may take a parameter for, in the given header values: the likeliest first.
func candidates(values []string, names ...string) []string {
	c := &collector{}
	for _, value := range values {
		if kind, params, ok := mediaType(value); ok || kind != "" {
			for _, name := range names {
				c.add(params[name])
			}
		}
	}
	for _, honour := range []bool{true, false} {
		for _, strip := range []bool{false, true} {
			var all []param
			for _, value := range values {
				text := unfold(value)
				if strip {
					text = stripComments(text)
				}
				all = append(all, params(text, honour)...)
			}
			for _, name := range names {
				c.collect(all, name)
			}
		}
	}
	return c.out
}

// collector gathers distinct values.
type collector struct{ out []string }

func (c *collector) add(v string) {
	if v != "" && !slices.Contains(c.out, v) && len(c.out) < 64 {
		c.out = append(c.out, v)
	}
}

// collect adds every reading of the parameter: alone, and its RFC 2231 sections joined by number and by order.
func (c *collector) collect(all []param, name string) {
	var sections []param
	for _, p := range all {
		if p.name != name {
			continue
		}
		c.variants(p.value, p.extended)
		if p.section >= 0 {
			sections = append(sections, p)
		}
	}
	if len(sections) < 2 {
		return
	}
	c.join(sections)
	byNumber := slices.Clone(sections)
	sort.SliceStable(byNumber, func(i, j int) bool { return byNumber[i].section < byNumber[j].section })
	c.join(byNumber)
}

func (c *collector) join(sections []param) {
	var plain, decoded strings.Builder
	for i, p := range sections {
		value := unquote(p.value)
		plain.WriteString(value)
		if p.extended {
			value = decodeExtended(value, i == 0 || strings.Count(value, "'") >= 2)
		}
		decoded.WriteString(value)
	}
	c.variants(decoded.String(), false)
	c.variants(plain.String(), true)
}

// variants adds what different readers make of one raw value.
func (c *collector) variants(raw string, extended bool) {
	if extended {
		c.add(decodeExtended(unquote(raw), true))
	}
	plain := unquote(raw)
	c.add(decodeWords(plain))
	c.add(plain)
	if strings.ContainsAny(raw, `\"'(),`) {
		noQuotes := strings.NewReplacer(`"`, "", `\`, "").Replace(raw)
		c.add(noQuotes)
		c.add(strings.Trim(noQuotes, "'"))
		c.add(strings.TrimSpace(stripComments(noQuotes)))
		before, _, _ := strings.Cut(strings.TrimLeft(raw, `"`), `"`)
		c.add(strings.TrimSpace(before))
		c.add(strings.Trim(raw, `"' `))
	}
	if strings.Contains(raw, "%") {
		if text, err := url.PathUnescape(plain); err == nil {
			c.add(text)
		}
	}
	if first, _, found := strings.Cut(plain, " "); found {
		c.add(first)
	}
}

// unquote reads a quoted string (RFC 5322 section 3.2.4) as far as it is one.
func unquote(raw string) string {
	if !strings.HasPrefix(raw, `"`) {
		return strings.TrimSpace(raw)
	}
	var out strings.Builder
	for i := 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			if i++; i < len(raw) {
				out.WriteByte(raw[i])
			}
		case '"':
			return out.String()
		default:
			out.WriteByte(raw[i])
		}
	}
	return out.String()
}

// decodeExtended decodes charset'language'percent-encoded text (RFC 2231 section 4).
func decodeExtended(value string, hasCharset bool) string {
	charset := ""
	if hasCharset {
		if parts := strings.SplitN(value, "'", 3); len(parts) == 3 {
			charset, value = parts[0], parts[2]
		}
	}
	var out strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '%' && i+2 < len(value) {
			if n, err := strconv.ParseUint(value[i+1:i+3], 16, 8); err == nil {
				out.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		out.WriteByte(value[i])
	}
	return decodeCharset(charset, out.String())
}
