package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/postern-mail/postern/sdk/scanner"
	"github.com/postern-mail/postern/sdk/serve"
)

// The modes of a scan block.
const (
	modeAuto         = "auto"
	modeConservative = "conservative"
	modeAggressive   = "aggressive"
)

// state is everything that does not change from mail to mail.
type state struct {
	lists    *lists
	weights  *weights
	brands   *brands
	internal []string // domains
	names    []string // protected names, folded
	queries  map[int]query
}

// query is one scan block.
type query struct {
	mode         string
	approved     []string
	conservative float64
	aggressive   float64
}

func (s *snap) configure(_ context.Context, c *serve.Configuration) (*serve.Configured, error) {
	var config struct {
		Internal []string `json:"internal_domains"`
		Names    []string `json:"protected_names"`
		Brands   []struct {
			Name    string   `json:"name"`
			Domains []string `json:"domains"`
		} `json:"brand"`
	}
	if len(c.Config) > 0 {
		if err := json.Unmarshal(c.Config, &config); err != nil {
			return nil, fmt.Errorf("read config: %w", err)
		}
	}
	st, err := newState()
	if err != nil {
		return nil, err
	}
	for _, d := range config.Internal {
		st.internal = append(st.internal, strings.TrimPrefix(strings.ToLower(d), "*."))
	}
	for _, n := range config.Names {
		st.names = append(st.names, strings.Join(words(fold(n)), " "))
	}
	done := &serve.Configured{Signatures: st.weights.version()}
	for _, b := range config.Brands {
		if len(words(fold(b.Name))) == 0 {
			done.Problems = append(done.Problems, serve.Problem{
				Path: []string{"config", "brand", b.Name}, Summary: "No name", Detail: "A brand's name needs letters or digits.",
			})
			continue
		}
		st.brands.add(b.Name, b.Domains, false)
	}
	for _, q := range c.Queries {
		read, err := st.readQuery(q.Config)
		if err != nil {
			return nil, err
		}
		if read.aggressive > read.conservative {
			done.Problems = append(done.Problems, serve.Problem{
				Path: []string{"scan", fmt.Sprint(q.Number), "aggressive_score"}, Summary: "The aggressive score is above the conservative one",
				Detail: fmt.Sprintf("What is sure (from %.1f on) would not even be possible (from %.1f on).", read.conservative, read.aggressive),
			})
		}
		st.queries[q.Number] = read
	}
	s.current.Store(st)
	return done, nil
}

// newState reads the data that is built in.
func newState() (*state, error) {
	st := &state{queries: map[int]query{}}
	var err error
	if st.weights, err = readWeights(weightsFile); err != nil {
		return nil, fmt.Errorf("read weights: %w", err)
	}
	if st.lists, err = readLists(); err != nil {
		return nil, err
	}
	if st.brands, err = readBrands(brandsFile, st.lists); err != nil {
		return nil, fmt.Errorf("read brands: %w", err)
	}
	return st, nil
}

func (st *state) readQuery(text json.RawMessage) (query, error) {
	var config struct {
		Mode         string   `json:"mode"`
		Approved     []string `json:"approved_senders"`
		Conservative *float64 `json:"conservative_score"`
		Aggressive   *float64 `json:"aggressive_score"`
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &config); err != nil {
			return query{}, fmt.Errorf("read scan block: %w", err)
		}
	}
	q := query{mode: config.Mode, conservative: st.weights.conservative, aggressive: st.weights.aggressive}
	if config.Conservative != nil {
		q.conservative = *config.Conservative
	}
	if config.Aggressive != nil {
		q.aggressive = *config.Aggressive
	}
	for _, a := range config.Approved {
		q.approved = append(q.approved, strings.ToLower(strings.TrimSpace(a)))
	}
	return q, nil
}

// approves reports whether the author is on the block's list. It is the author of the header that is compared, as on the appliance; a
// mail with several authors is approved only where all of them are.
func (q *query) approves(authors []address) bool {
	if len(authors) == 0 || len(q.approved) == 0 {
		return false
	}
	for _, a := range authors {
		listed := false
		for _, pattern := range q.approved {
			listed = listed || wildcard(pattern, strings.ToLower(a.addr()))
		}
		if !listed {
			return false
		}
	}
	return true
}

// certainty says what a score is worth to the block; 0: nothing.
func (q *query) certainty(score float64) scanner.Certainty {
	switch {
	case score >= q.conservative:
		return scanner.Sure
	case score < q.aggressive || q.mode == modeConservative:
		return 0
	case q.mode == modeAggressive:
		return scanner.Sure
	}
	return scanner.Possible
}

// wildcard matches the whole text; * stands for any number of characters.
func wildcard(pattern, text string) bool {
	pieces := strings.Split(pattern, "*")
	if len(pieces) == 1 {
		return pattern == text
	}
	rest, found := strings.CutPrefix(text, pieces[0])
	if !found {
		return false
	}
	for _, piece := range pieces[1 : len(pieces)-1] {
		at := strings.Index(rest, piece)
		if at < 0 {
			return false
		}
		rest = rest[at+len(piece):]
	}
	return strings.HasSuffix(rest, pieces[len(pieces)-1])
}
