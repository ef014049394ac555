package web

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

var fixLink = regexp.MustCompile(`(?s)<ol class="fixes.*?</ol>`)
var href = regexp.MustCompile(`href="([^"#]+)"`)

// TestAFailureLeadsToWhereItIsMended: each page that a remedy names is there, and what a
// role may not do is not offered.
func TestAFailureLeadsToWhereItIsMended(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	attic.connect()
	admin, viewer := w.person(store.Admin), w.person(store.Viewer)
	for _, c := range []struct {
		cause    topics.Cause
		message  string
		offers   []string // to administrators, and not to viewers
		everyone []string
	}{
		{topics.CausePassword, "wrong password", []string{"Change the password"}, nil},
		{topics.CauseLocked, "already locked", []string{"Unlock and try again"}, []string{"Open the repository"}},
		{topics.CauseCredentials, "401", []string{"Change the repository"}, nil},
		{topics.CauseSourceMissing, "it does not exist", []string{"Change the source group"}, nil},
		{topics.CauseDiskFull, "unable to save snapshot: no space left", nil, []string{"Forget and prune"}},
		{topics.CausePolicy, "This host's data goes to /x only, and not to /y. Run policy allow-repository.", nil,
			[]string{"restic-manager-agent policy allow-repository"}},
		{topics.CausePolicy, `"/srv/www" leads to "/data/w w", outside of what this host lets backups read.`, nil,
			[]string{"policy allow-backup &#39;/data/w w&#39; --state"}},
		{topics.CausePolicy, "This host's policy backup does not allow backup.", nil, []string{"policy allow-operation backup --state"}},
		{topics.CauseExpired, "", nil, []string{"Open the host"}},
		{topics.CauseDamaged, "", nil, []string{"Repair it step by step"}},
	} {
		id := w.backup(attic)
		attic.ran(id, topics.Finished{State: topics.Failed, Cause: c.cause, Message: c.message})
		if c.cause == topics.CauseLocked { // whose they are is looked up at once
			attic.looks()
		}
		for _, who := range []*client{admin, viewer} {
			fixes := fixLink.FindString(who.do("GET", "/jobs/"+string(id), nil).text)
			for _, text := range c.offers {
				if strings.Contains(fixes, text) != (who == admin) {
					t.Errorf("%s: %q is offered to administrators %t: %s", c.cause, text, who == admin, fixes)
				}
			}
			for _, text := range c.everyone {
				if !strings.Contains(fixes, text) {
					t.Errorf("%s does not say %q: %s", c.cause, text, fixes)
				}
			}
			for _, m := range href.FindAllStringSubmatch(fixes, -1) {
				if r := who.do("GET", m[1], nil); r.StatusCode != 200 {
					t.Errorf("%s leads to %s, which answers with %s", c.cause, m[1], r.Status)
				}
			}
		}
	}
	if len(jobs.Cures) == 0 {
		t.Error("there are no cures")
	}
}

func TestWhatCouldNotBeReadIsLeftOutOnRequest(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	attic.connect()
	admin := w.person(store.Admin)
	id := w.backup(attic)
	attic.ran(id, topics.Finished{State: topics.Warnings, Cause: topics.CauseUnreadable, Message: "2 items could not be read",
		Summary: &topics.Summary{TotalFiles: 9, Unreadable: 2, Items: []string{"/letters/a", "/letters/b*"}}})
	page := "/jobs/" + string(id)
	admin.shows(page, "Exclude 2 items", "Leave out 2 items from now on?", "/letters/b*")
	if r := admin.do("POST", page+"/exclude", nil); r.StatusCode != 303 {
		t.Fatalf("exclude: %s %s", r.Status, r.text)
	}
	g := must(w.store.SourceGroups(t.Context(), attic.id))[0]
	if want := []string{"/letters/a", `/letters/b\*`}; !slices.Equal(g.Excludes, want) {
		t.Errorf("it leaves out %q, want %q", g.Excludes, want)
	}
	// Where not all is named, only the form is offered.
	id = w.backup(attic)
	attic.ran(id, topics.Finished{State: topics.Warnings, Cause: topics.CauseUnreadable,
		Summary: &topics.Summary{TotalFiles: 9, Unreadable: 3, Items: []string{"/letters/a"}}})
	if text := admin.shows("/jobs/"+string(id), "Change the source group"); strings.Contains(text, "Exclude 1 item") {
		t.Error("one of three is offered")
	}
}

func TestALockedRepositoryIsUnlockedAndTheJobRunsAgain(t *testing.T) {
	w := newWorld(t)
	attic := w.enrol("attic")
	attic.group("letters")
	attic.connect()
	admin := w.person(store.Admin)
	id := w.backup(attic)
	attic.ran(id, topics.Finished{State: topics.Failed, Cause: topics.CauseLocked, Message: "already locked"})
	await(t, "a look at whose the locks are", func() error {
		if open := must(w.store.OpenJobs(t.Context(), attic.id)); len(open) != 1 || open[0].Kind != topics.LocksJob {
			return fmt.Errorf("there wait %+v", open)
		}
		return nil
	})
	r := admin.do("POST", "/jobs/"+string(id)+"/unlock", nil)
	if r.StatusCode != 303 {
		t.Fatalf("unlock: %s %s", r.Status, r.text)
	}
	again := must(w.store.Job(t.Context(), topics.JobID(strings.TrimPrefix(r.Header.Get("Location"), "/jobs/"))))
	if again.Kind != topics.BackupJob || again.ID == id {
		t.Errorf("it leads to %+v", again)
	}
	open := must(w.store.OpenJobs(t.Context(), attic.id))
	kinds := make([]topics.JobKind, len(open)) // behind what looks whose the locks are
	for i, j := range open {
		kinds[i] = j.Kind
	}
	if want := []topics.JobKind{topics.LocksJob, topics.UnlockJob, topics.BackupJob}; !slices.Equal(kinds, want) {
		t.Errorf("there wait %q, want %q", kinds, want)
	}
}
