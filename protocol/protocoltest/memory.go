// Package protocoltest holds journals in memory: the model that the journals
// on disk are compared with, and the ground a simulation runs on.
package protocoltest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// An Agent is an agent's journal and spool. It is not safe for concurrent use.
type Agent struct {
	LastPlace topics.Received
	First     uint64 // number of Spool[0]
	Spool     []topics.Event
	Jobs      map[topics.JobID]protocol.AgentJob
	Order     []topics.JobID
	Dropped   topics.Received // the last event that was dropped
	Marks     *int            // how many there are, in all copies
	Conf      *protocol.AgentConfig
	Began     map[SlotKey]protocol.AgentSlot
}

// A SlotKey is whose slot is remembered.
type SlotKey struct {
	Schedule topics.ScheduleID
	Group    topics.SourceGroupID
}

// NewAgent returns an empty journal of this epoch.
func NewAgent(epoch int64) *Agent {
	return &Agent{
		Marks:     new(int),
		LastPlace: topics.Received{Epoch: epoch},
		First:     1,
		Jobs:      map[topics.JobID]protocol.AgentJob{},
		Began:     map[SlotKey]protocol.AgentSlot{},
	}
}

// Clone copies the journal, as a backup or a snapshot of its machine does.
func (a *Agent) Clone() *Agent {
	c := *a
	c.Jobs, c.Spool, c.Order, c.Began = maps.Clone(a.Jobs), slices.Clone(a.Spool), slices.Clone(a.Order), maps.Clone(a.Began)
	return &c
}

// Step runs one step in a transaction: what fails leaves no trace.
func (a *Agent) Step(in protocol.AgentInput) ([]protocol.AgentEffect, error) {
	tx := *a
	tx.Jobs, tx.Spool, tx.Order, tx.Began = maps.Clone(a.Jobs), slices.Clip(a.Spool), slices.Clip(a.Order), maps.Clone(a.Began)
	effects, err := protocol.AgentStep(&tx, in)
	if err == nil {
		*a = tx
	}
	return effects, err
}

// Batch returns up to n events after seq.
func (a *Agent) Batch(seq uint64, n int) topics.Events {
	from := min(max(seq+1, a.First)-a.First, uint64(len(a.Spool)))
	return topics.Events{Epoch: a.LastPlace.Epoch, First: a.First + from, Events: a.Spool[from:min(int(from)+n, len(a.Spool))]}
}

// Last implements protocol.AgentTx.
func (a *Agent) Last() (topics.Received, error) { return a.LastPlace, nil }

// Append implements protocol.AgentTx.
func (a *Agent) Append(e topics.Event) error {
	*a.Marks++
	e.Mark = fmt.Sprintf("m%d", *a.Marks)
	a.Spool = append(a.Spool, e)
	a.LastPlace.Seq++
	return nil
}

// Drop implements protocol.AgentTx.
func (a *Agent) Drop(seq uint64) error {
	if seq >= a.First {
		n := min(seq-a.First+1, uint64(len(a.Spool)))
		if n > 0 {
			a.Dropped = topics.Received{Seq: a.First + n - 1, Mark: a.Spool[n-1].Mark}
		}
		a.Spool, a.First = a.Spool[n:], a.First+n
	}
	return nil
}

// Mark implements protocol.AgentTx.
func (a *Agent) Mark(seq uint64) (string, bool, error) {
	if seq >= a.First && seq < a.First+uint64(len(a.Spool)) {
		return a.Spool[seq-a.First].Mark, true, nil
	}
	return a.Dropped.Mark, seq == a.Dropped.Seq, nil
}

// Renew implements protocol.AgentTx.
func (a *Agent) Renew(epoch int64) error {
	a.Dropped = topics.Received{}
	a.LastPlace = topics.Received{Epoch: epoch, Seq: uint64(len(a.Spool))}
	a.First = 1
	return nil
}

// Job implements protocol.AgentTx.
func (a *Agent) Job(id topics.JobID) (protocol.AgentJob, bool, error) {
	j, ok := a.Jobs[id]
	return j, ok, nil
}

// PutJob implements protocol.AgentTx.
func (a *Agent) PutJob(j protocol.AgentJob) error {
	if _, ok := a.Jobs[j.ID]; !ok {
		a.Order = append(a.Order, j.ID)
	}
	a.Jobs[j.ID] = j
	return nil
}

// Unended implements protocol.AgentTx.
func (a *Agent) Unended() ([]protocol.AgentJob, error) {
	var jobs []protocol.AgentJob
	for _, id := range a.Order {
		if j := a.Jobs[id]; j.End == nil {
			jobs = append(jobs, j)
		}
	}
	return jobs, nil
}

