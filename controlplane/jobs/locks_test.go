package jobs

import (
	"database/sql"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestWhoHoldsALock(t *testing.T) {
	const now = int64(1_000_000_000)
	minute := time.Minute.Milliseconds()
	attic := store.Host{ID: "attic-0001", Hostname: "attic"}
	said := func(alive bool) sql.NullBool { return sql.NullBool{Bool: alive, Valid: true} }
	lock := store.Lock{ID: "l", Time: now - 10*minute, Hostname: "attic", LookedBy: "attic-0001", Alive: said(false)}
	ended := store.Job{
		ID:         "j",
		Host:       "attic-0001",
		Kind:       topics.BackupJob,
		State:      topics.Interrupted,
		StartedAt:  now - 20*minute,
		FinishedAt: now - 9*minute,
	}
	running := ended
	running.State, running.FinishedAt = topics.Running, 0
	queued := running
	queued.State = topics.Queued
	look := running
	look.Kind = topics.LocksJob
	elsewhere := running
	elsewhere.Host = "cellar-0001"
	with := func(f func(*store.Lock)) store.Lock {
		l := lock
		f(&l)
		return l
	}
	hosts := []store.Host{attic, {ID: "cellar-0001", Hostname: "cellar"}, {ID: "unborn-0001"}}
	for _, c := range []struct {
		name  string
		lock  store.Lock
		hosts []store.Host
		jobs  []store.Job
		want  Verdict
	}{
		{"our job died, its host sees no process", lock, hosts, []store.Job{ended}, Dead},
		{"the name in other letters", with(func(l *store.Lock) { l.Hostname = "ATTIC" }), hosts, []store.Job{ended}, Dead},
		{"the agent knew the process as its own", with(func(l *store.Lock) { l.Job = "j" }), hosts, nil, Dead},
		{"no job of ours ran then: another container's, perhaps", lock, hosts, nil, Unsure},
		{"the same, not renewed for long", with(func(l *store.Lock) { l.Time = now - 40*minute }), hosts, nil, Dead},
		{"our job ended long before the lock was made", lock, hosts, []store.Job{func() store.Job {
			j := ended
			j.FinishedAt = now - 15*minute
			return j
		}()}, Unsure},
		{"its process runs", with(func(l *store.Lock) { l.Alive = said(true) }), hosts, []store.Job{ended}, Alive},
		{"a job of ours is under way there", lock, hosts, []store.Job{ended, running}, Alive},
		{"one only waits there", lock, hosts, []store.Job{ended, queued}, Dead},
		{"a look is under way there", lock, hosts, []store.Job{ended, look}, Dead},
		{"one is under way elsewhere", lock, hosts, []store.Job{ended, elsewhere}, Dead},
		{"nobody can say", with(func(l *store.Lock) { l.Alive = sql.NullBool{} }), hosts, []store.Job{ended}, Unsure},
		{"another host says so", with(func(l *store.Lock) { l.LookedBy = "cellar-0001" }), hosts, []store.Job{ended}, Unsure},
		{"made in the future", with(func(l *store.Lock) {
			l.Time = now + 1
		}), hosts, []store.Job{func() store.Job { j := ended; j.FinishedAt = now; return j }()}, Unsure},
		{"a host we do not know", with(func(l *store.Lock) { l.Hostname = "laptop" }), hosts, []store.Job{ended}, Foreign},
		{"no name", with(func(l *store.Lock) { l.Hostname = "" }), hosts, []store.Job{ended}, Foreign},
		{"two hosts of one name", lock, append(hosts[:3:3], store.Host{ID: "attic-0002", Hostname: "attic"}), []store.Job{ended}, Foreign},
	} {
		if got := Judge([]store.Lock{c.lock}, c.hosts, c.jobs, now)[0]; got.Verdict != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.Verdict, c.want)
		}
	}
}

