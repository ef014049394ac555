package restic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic/standin"
	"github.com/restic-manager/restic-manager/topics"
)

// A shelf is the locks of a repository of a stand-in: those that lie there.
type shelf struct {
	mu    sync.Mutex
	locks map[string]string // by ID, what is in one
	asked int               // how often they were listed
	swept int               // how often unlock was run
}

func lockJSON(host string, pid int, exclusive bool, at time.Time) string {
	return fmt.Sprintf("{\n  \"time\": %q,\n  \"exclusive\": %t,\n  \"hostname\": %q,\n  \"username\": \"root\",\n  \"pid\": %d\n}",
		at.Format(time.RFC3339Nano), exclusive, host, pid)
}

func (s *shelf) put(id, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locks[id] = text
}

func (s *shelf) take(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.locks, id)
}

// answers does what looks at locks, and reports whether it was that.
func (s *shelf) answers(run *standin.Run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case run.Is("list", "locks"):
		s.asked++
		for id := range s.locks {
			run.Out(id)
		}
	case run.Is("cat", "lock"):
		text, there := s.locks[run.Args[len(run.Args)-1]]
		if !there {
			run.Exit(1)
		}
		for line := range strings.Lines(text) {
			run.Out(strings.TrimRight(line, "\n"))
		}
	case run.Is("unlock"):
		s.swept++
		clear(s.locks)
	default:
		return false
	}
	return true
}

// waits are the statuses that tell of a lock.
func (r *recorder) waits() (all []topics.LockWait) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.statuses {
		if s.Waits != nil {
			all = append(all, *s.Waits)
		}
	}
	return all
}

func standInOf(t *testing.T, version string, does func(*standin.Run)) *world {
	t.Helper()
	w := newWorld(t)
	b, err := Probe(t.Context(), standin.New(t, version, does).Path)
	if err != nil {
		t.Fatal(err)
	}
	w.b = b
	w.b.Timing = Timing{CancelGrace: 10 * time.Second, PipeGrace: time.Second, Look: time.Millisecond, Lock: time.Millisecond,
		Status: time.Millisecond}
	return w
}