// Config implements protocol.AgentTx.
func (a *Agent) Config() (protocol.AgentConfig, bool, error) {
	if a.Conf == nil {
		return protocol.AgentConfig{}, false, nil
	}
	c := *a.Conf
	c.Repositories = slices.Clone(c.Repositories)
	return c, true, nil
}

// PutConfig implements protocol.AgentTx.
func (a *Agent) PutConfig(c protocol.AgentConfig) error {
	c.Repositories = slices.Clone(c.Repositories)
	a.Conf = &c
	return nil
}

// Slot implements protocol.AgentTx.
func (a *Agent) Slot(s topics.ScheduleID, g topics.SourceGroupID) (protocol.AgentSlot, bool, error) {
	slot, ok := a.Began[SlotKey{s, g}]
	return slot, ok, nil
}

// PutSlot implements protocol.AgentTx.
func (a *Agent) PutSlot(s protocol.AgentSlot) error {
	a.Began[SlotKey{s.Schedule, s.Group}] = s
	return nil
}

// DropSlot implements protocol.AgentTx.
func (a *Agent) DropSlot(s topics.ScheduleID, g topics.SourceGroupID) error {
	delete(a.Began, SlotKey{s, g})
	return nil
}

// Slots implements protocol.AgentTx.
func (a *Agent) Slots() ([]protocol.AgentSlot, error) {
	return slices.SortedFunc(maps.Values(a.Began), func(x, y protocol.AgentSlot) int {
		return cmp.Or(cmp.Compare(x.Schedule, y.Schedule), cmp.Compare(x.Group, y.Group))
	}), nil
}

// A Plane is the control plane's journal. It is not safe for concurrent use.
type Plane struct {
	Places map[topics.HostID]topics.Received
	Tracks map[topics.HostID][]protocol.Lane // by epoch
	Jobs   map[topics.JobID]protocol.PlaneJob
	Order  []topics.JobID
	Log    map[topics.JobID][]string // "n text", or "from-to gap"
	Ends   map[topics.JobID][]topics.Finished
	Parts  map[topics.JobID]map[int]topics.Report
	// Late holds the snapshots of backups that had ended when their host was removed.
	Late map[topics.JobID]string
	// Greetings holds the session of each host's last hello.
	Greetings map[topics.HostID]topics.Session
	// Applied is the config in force on each host.
	Applied map[topics.HostID]topics.Configured
	// FiredSlots holds what hosts began by themselves.
	FiredSlots map[topics.JobID]topics.Fired
	// Further holds the slots that jobs served besides their own.
	Further map[topics.JobID][]topics.Slot
	// Through, if set, is what steps go through: a test's way to break a rule.
	Through func(*Plane) protocol.PlaneTx
	// Limits is how many jobs hosts run at once; nobody changes it.
	Limits map[topics.HostID]int

	// Unmade are the repositories that are not there yet, and where; all others are.
	Unmade map[topics.RepositoryID]protocol.Place
	// Ready is when one of those was first found or made, by the host whose place it is,
	// or by "" if all share it.
	Ready  map[RepositoryPlace]int64
	Makers map[topics.HostID]protocol.Maker
	Tries  map[RepositoryPlace]protocol.Try
	Inits  []topics.JobID // what the next init jobs are called; made up without
}

// A RepositoryPlace is a repository as a host finds it.
type RepositoryPlace struct {
	Repository topics.RepositoryID
	Host       topics.HostID
}

// NewPlane returns an empty journal.
func NewPlane() *Plane {
	return &Plane{
		Places:     map[topics.HostID]topics.Received{},
		Tracks:     map[topics.HostID][]protocol.Lane{},
		Jobs:       map[topics.JobID]protocol.PlaneJob{},
		Log:        map[topics.JobID][]string{},
		Ends:       map[topics.JobID][]topics.Finished{},
		Parts:      map[topics.JobID]map[int]topics.Report{},
		Late:       map[topics.JobID]string{},
		Greetings:  map[topics.HostID]topics.Session{},
		Applied:    map[topics.HostID]topics.Configured{},
		FiredSlots: map[topics.JobID]topics.Fired{},
		Further:    map[topics.JobID][]topics.Slot{},
		Unmade:     map[topics.RepositoryID]protocol.Place{},
		Ready:      map[RepositoryPlace]int64{},
		Makers:     map[topics.HostID]protocol.Maker{},
		Tries:      map[RepositoryPlace]protocol.Try{},
	}
}

// at is the place where a host finds a repository.
func (p *Plane) at(repository topics.RepositoryID, host topics.HostID) RepositoryPlace {
	if p.Unmade[repository].Path {
		return RepositoryPlace{repository, host}
	}
	return RepositoryPlace{Repository: repository}
}

