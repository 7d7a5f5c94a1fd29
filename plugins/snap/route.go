package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// longHop is a time between two hops that no queue explains.
const longHop = 24 * time.Hour

// manyZones is how far apart the zones on a mail's way may lie.
const manyZones = 10 * time.Hour

// routeReasons is what speaks against the way that the mail says it came.
func routeReasons(m *mail, r *reasons) {
	if m.last != nil {
		heloReasons(m.last, r)
	}
	for i := range m.hops {
		h := &m.hops[i]
		heloReasons(h, r)
		if i+1 < len(m.hops) {
			hopReasons(h, &m.hops[i+1], r)
		}
	}
	zones := zonesOf(m.hops)
	if len(zones) >= 2 && time.Duration(zones[len(zones)-1]-zones[0])*time.Second >= manyZones {
		r.add("many-zones", "the mail went through zones %s", zoneList(zones))
	}
}

// heloReasons looks at how a client called itself: by a host name or its address (RFC 5321 section 4.1.4). "unknown" is what receivers
// write where they found no name.
func heloReasons(h *hop, r *reasons) {
	if h.helo != "" && h.helo != "unknown" && h.client.IsValid() && !h.private() && !registrable(h.helo) && !isAddress(h.helo) {
		r.add("helo-odd", "a server on the way called itself %s, which is no host name", quote(h.helo))
	}
}

// hopReasons compares a hop with the one before it.
func hopReasons(h, before *hop, r *reasons) {
	if !h.at.IsZero() && !before.at.IsZero() {
		switch gap := h.at.Sub(before.at); {
		case gap > longHop:
			r.add("time-gap", "between %s and %s lie %s", quote(before.by), quote(h.by), gap.Round(time.Hour))
		case gap < -longHop:
			r.add("time-back", "%s has the mail %s before %s had it", quote(h.by), (-gap).Round(time.Hour), quote(before.by))
		}
	}
	if before.by == "" || h.helo == "" || h.private() || !registrable(before.by) || !h.client.IsValid() {
		return
	}
	// One provider's hosts may go by several domains; they then keep their first name.
	org, name := organisation(before.by), firstLabel(before.by)
	if organisation(h.helo) != org && organisation(h.known) != org && firstLabel(h.helo) != name && firstLabel(h.known) != name {
		r.add("path-broken", "the way of the mail is broken: %s had it, %s handed it on", quote(before.by), quote(h.helo))
	}
}

func firstLabel(host string) string {
	label, _, _ := strings.Cut(host, ".")
	return label
}

func isAddress(helo string) bool {
	return strings.Count(helo, ".") == 3 && strings.Trim(helo, "0123456789.") == "" || strings.Contains(helo, ":")
}

// zonesOf are the zones of the hops, from west to east.
func zonesOf(hops []hop) []int {
	var out []int
	for i := range hops {
		if !hops[i].at.IsZero() && !slices.Contains(out, hops[i].zone) {
			out = append(out, hops[i].zone)
		}
	}
	slices.Sort(out)
	return out
}

func zoneList(zones []int) string {
	texts := make([]string, len(zones))
	for i, z := range zones {
		texts[i] = fmt.Sprintf("%+03d%02d", z/3600, max(z, -z)/60%60)
	}
	return strings.Join(texts, ", ")
}

// farDate is how far the date of a mail may lie from when it was received first.
const farDate = 36 * time.Hour

// dateReasons is what speaks against the times of a mail.
func dateReasons(m *mail, r *reasons) {
	dates := m.values("Date")
	switch len(dates) {
	case 0:
		r.add("date-missing", "the mail has no date")
		return
	case 1:
	default:
		r.add("date-several", "the mail has %d dates", len(dates))
	}
	at, ok := readDate(dates[0])
	if !ok {
		r.add("date-broken", "the date %s is none", quote(dates[0]))
		return
	}
	for i := len(m.hops) - 1; i >= 0; i-- {
		if m.hops[i].at.IsZero() {
			continue
		}
		if gap := m.hops[i].at.Sub(at); gap > farDate || gap < -farDate {
			r.add("date-far", "the mail is dated %s and was received first on %s", at.Format(time.DateTime), m.hops[i].at.Format(time.DateTime))
		}
		return
	}
}

// charsetReasons: one writer writes in one script. Charsets of several scripts in the entities of one mail come from templates of several
// hands.
func charsetReasons(m *mail, r *reasons) {
	families := map[string]string{}
	for c := range m.charsets {
		if f := charsetFamily(c); f != "" && (families[f] == "" || c < families[f]) {
			families[f] = c
		}
	}
	if len(families) < 2 {
		return
	}
	var names []string
	for _, c := range families {
		names = append(names, c)
	}
	slices.Sort(names)
	r.add("charsets-mixed", "its parts are written in charsets of several scripts: %s", strings.Join(names, ", "))
}

// charsetFamily is the script that a charset is made for; "" for Unicode, ASCII and unknown ones, which serve any.
func charsetFamily(charset string) string {
	for family, prefixes := range map[string]string{
		"western":  "iso-8859-1$ iso-8859-15 windows-1252 latin1",
		"central":  "iso-8859-2 windows-1250",
		"cyrillic": "koi8 windows-1251 iso-8859-5 cp866",
		"greek":    "iso-8859-7 windows-1253",
		"turkish":  "iso-8859-9 windows-1254",
		"hebrew":   "iso-8859-8 windows-1255",
		"arabic":   "iso-8859-6 windows-1256",
		"thai":     "tis-620 windows-874",
		"chinese":  "gb big5 hz-gb",
		"japanese": "iso-2022-jp shift euc-jp",
		"korean":   "euc-kr ks_c iso-2022-kr",
	} {
		for _, p := range strings.Fields(prefixes) {
			if exact, whole := strings.CutSuffix(p, "$"); whole && charset == exact || !whole && strings.HasPrefix(charset, p) {
				return family
			}
		}
	}
	return ""
}
