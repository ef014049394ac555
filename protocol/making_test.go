package protocol_test

import (
	"testing"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/topics"
)

// A makingSite is a control plane with hosts whose backups wait for one repository.
type makingSite struct {
	*testing.T
	plane *protocoltest.Plane
	now   int64
	seq   map[topics.HostID]uint64
	away  map[topics.HostID]bool
}

func newMakingSite(t *testing.T, p Place, hosts ...topics.HostID) *makingSite {
	s := &makingSite{T: t, plane: protocoltest.NewPlane(), now: 1_000_000, seq: map[topics.HostID]uint64{}, away: map[topics.HostID]bool{}}
	s.plane.Unmade["vault"] = p
	for i, h := range hosts {
		s.plane.Queue(PlaneJob{ID: topics.JobID("backup-" + string(h)), Host: h, Kind: topics.BackupJob, Repository: "vault",
			Group: topics.SourceGroupID("of-" + string(h)), QueuedAt: s.now + int64(i), NotAfter: s.now + 86_400_000})
	}
	s.now += 1000
	return s
}

func (s *makingSite) step(in PlaneInput) {
	s.Helper()
	if _, err := s.plane.Step(DefaultTiming(), in); err != nil {
		s.Fatal(err)
	}
}

func (s *makingSite) tick(later int64) {
	s.Helper()
	s.now += later
	for range 2 {
		s.step(Tick{Now: s.now, Online: func(h topics.HostID) bool { return !s.away[h] }})
	}
}

func (s *makingSite) hear(h topics.HostID, e topics.Event) {
	s.Helper()
	s.seq[h]++
	s.step(Arrived{Host: h, Now: s.now, Events: topics.Events{Epoch: 1, First: s.seq[h], Events: []topics.Event{e}}})
}

// inits lists the init jobs that have not ended.
func (s *makingSite) inits() (open []PlaneJob) {
	jobs, _ := s.plane.Open("")
	for _, j := range jobs {
		if j.Kind == topics.InitJob {
			open = append(open, j)
		}
	}
	return open
}

// one is the only init job that has not ended; it is this host's.
func (s *makingSite) one(h topics.HostID) PlaneJob {
	s.Helper()
	open := s.inits()
	if len(open) != 1 || open[0].Host != h || open[0].State == topics.Queued {
		s.Fatalf("init jobs are %+v, want one that was sent to %s", open, h)
	}
	return open[0]
}

func (s *makingSite) none() {
	s.Helper()
	if open := s.inits(); len(open) > 0 {
		s.Fatalf("init jobs are %+v, want none", open)
	}
}

func (s *makingSite) backup(h topics.HostID, state topics.JobState) {
	s.Helper()
	if j := s.plane.Jobs[topics.JobID("backup-"+string(h))]; j.State != state {
		s.Fatalf("the backup of %s is %s, want %s", h, j.State, state)
	}
}

func (s *makingSite) end(j PlaneJob, state topics.JobState, cause topics.Cause) {
	s.Helper()
	s.hear(j.Host, topics.Event{Finished: &topics.Finished{Job: j.ID, State: state, Cause: cause}})
}

// elsewhere has a host's backup go into another repository, which is to lie at an address.
func (s *makingSite) elsewhere(h topics.HostID, address string) {
	id := topics.JobID("backup-" + string(h))
	j := s.plane.Jobs[id]
	j.Repository = "other"
	s.plane.Jobs[id], s.plane.Unmade["other"] = j, Place{Address: address}
}

var shared, onPath = Place{Address: "rest:https://nas/"}, Place{Address: "/srv/vault", Path: true}

func TestOneHostMakesASharedRepositoryForAll(t *testing.T) {
	s := newMakingSite(t, shared, "a", "b", "c")
	s.tick(0)
	j := s.one("a")
	s.tick(100_000)
	s.one("a")
	s.backup("b", topics.Queued)
	s.end(j, topics.Succeeded, "")
	s.tick(0)
	s.none()
	for _, h := range []topics.HostID{"a", "b", "c"} {
		s.backup(h, topics.Dispatched)
	}
}

