package main

import (
	"strings"
	"time"
)

// readDate reads the date of a header field in the forms that real mail has: with and without the day of the week, with a zone as number
// or name, with a comment behind.
func readDate(value string) (time.Time, bool) {
	value, _, _ = strings.Cut(value, "(")
	fields := strings.Fields(strings.ReplaceAll(value, ",", ", "))
	if len(fields) > 0 && strings.HasSuffix(fields[0], ",") {
		fields = fields[1:]
	}
	if len(fields) < 4 || len(fields) > 6 {
		return time.Time{}, false
	}
	zone := "+0000"
	if len(fields) > 4 {
		zone = zoneNumber(fields[4])
		if zone == "" {
			return time.Time{}, false
		}
	}
	if _, frac, found := strings.Cut(fields[3], "."); found {
		fields[3] = strings.TrimSuffix(fields[3], "."+frac)
	}
	text := strings.Join(fields[:4], " ") + " " + zone
	for _, layout := range []string{"2 Jan 2006 15:04:05 -0700", "2 Jan 06 15:04:05 -0700", "2 Jan 2006 15:04 -0700", "2 Jan 06 15:04 -0700",
		"2 January 2006 15:04:05 -0700",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// zoneNumber is a zone as +hhmm; "" where it is none.
func zoneNumber(zone string) string {
	names := map[string]string{
		"UT": "+0000", "UTC": "+0000", "GMT": "+0000", "Z": "+0000", "EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500",
		"MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700", "CET": "+0100", "CEST": "+0200", "BST": "+0100", "IST": "+0100",
		"MET": "+0100", "MEST": "+0200", "JST": "+0900",
	}
	if number, found := names[strings.ToUpper(zone)]; found {
		return number
	}
	if len(zone) != 5 || zone[0] != '+' && zone[0] != '-' {
		return ""
	}
	for i := 1; i < 5; i++ {
		if zone[i] < '0' || zone[i] > '9' {
			return ""
		}
	}
	// Beyond +14 and -12 hours there is no place on earth.
	hours, minutes := int(zone[1]-'0')*10+int(zone[2]-'0'), int(zone[3]-'0')*10+int(zone[4]-'0')
	if hours > 14 || minutes > 59 {
		return ""
	}
	return zone
}
