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
	Oldest    uint64 // number of Spool[0]
	Spool     []topics.Event
	Jobs      map[topics.JobID]protocol.AgentJob
	Order     []topics.JobID
	Got       uint64          // what the control plane has, as far as is known
	Keep      int             // how many received events are kept; -1 is all
	Dropped   topics.Received // the last event that was forgotten
	Welcomer  int64           // the highest epoch of a control plane
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
		Keep:      -1,
		LastPlace: topics.Received{Epoch: epoch},
		Oldest:    1,
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
	from := min(max(seq+1, a.Oldest)-a.Oldest, uint64(len(a.Spool)))
	return topics.Events{Epoch: a.LastPlace.Epoch, First: a.Oldest + from, Events: a.Spool[from:min(int(from)+n, len(a.Spool))]}
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

// Received implements protocol.AgentTx.
func (a *Agent) Received() (uint64, error) { return a.Got, nil }

// SetReceived implements protocol.AgentTx.
func (a *Agent) SetReceived(seq uint64) error {
	a.Got = seq
	if a.Keep >= 0 && a.Got > uint64(a.Keep) {
		a.forget(a.Got - uint64(a.Keep))
	}
	return nil
}

// Forget drops every event that is received, as on a disk that is short of space.
func (a *Agent) Forget() { a.forget(a.Got) }

// Pending is how many events are not received.
func (a *Agent) Pending() int { return int(a.LastPlace.Seq - a.Got) }

// First implements protocol.AgentTx.
func (a *Agent) First() (uint64, error) { return a.Oldest, nil }

// forget drops the events up to seq.
func (a *Agent) forget(seq uint64) {
	if seq >= a.Oldest {
		n := min(seq-a.Oldest+1, uint64(len(a.Spool)))
		if n > 0 {
			a.Dropped = topics.Received{Seq: a.Oldest + n - 1, Mark: a.Spool[n-1].Mark}
		}
		a.Spool, a.Oldest = a.Spool[n:], a.Oldest+n
	}
}

// Plane implements protocol.AgentTx.
func (a *Agent) Plane() (int64, error) { return a.Welcomer, nil }

// SetPlane implements protocol.AgentTx.
func (a *Agent) SetPlane(epoch int64) error {
	a.Welcomer = epoch
	return nil
}

// Mark implements protocol.AgentTx.
func (a *Agent) Mark(seq uint64) (string, bool, error) {
	if seq >= a.Oldest && seq < a.Oldest+uint64(len(a.Spool)) {
		return a.Spool[seq-a.Oldest].Mark, true, nil
	}
	return a.Dropped.Mark, seq == a.Dropped.Seq, nil
}

// Renew implements protocol.AgentTx.
func (a *Agent) Renew(epoch int64, from uint64) error {
	if from > 0 {
		a.forget(from - 1)
	}
	a.Got, a.Dropped = 0, topics.Received{}
	a.LastPlace = topics.Received{Epoch: epoch, Seq: uint64(len(a.Spool))}
	a.Oldest = 1
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
	// Facts holds what each host said last that it is.
	Facts map[topics.HostID]topics.Facts
	// Applied is the config in force on each host.
	Applied map[topics.HostID]topics.Configured
	// FiredSlots holds what hosts began by themselves.
	FiredSlots map[topics.JobID]topics.Fired
	// Further holds the slots that jobs served besides their own.
	Further map[topics.JobID][]topics.Slot
	// Through, if set, is what steps go through: a test's way to break a rule.
	Through func(*Plane) protocol.PlaneTx
	// Keys are those of the hosts' machines; none is nil.
	Keys map[topics.HostID]string
	// Limits is how many jobs hosts run at once; nobody changes it.
	Limits map[topics.HostID]int

	// Hours is what was stored of each host, and SetAsides what was set aside of it.
	Hours     map[topics.HostID]protocol.Hour
	SetAsides map[topics.HostID]map[protocol.Aside]int
	// Unfit, if set, says which slots do not fit their schedules; all others do.
	Unfit func(topics.HostID, topics.Slot, int64) protocol.Fit

	// Steps, if set, says whether the end of a job needs no further step.
	Steps func(protocol.PlaneJob) bool

	// Unmade are the repositories that are not there yet, and where; all others are.
	Unmade map[topics.RepositoryID]protocol.Place
	// Ready is when one of those was first found or made, by the host whose place it is,
	// or by "" if all share it.
	Ready  map[RepositoryPlace]int64
	Makers map[topics.HostID]protocol.Maker
	Tries  map[RepositoryPlace]protocol.Try

	Epoch int64
	Lag   map[topics.HostID]bool // hosts that have not told how they went on since the copy
	Gaps  map[topics.HostID]int  // how often a host could not tell all of it

	Inits []topics.JobID // what the next init jobs are called; made up without
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
		Facts:      map[topics.HostID]topics.Facts{},
		Applied:    map[topics.HostID]topics.Configured{},
		FiredSlots: map[topics.JobID]topics.Fired{},
		Further:    map[topics.JobID][]topics.Slot{},
		Hours:      map[topics.HostID]protocol.Hour{},
		SetAsides:  map[topics.HostID]map[protocol.Aside]int{},
		Unmade:     map[topics.RepositoryID]protocol.Place{},
		Ready:      map[RepositoryPlace]int64{},
		Makers:     map[topics.HostID]protocol.Maker{},
		Tries:      map[RepositoryPlace]protocol.Try{},
		Epoch:      1,
		Lag:        map[topics.HostID]bool{},
		Gaps:       map[topics.HostID]int{},
		Keys:       map[topics.HostID]string{},
	}
}