// TestWhatMayBeTheSamePlaceIsMadeOnce: a row for all hosts by {host}, and one that names
// the place of one host.
func TestWhatMayBeTheSamePlaceIsMadeOnce(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"rest:http://nas/{host}", "rest:http://nas/web-1", true},
		{"rest:http://nas/{host}/x", "rest:http://nas/web-1/x", true},
		{"rest:http://nas/of-{host}.d", "rest:http://nas/of-web-1.d", true},
		{"rest:http://nas/{host}/x", "rest:http://nas/y/{host}", true},
		{"rest:http://nas/{host}-{host}", "rest:http://nas/a-a", true},
		{"rest:http://nas/a", "rest:http://nas/a", true},
		{"rest:http://nas/a", "rest:http://nas/b", false},
		{"rest:http://nas/{host}", "rest:http://nas/web-1/x", false},
		{"rest:http://nas/of-{host}", "rest:http://nas/of-", false},
		{"rest:http://nas/of-{host}", "rest:http://nas/at-a", false},
		{"rest:http://nas/{host}/x", "rest:http://nas/web-1/y", false},
		{"rest:http://nas/{host}", "rest:http://attic/web-1", false},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			s := newMakingSite(t, Place{Address: pair[0]}, "a", "b")
			s.elsewhere("b", pair[1])
			s.tick(0)
			if at := s.inits(); len(at) != 1 != !c.want {
				t.Errorf("%v: init jobs are %+v", pair, at)
			}
		}
	}
	s := newMakingSite(t, Place{Address: "rest:http://nas/{host}"}, "a", "b")
	s.elsewhere("b", "rest:http://nas/a")
	s.tick(0)
	j := s.one("a")
	s.tick(100_000)
	s.one("a")
	s.end(j, topics.Succeeded, "")
	s.tick(0)
	s.one("b")
}

func TestPathsAreMadeOneHostAfterTheOther(t *testing.T) {
	s := newMakingSite(t, onPath, "a", "b")
	s.tick(0)
	s.end(s.one("a"), topics.Succeeded, "")
	s.tick(0)
	s.backup("a", topics.Dispatched) // one at work at a place that is there is in nobody's way
	s.end(s.one("b"), topics.Succeeded, "")
	s.tick(0)
	s.backup("b", topics.Dispatched)
}

func TestAnotherHostTriesWhatOneCannot(t *testing.T) {
	s := newMakingSite(t, shared, "a", "b")
	s.tick(0)
	s.end(s.one("a"), topics.Failed, topics.CauseNoRestic)
	s.tick(0)
	s.backup("a", topics.Failed)
	s.end(s.one("b"), topics.Interrupted, topics.CauseAgentDied)
	s.tick(0)
	s.none() // it backs off, and says nothing of the backup
	s.backup("b", topics.Queued)
	s.tick(59_000)
	s.none()
	s.tick(1000)
	s.end(s.one("b"), topics.Interrupted, topics.CauseAgentDied)
	s.tick(119_000)
	s.none()
	s.tick(1000)
	s.one("b")
}

func TestABackupNamesTheJobThatFailedForIt(t *testing.T) {
	const unmadeBy = " (the repository could not be made, see job "
	for _, c := range []struct {
		message string
		want    topics.JobID
		of      bool
	}{
		{"unable to open config file" + unmadeBy + "06h293kmflgfhe1bj808h8bmd8)", "06h293kmflgfhe1bj808h8bmd8", true},
		{"a" + unmadeBy + "job-0001)" + unmadeBy + "job-0002)", "job-0002", true},
		{"unable to open config file", "", false},
		{"cut off" + unmadeBy + "06h293kmflgfhe1b", "", false},
		{"not an ID" + unmadeBy + "../x/y/z/0)", "", false},
	} {
		if got, of := FailedMaking(c.message); of != c.of || of && got != c.want {
			t.Errorf("%q: %q, %t", c.message, got, of)
		}
	}
}