// TestWhoeverHasTheLockIsTold: restic 0.19 waits for another's lock and says nothing. Who that
// is can be read while it waits, and in what ends it.
func TestWhoeverHasTheLockIsTold(t *testing.T) {
	t.Parallel()
	id, at := strings.Repeat("a", 64), time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, c := range []struct {
		what string
		kind topics.JobKind
		lock string
	}{
		{"a backup waits for who is alone", topics.BackupJob, lockJSON("node01", 1903, true, at)},
		{"a check waits for who is beside others", topics.CheckJob, lockJSON("node01", 1903, false, at)},
		{"a prune", topics.PruneJob, lockJSON("node01", 1903, false, at)},
		{"a forget", topics.ForgetJob, lockJSON("node01", 1903, false, at)},
		{"a restore", topics.RestoreJob, lockJSON("node01", 1903, true, at)},
	} {
		for _, end := range []string{"cancelled", "in vain"} {
			t.Run(c.what+", "+end, func(t *testing.T) {
				t.Parallel()
				s := &shelf{locks: map[string]string{id: c.lock}}
				seen := make(chan struct{})
				w := standInOf(t, "0.19.1", func(run *standin.Run) {
					if s.answers(run) || run.Is("snapshots") {
						return
					}
					select {
					case <-run.Interrupted():
						run.Exit(130)
					case <-seen:
						run.Err("unable to create lock in backend: repository is already locked by PID 1903 on node01 by root (UID 0, GID 0)")
						run.Exit(11)
					}
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				over := make(chan Ending, 1)
				go func() {
					const wait = time.Minute
					switch c.kind {
					case topics.BackupJob:
						over <- w.b.Backup(ctx, w.place, w.repo, Backup{Host: "attic", Paths: []string{w.source}, RetryLock: wait}, w.sink)
					case topics.CheckJob:
						over <- w.b.Check(ctx, w.place, w.repo, Check{RetryLock: wait}, w.sink)
					case topics.PruneJob:
						over <- w.b.Prune(ctx, w.place, w.repo, Prune{RetryLock: wait}, w.sink)
					case topics.ForgetJob:
						over <- w.b.Forget(ctx, w.place, w.repo, Forget{IDs: []string{id}, RetryLock: wait}, w.sink)
					case topics.RestoreJob:
						over <- w.b.Restore(ctx, w.place, w.repo, Restore{Snapshot: id, Target: t.TempDir(), RetryLock: wait}, w.sink)
					}
				}()
				await(t, func() error {
					if len(w.sink.waits()) == 0 {
						return errors.New("nobody says that it waits")
					}
					return nil
				})
				if got := w.sink.waits()[0]; len(got.Locks) != 1 || got.Locks[0].Host != "node01" || got.Locks[0].PID != 1903 ||
					got.Locks[0].User != "root" || got.Locks[0].Time != at.UnixMilli() || got.Until-got.Since != time.Minute.Milliseconds() {
					t.Errorf("it waits for %+v", got)
				}
				state, cause, says := topics.Cancelled, topics.CauseCancelled, "while it waited for the repository's lock"
				if end == "cancelled" {
					cancel()
				} else {
					state, cause, says = topics.Failed, topics.CauseLocked, "in vain for process 1903 of root on node01"
					close(seen)
				}
				if e := <-over; e.State != state || e.Cause != cause || !strings.Contains(e.Message, says) {
					t.Errorf("it ended %+v", e)
				}
				if !strings.Contains(w.sink.text(), "waiting for process 1903 of root on node01") {
					t.Errorf("the log does not say who:\n%s", w.sink.text())
				}
			})
		}
	}
}

// TestWhatIsNotWaitedForIsNotTold: what is silent for another reason, and locks that are in
// nobody's way.
func TestWhatIsNotWaitedForIsNotTold(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("b", 64)
	host, _ := os.Hostname()
	for _, c := range []struct {
		what string
		lock func(pid int) string
		ends bool // whoever looks stops when it has seen this
	}{
		{"its own lock", func(pid int) string { return lockJSON(host, pid, false, time.Now()) }, true},
		{"another backup", func(int) string { return lockJSON("node01", 1903, false, time.Now()) }, false},
		{"no lock", nil, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := &shelf{locks: map[string]string{}}
			enough := make(chan struct{})
			w := standInOf(t, "0.18.1", func(run *standin.Run) {
				if s.answers(run) {
					return
				}
				if c.lock != nil {
					s.put(id, c.lock(run.PID))
				}
				<-enough
				run.Exit(1)
			})
			over := make(chan Ending, 1)
			go func() {
				over <- w.b.Backup(t.Context(), w.place, w.repo, Backup{Host: "attic", Paths: []string{w.source}, RetryLock: time.Minute}, w.sink)
			}()
			asked := 0
			await(t, func() error {
				s.mu.Lock()
				defer s.mu.Unlock()
				if asked = s.asked; asked < 3 && !c.ends || asked == 0 {
					return errors.New("nobody looks")
				}
				return nil
			})
			close(enough)
			<-over
			if got := w.sink.waits(); len(got) > 0 {
				t.Errorf("it waits for %+v", got)
			}
		})
	}
}

// TestALockOfOursThatIsLeftIsFreedWhileItIsWaitedFor: of a process that this agent started and
// that is gone; not of a bare restic's.
func TestALockOfOursThatIsLeftIsFreedWhileItIsWaitedFor(t *testing.T) {
	t.Parallel()
	id, job := strings.Repeat("c", 64), topics.JobID(topics.NewID(time.Now()))
	host, _ := os.Hostname()
	const gone = 1 << 22 // no Linux gives this number
	for _, c := range []struct {
		what  string
		lock  string
		ours  bool
		freed bool
	}{
		{"ours", lockJSON(strings.ToUpper(host), gone, true, time.Now()), true, true},
		{"a bare restic's", lockJSON(host, gone, true, time.Now()), false, false},
		{"of a number like ours, elsewhere", lockJSON("node01", gone, true, time.Now()), true, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			s := &shelf{locks: map[string]string{id: c.lock}}
			w := standInOf(t, "0.16.5", func(run *standin.Run) {
				if s.answers(run) {
					return
				}
				<-run.Interrupted()
				run.Exit(130)
			})
			w.b.Ours = func(int, time.Time) (topics.JobID, bool) {
				if c.ours {
					return job, false
				}
				return "", false
			}
			ctx, cancel := context.WithCancel(t.Context())
			over := make(chan Ending, 1)
			go func() {
				over <- w.b.Backup(ctx, w.place, w.repo, Backup{Host: "attic", Paths: []string{w.source}, RetryLock: time.Minute}, w.sink)
			}()
			await(t, func() error {
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.swept == 0 && s.asked < 3 {
					return errors.New("nobody looks")
				}
				return nil
			})
			cancel()
			<-over
			if freed := s.swept > 0; freed != c.freed || freed != strings.Contains(w.sink.text(), string(job)) {
				t.Errorf("freed %t:\n%s", freed, w.sink.text())
			}
		})
	}
}

