package plugincatalog

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var errDuration = errors.New(`a duration is a number with a unit, such as "20s", "15m", "1h30m" or "30d"`)

// ParseDuration reads a duration as policies write it: Go's form, with days in front where wanted ("30d", "1d12h"). It is never
// negative.
func ParseDuration(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	var days time.Duration
	if number, rest, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n > math.MaxInt64/uint64(day) {
			return 0, errDuration
		}
		days = time.Duration(n) * day
		if rest == "" {
			return days, nil
		}
		text = rest
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || days > math.MaxInt64-d {
		return 0, errDuration
	}
	return days + d, nil
}
