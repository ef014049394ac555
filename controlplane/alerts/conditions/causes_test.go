package conditions

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// A lock that stopped backups for good is told at once, as what they have in common; one
// that merely keeps jobs waiting has its hours.
func TestALockThatStoppedBackupsIsToldAtOnce(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ms := now.UnixMilli()
	lock := []health.Verdict{{Word: health.Locked, Cause: "repository-locked", Since: ms - hourMillis,
		Reason: "A lock kept the last job out."}}
	backup := func(cause topics.Cause, gaveUp bool) func(*Facts) {
		return func(f *Facts) {
			h := sampleHost(ms)
			g := &h.Groups[0]
			g.Last = Run{Job: "j", State: topics.Failed, Cause: cause, At: ms - hourMillis}
			g.FailedSince, g.GaveUp, g.Retrying = ms-hourMillis, gaveUp, !gaveUp
			f.Hosts = []Host{h}
		}
	}
	upkeep := func(f *Facts) {
		f.Repositories[0].Prune = &Run{Job: "j", State: topics.Failed, Cause: topics.CauseLocked, At: ms - hourMillis}
	}
	for _, c := range []struct {
		what   string
		change func(*Facts)
		l      Limits
		locked alerts.Severity // "" if it is not told
	}{
		{"nothing failed", func(*Facts) {}, nil, ""},
		{"a backup failed", backup(topics.CauseLocked, true), nil, alerts.Critical},
		{"a backup is tried again", backup(topics.CauseLocked, false), nil, ""},
		{"a backup failed for another reason", backup(topics.CauseHook, true), nil, ""},
		{"a prune failed", upkeep, nil, alerts.Warning},
		{"both", func(f *Facts) { backup(topics.CauseLocked, true)(f); upkeep(f) }, nil, alerts.Critical},
		{"somebody switched it off", backup(topics.CauseLocked, true), Limits{{Condition: RepositoryLocked, Scope: ScopeFleet, Off: true}}, ""},
	} {
		f := Facts{Repositories: []Repository{{ID: "example-repository", Name: "vault", Said: lock}}}
		c.change(&f)
		holds, _ := Judge(f, c.l, now)
		var got alerts.Severity
		for _, h := range holds {
			if h.Condition == string(RepositoryLocked) {
				got = h.Severity
			}
		}
		if got != c.locked {
			t.Errorf("%s: the lock is told as %q, want %q", c.what, got, c.locked)
		}
		// The end of one job does not know what else the lock stopped.
		if _, judged := OfJob(f, c.l, now); slices.ContainsFunc(judged,
			func(k alerts.Key) bool { return k.Condition == string(RepositoryLocked) }) {
			t.Errorf("%s: the end of a job decides about the lock", c.what)
		}
	}
}

// Nothing that the repository has explains what a host does wrong itself.
func TestOnlyWhatMayBeTheReasonExplainsAFailedBackup(t *testing.T) {
	of := func(name Name) alerts.Key {
		c, _ := Of(name)
		return alerts.Key{Condition: string(name), On: c.On, Subject: map[alerts.On]string{alerts.OnHost: "h", alerts.OnRepository: "r"}[c.On]}
	}
	for _, c := range []struct {
		by    Name
		cause topics.Cause
		is    bool
	}{
		{RepositoryUnreachable, topics.CauseUnreachable, true}, {RepositoryUnreachable, topics.CauseUnknown, true},
		{RepositoryUnreachable, topics.CauseNone, true}, {RepositoryUnreachable, topics.CauseHook, false},
		{RepositoryUnreachable, topics.CauseSourceMissing, false}, {RepositoryFull, topics.CauseDiskFull, true},
		{RepositoryFull, topics.CauseHostDisk, false}, {RepositoryLocked, topics.CauseLocked, true},
		{RepositoryLocked, topics.CauseUnreachable, false}, {RepositoryDamaged, topics.CauseDamaged, true},
		{RepositoryDamaged, topics.CauseUnreachable, false}, {HostDisk, topics.CauseHostDisk, true}, {HostDisk, topics.CauseHook, false},
		{Twins, topics.CauseHook, true},
	} {
		f := Finding{Key: alerts.Key{Condition: string(BackupFailed), On: alerts.OnGroup, Subject: "g"}, Host: "h", Repository: "r"}
		f.Body.Reason = string(c.cause)
		if Explains(of(c.by), f) != c.is {
			t.Errorf("%s explains a backup that failed by %q: want %v", c.by, c.cause, c.is)
		}
	}
}