// TestResticThatCannotWaitIsRunAgain: 0.14 fails of a lock at once.
func TestResticThatCannotWaitIsRunAgain(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("d", 64)
	s := &shelf{locks: map[string]string{id: lockJSON("node01", 1903, true, time.Now())}}
	tries := 0
	w := standInOf(t, "0.14.0", func(run *standin.Run) {
		if s.answers(run) {
			return
		}
		if tries++; tries < 3 {
			run.Err("unable to create lock in backend: repository is already locked exclusively by PID 1903 on node01 by root (UID 0, GID 0)")
			run.Exit(1)
			return
		}
		s.take(id)
		run.Out("check all packs")
		run.Out("no errors were found")
	})
	e := w.b.Check(t.Context(), w.place, w.repo, Check{RetryLock: time.Minute}, w.sink)
	w.want(e, topics.Succeeded, topics.CauseNone)
	if got := w.sink.waits(); tries != 3 || len(got) == 0 || got[0].Locks[0].PID != 1903 || e.Message != "" {
		t.Errorf("after %d tries it waited for %+v", tries, got)
	}
	last := w.sink.statuses[len(w.sink.statuses)-1]
	if last.Waits != nil || last.Stage != 2 || last.Stages != 3 {
		t.Errorf("then it does %+v", last)
	}
}

// TestHowManyLocksAreRemoved is what restic says, and else what a listing lacks afterwards.
func TestHowManyLocksAreRemoved(t *testing.T) {
	t.Parallel()
	a, b, renewed := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)
	for _, c := range []struct {
		what, says    string
		before, after []string
		want          int
	}{
		{"0.18 says it", "successfully removed 2 locks", []string{a, b}, nil, 2},
		{"0.14 says it whatever there was", "successfully removed locks", []string{a, b}, []string{b}, 1},
		{"0.14 with none", "successfully removed locks", nil, nil, 0},
		{"nothing is said", "", []string{a, b}, nil, 2},
		{"one is renewed by its holder", "", []string{a}, []string{renewed}, 0},
		{"another comes", "", nil, []string{renewed}, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			there := c.before
			w := standInOf(t, "0.19.1", func(run *standin.Run) {
				switch {
				case run.Is("list", "locks"):
					for _, id := range there {
						run.Out(id)
					}
				case run.Is("unlock"):
					if run.Is("--json") {
						t.Error("with --json 0.19 says nothing")
					}
					if there = c.after; c.says != "" {
						run.Out(c.says)
					}
				}
			})
			e := w.b.RemoveLocks(t.Context(), w.place, w.repo, false, w.sink)
			w.want(e, topics.Succeeded, topics.CauseNone)
			if e.Result.Unlocked != c.want {
				t.Errorf("removed %d", e.Result.Unlocked)
			}
		})
	}
}

// TestWaitingForALockIsNoSilence: what was seen to wait is not ended, and what has its lock is.
func TestWaitingForALockIsNoSilence(t *testing.T) {
	for _, c := range []struct {
		what string
		tell func(*silence)
		want int
	}{
		{"nothing is known", func(*silence) {}, 40},
		{"it waits", func(s *silence) { s.waits(true) }, 0},
		{"it waits no more", func(s *silence) { s.waits(true); s.waits(false) }, 40},
		{"it has its lock", func(s *silence) { s.waits(true); s.locks(true) }, 30},
	} {
		s := &silence{ends: true, limit: 30 * time.Minute, locked: 10 * time.Minute}
		c.tell(s)
		if got := play(s, idle); got != c.want {
			t.Errorf("%s: ended after %d minutes, want %d", c.what, got, c.want)
		}
	}
}

// TestWhoLooksBesideACopyHasWhatIsPasted: the certificate that opens the second repository
// opens it to whoever looks at its locks, too.
func TestWhoLooksBesideACopyHasWhatIsPasted(t *testing.T) {
	t.Parallel()
	s := &shelf{locks: map[string]string{strings.Repeat("e", 64): lockJSON("node01", 1903, true, time.Now())}}
	trusts := make(chan bool, 1)
	w := standInOf(t, "0.19.1", func(run *standin.Run) {
		if run.Is("list", "locks") && slices.Contains(run.Env, "RESTIC_REPOSITORY=rest:https://nas.example.net/attic/") {
			select {
			case trusts <- slices.ContainsFunc(run.Env, func(v string) bool { return strings.HasPrefix(v, "RESTIC_CACERT=") }):
			default:
			}
		}
		if !s.answers(run) {
			<-run.Interrupted()
			run.Exit(130)
		}
	})
	to := Repository{URL: "rest:https://nas.example.net/attic/", Password: password,
		Files: map[string]topics.Secret{"RESTIC_CACERT": topics.Secret(newIssuer(t, "our CA").PEM)}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan Ending, 1)
	go func() {
		over <- w.b.run(ctx, w.place, to, &copying{from: &w.repo, ids: []string{strings.Repeat("a", 64)}, retryLock: time.Minute, all: 1}, w.sink)
	}()
	if !<-trusts {
		t.Error("the locks are looked at without the certificate that was pasted")
	}
	await(t, func() error {
		if len(w.sink.waits()) == 0 {
			return errors.New("nobody says that it waits")
		}
		return nil
	})
	cancel()
	if e := <-over; e.State != topics.Cancelled {
		t.Errorf("it ended %+v", e)
	}
}

