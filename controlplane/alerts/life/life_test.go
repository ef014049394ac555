package life

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// A world is a book and what holds at its moment.
type world struct {
	t     *testing.T
	book  *Book
	now   time.Time
	holds []conditions.Finding
	ids   int
	said  []string // what was told since it was looked last
	rows  int      // that were written by the last look
	next  int64
	look  Look
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{t: t, book: NewBook(nil, nil), now: time.Date(2026, 11, 2, 6, 0, 0, 0, time.UTC)}
}

// step looks, and looks again: the second look changes nothing.
func (w *world) step() {
	w.t.Helper()
	l := w.look
	l.Holds, l.Now = w.holds, w.now.UnixMilli()
	l.NewID = func() string {
		w.ids++
		return fmt.Sprintf("alert-%04d", w.ids)
	}
	out := w.book.Step(l)
	w.rows, w.next = len(out.Rows), out.Next
	for _, c := range out.Changes {
		w.said = append(w.said, string(c.Event)+" "+c.Alert.Condition)
	}
	if again := w.book.Step(l); len(again.Rows) > 0 || len(again.Changes) > 0 {
		w.t.Fatalf("at %v the second look writes %d rows and tells %v", w.now, len(again.Rows), again.Changes)
	}
	// What the database gives back is what the book knows: pointers of one step are of no use.
	var live, late []alerts.Alert
	for _, a := range w.book.Live {
		live = append(live, *a)
	}
	for _, a := range w.book.Late {
		late = append(late, *a)
	}
	w.book = NewBook(live, late)
}

// at lets time pass and looks with what holds then.
func (w *world) after(d time.Duration, holds ...conditions.Finding) {
	w.t.Helper()
	w.now = w.now.Add(d)
	w.holds = holds
	w.step()
}

func (w *world) told(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.said, want) {
		w.t.Fatalf("at %v it told %q, want %q", w.now, w.said, want)
	}
	w.said = nil
}

func (w *world) live(name conditions.Name) *alerts.Alert {
	w.t.Helper()
	for k, a := range w.book.Live {
		if k.Condition == string(name) {
			return a
		}
	}
	return nil
}

func offline(host string) conditions.Finding {
	return conditions.Finding{Key: alerts.Key{Condition: string(conditions.HostOffline), On: alerts.OnHost, Subject: host},
		Host: topics.HostID(host), Severity: alerts.Warning, Body: alerts.Body{Name: host, Title: "offline"}}
}

func unreachable(repository string) conditions.Finding {
	return conditions.Finding{Key: alerts.Key{Condition: string(conditions.RepositoryUnreachable), On: alerts.OnRepository,
		Subject: repository},
		Repository: topics.RepositoryID(repository), Severity: alerts.Critical, Body: alerts.Body{Name: repository, Title: "does not answer"}}
}

func failed(group, host, repository string, since time.Time) conditions.Finding {
	return conditions.Finding{Key: alerts.Key{Condition: string(conditions.BackupFailed), On: alerts.OnGroup, Subject: group},
		Host: topics.HostID(host), Repository: topics.RepositoryID(repository), Severity: alerts.Critical, Since: since.UnixMilli(),
		Job: "job-1", Body: alerts.Body{Name: host + " · " + group, Title: "backups fail"}}
}

func neverBackedUp(group, host, repository string) conditions.Finding {
	f := failed(group, host, repository, time.Time{})
	f.Condition, f.Severity, f.Body.Title, f.Since = string(conditions.NeverBackedUp), alerts.Warning, "never backed up", 0
	return f
}

func TestAnAlertBeginsGoesOnAndEnds(t *testing.T) {
	w := newWorld(t)
	w.after(0)
	if w.rows != 0 {
		t.Errorf("nothing holds, and %d rows are written", w.rows)
	}
	w.after(time.Minute, offline("attic"))
	w.told("opened host-offline")
	a := *w.live(conditions.HostOffline)
	if a.Count != 1 || a.OpenedAt != w.now.UnixMilli() || a.BeganAt != a.OpenedAt || a.SeenAt != a.OpenedAt || a.Body.V.Title != "offline" {
		t.Errorf("it opened as %+v", a)
	}
	w.after(time.Hour, offline("attic"))
	w.told()
	if w.rows != 0 {
		t.Errorf("it goes on, and %d rows are written", w.rows)
	}
	w.after(time.Hour)
	w.told("recovered host-offline")
	if len(w.book.Live) != 0 {
		t.Error("it is not over")
	}
	w.after(7*time.Hour, offline("attic"))
	w.told("opened host-offline")
	if b := w.live(conditions.HostOffline); b.ID == a.ID || b.Count != 1 {
		t.Errorf("after seven hours it is another one, not %+v", b)
	}
}