// What a clock wrote that was a year ahead keeps nothing silent until then.
func TestMomentsOfAWrongClockHideNothing(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const year = 365 * dayMillis
	for name, change := range map[Name]func(*Facts, int64){
		RepositoryLocked: repository(func(r *Repository, now int64) { r.Said[0].Since = now + year }),
		NeverBackedUp:    host(func(h *Host, now int64) { h.EnrolledAt, h.Groups[0].CreatedAt = now+year, now+year }),
		Unscheduled:      host(func(h *Host, now int64) { h.EnrolledAt = now + year }),
	} {
		f := changed(name, change)(now.UnixMilli())
		if got := found(f, nil, now); !slices.Contains(got, name) {
			t.Errorf("%s is not found any more, but %v", name, got)
		}
	}
}

// A clock that is off is measured with every message, and is no news each time.
func TestTheWordsOfAClockRarelyChange(t *testing.T) {
	now := time.Now()
	said := map[string]bool{}
	for _, off := range []int64{301_000, 299_200, 303_700, -302_000} {
		f := samples[ClockOff](now.UnixMilli())
		f.Hosts[0].Clock = off
		holds, _ := Judge(f, nil, now)
		if len(holds) != 1 {
			t.Fatalf("off by %d ms: %+v", off, holds)
		}
		said[holds[0].Body.Cause] = true
	}
	if len(said) != 2 { // ahead, and behind
		t.Errorf("it is said in %d ways: %v", len(said), said)
	}
}

// A host that goes is told although the control plane was started by a clock that was a
// year ahead, or heard of it by one.
func TestAHostThatGoesIsToldWhateverTheClockWas(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const year = 365 * dayMillis
	for what, change := range map[string]func(f *Facts, now int64){
		"it was started ahead": func(f *Facts, now int64) { f.Stopped, f.Began = now-dayMillis, now+year },
		"and heard of it":      func(f *Facts, now int64) { f.Began, f.Hosts[0].SeenAt = now+year, now+year+dayMillis },
		"and enrolled it":      func(f *Facts, now int64) { f.Began, f.Hosts[0].SeenAt, f.Hosts[0].EnrolledAt = now+year, 0, now+year },
	} {
		f := changed(HostOffline, change)(now.UnixMilli())
		if got := found(f, nil, now); !slices.Contains(got, HostOffline) {
			t.Errorf("%s: found is %v", what, got)
		}
	}
}

// What an agent says fills no table and no mailbox.
func TestNobodySaysTooMuch(t *testing.T) {
	now := time.Now()
	long := strings.Repeat("é", 200_000)
	for name, change := range map[Name]func(*Facts, int64){
		HostDisk:       host(func(h *Host, now int64) { h.DiskSays = long }),
		AgentTooOld:    host(func(h *Host, now int64) { h.TooOld, h.Name = long, long }),
		ChannelFailing: func(f *Facts, now int64) { f.Channels[0].Answer = long },
		BackupFailed:   group(func(g *Group, now int64) { g.Last.Why, g.Last.Brief, g.Last.Do = long, long, long }),
	} {
		holds, _ := Judge(changed(name, change)(now.UnixMilli()), nil, now)
		if len(holds) != 1 {
			t.Fatalf("%s: %d are found", name, len(holds))
		}
		if b := holds[0].Body; len(b.Name)+len(b.Title)+len(b.Cause)+len(b.Do) > 20_000 {
			t.Errorf("%s says %d, %d, %d and %d bytes", name, len(b.Name), len(b.Title), len(b.Cause), len(b.Do))
		}
	}
}