// TestWhoHoldsALockOfSeveralHostsOfOneName: the job whose process it is says whose it is. What is
// nobody's job's, or may be that of two, is another's, and is never removed without asking.
func TestWhoHoldsALockOfSeveralHostsOfOneName(t *testing.T) {
	const now = int64(1_000_000_000)
	minute := time.Minute.Milliseconds()
	hosts := []store.Host{{ID: "attic-0001", Hostname: "debian"}, {ID: "barn-00001", Hostname: "debian"},
		{ID: "cellar-0001", Hostname: "cellar"}}
	job := func(id topics.JobID, host topics.HostID, finished int64, pids ...int) store.Job {
		j := store.Job{ID: id, Host: host, Kind: topics.BackupJob, State: topics.Running, StartedAt: now - 20*minute, FinishedAt: finished}
		if finished > 0 {
			j.State = topics.Interrupted
		}
		if pids != nil {
			j.PIDs.V = &pids
		}
		return j
	}
	lock := func(by topics.HostID, alive bool, of topics.JobID) store.Lock {
		return store.Lock{ID: "l", Time: now - 10*minute, Hostname: "debian", LookedBy: by, PID: 41, Job: of,
			Alive: sql.NullBool{Bool: alive, Valid: true}}
	}
	ended := now - 9*minute
	for _, c := range []struct {
		name string
		lock store.Lock
		jobs []store.Job
		want Verdict
		host topics.HostID
		of   topics.JobID
	}{
		{"the job of one runs", lock("attic-0001", true, ""), []store.Job{job("j", "attic-0001", 0, 41)}, Alive, "attic-0001", "j"},
		{"the same, and the other looked", lock("barn-00001", false, ""), []store.Job{job("j", "attic-0001", 0, 41)}, Alive, "attic-0001", "j"},
		{"it died, and its host looked", lock("attic-0001", false, ""), []store.Job{job("j", "attic-0001", ended, 41)}, Dead, "attic-0001", "j"},
		{"it died, and the other looked", lock("barn-00001", false, ""), []store.Job{job("j", "attic-0001", ended, 41)}, Unsure, "attic-0001",
			"j"},
		{"jobs of both run beside each other", lock("attic-0001", true, ""), []store.Job{job("j", "attic-0001", 0, 40),
			job("k", "barn-00001", 0, 41)}, Alive, "barn-00001", "k"},
		{"jobs of both had a process of that number", lock("attic-0001", false, ""), []store.Job{job("j", "attic-0001", ended, 41),
			job("k", "barn-00001", 0, 41)}, Foreign, "", ""},
		{"the other's agent tells no numbers", lock("attic-0001", false, ""), []store.Job{job("j", "attic-0001", ended, 41),
			job("k", "barn-00001", 0)}, Foreign, "", ""},
		{"it is no job's", lock("attic-0001", false, ""), []store.Job{job("j", "attic-0001", ended, 40)}, Foreign, "", ""},
		{"nobody's job ran", lock("attic-0001", false, ""), nil, Foreign, "", ""},
		{"its agent knew the process", lock("attic-0001", false, "j"), nil, Dead, "attic-0001", "j"},
		{"another agent sees whose process it is", lock("attic-0001", true, "k"), []store.Job{job("k", "barn-00001", ended)}, Alive,
			"barn-00001", "k"},
	} {
		got := Judge([]store.Lock{c.lock}, hosts, c.jobs, now)[0]
		if got.Verdict != c.want || got.Owner.ID != c.host || got.OfJob != c.of {
			t.Errorf("%s: %s of %q on %q, want %s of %q on %q", c.name, got.Verdict, got.OfJob, got.Owner.ID, c.want, c.of, c.host)
		}
	}
}