func TestOneThatComesBackSoonIsTheSame(t *testing.T) {
	w := newWorld(t)
	w.after(0, offline("attic"))
	id := w.live(conditions.HostOffline).ID
	w.book.Live[offline("attic").Key].AckedAt = 5
	w.after(time.Hour)
	w.after(6*time.Hour, offline("attic"))
	w.told("opened host-offline", "recovered host-offline", "opened host-offline")
	if a := w.live(conditions.HostOffline); a.ID != id || a.Count != 2 || a.Flaps || a.State(w.now.UnixMilli()) != alerts.Open {
		t.Errorf("it is %+v", a)
	}
}

func TestTheThirdBeginningWithinHoursFlaps(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.after(time.Hour, offline("attic"))
		w.after(time.Minute)
	}
	w.told("opened host-offline", "recovered host-offline", "opened host-offline", "recovered host-offline", "opened host-offline")
	a := w.live(conditions.HostOffline)
	if a == nil || !a.Flaps || a.Count != 3 || a.QuietAt != w.now.UnixMilli() {
		t.Fatalf("it is %+v", a)
	}
	for range 50 { // swings of which nobody is told
		w.after(59*time.Minute, offline("attic"))
		w.after(time.Minute)
	}
	w.told()
	if a := w.live(conditions.HostOffline); a == nil || a.Count != 53 {
		t.Fatalf("it is %+v", a)
	}
	if want := w.now.Add(Calm).UnixMilli(); w.next != want {
		t.Errorf("it is looked again at %d, want %d", w.next, want)
	}
	w.after(Calm - time.Millisecond)
	w.told()
	w.after(time.Millisecond)
	w.told("recovered host-offline")
	w.after(time.Hour, offline("attic")) // and flaps on, if it does
	w.told("opened host-offline")
	if a := w.live(conditions.HostOffline); !a.Flaps {
		t.Errorf("it is %+v", a)
	}
}

func TestSlowComingAndGoingDoesNotFlap(t *testing.T) {
	w := newWorld(t)
	for range 4 {
		w.after(3*time.Hour, offline("attic"))
		w.after(time.Hour)
	}
	if a := w.book.Late[offline("attic").Key]; a == nil || a.Flaps || a.Count != 4 {
		t.Errorf("it is %+v", a)
	}
}

func TestOneThatSomebodyEndedStaysEndedUntilItWasOverOnce(t *testing.T) {
	w := newWorld(t)
	w.after(0, offline("attic"))
	end := func() {
		a := w.book.Live[offline("attic").Key]
		delete(w.book.Live, a.Key)
		a.EndedAt, a.EndedBy, a.EndedWhy = w.now.UnixMilli(), "anna", "it is in the cellar"
		w.book.Late[a.Key] = a
	}
	id := w.live(conditions.HostOffline).ID
	w.told("opened host-offline")
	end()
	for range 40 {
		w.after(24*time.Hour, offline("attic"))
	}
	w.told()
	if w.rows != 0 {
		t.Errorf("%d rows were written", w.rows)
	}
	w.after(time.Hour)
	w.told()
	if a := w.book.Late[offline("attic").Key]; a.QuietAt != w.now.UnixMilli() || w.rows != 1 {
		t.Errorf("that it was over is not written down: %+v", a)
	}
	w.after(time.Minute, offline("attic"))
	w.told("opened host-offline")
	if a := w.live(conditions.HostOffline); a.ID == id || a.Count != 1 {
		t.Errorf("it is %+v", a)
	}
}

func TestAnotherEventOpensAnotherAlert(t *testing.T) {
	w := newWorld(t)
	unusual := func(job topics.JobID) conditions.Finding {
		f := failed("letters", "attic", "vault", w.now)
		f.Condition, f.Job = string(conditions.ChangeAnomaly), job
		return f
	}
	first := unusual("job-1")
	w.after(0, first)
	a := w.book.Live[first.Key]
	delete(w.book.Live, a.Key)
	a.EndedAt, a.EndedBy = w.now.Add(time.Minute).UnixMilli(), "anna"
	w.book.Late[a.Key] = a
	w.after(time.Hour, first)
	w.told("opened change-anomaly")
	w.now = w.now.Add(time.Hour)
	w.after(0, unusual("job-2"))
	w.told("opened change-anomaly")
	if b := w.live(conditions.ChangeAnomaly); b.ID == a.ID {
		t.Error("it is the one that somebody ended")
	}
}