// TestARestoredControlPlaneHearsAllHostsBeforeOneMakesARepository: the copy does not know
// which of them was sent the job after it was made.
func TestARestoredControlPlaneHearsAllHostsBeforeOneMakesARepository(t *testing.T) {
	for what, c := range map[string]struct {
		attic, cellar, gap bool // who has told, and whether that was not all
		begins             bool
	}{
		"nobody has told":               {},
		"the one that waits has told":   {attic: true},
		"all have told":                 {attic: true, cellar: true, begins: true},
		"all have, one of them in part": {attic: true, cellar: true, gap: true},
	} {
		t.Run(what, func(t *testing.T) {
			s := newMakingSite(t, Place{Address: "rest:vault"}, "attic")
			s.plane.Restored(2, "attic", "cellar")
			if c.attic {
				delete(s.plane.Lag, "attic")
			}
			if c.cellar {
				delete(s.plane.Lag, "cellar")
			}
			if c.gap {
				s.plane.Gaps["cellar"] = 1
			}
			until := s.now + 600_000
			s.step(Tick{Now: s.now, Online: func(topics.HostID) bool { return true }, HearUntil: until})
			if n := len(s.inits()); n > 0 != c.begins {
				t.Errorf("%d init jobs", n)
			}
			if !c.begins && c.attic { // that is bounded
				s.now = until
				s.step(Tick{Now: s.now, Online: func(topics.HostID) bool { return true }, HearUntil: until})
				s.one("attic")
			}
		})
	}
}

func TestASilentHostKeepsItUntilItAnswersOrIsReleased(t *testing.T) {
	for _, released := range []bool{false, true} {
		s := newMakingSite(t, shared, "a", "b")
		s.tick(0)
		j := s.one("a")
		s.away["a"] = true
		s.tick(121_000)
		if j = s.one("a"); !j.CancelAsked {
			t.Fatal("it is not asked to leave it to another")
		}
		s.tick(10 * 86_400_000)
		s.one("a") // whatever the time: nobody knows whether it is at work
		s.plane.Jobs["backup-c"] = PlaneJob{ID: "backup-c", Host: "c", Kind: topics.BackupJob, Repository: "vault", State: topics.Queued,
			QueuedAt: s.now, NotAfter: s.now + 86_400_000}
		s.plane.Order = append(s.plane.Order, "backup-c")
		s.tick(0)
		s.one("a")
		if released {
			s.step(Released{Job: j.ID, By: "anna", Now: s.now})
		} else {
			s.end(j, topics.Cancelled, topics.CauseCancelled)
		}
		s.tick(0)
		s.one("c")
	}
}

func TestAnOldAgentIsNotGivenWhatItsHookHasToMount(t *testing.T) {
	for what, c := range map[string]struct {
		place Place
		maker Maker
		sent  bool
	}{
		"a hook and a path":     {onPath, Maker{Old: true, Inits: true, Before: true}, false},
		"no hook":               {onPath, Maker{Old: true, Inits: true}, true},
		"a server":              {shared, Maker{Old: true, Inits: true, Before: true}, true},
		"its policy forbids it": {shared, Maker{Old: true}, false},
		"a new agent":           {onPath, Maker{Before: true}, true},
	} {
		s := newMakingSite(t, c.place, "a")
		s.plane.Makers["a"] = c.maker
		s.tick(0)
		if got := len(s.inits()) == 1; got != c.sent {
			t.Errorf("%s: it was sent %v, want %v", what, got, c.sent)
		}
	}
}

func TestASlotThatIsBegunMeanwhileWaits(t *testing.T) {
	s := newMakingSite(t, shared, "b")
	fired := topics.Fired{Job: "fired-0001", Slot: topics.Slot{Schedule: "nightly", At: 1}, Group: "of-a", Repository: "vault"}
	s.hear("a", topics.Event{At: s.now, Fired: &fired})
	s.tick(0)
	s.none() // who knows what an older config lets it do
	s.end(PlaneJob{ID: "fired-0001", Host: "a"}, topics.Failed, topics.CauseNoRepository)
	if end := s.plane.Ends["fired-0001"][0]; end.Cause != topics.CauseUnmade {
		t.Errorf("it ended %+v", end)
	}
	s.tick(0)
	s.end(s.one("b"), topics.Succeeded, "")
	s.now += 1000
	fired.Job, fired.Slot.At = "fired-0002", 2
	s.hear("a", topics.Event{At: s.now, Fired: &fired})
	s.end(PlaneJob{ID: "fired-0002", Host: "a"}, topics.Failed, topics.CauseNoRepository)
	if end := s.plane.Ends["fired-0002"][0]; end.Cause != topics.CauseNoRepository {
		t.Errorf("one that was there and is gone: %+v", end)
	}
}

