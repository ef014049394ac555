package web

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestTheSizeOfABackupIsAccepted: a group that holds less than before, as it should, is
// judged by its new size from the moment when somebody says so.
func TestTheSizeOfABackupIsAccepted(t *testing.T) {
	const button = "This is right from now on"
	for what, c := range map[string]struct {
		files  uint64
		state  topics.JobState
		cause  topics.Cause
		status string // before; "" is that nothing is to be accepted
	}{
		"as good as nothing": {3, topics.Warnings, topics.CauseFewerFiles, "Empty"},
		"far fewer files":    {400, topics.Warnings, topics.CauseFewerFiles, "Warning"},
		"about as many":      {900, topics.Succeeded, "", ""},
		"no file at all":     {0, topics.Warnings, topics.CauseEmptySource, ""},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			attic := w.enrol("attic")
			g := attic.group("letters")
			attic.connect()
			backup := func(of string, files uint64, state topics.JobState, cause topics.Cause) topics.JobID {
				id := w.backup(attic)
				attic.ran(id, topics.Finished{State: state, Cause: cause, RepositoryReady: true, Summary: &topics.Summary{TotalFiles: files,
					TotalBytes: 1000 * files}, Snapshot: &topics.Snapshot{ID: strings.Repeat(of, 64), Time: time.Now().UnixMilli(),
					Host: "attic", Paths: []string{"/letters"}, Tags: []string{"plan=" + string(g.ID)}}})
				return id
			}
			backup("a", 1000, topics.Succeeded, "")
			host, operator, admin := "/hosts/"+string(attic.id), w.person(store.Operator), w.person(store.Admin)
			if strings.Contains(admin.shows(host, "letters"), button) {
				t.Error("the usual size is to be accepted")
			}
			small := backup("b", c.files, c.state, c.cause)
			job := "/jobs/" + string(small)
			for _, at := range []string{host, job} {
				offered := c.status != ""
				if got := strings.Contains(admin.do("GET", at, nil).text, button); got != offered {
					t.Errorf("%s offers it: %t, want %t", at, got, offered)
				}
				if strings.Contains(operator.do("GET", at, nil).text, button) {
					t.Errorf("%s offers it to operators", at)
				}
			}
			if c.status == "" {
				return
			}
			admin.shows(host, c.status)
			post, of := host+"/source-groups/letters/accept-size", url.Values{"snapshot": {strings.Repeat("b", 64)}}
			if r := operator.do("POST", post, of); r.StatusCode != 403 {
				t.Errorf("an operator: %s", r.Status)
			}
			if r := admin.do("POST", post, url.Values{"snapshot": {strings.Repeat("a", 64)}}); r.StatusCode != 409 {
				t.Errorf("what an older page showed: %s", r.Status)
			}
			if r := admin.do("POST", post, of); r.StatusCode != 303 {
				t.Fatalf("accept: %s %s", r.Status, r.text)
			}
			for _, at := range []string{host, job} {
				if strings.Contains(admin.do("GET", at, nil).text, button) {
					t.Errorf("%s offers it again", at)
				}
			}
			if text := w.program(store.Viewer).do("GET", "/api/hosts", nil).text; !strings.Contains(text, `"status":"unscheduled"`) {
				t.Errorf("with the size accepted it is %s", text)
			}
		})
	}
}
