package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func open(t testing.TB) *Store {
	t.Helper()
	return storetest.Open(t, Open)
}

// must is for what cannot fail unless the test is over anyway.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// enrolled adds a host as enrolment does.
func enrolled(t fataler, s *Store, name string) Host {
	t.Helper()
	ctx := context.Background()
	id := topics.NewID(time.Now())
	hash := sha256.Sum256([]byte(id))
	if err := s.AddEnrollToken(ctx, EnrollToken{
		ID:        id,
		KeyHash:   hash[:],
		Name:      name,
		CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000,
	}); err != nil {
		t.Fatal(err)
	}
	return must(s.Enroll(ctx, hash[:], Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1", Hostname: name}))
}

func grouped(t fataler, s *Store, h Host) SourceGroup {
	t.Helper()
	ctx := context.Background()
	id := topics.NewID(time.Now())
	r := Repository{ID: topics.RepositoryID(id), Name: "vault " + id, Location: "/srv/vault"}
	if err := s.AddRepository(ctx, "test", r, RepositoryAccess{URL: "/srv/vault", Password: "correct horse",
		Env: map[string]topics.Secret{"AWS_SECRET_ACCESS_KEY": "battery"}}); err != nil {
		t.Fatal(err)
	}
	return must(s.PutSourceGroup(ctx, "test", SourceGroup{
		ID:         topics.SourceGroupID(id),
		Host:       h.ID,
		Name:       "letters " + id,
		Repository: r.ID,
		Paths:      List{"/letters"},
	}))
}

func asked(t fataler, s *Store, g SourceGroup) Job {
	t.Helper()
	j, _, err := s.Ask(context.Background(), "test", Job{ID: topics.JobID(topics.NewID(time.Now())), Host: g.Host, Kind: topics.BackupJob,
		SourceGroup: g.ID, Repository: g.Repository, NotAfter: 1 << 50})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestListsForThePages(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic, cellar, bare := enrolled(t, s, "attic"), enrolled(t, s, "cellar"), enrolled(t, s, "bare")
	letters, photos, wine := grouped(t, s, attic), grouped(t, s, attic), grouped(t, s, cellar)
	end := func(j Job, state topics.JobState, at int64) {
		t.Helper()
		if err := s.Steps(ctx, func(tx protocol.PlaneTx) error {
			p := protocol.PlaneJob{ID: j.ID, Host: j.Host, State: topics.Dispatched}
			if err := tx.PutJob(p); err != nil {
				return err
			}
			if err := tx.AddLines(j.ID, 1, []topics.Line{{Level: topics.Info}, {Level: topics.Error}, {Level: topics.Info}}); err != nil {
				return err
			}
			p.State, p.Lines = state, 3
			if err := tx.PutJob(p); err != nil {
				return err
			}
			return tx.Finished(p, topics.Finished{Job: j.ID, State: state, Summary: &topics.Summary{TotalBytes: 1}}, at)
		}); err != nil {
			t.Fatal(err)
		}
	}
	first := asked(t, s, letters)
	end(first, topics.Failed, 100)
	second, other, elsewhere := asked(t, s, letters), asked(t, s, photos), asked(t, s, wine)
	end(second, topics.Succeeded, 200)
	end(elsewhere, topics.Succeeded, 300)

	ids := func(jobs []Job) map[topics.JobID]bool {
		m := map[topics.JobID]bool{}
		for _, j := range jobs {
			m[j.ID] = true
		}
		return m
	}
	if got, want := ids(must(s.LastJobs(ctx, attic.ID))), map[topics.JobID]bool{
		second.ID: true,
		other.ID:  true,
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("last jobs %v, want %v", got, want)
	}
	if got, want := ids(must(s.JobsByID(ctx, []topics.JobID{first.ID, elsewhere.ID, "nobody-knows"}))), map[topics.JobID]bool{
		first.ID:     true,
		elsewhere.ID: true,
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("by ID %v, want %v", got, want)
	}
	if got := must(s.HostDays(ctx, []topics.HostID{attic.ID, bare.ID}, 150)); len(got) != 1 || got[0].At != 200 ||
		got[0].State != topics.Succeeded {
		t.Errorf("outcomes since 150: %v", got)
	}
	if got := must(s.HostDays(ctx, nil, 0)); len(got) != 0 {
		t.Errorf("outcomes of no host: %v", got)
	}
	levels := map[topics.Level]LevelCount{}
	for _, l := range must(s.LogLevels(ctx, first.ID)) {
		levels[l.Level] = l
	}
	if levels[topics.Info].Lines != 2 || levels[topics.Error] != (LevelCount{Level: topics.Error, Lines: 1, Last: 2}) {
		t.Errorf("levels %v", levels)
	}
	if got, want := must(s.HostsWithGroups(ctx)), map[topics.HostID]bool{attic.ID: true, cellar.ID: true}; !reflect.DeepEqual(got, want) {
		t.Errorf("hosts with groups %v, want %v", got, want)
	}
	if got := must(s.HostCount(ctx)); got != 3 {
		t.Errorf("%d hosts", got)
	}
}

func TestASecretIsReadBackAndIsNowhereInTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := must(Open(t.Context(), dir, ""))
	g := grouped(t, s, enrolled(t, s, "attic"))
	a := must(s.RepositoryAccess(t.Context(), g.Repository))
	if a.Password.Reveal() != "correct horse" || a.Env["AWS_SECRET_ACCESS_KEY"].Reveal() != "battery" || a.URL.Reveal() != "/srv/vault" {
		t.Errorf("read back %q, %q", a.Password.Reveal(), a.Env["AWS_SECRET_ACCESS_KEY"].Reveal())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		b := string(must(os.ReadFile(f)))
		if strings.Contains(b, "correct horse") || strings.Contains(b, "battery") {
			t.Errorf("%s holds a password in clear", f)
		}
	}
	if len(files) == 0 {
		t.Error("no file was looked at")
	}
}

func TestADatabaseAndItsKeyBelongTogether(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"key missing":       func(dir string) error { return os.Remove(dir + ".key") },
		"key of another":    func(dir string) error { return os.WriteFile(dir+".key", []byte(strings.Repeat("ab", 32)), 0o600) },
		"key cut short":     func(dir string) error { return os.WriteFile(dir+".key", []byte("abcd"), 0o600) },
		"database missing":  func(dir string) error { return os.RemoveAll(dir) },
		"database is empty": func(dir string) error { return os.Truncate(filepath.Join(dir, fileName), 0) },
	} {
		dir := filepath.Join(t.TempDir(), "data")
		if err := must(Open(t.Context(), dir, "")).Close(); err != nil {
			t.Fatal(err)
		}
		if err := harm(dir); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(t.Context(), dir, ""); !errors.Is(err, keyring.ErrKey) {
			t.Errorf("%s: opened with %v", name, err)
			if err == nil {
				_ = s.Close()
			}
		}
	}
}

func TestOfTwoThatEnrolWithOneTokenExactlyOneWins(t *testing.T) {
	s := open(t)
	hash := sha256.Sum256([]byte("key"))
	if err := s.AddEnrollToken(t.Context(), EnrollToken{
		ID:        "token-0001",
		KeyHash:   hash[:],
		CreatedBy: "test",
		ExpiresAt: s.Now() + 60_000,
	}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.Enroll(t.Context(), hash[:], Host{ID: topics.HostID(fmt.Sprintf("host-%04d", i)), Hostname: "attic",
				SealKey: []byte("k")})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrUsed) {
			t.Errorf("a loser was told %v", err)
		}
	}
	if hosts := len(must(s.Hosts(t.Context()))); won != 1 || hosts != 1 {
		t.Errorf("%d enrolled, %d hosts", won, hosts)
	}
	if _, err := s.Enroll(t.Context(), []byte("no such hash"), Host{ID: "host-9999"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown token: %v", err)
	}
}

func TestAnExpiredTokenLetsNobodyIn(t *testing.T) {
	s := open(t)
	hash := sha256.Sum256([]byte("key"))
	if err := s.AddEnrollToken(t.Context(), EnrollToken{
		ID:        "token-0001",
		KeyHash:   hash[:],
		CreatedBy: "test",
		ExpiresAt: s.Now() - 1,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enroll(t.Context(), hash[:], Host{ID: "host-0001", SealKey: []byte("k")}); !errors.Is(err, ErrExpired) {
		t.Errorf("got %v", err)
	}
}

func TestASecondRequestIsAnsweredWithTheWaitingJob(t *testing.T) {
	s := open(t)
	g := grouped(t, s, enrolled(t, s, "attic"))
	first, again := asked(t, s, g), asked(t, s, g)
	if first.ID != again.ID {
		t.Errorf("two jobs wait for one group: %s and %s", first.ID, again.ID)
	}
}

func TestBirthsAndDeathsOnlyRise(t *testing.T) {
	s := open(t)
	h := enrolled(t, s, "attic")
	for _, b := range []topics.Session{{Epoch: 5, N: 7}, {Epoch: 5, N: 6}, {Epoch: 4, N: 99}} {
		if err := errors.Join(s.Born(t.Context(), h.ID, b), s.Died(t.Context(), h.ID, b)); err != nil {
			t.Fatal(err)
		}
	}
	h = must(s.Host(t.Context(), h.ID))
	if want := (topics.Session{Epoch: 5, N: 7}); h.Birth() != want || h.Death() != want {
		t.Errorf("birth %v, death %v", h.Birth(), h.Death())
	}
}

func TestTheAuditChainCoversEveryEntry(t *testing.T) {
	s := open(t)
	asked(t, s, grouped(t, s, enrolled(t, s, "attic")))
	var previous []byte
	entries := must(all[AuditEntry](t.Context(), s.r, `SELECT * FROM audit ORDER BY n`))
	for _, e := range entries {
		if got := e.Chain(previous); !reflect.DeepEqual(got, e.Hash) {
			t.Errorf("entry %d (%s) does not fit the chain", e.N, e.Action)
		}
		previous = e.Hash
	}
	if len(entries) != 5 {
		t.Errorf("%d entries, want token, host, repository, group and job", len(entries))
	}
}

// TestTheDatabaseIsTheJournalTheProtocolWasProvenOn drives both with the same
// inputs, hostile ones among them, and compares every answer.
func TestTheDatabaseIsTheJournalTheProtocolWasProvenOn(t *testing.T) {
	const day = int64(24 * 60 * 60 * 1000)
	s := open(t)
	rapid.Check(t, func(t *rapid.T) {
		host := enrolled(t, s, "h"+topics.NewID(time.Now()))
		model := protocoltest.NewPlane()
		model.Keys[host.ID] = string(host.SealKey)
		var ids []topics.JobID
		now, seq, epoch, made := int64(1000), uint64(0), int64(1), 0
		timing := protocol.DefaultTiming()
		if rapid.Bool().Draw(t, "bounded") { // as a thief would meet them
			timing.Bounds = protocol.Bounds{Job: rapid.Int64Range(1, 400).Draw(t, "job bytes"), Hour: rapid.Int64Range(2000, 20_000).Draw(t, "hour"),
				Far: 1, Same: 2}
		}
		minutely := func(name string) topics.ScheduleID { // with a slot every minute since 1970-01-10
			id := topics.ScheduleID(name + string(host.ID))
			if _, err := s.w.Exec(`INSERT INTO schedules (id, host, name, cron, zone, jitter_seconds, enabled, retry_max, created_at, since)
				VALUES ($1, $2, $3, '* * * * *', 'UTC', 0, 0, 0, $4, 0)`, id, host.ID, name, 9*day); err != nil {
				t.Fatal(err)
			}
			return id
		}
		nightly, weekly := minutely("nightly-"), minutely("weekly-")
		now += 9 * day
		model.Unfit = func(_ topics.HostID, slot topics.Slot, at int64) protocol.Fit {
			switch {
			case slot.Schedule != nightly && slot.Schedule != weekly:
				return protocol.Fit{Why: protocol.AsideSchedule}
			case slot.At%60_000 != 0:
				return protocol.Fit{Why: protocol.AsideSlot}
			}
			return protocol.Fit{Far: slot.At > at+day || slot.At < 8*day}
		}
		aSlot := func() topics.Slot {
			at := rapid.SampledFrom([]int64{9 * day, 9*day + 60_000, 9*day + 120_000, 9*day + 1, 7 * day, 700 * day}).Draw(t, "slot")
			of := rapid.SampledFrom([]topics.ScheduleID{nightly, nightly, nightly, weekly, "never-there"}).Draw(t, "schedule")
			return topics.Slot{Schedule: of, At: at}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now += rapid.Int64Range(1, 100_000).Draw(t, "later")
			id := topics.JobID("no-such-job")
			if len(ids) > 0 {
				id = rapid.SampledFrom(ids).Draw(t, "job")
			}
			var in protocol.PlaneInput
			restart := func() {}
			inputs := []string{"ask", "tick", "cancel", "restore", "replace", "arrive", "arrive", "arrive", "arrive"}
			switch rapid.SampledFrom(inputs).Draw(t, "input") {
			case "ask":
				j := asked(t, s, grouped(t, s, host))
				notAfter := now + rapid.Int64Range(0, 500_000).Draw(t, "not after")
				if _, err := s.w.Exec(`UPDATE jobs SET not_after = $1, queued_at = $2 WHERE id = $3`, notAfter, now, j.ID); err != nil {
					t.Fatal(err)
				}
				if rapid.IntRange(0, 2).Draw(t, "it looks for files") == 0 {
					j.Kind, j.SourceGroup = topics.FindJob, ""
					if _, err := s.w.Exec(`UPDATE jobs SET kind = 'find', source_group = '' WHERE id = $1`, j.ID); err != nil {
						t.Fatal(err)
					}
				}
				ids = append(ids, j.ID)
				model.Unmade[j.Repository] = protocol.Place{Address: "/srv/vault", Path: true}
				if rapid.Bool().Draw(t, "there") {
					model.Ready[protocoltest.RepositoryPlace{Repository: j.Repository, Host: host.ID}] = 1
					if err := places.Found(t.Context(), s.w, j.Repository, host.ID, "", 1); err != nil {
						t.Fatal(err)
					}
				}
				model.Queue(protocol.PlaneJob{
					ID:         j.ID,
					Host:       host.ID,
					Kind:       j.Kind,
					Repository: j.Repository,
					Group:      j.SourceGroup,
					NotAfter:   notAfter,
					QueuedAt:   now,
				})
				continue
			case "tick":
				on := rapid.Bool().Draw(t, "online")
				in = protocol.Tick{Now: now, Online: func(h topics.HostID) bool { return on && h == host.ID }}
			case "restore":
				model.Restored(model.Epoch+1, host.ID)
				if _, err := s.w.Exec(`UPDATE hosts SET restoring = $1 WHERE id = $2`, model.Epoch, host.ID); err != nil {
					t.Fatal(err)
				}
				continue
			case "cancel":
				in = protocol.CancelAsked{Job: id, By: "test", Now: now}
			case "replace":
				if rapid.Bool().Draw(t, "is spared") {
					continue
				}
				in = protocol.HostReplaced{Host: host.ID, Now: now}
			case "arrive":
				if rapid.IntRange(0, 15).Draw(t, "renew") == 0 {
					epoch, seq = epoch+1, 0
				}
				e := topics.Events{Epoch: epoch,
					First: max(1, seq+1-min(seq, rapid.Uint64Range(0, 2).Draw(t, "again"))+
						uint64(rapid.SampledFrom([]int{0, 0, 0, 0, 1}).Draw(t, "hole")))}
				for range rapid.IntRange(1, 4).Draw(t, "events") {
					event := anEvent(t, id, ids)
					made++ // jobs of one moment are in the order of their IDs
					if j, known := model.Jobs[id]; known && j.Kind == topics.BackupJob && rapid.IntRange(0, 5).Draw(t, "by itself") == 0 {
						event = topics.Event{At: now, Fired: &topics.Fired{
							Job:        topics.JobID(fmt.Sprintf("%s-f%05d", host.ID, made)),
							Group:      j.Group,
							Repository: j.Repository,
							Slot:       aSlot(),
						}}
						if rapid.Bool().Draw(t, "by the way") {
							event.Fired.Also = []topics.Slot{aSlot()}
						}
						if rapid.IntRange(0, 2).Draw(t, "a job that is known") == 0 {
							event.Fired.Job = id
						}
					}
					if h := event.Hello; h != nil {
						h.Plane = rapid.SampledFrom([]int64{0, model.Epoch - 1, model.Epoch}).Draw(t, "plane")
					}
					if j, known := model.Jobs[id]; known && j.Kind == topics.BackupJob && event.Accepted != nil && rapid.Bool().Draw(t, "unknown") {
						event.Accepted = &topics.Accepted{Job: topics.JobID(fmt.Sprintf("%s-r%05d", host.ID, made)), Kind: j.Kind,
							Repository: j.Repository, Group: j.Group}
					}
					event.Mark = rapid.StringMatching("[a-z]{3}").Draw(t, "mark")
					e.Events = append(e.Events, event)
				}
				seq = max(seq, e.First+uint64(len(e.Events))-1)
				most := rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "enough after")
				asked := 0
				enough := func() bool {
					asked++
					return most > 0 && asked >= most
				}
				a := protocol.Arrived{Host: host.ID, Events: e, Now: now, Enough: enough}
				a.Key = rapid.SampledFrom([][]byte{nil, nil, host.SealKey, host.SealKey, []byte("of a machine that was replaced")}).Draw(t, "key")
				if rapid.IntRange(0, 9).Draw(t, "skips") == 0 {
					a.Skip = e.First + 1
				}
				restart = func() { asked = 0 }
				in = a
			}
			var got []protocol.PlaneEffect
			model.Inits = nil
			gotErr := s.Steps(context.Background(), func(tx protocol.PlaneTx) (err error) {
				got, err = protocol.PlaneStep(timing, only{tx, host.ID, &model.Inits}, in)
				return err
			})
			ids = append(ids, model.Inits...)
			restart()
			want, wantErr := model.Step(timing, in)
			if (gotErr == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) && gotErr == nil {
				t.Fatalf("%+v:\n got  %+v, %v\n want %+v, %v", in, got, gotErr, want, wantErr)
			}
			for id := range model.Jobs {
				if !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
			slices.Sort(ids)
			row := must(s.Host(context.Background(), host.ID))
			if (row.Restoring != 0) != model.Lag[host.ID] {
				t.Fatalf("restoring %d, want %v", row.Restoring, model.Lag[host.ID])
			}
			if place := model.Places[host.ID]; row.Received() != place {
				t.Fatalf("received %+v, want %+v", row.Received(), place)
			}
			if hour := must(intake.HourOf(context.Background(), s.r, host.ID)); hour != model.Hours[host.ID] {
				t.Fatalf("%+v was stored in this hour, want %+v", hour, model.Hours[host.ID])
			}
			asides := map[protocol.Aside]int{}
			for _, a := range must(intake.Asides(context.Background(), s.r, host.ID)) {
				asides[protocol.Aside(a.Reason)] = int(a.N)
			}
			if !maps.Equal(asides, model.SetAsides[host.ID]) {
				t.Fatalf("set aside were %v, want %v", asides, model.SetAsides[host.ID])
			}
			if c, said := model.Applied[host.ID]; said && (row.ConfigApplied != c.Revision || row.ConfigError != c.Error) {
				t.Fatalf("config %d in force, %q, want %+v", row.ConfigApplied, row.ConfigError, c)
			}
		}
		for _, id := range ids {
			row := must(s.Job(context.Background(), id))
			if m := model.Jobs[id]; row.State != m.State || row.Lines != m.Lines || row.LogBytes != m.Bytes || row.Cut != m.Cut {
				t.Fatalf("job %s is %s with %d lines, want %+v", id, row.State, row.Lines, model.Jobs[id])
			}
			parts := must(s.Reports(context.Background(), id))
			if len(parts) != len(model.Parts[id]) {
				t.Fatalf("job %s has %d parts of a report, want %d", id, len(parts), len(model.Parts[id]))
			}
			for _, r := range parts {
				if want := model.Parts[id][r.Part]; !reflect.DeepEqual(r, want) {
					t.Fatalf("part %d of job %s is %+v, want %+v", r.Part, id, r, want)
				}
			}
			var log []string
			for _, e := range must(s.Log(context.Background(), id, 0, 1000)) {
				if e.GapTo > 0 {
					log = append(log, fmt.Sprintf("%d-%d gap", e.N, e.GapTo))
				} else {
					log = append(log, fmt.Sprintf("%d %s", e.N, e.Text))
				}
			}
			if !reflect.DeepEqual(log, model.Log[id]) && len(log)+len(model.Log[id]) > 0 {
				t.Fatalf("log of %s:\n got  %q\n want %q", id, log, model.Log[id])
			}
		}
	})
}

// only hides other runs' hosts from a tick.
type only struct {
	protocol.PlaneTx
	host  topics.HostID
	inits *[]topics.JobID // that were added
}

func (o only) AddInit(b protocol.PlaneJob, now int64) (protocol.PlaneJob, error) {
	j, err := o.PlaneTx.AddInit(b, now)
	*o.inits = append(*o.inits, j.ID)
	return j, err
}

func (o only) Behind() (map[topics.HostID]bool, error) {
	behind, err := o.PlaneTx.Behind()
	return map[topics.HostID]bool{o.host: behind[o.host]}, err
}

func (o only) Open(topics.HostID) ([]protocol.PlaneJob, error) { return o.PlaneTx.Open(o.host) }

func anEvent(t *rapid.T, id topics.JobID, ids []topics.JobID) topics.Event {
	switch rapid.SampledFrom([]string{"hello", "accepted", "started", "log", "log", "gap", "report", "configured", "finished"}).Draw(t,
		"event") {
	case "configured":
		return topics.Event{Configured: &topics.Configured{Revision: rapid.Int64Range(0, 3).Draw(t, "revision"),
			Error: rapid.SampledFrom([]string{"", "no such zone"}).Draw(t, "problem")}}
	case "hello":
		h := topics.Hello{Session: topics.Session{Epoch: 1, N: 1}}
		h.Configured = &topics.Configured{Revision: rapid.Int64Range(0, 3).Draw(t, "revision")}
		if len(ids) > 0 && rapid.Bool().Draw(t, "in hand") {
			h.Jobs = append(h.Jobs, id)
		}
		return topics.Event{Hello: &h}
	case "accepted":
		return topics.Event{Accepted: &topics.Accepted{Job: id}}
	case "started":
		return topics.Event{Started: &topics.Started{Job: id}}
	case "log":
		return topics.Event{Log: &topics.Log{Job: id, First: rapid.IntRange(1, 12).Draw(t, "first"),
			Lines: []topics.Line{{Text: "a"}, {Text: "b"}, {Text: "c"}}[:rapid.IntRange(1, 3).Draw(t, "lines")]}}
	case "report":
		return topics.Event{Report: &topics.Report{Job: id, Part: rapid.IntRange(1, 4).Draw(t, "part"),
			Keys: []topics.Key{{ID: rapid.StringMatching("[a-f]{8}").Draw(t, "key")}}}}
	case "gap":
		first := rapid.IntRange(1, 12).Draw(t, "first")
		return topics.Event{Log: &topics.Log{Job: id, First: first,
			Gap: &topics.Gap{To: first + rapid.IntRange(0, 4).Draw(t, "more"), Reason: "full"}}}
	}
	state := rapid.SampledFrom([]topics.JobState{topics.Succeeded, topics.Warnings, topics.Failed, topics.Cancelled, topics.Interrupted,
		topics.Abandoned}).Draw(t, "state")
	return topics.Event{Finished: &topics.Finished{Job: id, State: state, Lines: rapid.IntRange(0, 15).Draw(t, "lines"),
		Snapshot: &topics.Snapshot{ID: "s" + string(id)}, Summary: &topics.Summary{TotalFiles: 1, TotalBytes: 7}, RepositoryReady: true}}
}

func BenchmarkLines(b *testing.B) {
	s := open(b)
	j := asked(b, s, grouped(b, s, enrolled(b, s, "attic")))
	lines := make([]topics.Line, 500)
	for i := range lines {
		lines[i] = topics.Line{At: 1, Level: topics.Info, Text: "new  /srv/media/photos/2026/11/DSC08812.ARW, 42.6 MiB"}
	}
	b.ResetTimer()
	n := 1
	for b.Loop() {
		err := s.Steps(b.Context(), func(tx protocol.PlaneTx) error { return tx.AddLines(j.ID, n, lines) })
		if err != nil {
			b.Fatal(err)
		}
		n += len(lines)
	}
	b.ReportMetric(float64(n-1)/b.Elapsed().Seconds(), "rows/s")
}
