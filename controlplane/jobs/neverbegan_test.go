package jobs

import (
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A backup that never began has no log: its words lead to the job that has one. Only such
// a backup's do.
func TestABackupWhoseRepositoryCouldNotBeMadeLeadsToTheJobThatTried(t *testing.T) {
	const message = "unable to open config file: oops (the repository could not be made, see job 06h293kmflgfhe1bj808h8bmd8)"
	for _, c := range []struct {
		name string
		job  store.Job
		want bool
	}{
		{"not recognised", store.Job{Kind: topics.BackupJob, Cause: topics.CauseUnknown, Message: message}, true},
		{"no answer", store.Job{Kind: topics.BackupJob, Cause: topics.CauseUnreachable, Message: message}, true},
		{"a wrong password", store.Job{Kind: topics.BackupJob, Cause: topics.CausePassword, Message: message}, true},
		{"one that ran", store.Job{Kind: topics.BackupJob, Cause: topics.CauseUnknown, Message: message, StartedAt: 1}, false},
		{"one that failed of itself", store.Job{Kind: topics.BackupJob, Cause: topics.CauseUnknown, Message: "oops"}, false},
		{"the job that tried", store.Job{Kind: topics.InitJob, Cause: topics.CauseUnknown, Message: "oops"}, false},
	} {
		c.job.State = topics.Failed
		e := ExplainJob(c.job)
		leads := slices.ContainsFunc(e.Remedies, func(r Remedy) bool { return r.Cure == CureMaking })
		if leads != c.want || strings.Contains(e.Effect, "did not begin") != c.want {
			t.Errorf("%s: %+v", c.name, e)
		}
		if c.want && slices.ContainsFunc(e.Remedies, func(r Remedy) bool { return strings.Contains(r.Text, "log below") }) {
			t.Errorf("%s: it has no log: %+v", c.name, e.Remedies)
		}
	}
}
