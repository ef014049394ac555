// Package public tells the world about the fleet: clear, retained MQTT topics
// derived from the database, for Home Assistant and whoever else listens. No
// agent writes here and nothing here is believed by anybody of ours.
package public

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Timing says how often a host's state may be published.
type Timing struct {
	Quiet   time.Duration // between two states of a host
	Running time.Duration // the same while a job runs
	Look    time.Duration // how often time alone is asked whether something changed: a host that went silent
}

// DefaultTiming is what consumers are promised in docs/TOPICS.md.
func DefaultTiming() Timing {
	return Timing{Quiet: 10 * time.Second, Running: time.Second, Look: 5 * time.Second}
}

// Config is what a publisher works with.
type Config struct {
	Store    *store.Store
	Presence *hosts.Presence
	Hub      *jobs.Hub
	// Publish hands a message to the public broker.
	Publish func(topic string, payload []byte, qos byte, retain bool) error
	Log     *slog.Logger
	Timing  Timing
	Now     func() time.Time
}

// A Publisher keeps the public topics true. Run does the work.
type Publisher struct {
	Config
	wake chan struct{}

	mu    sync.Mutex
	dirty map[topics.HostID]bool

	// Of Run's goroutine alone.
	later map[topics.HostID]bool         // changed, and not to be told yet
	said  map[string]string              // by topic
	at    map[topics.HostID]time.Time    // of the last state
	ended map[topics.HostID]topics.JobID // whose end was told
}

// New returns a publisher that waits for Run.
func New(c Config) *Publisher {
	return &Publisher{Config: c, wake: make(chan struct{}, 1), dirty: map[topics.HostID]bool{}, later: map[topics.HostID]bool{},
		said: map[string]string{}, at: map[topics.HostID]time.Time{}, ended: map[topics.HostID]topics.JobID{}}
}

// Changed notes that something about a host is another now. It never blocks.
func (p *Publisher) Changed(h topics.HostID) {
	p.mu.Lock()
	p.dirty[h] = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends, and says goodbye.
func (p *Publisher) Run(ctx context.Context) error {
	p.say(topics.Topic{Kind: topics.KindPlaneAvailability}, topics.Online, 1, true)
	defer func() {
		p.say(topics.Topic{Kind: topics.KindPlaneAvailability}, topics.Offline, 1, true)
	}()
	if rows, err := p.Store.Hosts(ctx); err == nil {
		for _, h := range rows {
			p.ended[h.ID] = h.LastJob // it ended before our time
		}
	}
	p.everything(ctx)
	look, soon := time.NewTicker(p.Timing.Look), time.NewTicker(p.Timing.Running)
	defer look.Stop()
	defer soon.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			p.everything(ctx)
		case <-soon.C:
			p.mu.Lock()
			maps.Copy(p.dirty, p.later)
			p.mu.Unlock()
			p.due(ctx)
		case <-p.wake:
			p.due(ctx)
		}
	}
}

func (p *Publisher) everything(ctx context.Context) {
	rows, err := p.Store.Hosts(ctx)
	if err != nil {
		p.complain(ctx, err)
		return
	}
	for _, h := range rows {
		p.Changed(h.ID)
	}
	p.due(ctx)
	p.fleet(ctx, rows)
}

// due publishes what changed, of each host no oftener than promised.
func (p *Publisher) due(ctx context.Context) {
	p.mu.Lock()
	dirty := p.dirty
	p.dirty = map[topics.HostID]bool{}
	p.mu.Unlock()
	for id := range dirty {
		if ctx.Err() != nil {
			return
		}
		delete(p.later, id)
		again, err := p.host(ctx, id)
		if err != nil {
			p.complain(ctx, err)
		}
		if again {
			p.later[id] = true
		}
	}
}

func (p *Publisher) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		p.Log.Error("publish the state of the fleet", "err", err)
	}
}

