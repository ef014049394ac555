// Package public publishes the state of the fleet: unencrypted, retained MQTT topics
// computed from the database, for Home Assistant and other consumers. Agents cannot
// write them, and no other part of the control plane reads them.
package public

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Timing limits how often a host's state is published.
type Timing struct {
	Quiet   time.Duration // between two states of a host
	Running time.Duration // the same while a job runs
	Look    time.Duration // how often the board is asked for changes that were not announced: a host that went silent, another process
}

// DefaultTiming is what docs/TOPICS.md promises to consumers.
func DefaultTiming() Timing {
	return Timing{Quiet: 10 * time.Second, Running: time.Second, Look: 5 * time.Second}
}

// Config holds what a publisher needs.
type Config struct {
	Store    *store.Store
	Presence *hosts.Presence
	Fleet    *fleet.Board // nil creates one
	Hub      *jobs.Hub
	// Publish gives a message to the public broker.
	Publish func(topic string, payload []byte, qos byte, retain bool) error
	// Space, if set, says how short of space the control plane's disk is, and how many
	// bytes are left, to some MiB.
	Space func() (level string, free uint64)
	// Alerts, if set, are what consumers hear of alerts.
	Alerts Alerts
	Log    *slog.Logger
	Timing Timing
	Now    func() time.Time
}

// A Publisher keeps the public topics up to date. Run does the work.
type Publisher struct {
	Config
	wake chan struct{}

	mu      sync.Mutex
	dirty   map[topics.HostID]bool
	alarmed bool // alerts changed

	// Used by Run's goroutine only.
	seen     map[topics.HostID]*fleet.Entry          // the last published entry of each host
	later    map[topics.HostID]bool                  // changed, but too early to publish again
	said     map[string][sha256.Size]byte            // the last payload by topic, as its hash: of what is there
	at       map[topics.HostID]time.Time             // of the last state
	ended    map[topics.HostID]topics.JobID          // the last job whose end was published
	open     map[topics.HostID]map[topics.JobID]bool // those that were sent and had not ended
	there    map[topics.RepositoryID]bool            // the repositories that were published
	looked   time.Time                               // when they were
	lost     bool                                    // a message could not be published, and will be repeated
	alerting alerting                                // what is known of alerts
}

// New returns a publisher; Run starts it.
func New(c Config) *Publisher {
	if c.Fleet == nil {
		c.Fleet = fleet.NewBoard(c.Store, c.Presence, c.Now)
	}
	return &Publisher{Config: c, wake: make(chan struct{}, 1), dirty: map[topics.HostID]bool{}, later: map[topics.HostID]bool{},
		seen: map[topics.HostID]*fleet.Entry{},
		said: map[string][sha256.Size]byte{}, at: map[topics.HostID]time.Time{}, ended: map[topics.HostID]topics.JobID{},
		open: map[topics.HostID]map[topics.JobID]bool{}}
}

// Changed tells the publisher that something about a host changed. It never blocks.
func (p *Publisher) Changed(h topics.HostID) {
	p.mu.Lock()
	p.dirty[h] = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends, and says that the control plane is offline then.
func (p *Publisher) Run(ctx context.Context) error {
	p.say(topics.Topic{Kind: topics.KindPlaneAvailability}, topics.Online, 1, true)
	defer func() {
		p.say(topics.Topic{Kind: topics.KindPlaneAvailability}, topics.Offline, 1, true)
	}()
	if m, err := p.Fleet.Now(ctx); err == nil {
		for _, h := range m.ByName() {
			p.ended[h.ID] = h.LastJob // ended before the start
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
			p.mu.Lock()
			alarmed := p.alarmed
			p.mu.Unlock()
			if alarmed {
				p.alerts(ctx)
			}
			p.due(ctx)
		}
	}
}

// everything publishes every host that differs from what was published. It compares
// each entry; an unchanged host still has the same entry on the board.
func (p *Publisher) everything(ctx context.Context) {
	p.alerts(ctx) // before the hosts, which say how many they have
	m, err := p.Fleet.Now(ctx)
	if err != nil {
		p.complain(ctx, err)
		return
	}
	p.mu.Lock()
	for _, h := range m.ByName() {
		if p.seen[h.ID] != h {
			p.dirty[h.ID] = true
		}
	}
	for id := range p.seen {
		if m.Host(id) == nil {
			p.dirty[id] = true
		}
	}
	p.mu.Unlock()
	p.due(ctx)
	p.fleet(m)
	p.repositories(ctx)
}

// due publishes what changed, of each host no more often than Timing says.
func (p *Publisher) due(ctx context.Context) {
	p.mu.Lock()
	dirty := p.dirty
	p.dirty = map[topics.HostID]bool{}
	p.mu.Unlock()
	if len(dirty) == 0 {
		return
	}
	m, err := p.Fleet.Now(ctx)
	if err != nil {
		p.complain(ctx, err)
		maps.Copy(p.later, dirty)
		return
	}
	for id := range dirty {
		if ctx.Err() != nil {
			return
		}
		delete(p.later, id)
		h := m.Host(id)
		if h == nil {
			p.gone(id)
			continue
		}
		again, err := p.host(ctx, h)
		if err != nil {
			p.complain(ctx, err)
		}
		if again || err != nil {
			p.later[id] = true
		}
	}
}

func (p *Publisher) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		p.Log.Error("publish the state of the fleet", "err", err)
	}
}

