package rows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/core/message"
	"github.com/postern-mail/postern/core/store"
)

// putSamples removes the waits of some copies and writes new ones.
func putSamples(ctx context.Context, tx Tx, drop []string, add []store.Sample) error {
	for _, copyID := range drop {
		if _, err := tx.Exec(ctx, `DELETE FROM samples WHERE copy_id = $1`, copyID); err != nil {
			return fmt.Errorf("write waits of %s: %w", copyID, err)
		}
	}
	for i := range add {
		s := &add[i]
		content, err := encode(&s.Sample)
		if err != nil {
			return err
		}
		k := &s.Sample.Key
		_, err = tx.Exec(ctx, `INSERT INTO samples (copy_id, sha256, kind, extension, message_id, since, sample) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT DO NOTHING`, s.CopyID, k.SHA256, k.Kind, k.Extension, s.MessageID, micros(s.Since), content)
		if err != nil {
			return fmt.Errorf("write waits of %s: %w", s.CopyID, err)
		}
	}
	return nil
}

// Waiting returns the copies that wait for the sample, the first first.
func (s *Store) Waiting(ctx context.Context, key message.SampleKey) ([]store.Sample, error) {
	found, err := list(ctx, s.backend.Read(), func(rows Rows) (sample store.Sample, err error) {
		var (
			since   int64
			content []byte
		)
		if err := rows.Scan(&sample.CopyID, &sample.MessageID, &since, &content); err != nil {
			return sample, err
		}
		sample.Since = fromMicros(since)
		return sample, decode(content, &sample.Sample)
	}, `SELECT copy_id, message_id, since, sample FROM samples WHERE sha256 = $1 AND kind = $2 AND extension = $3 ORDER BY since, copy_id`,
		key.SHA256, key.Kind, key.Extension)
	if err != nil {
		return nil, fmt.Errorf("read who waits for %s: %w", key.SHA256, err)
	}
	return found, nil
}

const submissionColumns = `sha256, kind, extension, sha1, analyzer, server, remote, state, asked, attempts, next_at, created, verdict,
	expires, version`

func scanSubmission(rows Rows) (store.Submission, error) {
	var (
		s                                         store.Submission
		asked, attempts, nextAt, created, expires int64
		verdict                                   []byte
	)
	err := rows.Scan(&s.Key.SHA256, &s.Key.Kind, &s.Key.Extension, &s.SHA1, &s.Analyzer, &s.Server, &s.Remote, &s.State, &asked, &attempts,
		&nextAt, &created, &verdict, &expires, &s.Version)
	if err != nil {
		return s, err
	}
	s.Attempts = int(attempts)
	s.Asked, s.NextAt, s.Created, s.Expires = fromMicros(asked), fromMicros(nextAt), fromMicros(created), fromMicros(expires)
	return s, decode(verdict, &s.Verdict)
}

const byKey = ` WHERE sha256 = $1 AND kind = $2 AND extension = $3`

// Submit inserts a submission unless a live or cached one is there.
func (s *Store) Submit(ctx context.Context, submission store.Submission) (store.Submission, bool, error) {
	type result struct {
		current store.Submission
		created bool
	}
	k := submission.Key
	r, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (result, error) {
		added, err := tx.Exec(ctx, `INSERT INTO submissions (sha256, kind, extension, sha1, analyzer, server, remote, state, asked, attempts,
				next_at, created, verdict, expires, version)
			VALUES ($1, $2, $3, $4, '', '', '', $5, 0, 0, $6, $7, $8, 0, 1) ON CONFLICT DO NOTHING`,
			k.SHA256, k.Kind, k.Extension, submission.SHA1, submission.State, micros(submission.NextAt), micros(submission.Created), []byte(nil))
		if err != nil {
			return result{}, err
		}
		if added == 0 {
			current, err := one(ctx, tx, scanSubmission, `SELECT `+submissionColumns+` FROM submissions`+byKey+s.backend.Dialect().Lock,
				k.SHA256, k.Kind, k.Extension)
			if err != nil {
				return result{}, err
			}
			if current.State != "done" || current.Expires.After(s.clock()) {
				return result{current: current}, nil
			}
			_, err = tx.Exec(ctx, `UPDATE submissions SET sha1 = $4, state = $5, asked = 0, attempts = 0, next_at = $6, created = $7,
				verdict = $8, expires = 0, version = version + 1, remote = ''`+byKey,
				k.SHA256, k.Kind, k.Extension, submission.SHA1, submission.State, micros(submission.NextAt), micros(submission.Created), []byte(nil))
			if err != nil {
				return result{}, err
			}
		}
		current, err := one(ctx, tx, scanSubmission, `SELECT `+submissionColumns+` FROM submissions`+byKey, k.SHA256, k.Kind, k.Extension)
		return result{current: current, created: true}, err
	})
	if err != nil {
		return store.Submission{}, false, fmt.Errorf("submit %s: %w", k.SHA256, err)
	}
	return r.current, r.created, nil
}

