package gather

import (
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/endings"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/topics"
)

// fails reports whether a verdict is that the last backup failed.
func fails(v protection.Verdict) bool {
	return v.Status == protection.Failed && v.Cause != protection.CauseDamaged
}

// explained are the words for why a job ended as it did, the same that its page has.
func explained(e jobs.Explanation) (why, do, brief string) {
	brief = strings.TrimRight(e.Cause, ".")
	var list []string
	for _, r := range e.Remedies {
		list = append(list, r.Text)
	}
	if why = brief; why != "" {
		why += "."
	}
	return strings.TrimSpace(why + " " + e.Effect), strings.Join(list, " "), brief
}

// bodyOf are the words of a job's end.
func bodyOf(j store.Job) endings.Body {
	if j.State == topics.Succeeded {
		return endings.Body{}
	}
	var b endings.Body
	b.Why, b.Do, b.Brief = explained(jobs.ExplainJob(j))
	if r := j.Result.V; r != nil && r.Restore != nil {
		b.Missed = int(min(max(r.Restore.Failed, r.Restore.Errors), 1<<31))
	}
	return b
}

func runOf(r endings.Row) conditions.Run {
	out := conditions.Run{Job: r.Job, State: r.State, Cause: r.Cause, At: r.At}
	if b := r.Body.V; b != nil {
		out.Why, out.Do, out.Brief, out.Missed = b.Why, b.Do, b.Brief, b.Missed
	}
	return out
}

// runOfFacts is a run of which only the cause is known.
func runOfFacts(r facts.Run) conditions.Run {
	out := conditions.Run{Job: r.Job, State: r.State, Cause: r.Cause, At: r.EndedAt}
	if r.State != topics.Succeeded {
		out.Why, out.Do, out.Brief = explained(jobs.Explain(topics.BackupJob, r.Cause, r.State))
	}
	return out
}

// streakOf is how often in a row backups ended with the warnings of the last.
func streakOf(r endings.Row) conditions.Streak {
	if r.State != topics.Warnings {
		return conditions.Streak{}
	}
	return conditions.Streak{Times: r.Times, Since: r.Since, Run: runOf(r)}
}

func sizeOf(r endings.Row) *conditions.Size {
	b := r.Body.V
	if b == nil || b.Files == nil || b.Bytes == nil || b.Added == nil || b.Changed == nil {
		return nil
	}
	return &conditions.Size{Job: r.Job, At: r.At, Files: conditions.Compared(*b.Files), Bytes: conditions.Compared(*b.Bytes),
		Added: conditions.Compared(*b.Added), Changed: conditions.Compared(*b.Changed)}
}