// TestALockOfTheFirstRepositoryIsSeenByACopy: restic locks both, the one that it copies from
// first. Who may not list that one's locks sees those of the other.
func TestALockOfTheFirstRepositoryIsSeenByACopy(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Minute)
	busy := func(id string, pid int) map[string]string {
		return map[string]string{strings.Repeat(id, 64): lockJSON("node01", pid, true, at)}
	}
	for _, c := range []struct {
		what     string
		from, to map[string]string
		refused  bool // to list what is in the first
		pid      int
		words    string
	}{
		{"in the first", busy("a", 1903), map[string]string{}, false, 1903, "in the repository to copy from"},
		{"in the second", map[string]string{}, busy("b", 1904), false, 1904, "in the repository to copy to"},
		{"in both", busy("a", 1903), busy("b", 1904), false, 1903, "in both repositories"},
		{"nobody may look at the first", busy("a", 1903), busy("b", 1904), true, 1904, "in the repository to copy to"},
	} {
		for _, version := range []string{"0.14.0", "0.19.1"} {
			t.Run(c.what+", "+version, func(t *testing.T) {
				t.Parallel()
				shelves := map[string]*shelf{"first": {locks: c.from}, "second": {locks: c.to}}
				w := standInOf(t, version, func(run *standin.Run) {
					at := "first"
					if slices.Contains(run.Env, "RESTIC_REPOSITORY=/srv/second") {
						at = "second"
					}
					if at == "first" && c.refused && run.Is("list", "locks") {
						run.Err("Fatal: access denied")
						run.Exit(1)
						return
					}
					if shelves[at].answers(run) {
						return
					}
					if version == "0.14.0" {
						run.Err("unable to create lock in backend: repository is already locked exclusively by PID 1 on nas by root")
						run.Exit(1)
						return
					}
					<-run.Interrupted()
					run.Exit(130)
				})
				from, to := w.repo, w.repo
				from.URL, to.URL = "/srv/first", "/srv/second"
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				over := make(chan Ending, 1)
				go func() {
					over <- w.b.patientWith(ctx, w.place, to, &from, topics.SharedLock, time.Minute, w.sink, func() Ending {
						return w.b.run(ctx, w.place, to, &copying{from: &from, ids: []string{strings.Repeat("a", 64)},
							retryLock: time.Minute, all: 1}, w.sink)
					})
				}()
				await(t, func() error {
					if len(w.sink.waits()) == 0 {
						return errors.New("nobody says that it waits")
					}
					return nil
				})
				cancel()
				<-over
				got := w.sink.waits()[0]
				if got.Locks[0].PID != c.pid || !strings.Contains(w.sink.text(), c.words) {
					t.Errorf("it waits for %+v and says %q", got, w.sink.text())
				}
			})
		}
	}
}

// TestAnInterruptedResticIsNotAskedWhy: 0.19 calls the password wrong when it is interrupted
// while it tries for keys that the storage does not list.
func TestAnInterruptedResticIsNotAskedWhy(t *testing.T) {
	t.Parallel()
	w := standInOf(t, "0.19.1", func(run *standin.Run) {
		run.Err("List(key) returned error, retrying after 32.7s: Decode: invalid character '<' looking for beginning of value")
		<-run.Interrupted()
		run.Err("Fatal: wrong password or no key found")
		run.Exit(1)
	})
	w.b.Timing.Open = 300 * time.Millisecond
	e := w.b.Exists(t.Context(), w.place, w.repo, w.sink)
	w.want(e, topics.Failed, topics.CauseUnreachable)
	if !strings.Contains(e.Message, "in time") || !strings.Contains(e.Message, "invalid character") {
		t.Errorf("it says %q", e.Message)
	}
}
