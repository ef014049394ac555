package life

import (
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// Many groups whose backups one thing stops have one alert, of that.
func TestWhatStopsManyBackupsIsOneAlert(t *testing.T) {
	w := newWorld(t)
	ms := w.now.UnixMilli()
	shop := func(cause topics.Cause) conditions.Facts {
		h := conditions.Host{ID: "attic", Name: "attic", EnrolledAt: 1}
		for i := range 20 {
			h.Groups = append(h.Groups, conditions.Group{ID: topics.SourceGroupID(fmt.Sprintf("g%d", i)), Name: fmt.Sprintf("g%d", i),
				Repository: "vault",
				CreatedAt:  1, Schedules: 1, Enabled: 1, FailedSince: ms - 1000, GaveUp: true,
				Last: conditions.Run{Job: "j", State: topics.Failed, Cause: cause, At: ms - 1000}})
		}
		return conditions.Facts{Hosts: []conditions.Host{h}, Repositories: []conditions.Repository{{ID: "vault", Name: "vault"}}}
	}
	locked := shop(topics.CauseLocked)
	locked.Repositories[0].Said = []health.Verdict{{Word: health.Locked, Cause: "repository-locked", Since: ms - 1000, Reason: "Locked."}}
	full := shop(topics.CauseHostDisk)
	full.Hosts[0].DiskFull, full.Hosts[0].DiskSince = true, ms-1000
	damaged := shop(topics.CauseDamaged)
	damaged.Repositories[0].Said = []health.Verdict{{Word: health.Damaged, Cause: "repository-damaged", Since: ms - 1000, Reason: "Damaged."}}
	for name, f := range map[conditions.Name]conditions.Facts{conditions.RepositoryLocked: locked, conditions.HostDisk: full,
		conditions.RepositoryDamaged: damaged} {
		w.book = NewBook(nil, nil)
		holds, _ := conditions.Judge(f, nil, w.now)
		w.after(0, holds...)
		w.told("opened " + string(name))
		if a := w.live(name); a.Severity != alerts.Critical || len(a.Body.V.Swallows) != 20 {
			t.Errorf("%s is %s, and names %d others", name, a.Severity, len(a.Body.V.Swallows))
		}
	}
	// What is merely a warning does not hide what is not saved.
	full.Hosts[0].DiskFull, full.Hosts[0].DiskLow = false, true
	w.book = NewBook(nil, nil)
	holds, _ := conditions.Judge(full, nil, w.now)
	w.after(0, holds...)
	if len(w.book.Live) != 21 {
		t.Errorf("beside a disk that is almost full %d alerts are open, want 21", len(w.book.Live))
	}
	w.said = nil
}

// That the control plane cannot read what its keeper needs stops no backup, and hides none.
func TestWhatStopsNobodyExplainsNothing(t *testing.T) {
	w := newWorld(t)
	ms := w.now.UnixMilli()
	unread := health.Verdict{Word: health.Unreachable, Cause: "maintenance-unread", Reason: "It cannot read its maintenance."}
	f := conditions.Facts{Repositories: []conditions.Repository{{ID: "vault", Name: "vault", Said: []health.Verdict{unread}}},
		Hosts: []conditions.Host{{ID: "attic", Name: "attic", EnrolledAt: 1, Groups: []conditions.Group{{ID: "g", Name: "g", Repository: "vault",
			CreatedAt: 1, Schedules: 1, Enabled: 1, FailedSince: ms - 1000, GaveUp: true,
			Last: conditions.Run{Job: "j", State: topics.Failed, Cause: topics.CauseUnknown, At: ms - 1000}}}}}}
	look := func() {
		holds, _ := conditions.Judge(f, nil, w.now)
		w.after(time.Minute, holds...)
	}
	look()
	if w.live(conditions.BackupFailed) == nil || w.live(conditions.RepositoryUnreachable) == nil {
		t.Fatalf("it told %q", w.said)
	}
	// Where hosts are kept out, too, that is what is said.
	f.Repositories[0].Said = append(f.Repositories[0].Said, health.Verdict{Word: health.Unreachable, Cause: "repository-unreachable",
		Since: ms, Reason: "Its server does not answer attic."})
	w.book = NewBook(nil, nil)
	look()
	if a := w.live(conditions.RepositoryUnreachable); a == nil || a.Body.V.Reason != "repository-unreachable" ||
		w.live(conditions.BackupFailed) != nil {
		t.Errorf("it is %+v", a)
	}
}