func TestASnoozeEndsWithAReminderIfItStillHolds(t *testing.T) {
	w := newWorld(t)
	w.after(0, offline("attic"), offline("barn"))
	w.told("opened host-offline", "opened host-offline")
	for _, a := range w.book.Live {
		a.SnoozedUntil, a.SnoozedBy = w.now.Add(time.Hour).UnixMilli(), "anna"
	}
	w.after(30*time.Minute, offline("attic")) // barn comes back meanwhile
	w.told("recovered host-offline")
	w.after(29*time.Minute, offline("attic"), offline("barn")) // and goes again
	w.told()
	if b := w.book.Live[offline("barn").Key]; b.State(w.now.UnixMilli()) != alerts.Snoozed || b.Count != 2 {
		t.Errorf("barn is %+v", b)
	}
	if want := w.now.Add(time.Minute).UnixMilli(); w.next != want {
		t.Errorf("it is looked again at %d, want %d", w.next, want)
	}
	w.after(time.Minute, offline("attic"), offline("barn"))
	w.told("reminded host-offline", "reminded host-offline")
	for _, a := range w.book.Live {
		if a.SnoozedUntil != 0 || a.SnoozedBy != "" || a.State(w.now.UnixMilli()) != alerts.Open {
			t.Errorf("it is %+v", a)
		}
	}
}

func TestWhatGetsWorseIsToldAgain(t *testing.T) {
	w := newWorld(t)
	low := conditions.Finding{Key: alerts.Key{Condition: string(conditions.HostDisk), On: alerts.OnHost, Subject: "attic"}, Host: "attic",
		Severity: alerts.Warning, Body: alerts.Body{Name: "attic", Title: "little space"}}
	full := low
	full.Severity, full.Body.Title = alerts.Critical, "no space"
	w.after(0, low)
	w.book.Live[low.Key].SnoozedUntil = w.now.Add(time.Hour).UnixMilli()
	w.after(time.Minute, full)
	w.told("opened host-disk", "opened host-disk")
	if a := w.live(conditions.HostDisk); a.Severity != alerts.Critical || a.SnoozedUntil != 0 || a.Count != 1 || a.Body.V.Title != "no space" {
		t.Errorf("it is %+v", a)
	}
	w.after(time.Minute, low)
	w.told()
	if a := w.live(conditions.HostDisk); a.Severity != alerts.Warning || w.rows != 1 {
		t.Errorf("it is %+v", a)
	}
}

func TestWhatAnotherSaysBetterOpensNoRowAndIsNamed(t *testing.T) {
	w := newWorld(t)
	var fails []conditions.Finding
	for i := range 3 {
		fails = append(fails, failed(fmt.Sprintf("group-%d", i), "attic", "vault", w.now))
	}
	fails = append(fails, neverBackedUp("group-2", "attic", "vault")) // which the failure explains, which the repository does
	w.after(0, append(slices.Clone(fails), unreachable("vault"))...)
	w.told("opened repository-unreachable")
	a := w.live(conditions.RepositoryUnreachable)
	if want := []string{"attic · group-0: backups fail", "attic · group-1: backups fail", "attic · group-2: backups fail",
		"attic · group-2: never backed up"}; !slices.Equal(a.Body.V.Swallows, want) {
		t.Errorf("it explains %q, want %q", a.Body.V.Swallows, want)
	}
	other := failed("group-9", "barn", "elsewhere", w.now)
	w.after(time.Minute, append(slices.Clone(fails), unreachable("vault"), other)...)
	w.told("opened backup-failed")
	// The repository answers again; what failed until then has a day to succeed.
	w.after(time.Hour, append(slices.Clone(fails), other)...)
	w.told("recovered repository-unreachable")
	w.after(23*time.Hour, append(slices.Clone(fails), other)...)
	w.told()
	w.after(time.Hour, append(slices.Clone(fails), other)...)
	w.told("opened backup-failed", "opened backup-failed", "opened backup-failed")
	if w.live(conditions.NeverBackedUp) != nil {
		t.Error("never backed up is opened beside the failure")
	}
	// One that is open stays as it is when something worse explains it.
	w.after(time.Hour, append(slices.Clone(fails), other, unreachable("vault"))...)
	w.told("opened repository-unreachable")
	if len(w.book.Live) != 5 {
		t.Errorf("%d are open, want the four failures and the repository", len(w.book.Live))
	}
	// A failure that is newer than the end is told at once.
	w.after(time.Hour, other)
	w.said = nil
	w.after(time.Minute, other, failed("group-7", "attic", "vault", w.now.Add(time.Second)))
	w.told("opened backup-failed")
}