// UpdateSubmission changes it by version.
func (s *Store) UpdateSubmission(ctx context.Context, u store.Submission) error {
	var verdict []byte
	if u.Verdict != nil {
		var err error
		if verdict, err = encode(u.Verdict); err != nil {
			return err
		}
	}
	err := s.backend.Write(ctx, func(ctx context.Context, tx Tx) error {
		return conflictUnless(tx.Exec(ctx, `UPDATE submissions SET analyzer = $5, server = $6, remote = $7, state = $8, asked = $9,
				attempts = $10, next_at = $11, verdict = $12, expires = $13, version = version + 1`+byKey+` AND version = $4`,
			u.Key.SHA256, u.Key.Kind, u.Key.Extension, u.Version, u.Analyzer, u.Server, u.Remote, u.State, micros(u.Asked), int64(u.Attempts),
			micros(u.NextAt), verdict, micros(u.Expires)))
	})
	if err != nil {
		return fmt.Errorf("update submission of %s: %w", u.Key.SHA256, err)
	}
	return nil
}

// Submissions returns those with the keys.
func (s *Store) Submissions(ctx context.Context, keys []message.SampleKey) ([]store.Submission, error) {
	var out []store.Submission
	for _, k := range keys {
		found, err := list(ctx, s.backend.Read(), scanSubmission, `SELECT `+submissionColumns+` FROM submissions`+byKey, k.SHA256, k.Kind, k.Extension)
		if err != nil {
			return nil, fmt.Errorf("read submissions: %w", err)
		}
		out = append(out, found...)
	}
	return out, nil
}

// DueSubmissions claims what is due, the earliest first.
func (s *Store) DueSubmissions(ctx context.Context, now, until time.Time, limit int) ([]store.Submission, error) {
	const due = ` FROM submissions WHERE state <> 'done' AND next_at <= $1`
	// Mostly nothing is due: that is found without a write transaction.
	_, err := one(ctx, s.backend.Read(), value[int64], `SELECT 1`+due+` LIMIT 1`, micros(now))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for due submissions: %w", err)
	}
	claimed, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) ([]store.Submission, error) {
		claimed, err := list(ctx, tx, scanSubmission, `SELECT `+submissionColumns+due+` ORDER BY next_at, sha256 LIMIT $2`+
			s.backend.Dialect().SkipLocked, micros(now), int64(limit))
		if err != nil {
			return nil, err
		}
		for i := range claimed {
			c := &claimed[i]
			if _, err := tx.Exec(ctx, `UPDATE submissions SET next_at = $4, version = version + 1`+byKey, c.Key.SHA256, c.Key.Kind,
				c.Key.Extension, micros(until)); err != nil {
				return nil, err
			}
			c.NextAt, c.Version = fromMicros(micros(until)), c.Version+1
		}
		return claimed, nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim due submissions: %w", err)
	}
	return slices.Clip(claimed), nil
}

// ClearVerdicts forgets verdicts.
func (s *Store) ClearVerdicts(ctx context.Context, sha256 string) (int64, error) {
	n, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) {
		if sha256 == "" {
			return tx.Exec(ctx, `DELETE FROM submissions WHERE state = 'done'`)
		}
		return tx.Exec(ctx, `DELETE FROM submissions WHERE state = 'done' AND sha256 = $1`, sha256)
	})
	if err != nil {
		return 0, fmt.Errorf("clear verdicts: %w", err)
	}
	return n, nil
}