// TestNobodyMakesWhatMayStillBeMade: whoever was at it is heard no more, and its restic may
// be at it still. Neither what is asked for then nor by hand is sooner.
func TestNobodyMakesWhatMayStillBeMade(t *testing.T) {
	for _, byHand := range []bool{false, true} {
		for what, in := range map[string]func(s *makingSite) PlaneInput{
			"its host was removed": func(s *makingSite) PlaneInput { return HostRemoved{Host: "a", By: "anna", Now: s.now} },
			"another machine stays": func(s *makingSite) PlaneInput {
				s.plane.Places["a"] = topics.Received{Epoch: 1}
				s.step(TwinsFound{Host: "a", Sighting: Sighting{Session: topics.Session{Epoch: 1, N: 1}}})
				lanes, _ := s.plane.Lanes("a")
				lanes[0].Jobs = []topics.JobID{s.one("a").ID}
				if err := s.plane.PutLane("a", lanes[0]); err != nil {
					s.Fatal(err)
				}
				if err := s.plane.PutLane("a", Lane{Received: topics.Received{Epoch: 2}, Greeted: true}); err != nil {
					s.Fatal(err)
				}
				return TwinsDecided{Host: "a", Epoch: 2, By: "anna", Now: s.now}
			},
		} {
			s := newMakingSite(t, shared)
			first := PlaneJob{ID: "first", Host: "a", Kind: topics.BackupJob, Repository: "vault", Group: "of-a", QueuedAt: 1, NotAfter: s.now * 2}
			if byHand {
				first.Kind, first.Group = topics.InitJob, ""
			}
			s.plane.Queue(first)
			s.tick(0)
			j := s.one("a")
			s.away["a"] = true
			s.step(in(s))
			if end := s.plane.Ends[j.ID]; len(end) != 1 || end[0].State != topics.Interrupted {
				t.Fatalf("%s: it ended %+v", what, end)
			}
			s.plane.Queue(PlaneJob{ID: "later", Host: "c", Kind: topics.BackupJob, Repository: "vault", Group: "of-c", QueuedAt: s.now + 1,
				NotAfter: s.now * 2})
			s.plane.Queue(PlaneJob{ID: "by-hand", Host: "d", Kind: topics.InitJob, Repository: "vault", QueuedAt: s.now + 1, NotAfter: s.now * 2})
			s.tick(599_000)
			for _, j := range s.inits() {
				if j.State != topics.Queued {
					t.Errorf("%s: %s is given %+v while it may be at it", what, j.Host, j)
				}
			}
			s.tick(2000)
			sent := 0
			for _, j := range s.inits() {
				if j.State != topics.Queued {
					sent++
				}
			}
			if sent != 1 {
				t.Errorf("%s: afterwards %d are given it: %+v", what, sent, s.inits())
			}
		}
	}
}

func TestAHostThatFindsSomebodyElseAtItGoesOnWaiting(t *testing.T) {
	for _, cause := range []topics.Cause{topics.CauseUnmade, topics.CauseLocked} { // of agents of this version, and of older ones
		s := newMakingSite(t, shared, "a", "b")
		s.tick(0)
		s.end(s.one("a"), topics.Failed, cause)
		s.tick(0)
		s.backup("a", topics.Queued)
		s.end(s.one("b"), topics.Failed, cause)
		s.tick(0)
		s.none()
		s.backup("a", topics.Queued)
		s.backup("b", topics.Queued)
		s.tick(60_000)
		s.end(s.one("a"), topics.Succeeded, "")
		s.tick(0)
		s.backup("a", topics.Dispatched)
		s.backup("b", topics.Dispatched)
	}
}