func TestOneThatWasEndedByHandExplainsNothingNew(t *testing.T) {
	w := newWorld(t)
	w.after(0, unreachable("vault"))
	a := w.book.Live[unreachable("vault").Key]
	delete(w.book.Live, a.Key)
	a.EndedAt, a.EndedBy = w.now.UnixMilli(), "anna"
	w.book.Late[a.Key] = a
	w.said = nil
	w.after(time.Hour, unreachable("vault"), failed("letters", "attic", "vault", w.now.Add(time.Hour)))
	w.told("opened backup-failed")
}

func TestTheEndOfAJobChangesOnlyWhatItDecides(t *testing.T) {
	w := newWorld(t)
	letters := failed("letters", "attic", "vault", w.now)
	w.after(0, offline("barn"))
	w.look.Judged = []alerts.Key{letters.Key}
	w.after(time.Minute, letters)
	w.told("opened host-offline", "opened backup-failed")
	if w.live(conditions.HostOffline) == nil {
		t.Error("the host that was not looked for is over")
	}
	w.after(time.Minute)
	w.told("recovered backup-failed")
	if w.live(conditions.HostOffline) == nil {
		t.Error("the host that was not looked for is over")
	}
}

func TestWhatMayBeExplainedWaitsForALookAtEverything(t *testing.T) {
	w := newWorld(t)
	letters, warned := failed("letters", "attic", "vault", w.now), failed("letters", "attic", "vault", w.now)
	warned.Condition = string(conditions.RestoreFailures) // which nothing explains
	warned.Key.On, warned.Key.Subject = alerts.OnHost, "attic"
	w.look.Judged, w.look.Wait = []alerts.Key{letters.Key, warned.Key}, true
	w.after(0, letters, warned)
	w.told("opened restore-failures")
	w.look = Look{}
	w.after(time.Second, letters, warned, unreachable("vault"))
	w.told("opened repository-unreachable")
	w.look.Judged, w.look.Wait = []alerts.Key{letters.Key}, true
	w.after(time.Second, letters)
	w.told()
}

func TestNobodyKnowsYet(t *testing.T) {
	w := newWorld(t)
	w.after(0, offline("attic"))
	w.look.Unsure = func(alerts.Key) bool { return true }
	w.after(time.Minute, offline("barn"))
	w.told("opened host-offline")
	w.look.Gone = func(a alerts.Alert) string { return "The host was removed." }
	w.after(time.Minute)
	w.told("recovered host-offline")
	if a := w.book.Late[offline("attic").Key]; a.EndedWhy != "The host was removed." || a.EndedBy != alerts.Plane {
		t.Errorf("it is %+v", a)
	}
}

func TestWhatIsRemovedDoesNotFlapOn(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.after(time.Minute)
		w.after(time.Minute, offline("attic"))
	}
	w.said = nil
	w.look.Gone = func(a alerts.Alert) string { return "The host was removed." }
	w.after(time.Minute)
	w.told("recovered host-offline")
}

// TestNothingExplainsItself follows what conditions are explained by: there is no way back.
func TestNothingExplainsItself(t *testing.T) {
	var walk func(conditions.Name, []string)
	walk = func(n conditions.Name, way []string) {
		if slices.Contains(way, string(n)) {
			t.Fatalf("%s is explained by itself: %s", n, strings.Join(way, ", by "))
		}
		c, known := conditions.Of(n)
		if !known {
			t.Fatalf("%s explains, and is no condition", n)
		}
		for _, by := range c.Explained {
			walk(by, append(slices.Clone(way), string(n)))
		}
	}
	for _, c := range conditions.Table() {
		walk(c.Name, nil)
	}
}