// TestALockIsAJobsByItsProcess: a bare restic beside a job of ours is not the job's, however
// close the two are in time; where an agent tells no numbers, the time decides.
func TestALockIsAJobsByItsProcess(t *testing.T) {
	const now = int64(1_000_000_000)
	minute := time.Minute.Milliseconds()
	hosts := []store.Host{{ID: "attic-0001", Hostname: "attic"}}
	job := func(id topics.JobID, state topics.JobState, finished int64, pids ...int) store.Job {
		j := store.Job{ID: id, Host: "attic-0001", Kind: topics.BackupJob, State: state, StartedAt: now - 20*minute, FinishedAt: finished}
		if pids != nil {
			j.PIDs.V = &pids
		}
		return j
	}
	lock := func(pid int64, alive bool) store.Lock {
		return store.Lock{ID: "l", Time: now - 10*minute, Hostname: "attic", LookedBy: "attic-0001", PID: pid,
			Alive: sql.NullBool{Bool: alive, Valid: true}}
	}
	for _, c := range []struct {
		name string
		lock store.Lock
		jobs []store.Job
		want Verdict
		of   topics.JobID
	}{
		{"its process of several, dead", lock(41, false), []store.Job{job("j", topics.Interrupted, now-9*minute, 40, 41)}, Dead, "j"},
		{"another's process beside a job that runs, dead", lock(77, false), []store.Job{job("j", topics.Running, 0, 40, 41)}, Unsure, ""},
		{"another's process beside a job that runs, alive", lock(77, true), []store.Job{job("j", topics.Running, 0, 40)}, Alive, ""},
		{"another's process beside a job that ended", lock(77, false), []store.Job{job("j", topics.Interrupted, now-9*minute, 40)}, Unsure, ""},
		{"its process, and the job runs", lock(40, false), []store.Job{job("j", topics.Running, 0, 40)}, Alive, "j"},
		{"the number was given away after the job's end", func() store.Lock { l := lock(40, false); l.Time = now - minute; return l }(),
			[]store.Job{job("j", topics.Interrupted, now-9*minute, 40)}, Unsure, ""},
		{"an agent that tells no numbers", lock(77, false), []store.Job{job("j", topics.Interrupted, now-9*minute)}, Dead, "j"},
		{"one that has told none yet, and runs", lock(77, false), []store.Job{job("j", topics.Running, 0)}, Alive, "j"},
		{"of two jobs the one whose process it is", lock(51, false), []store.Job{job("j", topics.Running, 0, 40),
			job("k", topics.Interrupted, now-9*minute, 51)}, Dead, "k"},
	} {
		got := Judge([]store.Lock{c.lock}, hosts, c.jobs, now)[0]
		if got.Verdict != c.want || got.OfJob != c.of {
			t.Errorf("%s: %s of %q, want %s of %q", c.name, got.Verdict, got.OfJob, c.want, c.of)
		}
	}
}

func TestTheKeyHintAndTheCredentialOfAJob(t *testing.T) {
	r := store.Repository{ID: "vault-0001", Location: "rest:http://nas:8000/attic", Keeper: "nas-00001", KeyHint: "4d5e"}
	a := store.RepositoryAccess{
		URL:         "rest:http://attic:everyday@nas:8000/attic",
		Password:    "p",
		Env:         map[string]topics.Secret{"RESTIC_CACERT": "/ca.pem"},
		Maintenance: &store.Maintenance{Env: map[string]topics.Secret{"RESTIC_REST_USERNAME": "keeper", "RESTIC_REST_PASSWORD": "may"}},
	}
	got := access(r, a, "nas-00001", topics.PruneJob)
	if got.URL.Reveal() != "rest:http://nas:8000/attic" || got.Env["RESTIC_REST_PASSWORD"] != "may" ||
		got.Env["RESTIC_CACERT"] != "/ca.pem" || got.Env["RESTIC_KEY_HINT"] != "4d5e" || got.Initialise {
		t.Errorf("the keeper prunes with %s %v", got.URL.Reveal(), got.Env)
	}
	if len(a.Env) != 1 {
		t.Errorf("the everyday credential was changed on the way: %v", a.Env)
	}
	for _, c := range []struct {
		host topics.HostID
		kind topics.JobKind
	}{{"nas-00001", topics.SnapshotsJob}, {"nas-00001", topics.BackupJob}, {"attic-0001", topics.PruneJob}, {"", topics.PruneJob}} {
		if got := access(r, a, c.host, c.kind); got.URL != a.URL || got.Env["RESTIC_REST_PASSWORD"] != "" {
			t.Errorf("%s on %q gets what may delete", c.kind, c.host)
		}
	}
	r.Keeper = ""
	if got := access(r, a, "", topics.PruneJob); got.Env["RESTIC_REST_PASSWORD"] != "" {
		t.Error("without a keeper, no host's name is its name")
	}
}

