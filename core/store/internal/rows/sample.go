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

// putSamples removes the waits of some copies and writes new ones. A wait that is dropped and added again goes on as it was.
func putSamples(ctx context.Context, tx Tx, drop []string, add []store.Sample) error {
	for _, copyID := range drop {
		before, err := list(ctx, tx, scanSample, `SELECT `+sampleColumns+` FROM samples w WHERE w.copy_id = $1`, copyID)
		if err != nil {
			return fmt.Errorf("read waits of %s: %w", copyID, err)
		}
		for i := range before {
			k := before[i].Sample.Key
			if slices.ContainsFunc(add, func(a store.Sample) bool { return a.CopyID == copyID && a.Sample.Key == k }) {
				continue
			}
			_, err := tx.Exec(ctx, `DELETE FROM samples WHERE copy_id = $1 AND sha256 = $2 AND kind = $3 AND extension = $4`, copyID, k.SHA256, k.Kind,
				k.Extension)
			if err != nil {
				return fmt.Errorf("write waits of %s: %w", copyID, err)
			}
		}
	}
	for i := range add {
		s := &add[i]
		content, err := encode(&s.Sample)
		if err != nil {
			return err
		}
		k := &s.Sample.Key
		_, err = tx.Exec(ctx, `INSERT INTO samples (copy_id, sha256, kind, extension, message_id, since, sample, asked_before)
			VALUES ($1, $2, $3, $4, $5, $6, $7,
				COALESCE((SELECT attempts FROM submissions WHERE sha256 = $2 AND kind = $3 AND extension = $4 AND state <> 'done'), 0))
			ON CONFLICT DO NOTHING`, s.CopyID, k.SHA256, k.Kind, k.Extension, s.MessageID, micros(s.Since), content)
		if err != nil {
			return fmt.Errorf("write waits of %s: %w", s.CopyID, err)
		}
	}
	return nil
}

const sampleColumns = `w.copy_id, w.message_id, w.since, w.asked_before, w.sample`

func scanSample(rows Rows) (store.Sample, error) {
	var (
		sample        store.Sample
		since, before int64
		content       []byte
	)
	if err := rows.Scan(&sample.CopyID, &sample.MessageID, &since, &before, &content); err != nil {
		return sample, err
	}
	sample.Since, sample.AskedBefore = fromMicros(since), int(before)
	return sample, decode(content, &sample.Sample)
}

// Waiting returns the copies that wait for the sample, the first first.
func (s *Store) Waiting(ctx context.Context, key message.SampleKey) ([]store.Sample, error) {
	found, err := list(ctx, s.backend.Read(), scanSample, `SELECT `+sampleColumns+` FROM samples w
		WHERE w.sha256 = $1 AND w.kind = $2 AND w.extension = $3 ORDER BY w.since, w.copy_id`, key.SHA256, key.Kind, key.Extension)
	if err != nil {
		return nil, fmt.Errorf("read who waits for %s: %w", key.SHA256, err)
	}
	return found, nil
}

// Waits returns what a copy waits for.
func (s *Store) Waits(ctx context.Context, copyID string) ([]store.Sample, error) {
	found, err := list(ctx, s.backend.Read(), scanSample, `SELECT `+sampleColumns+` FROM samples w WHERE w.copy_id = $1
		ORDER BY w.since, w.sha256, w.kind, w.extension`, copyID)
	if err != nil {
		return nil, fmt.Errorf("read what %s waits for: %w", copyID, err)
	}
	return found, nil
}