// gone clears the retained topics of a host that was removed: consumers see it
// disappear, and nothing of it stays in a broker. It is tried again if that fails.
func (p *Publisher) gone(id topics.HostID) {
	if _, published := p.seen[id]; !published && p.at[id].IsZero() {
		return
	}
	p.lost = false
	for _, kind := range []topics.Kind{topics.KindHostAvailability, topics.KindHostState} {
		p.say(topics.Topic{Kind: kind, Host: id}, "", 1, true)
	}
	if p.lost {
		p.later[id] = true
		return
	}
	for _, kind := range []topics.Kind{topics.KindHostAvailability, topics.KindHostState} {
		p.forget(topics.Topic{Kind: kind, Host: id})
	}
	for job := range p.open[id] { // their ends are not published: whose they were is gone
		p.forget(topics.Topic{Kind: topics.KindHostJob, Host: id, Job: job})
	}
	delete(p.seen, id)
	delete(p.at, id)
	delete(p.ended, id)
	delete(p.open, id)
}

// host publishes one host's topics. It reports whether something has to wait.
func (p *Publisher) host(ctx context.Context, h *fleet.Entry) (again bool, err error) {
	id, online := h.ID, h.Connection == hosts.Online
	p.lost = false
	availability := topics.Offline
	if online {
		availability = topics.Online
	}
	p.say(topics.Topic{Kind: topics.KindHostAvailability, Host: id}, availability, 1, true)

	running := h.Busy()
	if running != nil && running.State == topics.Queued {
		running = nil
	}
	if err := p.jobsOf(ctx, h); err != nil {
		return false, err
	}
	pause := p.Timing.Quiet
	if running != nil {
		pause = p.Timing.Running
	}
	if last, ok := p.at[id]; ok && p.Now().Sub(last) < pause {
		return true, nil
	}
	s := topics.HostState{ID: id, Name: h.Name, Online: online, Status: string(h.Status), Reason: h.Reason, Cause: h.Cause,
		Since:      rfc3339(h.Since),
		PromisedBy: h.PromisedBy, LastGoodBackup: rfc3339(h.LastGood), LastJob: h.LastBackup.Job, LastResult: h.LastBackup.State,
		Snapshots:      h.Snapshots,
		ProtectedBytes: h.Restorable, Proven: string(h.Proof.Word), ProvenAt: rfc3339(h.Proof.At),
		Alerts: p.alerting.ofHost[id], AgentVersion: h.AgentVersion, ResticVersion: h.ResticVersion}
	if running != nil {
		s.RunningJob, s.RunningMore = running.ID, h.Beside()
		if progress, ok := p.Hub.Progress(running.ID); ok {
			s.Percent = progress.Percent
		}
	}
	if p.say(topics.Topic{Kind: topics.KindHostState, Host: id}, string(topics.Encode(s)), 1, true) {
		p.at[id] = p.Now()
	}
	if !p.lost {
		p.seen[id] = h
	}
	return p.lost, nil
}