// seen adds what is known of the place of a job.
func (p *Plane) seen(j protocol.PlaneJob) protocol.PlaneJob {
	j.ReadyAt = 1
	if _, unmade := p.Unmade[j.Repository]; unmade {
		j.ReadyAt = p.Ready[p.at(j.Repository, j.Host)]
	}
	return j
}

// Place implements protocol.PlaneTx.
func (p *Plane) Place(id topics.RepositoryID) (protocol.Place, error) { return p.Unmade[id], nil }

// Maker implements protocol.PlaneTx.
func (p *Plane) Maker(j protocol.PlaneJob) (protocol.Maker, error) { return p.Makers[j.Host], nil }

// AddInit implements protocol.PlaneTx.
func (p *Plane) AddInit(b protocol.PlaneJob, now int64) (protocol.PlaneJob, error) {
	j := protocol.PlaneJob{ID: topics.JobID(fmt.Sprintf("init-%06d", len(p.Order))), Host: b.Host, Kind: topics.InitJob,
		Repository: b.Repository, Behalf: b.Group, QueuedAt: now, NotAfter: now + 24*60*60*1000}
	if len(p.Inits) > 0 {
		j.ID, p.Inits = p.Inits[0], p.Inits[1:]
	}
	p.Queue(j)
	for i := len(p.Order) - 1; i > 0 && p.Jobs[p.Order[i-1]].QueuedAt == now && p.Order[i-1] > j.ID; i-- { // as the database lists them
		p.Order[i-1], p.Order[i] = p.Order[i], p.Order[i-1]
	}
	return p.seen(p.Jobs[j.ID]), nil
}

// Try implements protocol.PlaneTx.
func (p *Plane) Try(repository topics.RepositoryID, host topics.HostID) (protocol.Try, error) {
	return p.Tries[RepositoryPlace{repository, host}], nil
}

// PutTry implements protocol.PlaneTx.
func (p *Plane) PutTry(t protocol.Try) error {
	p.Tries[RepositoryPlace{t.Repository, t.Host}] = t
	return nil
}

// Queue records a new job.
func (p *Plane) Queue(j protocol.PlaneJob) {
	j.State = topics.Queued
	p.Jobs[j.ID] = j
	p.Order = append(slices.Clone(p.Order), j.ID)
}

// Step runs one step in a transaction: what fails leaves no trace.
func (p *Plane) Step(t protocol.Timing, in protocol.PlaneInput) ([]protocol.PlaneEffect, error) {
	tx := *p
	tx.Places, tx.Jobs, tx.Log, tx.Ends = maps.Clone(p.Places), maps.Clone(p.Jobs), maps.Clone(p.Log), maps.Clone(p.Ends)
	tx.Late, tx.Tracks = maps.Clone(p.Late), maps.Clone(p.Tracks)
	tx.Greetings, tx.Parts, tx.Order = maps.Clone(p.Greetings), maps.Clone(p.Parts), slices.Clip(p.Order)
	tx.Inits = slices.Clip(p.Inits)
	tx.Unmade, tx.Ready, tx.Tries = maps.Clone(p.Unmade), maps.Clone(p.Ready), maps.Clone(p.Tries)
	tx.Applied, tx.FiredSlots, tx.Further = maps.Clone(p.Applied), maps.Clone(p.FiredSlots), maps.Clone(p.Further)
	var through protocol.PlaneTx = &tx
	if p.Through != nil {
		through = p.Through(&tx)
	}
	effects, err := protocol.PlaneStep(t, through, in)
	if err == nil {
		*p = tx
	}
	return effects, err
}

// Received implements protocol.PlaneTx.
func (p *Plane) Received(h topics.HostID) (topics.Received, error) { return p.Places[h], nil }

// SetReceived implements protocol.PlaneTx.
func (p *Plane) SetReceived(h topics.HostID, r topics.Received) error {
	p.Places[h] = r
	return nil
}

// Lanes implements protocol.PlaneTx.
func (p *Plane) Lanes(h topics.HostID) ([]protocol.Lane, error) {
	return slices.Clone(p.Tracks[h]), nil
}

// PutLane implements protocol.PlaneTx.
func (p *Plane) PutLane(h topics.HostID, l protocol.Lane) error {
	list := slices.DeleteFunc(slices.Clone(p.Tracks[h]), func(o protocol.Lane) bool { return o.Received.Epoch == l.Received.Epoch })
	l.Jobs = slices.Clone(l.Jobs)
	p.Tracks[h] = append(list, l)
	slices.SortFunc(p.Tracks[h], func(a, b protocol.Lane) int { return cmp.Compare(a.Received.Epoch, b.Received.Epoch) })
	return nil
}

// DropLane implements protocol.PlaneTx.
func (p *Plane) DropLane(h topics.HostID, epoch int64) error {
	p.Tracks[h] = slices.DeleteFunc(slices.Clone(p.Tracks[h]), func(o protocol.Lane) bool { return o.Received.Epoch == epoch })
	return nil
}

