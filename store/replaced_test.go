package store

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
)

// anotherMachine enrols one with a token that was made for a host.
func anotherMachine(t *testing.T, s *Store, h Host) Host {
	t.Helper()
	id := topics.NewID(time.Now())
	hash := sha256.Sum256([]byte(id))
	if err := s.AddEnrollToken(t.Context(), EnrollToken{ID: id, KeyHash: hash[:], ForHost: h.ID, CreatedBy: "anna",
		ExpiresAt: s.Now() + 60_000}); err != nil {
		t.Fatal(err)
	}
	return must(s.Enroll(t.Context(), hash[:], Host{ID: h.ID, SealKey: []byte("new"), Serial: id, Hostname: "new-" + h.Name, OS: "linux"}))
}

// savedBefore puts a snapshot of a source group into its repository.
func savedBefore(t *testing.T, s *Store, g SourceGroup, id string, at int64) {
	t.Helper()
	if _, err := s.w.ExecContext(t.Context(), `INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, files, bytes,
		source_group, seen_at, ended_at, begun_at, state) VALUES ($1, $2, $3, 'job-' || $2, $4, 'h', '[]', '[]', 5, 500, $5, $4, $4, $4,
		'succeeded')`, g.Repository, id, g.Host, at, g.ID); err != nil {
		t.Fatal(err)
	}
}