// Clone copies the journal, as a backup of the control plane does.
func (p *Plane) Clone() *Plane {
	c := *p
	c.Places, c.Jobs, c.Log, c.Ends = maps.Clone(p.Places), maps.Clone(p.Jobs), maps.Clone(p.Log), maps.Clone(p.Ends)
	c.Late, c.Tracks = maps.Clone(p.Late), maps.Clone(p.Tracks)
	c.Greetings, c.Parts, c.Order = maps.Clone(p.Greetings), maps.Clone(p.Parts), slices.Clone(p.Order)
	c.Facts = maps.Clone(p.Facts)
	c.Inits = slices.Clone(p.Inits)
	c.Unmade, c.Ready, c.Tries = maps.Clone(p.Unmade), maps.Clone(p.Ready), maps.Clone(p.Tries)
	c.Applied, c.FiredSlots, c.Further = maps.Clone(p.Applied), maps.Clone(p.FiredSlots), maps.Clone(p.Further)
	c.Lag, c.Gaps = maps.Clone(p.Lag), maps.Clone(p.Gaps)
	c.Hours, c.SetAsides = maps.Clone(p.Hours), maps.Clone(p.SetAsides)
	return &c
}

// Restored makes the journal that of a control plane which was restored from a copy.
func (p *Plane) Restored(epoch int64, hosts ...topics.HostID) {
	p.Epoch = epoch
	for _, h := range hosts {
		p.Lag[h] = true
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
	if j.OtherReadyAt = 0; j.Other != "" {
		j.OtherReadyAt = 1
		if _, unmade := p.Unmade[j.Other]; unmade {
			j.OtherReadyAt = p.Ready[p.at(j.Other, j.Host)]
		}
	}
	return j
}

// Place implements protocol.PlaneTx.
func (p *Plane) Place(id topics.RepositoryID) (protocol.Place, error) { return p.Unmade[id], nil }

// Maker implements protocol.PlaneTx.
func (p *Plane) Maker(j protocol.PlaneJob) (protocol.Maker, error) { return p.Makers[j.Host], nil }

// AddInit implements protocol.PlaneTx.
func (p *Plane) AddInit(b protocol.PlaneJob, now int64) (protocol.PlaneJob, error) {
	j := protocol.PlaneJob{ID: topics.JobID(fmt.Sprintf("init-%03d%03d", p.Epoch-1, len(p.Order))), Host: b.Host, Kind: topics.InitJob,
		Repository: b.Repository, Other: b.Other, Behalf: b.Group, QueuedAt: now, NotAfter: now + 24*60*60*1000}
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
	tx := *p.Clone()
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

// Key implements protocol.PlaneTx.
func (p *Plane) Key(h topics.HostID) ([]byte, error) { return []byte(p.Keys[h]), nil }

// Received implements protocol.PlaneTx.
func (p *Plane) Received(h topics.HostID) (topics.Received, error) { return p.Places[h], nil }

// SetReceived implements protocol.PlaneTx.
func (p *Plane) SetReceived(h topics.HostID, r topics.Received) error {
	p.Places[h] = r
	return nil
}

// Restoring implements protocol.PlaneTx.
func (p *Plane) Restoring(h topics.HostID) (int64, error) {
	if p.Lag[h] {
		return p.Epoch, nil
	}
	return 0, nil
}

// Unheard implements protocol.PlaneTx.
func (p *Plane) Unheard() (bool, error) {
	for _, n := range p.Gaps {
		if n > 0 {
			return true, nil
		}
	}
	return len(p.Lag) > 0, nil
}

// Behind implements protocol.PlaneTx.
func (p *Plane) Behind() (map[topics.HostID]bool, error) { return p.Lag, nil }

// CaughtUp implements protocol.PlaneTx.
func (p *Plane) CaughtUp(h topics.HostID, _ int64) error {
	delete(p.Lag, h)
	return nil
}

// Missing implements protocol.PlaneTx.
func (p *Plane) Missing(h topics.HostID, _ int64) error {
	p.Gaps[h]++
	return nil
}

// Recovered implements protocol.PlaneTx.
func (p *Plane) Recovered(h topics.HostID, a topics.Accepted, at int64) (protocol.PlaneJob, bool, error) {
	j := protocol.PlaneJob{ID: a.Job, Host: h, Kind: a.Kind, Repository: a.Repository, Group: a.Group, State: topics.Dispatched,
		Accepted: true, QueuedAt: at, NotAfter: at, SentAt: at}
	if a.Slot != nil {
		j.Schedule, j.Slot = a.Slot.Schedule, a.Slot.At
	}
	p.Jobs[j.ID] = j
	p.Order = append(slices.Clone(p.Order), j.ID)
	return p.seen(j), true, nil
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
	j.Bytes = old.Bytes // they are counted as they are added
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

// Begun implements protocol.PlaneTx.
func (p *Plane) Begun(h topics.HostID) ([]protocol.PlaneJob, error) {
	jobs, err := p.Open(h)
	return slices.DeleteFunc(jobs, func(j protocol.PlaneJob) bool { return !j.Fired }), err
}

// Waiting implements protocol.PlaneTx.
func (p *Plane) Waiting(h topics.HostID, group topics.SourceGroupID) ([]protocol.PlaneJob, error) {
	jobs, err := p.Open(h)
	return slices.DeleteFunc(jobs, func(j protocol.PlaneJob) bool { return j.State != topics.Queued || j.Group != group }), err
}

// Fits implements protocol.PlaneTx.
func (p *Plane) Fits(h topics.HostID, slot topics.Slot, _ topics.SourceGroupID, at int64) (protocol.Fit, error) {
	if p.Unfit == nil {
		return protocol.Fit{}, nil
	}
	return p.Unfit(h, slot, at), nil
}

// SameSlot implements protocol.PlaneTx.
func (p *Plane) SameSlot(slot topics.Slot, group topics.SourceGroupID) (n int, err error) {
	for _, f := range p.FiredSlots {
		if f.Slot.Schedule == slot.Schedule && f.Slot.At == slot.At && f.Group == group {
			n++
		}
	}
	return n, nil
}

// Hour implements protocol.PlaneTx.
func (p *Plane) Hour(h topics.HostID) (protocol.Hour, error) { return p.Hours[h], nil }

// PutHour implements protocol.PlaneTx.
func (p *Plane) PutHour(h topics.HostID, hour protocol.Hour) error {
	p.Hours[h] = hour
	return nil
}

// SetAside implements protocol.PlaneTx.
func (p *Plane) SetAside(h topics.HostID, why protocol.Aside, n int, _ int64) error {
	all := maps.Clone(p.SetAsides[h])
	if all == nil {
		all = map[protocol.Aside]int{}
	}
	all[why] += n
	p.SetAsides[h] = all
	return nil
}

// weigh adds to the bytes of a job.
func (p *Plane) weigh(id topics.JobID, bytes int) {
	j := p.Jobs[id]
	j.Bytes += int64(bytes)
	p.Jobs[id] = j
}

// AddLines implements protocol.PlaneTx.
func (p *Plane) AddLines(id topics.JobID, first int, lines []topics.Line) error {
	log := slices.Clip(p.Log[id])
	for i, l := range lines {
		log = append(log, fmt.Sprintf("%d %s", first+i, l.Text))
		p.weigh(id, protocol.LineBytes+len(l.Text))
	}
	p.Log[id] = log
	return nil
}

// AddGap implements protocol.PlaneTx.
func (p *Plane) AddGap(id topics.JobID, from int, g topics.Gap) error {
	log := slices.Clone(p.Log[id])
	if g.Reason == protocol.LogFull && len(log) > 0 {
		var begin, end int
		if n, _ := fmt.Sscanf(log[len(log)-1], "%d-%d gap", &begin, &end); n == 2 && end == from-1 {
			log[len(log)-1] = fmt.Sprintf("%d-%d gap", begin, g.To)
			p.Log[id] = log
			return nil
		}
	}
	p.Log[id] = append(log, fmt.Sprintf("%d-%d gap", from, g.To))
	p.weigh(id, 64+len(g.Reason))
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
		p.weigh(r.Job, len(topics.Encode(r)))
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

// Ahead implements protocol.PlaneTx.
func (p *Plane) Ahead(j protocol.PlaneJob, _ topics.Finished, _ int64, _ func() bool) (bool, error) {
	if p.Steps == nil {
		return true, nil
	}
	return p.Steps(j), nil
}

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
	return p.Told(host, h.Facts)
}

// Told implements protocol.PlaneTx.
func (p *Plane) Told(host topics.HostID, f topics.Facts) error {
	p.Facts[host] = f
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
