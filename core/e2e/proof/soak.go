package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/core/robustness"
)

const (
	soakClients = 8
	probeTime   = 10 * time.Second
	soakSample  = 5 * time.Second
	// The claims: own memory may grow by so much in an hour, goroutines and descriptors not at all but for what load makes of them.
	slopeLimit  = 1 << 20
	spreadLimit = 50
)

// soak sends at half of what the gateway takes, for MINUTES, and watches its memory, goroutines and descriptors.
func soak(ctx context.Context, e *env) (err error) {
	minutes, err := e.number("MINUTES", 20)
	if err != nil {
		return err
	}
	g, err := newGround(ctx, e, e.bin, "sqlite")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.end()) }()
	if err := g.start(ctx); err != nil {
		return err
	}
	address := regexp.MustCompile(`monitor listening.*"address":"([0-9.:]+)"`).FindStringSubmatch(g.site.Gateway.Log())
	if address == nil {
		return errors.New("the log does not say where the monitor listens")
	}
	full := g.load("full", 1, robustness.Kinds())
	full.Start(ctx, soakClients)
	if err := errors.Join(sleep(ctx, probeTime), full.Stop()); err != nil {
		return err
	}
	perClient := probeTime * soakClients / time.Duration(max(1, full.Sent()))
	half := g.load("half", 2, robustness.Kinds())
	half.Pause = perClient // as long as a letter takes: half the rate
	half.Start(ctx, soakClients)
	watched, err := watchFigures(ctx, "http://"+address[1]+"/metrics", time.Duration(minutes)*time.Minute)
	if err != nil {
		return err
	}
	if err := errors.Join(half.Stop(), g.settled(ctx, settleTime)); err != nil {
		return err
	}
	e.printf("full load %.0f letters/s; then %d minutes with %d letters", float64(full.Sent())/probeTime.Seconds(), minutes, half.Sent())
	short := false
	for _, name := range figures() {
		first, last, slope := watched.trend(name)
		e.printf("    %-32s from %.0f to %.0f, %+.0f per hour over the second half", name, first, last, slope)
		switch name {
		case "go_goroutines", "process_open_fds":
			short = short || last-first > spreadLimit
		case "go_memstats_heap_inuse_bytes":
			short = short || minutes >= 20 && slope > slopeLimit
		}
	}
	r, err := g.check(ctx)
	if err != nil {
		return err
	}
	err = e.report("soak", r)
	if short || r.Duplicates > 0 {
		err = errors.Join(err, errShort)
	}
	return err
}

// figures are what is watched, by their names in the monitor.
func figures() []string {
	return []string{"process_resident_memory_bytes", "go_memstats_heap_inuse_bytes", "go_goroutines", "process_open_fds"}
}

// series are the figures by time.
type series struct {
	at     []time.Duration
	values map[string][]float64
}

func watchFigures(ctx context.Context, url string, lasts time.Duration) (*series, error) {
	s := &series{values: map[string][]float64{}}
	for began := time.Now(); time.Since(began) < lasts; {
		text, err := get(ctx, url)
		if err != nil {
			return nil, err
		}
		s.at = append(s.at, time.Since(began))
		for _, name := range figures() {
			value, err := figureIn(text, name)
			if err != nil {
				return nil, err
			}
			s.values[name] = append(s.values[name], value)
		}
		if err := sleep(ctx, soakSample); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("read figures: %w", err)
	}
	body, err := io.ReadAll(answer.Body)
	return string(body), errors.Join(err, answer.Body.Close())
}

func figureIn(text, name string) (float64, error) {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("the monitor has no %s", name)
}

// trend gives the mean of the first and the last tenth, and the slope of the second half by least squares, in an hour.
func (s *series) trend(name string) (first, last, slope float64) {
	values := s.values[name]
	n := len(values)
	tenth := max(1, n/10)
	for i := range tenth {
		first += values[i] / float64(tenth)
		last += values[n-1-i] / float64(tenth)
	}
	var sumX, sumY, sumXX, sumXY, count float64
	for i := n / 2; i < n; i++ {
		x, y := s.at[i].Hours(), values[i]
		sumX, sumY, sumXX, sumXY, count = sumX+x, sumY+y, sumXX+x*x, sumXY+x*y, count+1
	}
	if spread := count*sumXX - sumX*sumX; spread > 0 {
		slope = (count*sumXY - sumX*sumY) / spread
	}
	return first, last, slope
}
