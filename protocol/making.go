package protocol

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Making a repository is a job of its own, of kind init, that one host is given. Two
// that begin one at the same place at the same time destroy it: each writes a key and a
// configuration of its own. So a backup whose repository is not there yet waits, and on
// its behalf its host is given an init job, while nothing else is under way at that
// address that could begin one or be disturbed by it. What was sent is taken from its
// host only once that has answered that it does not run it, or when a person says so:
// nobody else can know whether it is at work. A control plane that was restored from a copy
// does not know what was sent after that was made: it has none made before all hosts have
// told, or enough time has gone by.

// A copy waits in the same way for the repository that it goes to, which is made to cut
// files where the first one does.

// What a job waits for whose repository is not there yet.
const (
	WaitMaking Wait = "making"
	// WaitUnheard is that nobody begins one yet: the control plane was restored from a copy,
	// and a host that has not told how it went on since may be making it.
	WaitUnheard Wait = "unheard"
)

// A Place is where the hosts find a repository.
type Place struct {
	// Address is the same text for all repositories that may lie in the same place. AnyHost
	// in it stands for a name.
	Address string
	// Path says that the address names a place on the host.
	Path bool
}

// AnyHost stands in the address of a Place for the name of a host, which has no slash.
const AnyHost = "{host}"

// meets reports whether two addresses may name the same place: one that has a name where
// the other has AnyHost does, for the host of that name.
func meets(a, b string) bool {
	left, right := strings.Split(a, "/"), strings.Split(b, "/")
	return slices.EqualFunc(left, right, func(a, b string) bool {
		if !strings.Contains(a, AnyHost) {
			a, b = b, a
		}
		before, after, is := strings.Cut(a, AnyHost)
		switch {
		case !is:
			return a == b
		case strings.Contains(after, AnyHost) || strings.Contains(b, AnyHost):
			return true // or nearly: they wait for each other at worst
		}
		return len(b) > len(before)+len(after) && strings.HasPrefix(b, before) && strings.HasSuffix(b, after)
	})
}

// under returns the job under way at an address, or at one that may name the same place.
func under(jobs map[string]topics.JobID, address string) topics.JobID {
	if id, is := jobs[address]; is {
		return id
	}
	for _, other := range slices.Sorted(maps.Keys(jobs)) {
		if meets(address, other) {
			return jobs[other]
		}
	}
	return ""
}

// A Maker is what decides whether a host can make the repository of a backup that waits
// there.
type Maker struct {
	// Old is an agent that is not up to it: it runs no hooks around an init, and its
	// policy has to allow the kind by itself.
	Old    bool
	Inits  bool // its policy allows the kind
	Before bool // the backup's source group has hooks that run before
}

// can reports whether the host may be given an init job. An old agent would make a
// repository in a mount point that the hook is about to cover.
func (m Maker) can(p Place) bool { return !m.Old || m.Inits && (!m.Before || !p.Path) }

// A Try is how often a host failed to make a repository. That of host "" holds for all
// hosts.
type Try struct {
	Repository topics.RepositoryID `db:"repository"`
	Host       topics.HostID       `db:"host"`
	Job        topics.JobID        `db:"job"` // the last that failed
	Attempts   int                 `db:"attempts"`
	FailedAt   int64               `db:"failed_at"` // Unix milliseconds, as NextAt
	NextAt     int64               `db:"next_at"`   // no job that waited then makes the host try again sooner
}

// holds reports whether the host does not try again yet for a backup. One that was asked
// for since does not wait: somebody may have mended what was wrong. For what holds for all
// hosts it does.
func (t Try) holds(j PlaneJob, now int64) bool {
	return now < t.NextAt && (t.Host == "" || j.QueuedAt <= t.FailedAt)
}

// backOff is how long a host waits after it failed for the nth time, in milliseconds.
func (t Timing) backOff(n int) int64 {
	for again := t.Again; ; again *= 2 {
		if n--; n <= 0 || again >= t.AgainMost {
			return min(again, t.AgainMost).Milliseconds()
		}
	}
}

// removedHold is how long nobody makes a repository after the host that was at it was
// removed, or the machine refused: longer than an init takes.
const removedHold = 10 * time.Minute

// Released: a person says that an init job's host is not at work any more, though it
// has not answered.
type Released struct {
	Job topics.JobID
	By  string
	Now int64
}

func (Released) planeInput() {}

// ready reports whether there was a repository at the place of a job when it began, as
// far as we know. An update is in none.
func (j PlaneJob) ready() bool { return j.ReadyAt > 0 || j.Kind == topics.UpdateJob }

// unsettled reports whether a job is under way at a place that is not ready: it may make
// a repository, or take one that is half made for what it is not.
func (j PlaneJob) unsettled() bool { return j.State != topics.Queued && !j.State.Ended() && !j.ready() }