// jobsOf publishes the jobs that were sent, and the ends of those that were when it was
// called last, and of the host's last one.
func (p *Publisher) jobsOf(ctx context.Context, h *fleet.Entry) error {
	open, over := map[topics.JobID]bool{}, p.open[h.ID]
	for _, j := range h.Open {
		if j.State != topics.Queued {
			open[j.ID] = true
		}
	}
	ends := []topics.JobID{}
	for id := range over {
		if !open[id] && id != h.LastJob {
			ends = append(ends, id)
		}
	}
	if h.LastJob != "" && p.ended[h.ID] != h.LastJob {
		ends = append(ends, h.LastJob)
	}
	for _, id := range ends {
		j, err := p.Store.Job(ctx, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err == nil && j.State.Ended() {
			p.sayJob(j, 1)
		}
		delete(over, id)
		p.forget(topics.Topic{Kind: topics.KindHostJob, Host: h.ID, Job: id})
	}
	p.ended[h.ID], p.open[h.ID] = h.LastJob, open
	for _, j := range h.Open {
		if open[j.ID] {
			p.sayJob(j, 0)
		}
	}
	return nil
}

func (p *Publisher) sayJob(j store.Job, qos byte) {
	s := topics.JobPublic{ID: j.ID, Kind: j.Kind, State: j.State, Cause: j.Cause, SnapshotID: j.SnapshotID}
	did := outcome.Of(j)
	s.DryRun, s.Did, s.SavedFiles = did.DryRun, did.Text, outcome.SavedFiles(j)
	if progress, ok := p.Hub.Progress(j.ID); ok {
		s.Percent, s.BytesDone, s.TotalBytes = progress.Percent, progress.BytesDone, progress.TotalBytes
		s.FilesDone, s.TotalFiles, s.SecondsLeft = progress.FilesDone, progress.TotalFiles, progress.SecondsLeft
	}
	if silence := p.Hub.Silence(j); silence.For >= time.Minute {
		s.Silent, s.EndsAfter = int64(silence.For.Seconds()), int64(silence.Limit.Seconds())
	}
	if sum := j.Summary.V; sum != nil {
		s.Percent, s.BytesDone, s.TotalBytes, s.FilesDone, s.TotalFiles = 100, sum.TotalBytes, sum.TotalBytes, sum.TotalFiles,
			sum.TotalFiles
	}
	p.say(topics.Topic{Kind: topics.KindHostJob, Host: j.Host, Job: j.ID}, string(topics.Encode(s)), qos, false)
}

func (p *Publisher) fleet(m *fleet.Moment) {
	f := topics.FleetState{Hosts: m.Len(), Online: m.Online, ByStatus: map[string]int{}}
	for status, n := range m.Tally {
		f.ByStatus[string(status)] = n
	}
	if p.Space != nil {
		f.PlaneDisk, f.PlaneFree = p.Space()
	}
	p.say(topics.Topic{Kind: topics.KindFleetState}, string(topics.Encode(f)), 1, true)
}

// repositories publishes how each repository is, and clears the topics of those that
// were removed.
func (p *Publisher) repositories(ctx context.Context) {
	now := p.Now()
	if now.Sub(p.looked) < p.Timing.Quiet && !now.Before(p.looked) {
		return
	}
	facts, err := p.Store.Looks(ctx)
	if err != nil {
		p.complain(ctx, err)
		return
	}
	p.looked = now
	there := make(map[topics.RepositoryID]bool, len(facts))
	for _, f := range facts {
		there[f.Repository] = true
		v := health.Judge(f, now)
		p.say(topics.Topic{Kind: topics.KindRepositoryState, Repository: f.Repository}, string(topics.Encode(topics.RepositoryState{
			ID: f.Repository, Name: f.Name, Health: string(v.Word), Reason: v.Reason, Since: rfc3339(v.Since)})), 1, true)
	}
	for id := range p.there {
		if there[id] {
			continue
		}
		t := topics.Topic{Kind: topics.KindRepositoryState, Repository: id}
		if p.say(t, "", 1, true) {
			p.forget(t)
		} else {
			there[id] = true // it is cleared at the next look
		}
	}
	p.there = there
}

// say publishes a payload unless it was the last one published. It reports whether it
// did.
func (p *Publisher) say(t topics.Topic, payload string, qos byte, retain bool) bool {
	name, sum := t.String(), sha256.Sum256([]byte(payload))
	if last, known := p.said[name]; known && last == sum {
		return false
	}
	if err := p.Publish(name, []byte(payload), qos, retain); err != nil {
		p.Log.Warn("publish", "topic", name, "err", err)
		p.lost = true
		return false
	}
	p.said[name] = sum
	return true
}

// forget drops what was said about a topic that nothing more is published to.
func (p *Publisher) forget(t topics.Topic) { delete(p.said, t.String()) }

func rfc3339(ms int64) string {
	if ms == 0 {
		return ""
	}
	return words.At(ms).UTC().Format(time.RFC3339)
}