// Both may be asked for within one millisecond, in which chance would decide.
func TestALookAtTheLocksIsAskedForBeforeTheJobItIsFor(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.connect()
	died := w.running()
	w.step(protocol.Ended{Job: died.ID, End: topics.Finished{State: topics.Failed, Cause: topics.CauseKilled}})
	w.await("the job to have ended", func() bool { return w.job(died.ID).State == topics.Failed })
	if err := w.engine.Expel(ctx, w.host.ID); err != nil { // what is asked for from now on stays in the queue
		t.Fatal(err)
	}
	for range 30 {
		check, _, err := w.engine.Ask(ctx, "test", w.host.ID, topics.CheckJob, w.group.Repository, topics.Operation{})
		if err != nil {
			t.Fatal(err)
		}
		open := must(w.store.OpenJobs(ctx, w.host.ID))
		if len(open) != 2 || open[0].Kind != topics.LocksJob || open[0].QueuedAt >= check.QueuedAt {
			t.Fatalf("in the queue are %+v", open)
		}
		for _, j := range open {
			if err := w.engine.Cancel(ctx, "test", j.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A lock may be left by whatever ended restic before it could remove it.
func TestWhichEndsMayLeaveALock(t *testing.T) {
	w := newWorld(t)
	w.connect()
	for cause, may := range map[topics.Cause]bool{
		topics.CauseKilled: true, topics.CauseStalled: true, topics.CauseUnreachable: true, topics.CauseDiskFull: true,
		topics.CauseHostDisk: true, topics.CauseUnknown: true,
		topics.CausePassword: false, topics.CauseUsage: false, topics.CauseSourceMissing: false,
	} {
		j := w.running()
		w.step(protocol.Ended{Job: j.ID, End: topics.Finished{State: topics.Failed, Cause: cause}})
		w.await("the job to have ended", func() bool { return w.job(j.ID).State == topics.Failed })
		if got, err := w.store.DiedSince(t.Context(), j.Repository, w.job(j.ID).FinishedAt-1); err != nil || got != may {
			t.Errorf("after %s: %t, %v; want %t", cause, got, err, may)
		}
	}
}

// Only where a lock lies can it be looked at and removed.
func TestWhereAHostFindsALock(t *testing.T) {
	const attic, cellar, keeper = topics.HostID("attic"), topics.HostID("cellar"), topics.HostID("keeper")
	for name, c := range map[string]struct {
		location    string
		place, host topics.HostID
		at          topics.HostID
		reaches     bool
	}{
		"one place for all":                 {location: "sftp:nas:/vault", host: attic, reaches: true},
		"from before places":                {location: "sftp:nas:/{host}", host: attic, reaches: true},
		"its own, by {host}":                {location: "sftp:nas:/{host}", place: attic, host: attic, reaches: true},
		"another's, by {host}":              {location: "sftp:nas:/{host}", place: cellar, host: attic, at: cellar},
		"another's, by {host}, as a keeper": {location: "sftp:nas:/{host}", place: cellar, host: keeper, at: cellar, reaches: true},
		"a path":                            {location: "/mnt/vault", place: cellar, host: attic, reaches: true},
	} {
		r := store.Repository{Location: c.location, Keeper: keeper}
		if at, reaches := lockAt(r, store.Lock{Place: c.place}, c.host); at != c.at || reaches != c.reaches {
			t.Errorf("%s: at the place of %q: %t, want %q: %t", name, at, reaches, c.at, c.reaches)
		}
	}
}
