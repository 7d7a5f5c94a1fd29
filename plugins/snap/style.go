package main

import (
	"strconv"
	"strings"
)

// styleOf reads a style attribute; names and values in lower case.
func styleOf(text string) map[string]string {
	if text == "" {
		return nil
	}
	out := map[string]string{}
	for _, declaration := range strings.Split(strings.ToLower(text), ";") {
		if name, value, found := strings.Cut(declaration, ":"); found {
			out[strings.TrimSpace(name)] = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "!important"))
		}
	}
	return out
}

// hides reports whether the style keeps its element from being seen.
func hides(style map[string]string) bool {
	if style == nil {
		return false
	}
	switch {
	case style["display"] == "none", style["visibility"] == "hidden", style["visibility"] == "collapse", style["mso-hide"] == "all",
		style["color"] == "transparent":
		return true
	}
	if size, has := length(style["font-size"]); has && size <= 1 {
		return true
	}
	if opacity, err := strconv.ParseFloat(style["opacity"], 64); err == nil && opacity <= 0.05 {
		return true
	}
	for _, name := range []string{"max-height", "height", "max-width", "width"} {
		if size, has := length(style[name]); has && size == 0 && style["overflow"] == "hidden" {
			return true
		}
	}
	for _, name := range []string{"text-indent", "left", "top", "margin-left"} {
		if shift, has := length(style[name]); has && shift <= -500 {
			return true
		}
	}
	return false
}

// length is a length in pixels or points; relative ones are not told, except nothing at all.
func length(value string) (float64, bool) {
	number := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyz% ")
	size, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return 0, false
	}
	unit := strings.TrimSpace(value[len(number):])
	if unit == "" || unit == "px" || unit == "pt" || size == 0 {
		return size, true
	}
	return 0, false
}

// colour is a colour as #rrggbb; "" for what is not read: names other than the common ones, gradients, and transparency.
func colour(value string) string {
	value = strings.ToLower(strings.TrimSpace(value))
	value, _, _ = strings.Cut(value, " ")
	switch value {
	case "white":
		return "#ffffff"
	case "black":
		return "#000000"
	case "red":
		return "#ff0000"
	}
	digits := strings.TrimPrefix(value, "#")
	for i := range len(digits) {
		if hexDigit(digits[i]) < 0 {
			return ""
		}
	}
	switch len(digits) {
	case 6:
		return "#" + digits
	case 3:
		return "#" + string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	return ""
}