// Unserved returns samples that nobody works on.
func (s *Store) Unserved(ctx context.Context, limit int) ([]store.Sample, error) {
	found, err := list(ctx, s.backend.Read(), scanSample, `SELECT `+sampleColumns+` FROM samples w
		WHERE NOT EXISTS (SELECT 1 FROM submissions u WHERE u.sha256 = w.sha256 AND u.kind = w.kind AND u.extension = w.extension AND u.state <> 'done')
		ORDER BY w.since, w.copy_id LIMIT $1`, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("look for samples that are not under way: %w", err)
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
			if current.State != "done" || current.Expires.After(s.Steady()) {
				return result{current: current}, nil
			}
			_, err = tx.Exec(ctx, `UPDATE submissions SET sha1 = $4, state = $5, asked = 0, attempts = 0, next_at = $6, created = $7,
				verdict = $8, expires = 0, version = version + 1, remote = '', server = ''`+byKey,
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
				attempts = $10, next_at = $11, verdict = $12, expires = $13, version = version + 1,
				claimed_by = CASE WHEN next_at = $11 THEN claimed_by ELSE '' END`+byKey+` AND version = $4`,
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

// DueSubmissions claims what is due, the oldest first.
func (s *Store) DueSubmissions(ctx context.Context, state string, now, until time.Time, limit int) ([]store.Submission, error) {
	const due = ` FROM submissions WHERE state = $1 AND state <> 'done' AND next_at <= $2`
	// Mostly nothing is due: that is found without a write transaction.
	_, err := one(ctx, s.backend.Read(), value[int64], `SELECT 1`+due+` LIMIT 1`, state, micros(now))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for due submissions: %w", err)
	}
	claimed, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) ([]store.Submission, error) {
		claimed, err := list(ctx, tx, scanSubmission, `SELECT `+submissionColumns+due+` ORDER BY created, sha256 LIMIT $3`+
			s.backend.Dialect().SkipLocked, state, micros(now), int64(limit))
		if err != nil {
			return nil, err
		}
		for i := range claimed {
			c := &claimed[i]
			if _, err := tx.Exec(ctx, `UPDATE submissions SET next_at = $4, claimed_by = $5, version = version + 1`+byKey, c.Key.SHA256, c.Key.Kind,
				c.Key.Extension, micros(until), s.node); err != nil {
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

// CountSubmissions is how many are in the state, which is not that of those that are done: they have no index.
func (s *Store) CountSubmissions(ctx context.Context, state string) (int64, error) {
	n, err := one(ctx, s.backend.Read(), value[int64], `SELECT COUNT(*) FROM submissions WHERE state = $1 AND state <> 'done'`, state)
	if err != nil {
		return 0, fmt.Errorf("count submissions: %w", err)
	}
	return n, nil
}

// Verdicts lists the cache.
func (s *Store) Verdicts(ctx context.Context, now time.Time, sha256 string, page store.Page) ([]store.Submission, string, error) {
	var w where
	w.add("state = 'done' AND expires > ?", micros(now))
	if sha256 != "" {
		w.add("sha256 = ?", sha256)
	}
	l := listing[store.Submission]{
		from: "submissions", columns: submissionColumns, time: "asked", id: "sha256", where: w, scan: scanSubmission,
		key: func(u *store.Submission) (time.Time, string) { return u.Asked, u.Key.SHA256 },
	}
	rows, next, _, err := l.page(ctx, s.backend.Read(), page)
	if err != nil {
		return nil, "", fmt.Errorf("list verdicts: %w", err)
	}
	return rows, next, nil
}

// ClearVerdicts ends cached verdicts.
func (s *Store) ClearVerdicts(ctx context.Context, now time.Time, sha256 string) (int64, error) {
	n, err := write(ctx, s.backend, func(ctx context.Context, tx Tx) (int64, error) {
		const clear = `UPDATE submissions SET expires = 0, version = version + 1 WHERE state = 'done' AND expires > $1`
		if sha256 == "" {
			return tx.Exec(ctx, clear, micros(now))
		}
		return tx.Exec(ctx, clear+` AND sha256 = $2`, micros(now), sha256)
	})
	if err != nil {
		return 0, fmt.Errorf("clear verdicts: %w", err)
	}
	return n, nil
}