// Job implements protocol.PlaneTx.
func (p *Plane) Job(id topics.JobID) (protocol.PlaneJob, bool, error) {
	j, ok := p.Jobs[id]
	return p.seen(j), ok, nil
}

// PutJob implements protocol.PlaneTx.
func (p *Plane) PutJob(j protocol.PlaneJob) error {
	old, ok := p.Jobs[j.ID]
	if !ok || old.State != j.State && !old.State.CanBecome(j.State) {
		return fmt.Errorf("job %s is %s and cannot become %s", j.ID, old.State, j.State)
	}
	p.Jobs[j.ID] = j
	return nil
}

// Open implements protocol.PlaneTx.
func (p *Plane) Open(h topics.HostID) ([]protocol.PlaneJob, error) {
	var jobs []protocol.PlaneJob
	for _, id := range p.Order {
		if j := p.Jobs[id]; !j.State.Ended() && (h == "" || j.Host == h) {
			jobs = append(jobs, p.seen(j))
		}
	}
	return jobs, nil
}

// AddLines implements protocol.PlaneTx.
func (p *Plane) AddLines(id topics.JobID, first int, lines []topics.Line) error {
	log := slices.Clip(p.Log[id])
	for i, l := range lines {
		log = append(log, fmt.Sprintf("%d %s", first+i, l.Text))
	}
	p.Log[id] = log
	return nil
}

// AddGap implements protocol.PlaneTx.
func (p *Plane) AddGap(id topics.JobID, from int, g topics.Gap) error {
	p.Log[id] = append(slices.Clip(p.Log[id]), fmt.Sprintf("%d-%d gap", from, g.To))
	return nil
}

// AddReport implements protocol.PlaneTx.
func (p *Plane) AddReport(r topics.Report) error {
	parts := maps.Clone(p.Parts[r.Job])
	if parts == nil {
		parts = map[int]topics.Report{}
	}
	if _, known := parts[r.Part]; !known {
		parts[r.Part] = r
	}
	p.Parts[r.Job] = parts
	return nil
}

// Fired implements protocol.PlaneTx.
func (p *Plane) Fired(host topics.HostID, f topics.Fired, at int64) (protocol.PlaneJob, bool, error) {
	j := protocol.PlaneJob{ID: f.Job, Host: host, Kind: topics.BackupJob, Repository: f.Repository,
		Group: f.Group, Schedule: f.Slot.Schedule, Slot: f.Slot.At, State: topics.Dispatched, Accepted: true, Fired: true,
		QueuedAt: at}
	p.Jobs[j.ID], p.FiredSlots[j.ID] = j, f
	p.Order = append(p.Order, j.ID)
	return p.seen(j), true, p.Served(j, f.Also, 0)
}

// Served implements protocol.PlaneTx.
func (p *Plane) Served(j protocol.PlaneJob, also []topics.Slot, _ int64) error {
	p.Further[j.ID] = append(slices.Clip(p.Further[j.ID]), also...)
	return nil
}

// Configured implements protocol.PlaneTx.
func (p *Plane) Configured(host topics.HostID, c topics.Configured, _ int64) error {
	p.Applied[host] = c
	return nil
}

// AtOnce implements protocol.PlaneTx.
func (p *Plane) AtOnce() (map[topics.HostID]int, error) { return p.Limits, nil }

// Standard implements protocol.PlaneTx. It leaves a backup as its agent judged it.
func (p *Plane) Standard(protocol.PlaneJob) (protocol.Standard, error) {
	return protocol.Standard{AllowEmpty: true}, nil
}

// Greeted implements protocol.PlaneTx.
func (p *Plane) Greeted(host topics.HostID, h topics.Hello, _ int64) error {
	if h.Configured != nil {
		p.Applied[host] = *h.Configured
	}
	p.Greetings[host] = h.Session
	return nil
}

// Started implements protocol.PlaneTx.
func (p *Plane) Started(protocol.PlaneJob, topics.Started, int64) error { return nil }

// Saved implements protocol.PlaneTx.
func (p *Plane) Saved(j protocol.PlaneJob, f topics.Finished, _ int64) error {
	p.Late[j.ID] = f.Snapshot.ID
	return nil
}

// Finished implements protocol.PlaneTx.
func (p *Plane) Finished(j protocol.PlaneJob, f topics.Finished, at int64) error {
	if place := p.at(j.Repository, j.Host); (f.State == topics.Succeeded || f.RepositoryReady) && p.Ready[place] == 0 {
		p.Ready[place] = at
	}
	p.Ends[j.ID] = append(slices.Clip(p.Ends[j.ID]), f)
	return nil
}
