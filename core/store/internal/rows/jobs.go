package rows

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/postern-mail/postern/core/store"
)

// deliverArgs name a job: one for the obligations of a copy that leave together.
type deliverArgs struct {
	CopyID string `json:"copy"`
	Owed   string `json:"owed"`
	Hop    string `json:"hop"`
	Body   string `json:"body"`
}

// DeliverKind is the kind of delivery jobs in the job table.
const DeliverKind = "deliver"

func (deliverArgs) Kind() string { return DeliverKind }

type periodicArgs struct {
	Name string `json:"name"`
}

func (periodicArgs) Kind() string { return "periodic" }

// live are the states in which a job will still run; a second one for the same work is not inserted.
func live() []rivertype.JobState {
	return []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateRetryable,
		rivertype.JobStateScheduled,
	}
}

// insertJobs gives each group of due obligations its job.
func (s *Store) insertJobs(ctx context.Context, tx Tx, due []store.Obligation) (inserted int64, err error) {
	at := map[deliverArgs]time.Time{}
	var order []deliverArgs
	for i := range due {
		o := &due[i]
		args := deliverArgs{CopyID: o.CopyID, Owed: string(o.Kind), Hop: o.Hop, Body: o.BodySHA256}
		if earliest, known := at[args]; !known {
			order = append(order, args)
			at[args] = o.NextAt
		} else if o.NextAt.Before(earliest) {
			at[args] = o.NextAt
		}
	}
	if len(order) == 0 {
		return 0, nil
	}
	params := make([]river.InsertManyParams, 0, len(order))
	for _, args := range order {
		options := &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: live()}}
		if at[args].After(s.Steady()) {
			options.ScheduledAt = at[args] // also a time that has passed would wait for River's next look at what is scheduled
		}
		params = append(params, river.InsertManyParams{Args: args, InsertOpts: options})
	}
	results, err := tx.InsertJobs(ctx, params)
	if err != nil {
		return 0, fmt.Errorf("insert jobs: %w", err)
	}
	for _, r := range results {
		if !r.UniqueSkippedAsDuplicate {
			inserted++
		}
	}
	return inserted, nil
}

// jobs is the running job engine, if it runs.
type jobs struct {
	mu     sync.Mutex
	client JobClient
	alive  *alive

	working sync.Map // of the ids of jobs that are worked on
}

func (j *jobs) works(id int64) bool {
	_, working := j.working.Load(id)
	return working
}

// work notes a job for the time that it is worked on.
func (j *jobs) work(id int64) (done func()) {
	j.working.Store(id, nil)
	return func() { j.working.Delete(id) }
}

// failedAgain is when a job comes again that failed for a reason of our own.
const failedAgain = 30 * time.Second

// shortest is the shortest wait of a job that comes again.
const shortest = 100 * time.Millisecond

type deliverWorker struct {
	river.WorkerDefaults[deliverArgs]
	store   *Store
	deliver func(ctx context.Context, job store.DeliverJob) (time.Time, error)
}

// Timeout is none of River's: delivery has its own, by step.
func (w *deliverWorker) Timeout(*river.Job[deliverArgs]) time.Duration { return -1 }

// Work never fails a job: what is owed stays owed, so a job is put off instead of being given up.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[deliverArgs]) error {
	defer w.store.jobs.work(job.ID)()
	a := job.Args
	again, err := w.deliver(ctx, store.DeliverJob{CopyID: a.CopyID, Kind: store.ObligationKind(a.Owed), Hop: a.Hop, Body: a.Body})
	switch {
	case err != nil && ctx.Err() != nil:
		return river.JobSnooze(shortest)
	case errors.Is(err, store.ErrNotFound):
		w.store.log.Error("a delivery has nothing to deliver any more", "copy", a.CopyID, "error", err)
		return nil
	case err != nil:
		w.store.log.Error("a delivery job failed; it comes again", "copy", a.CopyID, "within", failedAgain, "error", err)
		return river.JobSnooze(failedAgain)
	case again.IsZero():
		return nil
	}
	return river.JobSnooze(max(again.Sub(w.store.Steady()), shortest))
}

type periodicWorker struct {
	river.WorkerDefaults[periodicArgs]
	store *Store
	work  map[string]func(ctx context.Context) error
}

func (w *periodicWorker) Timeout(*river.Job[periodicArgs]) time.Duration { return -1 }

// Work logs a failure and leaves it at that: the next interval tries again.
func (w *periodicWorker) Work(ctx context.Context, job *river.Job[periodicArgs]) error {
	defer w.store.jobs.work(job.ID)()
	work, known := w.work[job.Args.Name]
	if !known {
		return nil // of another version of this program
	}
	if err := work(ctx); err != nil && ctx.Err() == nil {
		w.store.log.Error("periodic work failed; it is tried at the next interval", "work", job.Args.Name, "error", err)
	}
	return nil
}

// softStop is how long deliveries under way may take at a stop before they are cancelled.
const softStop = 20 * time.Second

// Start runs the workers until Stop.
func (s *Store) Start(ctx context.Context, w store.Workers) error {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	if s.jobs.client != nil {
		return errors.New("start workers: they run already")
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &deliverWorker{store: s, deliver: w.Deliver})
	periodic := &periodicWorker{store: s, work: map[string]func(context.Context) error{}}
	river.AddWorker(workers, periodic)
	config := &river.Config{
		ID: s.node, Workers: workers, Logger: s.log, Test: JobTime(s.steady),
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: max(1, w.Concurrency)}},
	}
	for _, p := range w.Periodic {
		periodic.work[p.Name] = p.Run
		config.PeriodicJobs = append(config.PeriodicJobs, river.NewPeriodicJob(river.PeriodicInterval(p.Every),
			func() (river.JobArgs, *river.InsertOpts) {
				return periodicArgs{Name: p.Name}, &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: live()}}
			}, nil))
	}
	alive, err := s.startAlive(ctx)
	if err != nil {
		return fmt.Errorf("start workers: %w", err)
	}
	client, err := s.backend.StartJobs(context.WithoutCancel(ctx), config)
	if err != nil {
		alive.end()
		return fmt.Errorf("start workers: %w", err)
	}
	s.jobs.client, s.jobs.alive = client, alive
	return nil
}

// Stop waits for the work under way, and cancels it when that takes too long.
func (s *Store) Stop(ctx context.Context) error {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	if s.jobs.client == nil {
		return nil
	}
	soft, cancel := context.WithTimeout(ctx, softStop)
	defer cancel()
	err := s.jobs.client.Stop(soft)
	if err != nil {
		hard, cancelHard := context.WithTimeout(context.WithoutCancel(ctx), softStop)
		defer cancelHard()
		err = s.jobs.client.StopAndCancel(hard)
	}
	s.jobs.alive.end()
	s.jobs.client = nil
	if err != nil {
		return fmt.Errorf("stop workers: %w", err)
	}
	return nil
}