// host publishes one host's topics. It answers whether something had to wait.
func (p *Publisher) host(ctx context.Context, id topics.HostID) (again bool, err error) {
	h, err := p.Store.Host(ctx, id)
	if err != nil {
		return false, err
	}
	open, err := p.Store.OpenJobs(ctx, id)
	if err != nil {
		return false, err
	}
	conn, _ := p.Presence.Connection(id)
	availability := topics.Offline
	if conn == hosts.Online {
		availability = topics.Online
	}
	p.say(topics.Topic{Kind: topics.KindHostAvailability, Host: id}, availability, 1, true)

	var running *store.Job
	for i := range open {
		if open[i].State != topics.Queued {
			running = &open[i]
		}
	}
	if err := p.jobsOf(ctx, h, running); err != nil {
		return false, err
	}
	pause := p.Timing.Quiet
	if running != nil {
		pause = p.Timing.Running
	}
	if last, ok := p.at[id]; ok && p.Now().Sub(last) < pause {
		return true, nil
	}
	count, err := p.Store.SnapshotCount(ctx, id)
	if err != nil {
		return false, err
	}
	s := topics.HostState{ID: id, Name: h.Name, Online: conn == hosts.Online, Status: string(p.Presence.Status(h, running != nil)),
		LastGoodBackup: rfc3339(h.GoodAt), LastJob: h.LastJob, LastResult: h.LastState, Snapshots: count,
		ProtectedBytes: h.GoodBytes, AgentVersion: h.AgentVersion, ResticVersion: h.ResticVersion}
	if running != nil {
		s.RunningJob = running.ID
		if progress, ok := p.Hub.Progress(running.ID); ok {
			s.Percent = progress.Percent
		}
	}
	if p.say(topics.Topic{Kind: topics.KindHostState, Host: id}, string(topics.Encode(s)), 1, true) {
		p.at[id] = p.Now()
	}
	return false, nil
}

// jobsOf publishes the job that runs, and the end of the one that ran.
func (p *Publisher) jobsOf(ctx context.Context, h store.Host, running *store.Job) error {
	if h.LastJob != "" && p.ended[h.ID] != h.LastJob {
		j, err := p.Store.Job(ctx, h.LastJob)
		if err != nil {
			return err
		}
		p.sayJob(j, 1)
		p.ended[h.ID] = h.LastJob
		delete(p.said, topics.Topic{Kind: topics.KindHostJob, Host: h.ID, Job: j.ID}.String())
	}
	if running != nil {
		p.sayJob(*running, 0)
	}
	return nil
}

func (p *Publisher) sayJob(j store.Job, qos byte) {
	s := topics.JobPublic{ID: j.ID, Kind: j.Kind, State: j.State, Cause: j.Cause, SnapshotID: j.SnapshotID}
	if progress, ok := p.Hub.Progress(j.ID); ok {
		s.Percent, s.BytesDone, s.TotalBytes = progress.Percent, progress.BytesDone, progress.TotalBytes
		s.FilesDone, s.TotalFiles, s.SecondsLeft = progress.FilesDone, progress.TotalFiles, progress.SecondsLeft
	}
	if sum := j.Summary.V; sum != nil {
		s.Percent, s.BytesDone, s.TotalBytes, s.FilesDone, s.TotalFiles = 100, sum.TotalBytes, sum.TotalBytes, sum.TotalFiles, sum.TotalFiles
	}
	p.say(topics.Topic{Kind: topics.KindHostJob, Host: j.Host, Job: j.ID}, string(topics.Encode(s)), qos, false)
}

func (p *Publisher) fleet(ctx context.Context, rows []store.Host) {
	open, err := p.Store.OpenJobs(ctx, "")
	if err != nil {
		p.complain(ctx, err)
		return
	}
	busy := map[topics.HostID]bool{}
	for _, j := range open {
		busy[j.Host] = busy[j.Host] || j.State != topics.Queued
	}
	f := topics.FleetState{Hosts: len(rows), ByStatus: map[string]int{}}
	for _, h := range rows {
		f.ByStatus[string(p.Presence.Status(h, busy[h.ID]))]++
		if c, _ := p.Presence.Connection(h.ID); c == hosts.Online {
			f.Online++
		}
	}
	p.say(topics.Topic{Kind: topics.KindFleetState}, string(topics.Encode(f)), 1, true)
}

// say publishes what was not said already. It answers whether it did.
func (p *Publisher) say(t topics.Topic, payload string, qos byte, retain bool) bool {
	name := t.String()
	if p.said[name] == payload {
		return false
	}
	if err := p.Publish(name, []byte(payload), qos, retain); err != nil {
		p.Log.Warn("publish", "topic", name, "err", err)
		return false
	}
	p.said[name] = payload
	return true
}

func rfc3339(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}