func TestAReplacedMachineHoldsItsGroupsUntilSomebodyDecides(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic, barn := enrolled(t, s, "attic"), enrolled(t, s, "barn")
	letters, photos, hay := grouped(t, s, attic), grouped(t, s, attic), grouped(t, s, barn)
	planned(t, s, attic, "nightly", letters.ID, photos.ID)
	planned(t, s, attic, "weekly", photos.ID)
	must(s.PutSchedule(ctx, "test", attic.ID, "off", ScheduleID(topics.NewID(time.Now())), func(sc *Schedule) error {
		sc.Cron, sc.Zone, sc.Groups = "0 4 * * *", "UTC", []topics.SourceGroupID{letters.ID}
		return nil
	}))
	planned(t, s, barn, "nightly", hay.ID)
	for i, id := range []string{"aa01", "aa02"} {
		savedBefore(t, s, letters, id, s.Now()-int64(1000*(2-i)))
	}
	savedBefore(t, s, hay, "cc01", s.Now()-1000)
	running := Job{ID: "job-0000001", Host: attic.ID, Kind: topics.BackupJob, SourceGroup: letters.ID, Repository: letters.Repository,
		NotAfter: 1 << 50}
	waiting, check := running, running
	waiting.ID, waiting.SourceGroup, waiting.Repository = "job-0000002", photos.ID, photos.Repository
	check.ID, check.Kind, check.SourceGroup = "job-0000003", topics.CheckJob, ""
	forget, other := check, check // of the keeper, which is another host
	forget.ID, forget.Host, forget.Kind = "job-0000005", barn.ID, topics.ForgetJob
	forget.Operation = JSON[topics.Operation]{V: &topics.Operation{Snapshots: []string{"aa01"}}}
	other.ID, other.Host, other.Kind, other.Repository = "job-0000006", barn.ID, topics.ForgetJob, hay.Repository
	other.Operation = JSON[topics.Operation]{V: &topics.Operation{Snapshots: []string{"cc01"}}}
	for _, j := range []Job{running, waiting, check, forget, other} {
		if _, _, err := s.Ask(ctx, "test", j); err != nil {
			t.Fatal(err)
		}
	}
	must(s.w.Exec(`UPDATE jobs SET state = 'running', accepted = 1 WHERE id = $1`, running.ID))

	held := func() (names []bool) {
		for _, g := range []SourceGroup{letters, photos, hay} {
			names = append(names, errors.As(replacing.Refuses(ctx, s.r, []topics.SourceGroupID{g.ID}), new(*replacing.HeldError)))
		}
		return names
	}
	enabled := func() (names []string) {
		for _, h := range []Host{attic, barn} {
			for _, sc := range must(s.Schedules(ctx, h.ID)) {
				if sc.Enabled {
					names = append(names, h.Name+" "+sc.Name)
				}
			}
		}
		return names
	}
	all := []string{"attic nightly", "attic weekly", "barn nightly"}

	// Until the new machine is there nothing is another than before; nor if it is called off.
	must(s.BeginReplacement(ctx, "anna", "rep-1", attic.ID))
	if r := must(s.BeginReplacement(ctx, "anna", "rep-other", attic.ID)); r.ID != "rep-1" {
		t.Errorf("begun again it is %s", r.ID)
	}
	if err := s.CallOffReplacement(ctx, "anna", attic.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DecideReplacement(ctx, "anna", attic.ID, nil, replacing.Restored, ""); !errors.Is(err, replacing.ErrNone) {
		t.Errorf("deciding what was called off: %v", err)
	}
	anotherMachine(t, s, attic) // new keys for the same machine
	if got := held(); slices.Contains(got, true) || !slices.Equal(enabled(), all) {
		t.Fatalf("without a replacement: held %v, schedules %q", got, enabled())
	}

	must(s.BeginReplacement(ctx, "anna", "rep-2", attic.ID))
	if _, err := s.DecideReplacement(ctx, "anna", attic.ID, nil, replacing.Restored, ""); !errors.Is(err, replacing.ErrWaiting) {
		t.Errorf("deciding before the new machine is there: %v", err)
	}
	anotherMachine(t, s, attic)
	if got := held(); !slices.Equal(got, []bool{true, true, false}) {
		t.Errorf("held are %v", got)
	}
	if got := enabled(); !slices.Equal(got, all[2:]) {
		t.Errorf("enabled are %q", got)
	}
	for id, want := range map[topics.JobID]topics.JobState{running.ID: topics.Interrupted, waiting.ID: topics.Cancelled,
		check.ID: topics.Queued, forget.ID: topics.Cancelled, other.ID: topics.Queued} {
		j := must(s.Job(ctx, id))
		if j.State != want || want.Ended() && j.Cause != topics.CauseReplaced && id != forget.ID {
			t.Errorf("job %s is %s of %q, want %s", id, j.State, j.Cause, want)
		}
	}
	if err := s.CallOffReplacement(ctx, "anna", attic.ID); !errors.Is(err, replacing.ErrEnrolled) {
		t.Errorf("calling it off: %v", err)
	}
	var no *replacing.HeldError
	again := waiting
	again.ID = "job-0000004"
	if _, _, err := s.Ask(ctx, "test", again); !errors.As(err, &no) || !slices.Equal(no.Groups, []string{photos.Name}) {
		t.Errorf("a backup by hand: %v", err)
	}
	forget.ID = "job-0000007"
	if _, _, err := s.Ask(ctx, "test", forget); !errors.As(err, &no) || !no.Forget || !slices.Equal(no.Groups, []string{letters.Name}) {
		t.Errorf("a forget by hand: %v", err)
	}
	run := must2(s.StartRun(ctx, MaintenanceRun{ID: "job-0000008", Repository: letters.Repository, Kind: topics.ForgetJob, Host: barn.ID},
		Job{ID: "job-0000008", Host: barn.ID, Kind: topics.ForgetJob, Repository: letters.Repository, Held: true, NotAfter: 1 << 50}))
	if err := s.Release(ctx, run, *forget.Operation.V); !errors.Is(err, ErrNotFound) {
		t.Errorf("a plan that was made before: %v", err)
	}
	resume := func(name string, groups ...topics.SourceGroupID) error {
		_, err := s.PutSchedule(ctx, "test", attic.ID, name, ScheduleID(topics.NewID(time.Now())), func(sc *Schedule) error {
			sc.Cron, sc.Zone, sc.Enabled = "0 5 * * *", "UTC", true
			if len(groups) > 0 {
				sc.Groups = groups
			}
			return nil
		})
		return err
	}
	for _, err := range []error{resume("weekly"), resume("added", letters.ID)} {
		if !errors.As(err, &no) {
			t.Errorf("switching a schedule on: %v", err)
		}
	}
	kept := func(g SourceGroup) (ids []string) {
		for _, n := range must(s.PlannedSnapshots(ctx, g.Repository)) {
			if n.Replaced {
				ids = append(ids, n.ID)
			}
			if n.PinUntil > 0 {
				ids = append(ids, n.ID+" pinned")
			}
		}
		return ids
	}
	if got := kept(letters); !slices.Equal(got, []string{"aa02", "aa01"}) || len(kept(hay)) > 0 {
		t.Errorf("kept are %q, and %q of another host", got, kept(hay))
	}

	// One group is decided: what backs up that alone goes on.
	if over := must(s.DecideReplacement(ctx, "anna", attic.ID, []topics.SourceGroupID{photos.ID}, replacing.Without, "x")); over {
		t.Error("it is over with one of two")
	}
	if got := enabled(); !slices.Equal(got, []string{"attic weekly", "barn nightly"}) {
		t.Errorf("enabled are %q", got)
	}
	// A third machine: all is to be decided anew.
	anotherMachine(t, s, attic)
	if got := held(); !slices.Equal(got, []bool{true, true, false}) || !slices.Equal(enabled(), all[2:]) {
		t.Errorf("after yet another machine held are %v, enabled %q", got, enabled())
	}
	if over := must(s.DecideReplacement(ctx, "anna", attic.ID, nil, replacing.Restored, "x")); !over || slices.Contains(held(), true) {
		t.Errorf("all is decided, and over is %t, held %v", over, held())
	}
	if got := enabled(); !slices.Equal(got, all) {
		t.Errorf("enabled are %q, want what was so before", got)
	}
	if got := kept(letters); !slices.Equal(got, []string{"aa02 pinned"}) {
		t.Errorf("kept are %q", got)
	}
	r, groups, err := s.Replacement(ctx, attic.ID)
	if err != nil || r.Open() || r.ID != "rep-2" || len(groups) != 2 {
		t.Fatalf("it is %+v of %+v: %v", r, groups, err)
	}
	for _, g := range groups {
		if g.Group == letters.ID && (g.Snapshot != "aa02" || g.PinnedUntil < s.Now()+replacing.PinnedFor.Milliseconds()-60_000) {
			t.Errorf("of the letters it knows %+v", g)
		}
	}
}