// Sites says where repositories lie and who has tried to make them.
type Sites interface {
	// Place is where a repository lies.
	Place(topics.RepositoryID) (Place, error)
	// Maker says whether the host of a backup can make its repository.
	Maker(PlaneJob) (Maker, error)
	// Try is the zero value for a host that has not failed to make a repository.
	Try(topics.RepositoryID, topics.HostID) (Try, error)
	// Unheard reports whether a host may have been sent a job that nobody knows of here,
	// since the control plane was restored from an older copy: one that has not told yet
	// how it went on, or could not tell all of it.
	Unheard() (bool, error)
}

// Making decides who is next where repositories are not there yet, on top of Turns.
type Making struct {
	// Until then (Unix milliseconds) no repository is begun while Sites.Unheard: an init job
	// that was sent after the copy was made may be at work. It has an end, as a host may
	// never come back.
	HearUntil int64

	sites  Sites
	now    int64
	turns  *Turns
	places map[topics.RepositoryID]Place
	inits  map[string]topics.JobID // by address: the init job that was sent and has not ended
	others map[string]topics.JobID // by address: another job that is under way and unsettled
}

// NewMaking begins with what is under way among the open jobs.
func NewMaking(sites Sites, now int64, turns *Turns, open []PlaneJob) (*Making, error) {
	m := &Making{sites: sites, now: now, turns: turns, places: map[topics.RepositoryID]Place{}, inits: map[string]topics.JobID{},
		others: map[string]topics.JobID{}}
	for _, j := range open {
		if j.unsettled() {
			if err := m.begin(j); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

func (m *Making) place(id topics.RepositoryID) (Place, error) {
	p, known := m.places[id]
	if known {
		return p, nil
	}
	p, err := m.sites.Place(id)
	m.places[id] = p
	return p, err
}

// begin notes a job that is under way at a place that is not ready.
func (m *Making) begin(j PlaneJob) error {
	p, err := m.place(j.Repository)
	if j.Kind == topics.InitJob {
		m.inits[p.Address] = j.ID
	} else {
		m.others[p.Address] = j.ID
	}
	return err
}

// target is a copy as it is in the repository that it goes to.
func (j PlaneJob) target() PlaneJob {
	j.Repository, j.Other, j.ReadyAt, j.OtherReadyAt = j.Other, j.Repository, j.OtherReadyAt, j.ReadyAt
	return j
}

// Take says what a queued job waits for, as Turns.Take does. Where there is no
// repository yet, a backup waits until there is one, and everything else while somebody
// makes it; an init job also waits for whatever else is under way. init is true for a
// backup or a copy if now an init job is to be sent to its host on its behalf, which has the turn.
func (m *Making) Take(j PlaneJob, online bool) (t Turn, init bool, err error) {
	at, needs := j, j.Kind == topics.BackupJob // where it needs a repository, and whether one is made for it
	if j.Kind == topics.CopyJob && j.ready() && j.Other != "" {
		at, needs = j.target(), true
	}
	if at.ready() {
		return m.turns.Take(j, online), false, nil
	}
	p, err := m.place(at.Repository)
	if err != nil {
		return t, false, err
	}
	if m.turns.Twins[j.Host] {
		return Turn{Wait: WaitTwins}, false, nil
	}
	if !online {
		return Turn{Wait: WaitHost}, false, nil
	}
	if init := under(m.inits, p.Address); init != "" {
		return Turn{WaitMaking, init}, false, nil
	}
	if needs || j.Kind == topics.InitJob {
		if try, err := m.sites.Try(at.Repository, ""); err != nil || try.holds(j, m.now) {
			return Turn{Wait: WaitMaking, For: try.Job}, false, err
		}
	}
	if needs || j.Kind == topics.InitJob {
		if unheard, err := m.unheard(); err != nil || unheard {
			return Turn{Wait: WaitUnheard}, false, err
		}
	}
	other := under(m.others, p.Address)
	switch {
	case !needs && j.Kind != topics.InitJob, j.Kind == topics.InitJob && other == "":
		if t = m.turns.Take(j, online); t.Wait == "" {
			err = m.begin(j)
		}
		return t, false, err
	case other != "":
		return Turn{WaitMaking, other}, false, nil
	}
	maker, err := m.sites.Maker(j)
	if err != nil || !maker.can(p) {
		return Turn{Wait: WaitMaking}, false, err
	}
	if try, err := m.sites.Try(at.Repository, j.Host); err != nil || try.holds(j, m.now) {
		return Turn{Wait: WaitMaking, For: try.Job}, false, err
	}
	if t := m.turns.Take(PlaneJob{Host: j.Host, Kind: topics.InitJob, Repository: at.Repository}, online); t.Wait != "" {
		return Turn{WaitMaking, t.For}, false, nil
	}
	return Turn{Wait: WaitMaking}, true, nil
}

// unheard reports whether no repository may be begun yet.
func (m *Making) unheard() (bool, error) {
	if m.now >= m.HearUntil {
		return false, nil
	}
	return m.sites.Unheard()
}

// make adds an init job on behalf of a backup or a copy that waits, and sends it.
func (s *planeStep) make(m *Making, j PlaneJob, now int64) error {
	at := j
	if j.Kind == topics.CopyJob {
		at = j.target()
	}
	init, err := s.tx.AddInit(at, now)
	if err != nil {
		return err
	}
	if err := m.begin(init); err != nil {
		return err
	}
	init.State = topics.Dispatched
	return s.send(init, now)
}

// silent reports whether the host of an init job has not answered for so long that it
// is asked to leave it to another.
func (s *planeStep) silent(j PlaneJob, now int64) bool {
	return j.keeps() && j.State == topics.Dispatched && !j.Accepted && !j.CancelAsked && now > j.SentAt+s.Silent.Milliseconds()
}

// keeps reports whether a job that was sent stays its host's however long that says
// nothing.
func (j PlaneJob) keeps() bool { return j.Kind == topics.InitJob && !j.ready() }

// unmade has a backup that found no repository wait for one, if none was there when it
// began: a host that begins a slot by itself cannot know that. Of another job that found
// none there the message says that none is missed.
func unmade(j PlaneJob, f topics.Finished) topics.Finished {
	began := j.SentAt
	if began == 0 {
		began = j.QueuedAt
	}
	if f.State != topics.Failed || f.Cause != topics.CauseNoRepository || j.ready() && j.ReadyAt <= began {
		return f
	}
	switch j.Kind {
	case topics.BackupJob:
		f.Cause = topics.CauseUnmade
	case topics.InitJob: // it is what makes one
	default:
		f.Message = strings.TrimSpace(f.Message + " " + topics.NeverThere)
	}
	return f
}

// unmadeBy is how the message goes on of a backup that failed since its repository could
// not be made: the ID of the job follows that was to make it.
const unmadeBy = " (the repository could not be made, see job "

// FailedMaking returns the job that could not make a repository, from the message of a
// backup that failed of that and never began; false if it speaks of none.
func FailedMaking(message string) (topics.JobID, bool) {
	i := strings.LastIndex(message, unmadeBy)
	if i < 0 {
		return "", false
	}
	text, closed := strings.CutSuffix(message[i+len(unmadeBy):], ")")
	id, err := topics.ParseJobID(text)
	return id, closed && err == nil
}

// failed notes that a host could not make a repository. The backup on whose behalf it
// tried fails of the same, as do others of that host, unless what failed was the hook of
// this source group. What says nothing of the host, as that it was killed or did not
// answer, or found somebody else at it, leaves them waiting for another try, there or on
// another host.
func (s *planeStep) failed(j PlaneJob, f topics.Finished, now int64) error {
	if j.Kind != topics.InitJob || f.State == topics.Succeeded || f.RepositoryReady {
		return nil
	}
	unheard := []topics.Cause{topics.CauseHostRemoved, topics.CauseReplaced, topics.CauseTwins}
	if f.State == topics.Interrupted && slices.Contains(unheard, f.Cause) {
		// Nobody hears how it goes on there.
		hold := Try{Repository: j.Repository, Job: j.ID, FailedAt: now, NextAt: now + removedHold.Milliseconds()}
		if err := s.tx.PutTry(hold); err != nil {
			return err
		}
	}
	if j.Behalf == "" && j.Other == "" {
		return nil
	}
	try, err := s.tx.Try(j.Repository, j.Host)
	if err != nil {
		return err
	}
	try = Try{Repository: j.Repository, Host: j.Host, Job: j.ID, Attempts: try.Attempts + 1, FailedAt: now}
	try.NextAt = now + s.backOff(try.Attempts)
	if err := s.tx.PutTry(try); err != nil {
		return err
	}
	if f.State != topics.Failed || f.Cause == topics.CauseUnmade || f.Cause == topics.CauseLocked {
		return nil
	}
	waiting, err := s.tx.Open(j.Host)
	for _, b := range waiting {
		at := b
		if b.Kind == topics.CopyJob {
			at = b.target()
		}
		if err == nil && (b.Kind == topics.BackupJob || b.Kind == topics.CopyJob) && b.State == topics.Queued && at.Repository == j.Repository &&
			!at.ready() && (f.Cause != topics.CauseHook || b.Group == j.Behalf) {
			err = s.finish(b, topics.Finished{Job: b.ID, State: topics.Failed, Cause: f.Cause, Lines: b.Lines,
				Message: f.Message + unmadeBy + string(j.ID) + ")"}, now)
		}
	}
	return err
}

// release ends an init job that was sent, because a person says that its host is not at
// work.
func (s *planeStep) release(in Released) error {
	j, known, err := s.tx.Job(in.Job)
	if err != nil || !known || j.Kind != topics.InitJob || j.State == topics.Queued || j.State.Ended() {
		return err
	}
	return s.finish(j, topics.Finished{Job: j.ID, State: topics.Interrupted, Cause: topics.CauseCancelled, Lines: j.Lines,
		Message: "Released by " + in.By + ", who says that the host is not at work on it; the host had not answered."}, in.Now)
}
