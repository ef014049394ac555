package jobpages

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// What a restore's page lists: of a run what did not come back, of a dry run what would
// happen, never a word that something was restored by one. Names are shown visibly.
func TestWhatARestoresPageLists(t *testing.T) {
	r := topics.Result{Restore: &topics.Restored{Files: 2, Restored: 2, Failed: 1, Unmatched: []topics.Item{
		{Snapshot: strings.Repeat("a", 64), Paths: []string{"/gone"}}}}}
	report := topics.Report{Failures: []topics.Failure{{Path: "/a\x1b[31m\nb", Why: "permission denied"}},
		Planned: []topics.Planned{{Action: topics.PlanOverwrite, Path: "/back/c", Size: 5}}}
	for _, c := range []struct {
		dry  bool
		want []string
	}{
		{false, []string{"Not restored", "Not in the snapshot"}},
		{true, []string{"Cannot be restored", "Not in the snapshot", "What would happen"}},
	} {
		var titles []string
		var cells []string
		restoreTables(&views.Job{DryRun: c.dry}, r, report, func(title string, _ int, head []string, rows [][]string) {
			titles = append(titles, title)
			for _, row := range rows {
				if len(row) != len(head) {
					t.Errorf("%s: %v below %v", title, row, head)
				}
				cells = append(cells, row...)
			}
		})
		if !slices.Equal(titles, c.want) || strings.ContainsAny(strings.Join(cells, ""), "\x1b\n") {
			t.Errorf("dry %t: %q %q", c.dry, titles, cells)
		}
		for _, f := range resultFigures(topics.RestoreJob, r, c.dry, topics.Succeeded) {
			if said := f.Name == "Restored" || f.Name == "Files restored" || f.Name == "Not restored"; said && c.dry {
				t.Errorf("a dry run says %q", f.Name)
			}
		}
	}
}

// A restore that did not go through says that what it counts are the whole files: of others,
// a part may be there.
func TestARestoreThatWasCutOffCountsWholeFilesAlone(t *testing.T) {
	for _, c := range []struct {
		state  topics.JobState
		dry    bool
		target string
		says   bool
	}{
		{topics.Cancelled, false, "/back", true},
		{topics.Failed, false, "/back", true},
		{topics.Interrupted, false, "/back", true},
		{topics.Cancelled, false, "", false}, // nothing is there
		{topics.Cancelled, true, "/back", false},
		{topics.Succeeded, false, "/back", false},
		{topics.Warnings, false, "/back", false},
	} {
		said := false
		for _, f := range resultFigures(topics.RestoreJob, topics.Result{Restore: &topics.Restored{Target: c.target}}, c.dry, c.state) {
			said = said || strings.Contains(f.Detail, "others may be there in part")
		}
		if said != c.says {
			t.Errorf("%s, dry run %t, target %q: said is %t", c.state, c.dry, c.target, said)
		}
	}
}

func TestWhatARestoreWasAskedFor(t *testing.T) {
	facts := askedFor(topics.RestoreJob, topics.Operation{InPlace: true, NoOwners: true, Preview: &topics.Preview{Job: "20260101-dry-0001"},
		Items: []topics.Item{
			{Snapshot: strings.Repeat("a", 64), Paths: []string{"/x", "/y\n"}}, {Snapshot: strings.Repeat("b", 64)}}})
	var said []string
	for _, f := range facts {
		said = append(said, f.Name+": "+f.Value)
	}
	for _, want := range []string{"Of snapshot aaaaaaaa: /x, /y", "Of snapshot bbbbbbbb: all of it", "Each file to where it was: yes",
		"Without owners: yes",
		"By the dry run: 20260101-dry-0001"} {
		if !slices.ContainsFunc(said, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("%q is not in %q", want, said)
		}
	}
}

// Why a log is gone: a search's goes after a day, whatever logs are kept for, and one that went
// earlier went for the same reasons as all others.
func TestWhyALogIsGone(t *testing.T) {
	p := New(layout.New(&base.Parts{}))
	p.Settings.Retention.Age, p.Settings.Retention.Bytes = 30*24*time.Hour, 1<<30
	for _, c := range []struct {
		kind topics.JobKind
		age  time.Duration
		want string
	}{
		{topics.FindJob, store.SearchAge, "what a search found is kept, with its log, for 1 d "},
		{topics.FindJob, store.SearchAge - time.Second, "to make room"},
		{topics.DiffJob, store.SearchAge, "to make room"},
		{topics.BackupJob, 30 * 24 * time.Hour, "logs are kept for 30 d"},
	} {
		j := store.Job{Kind: c.kind, FinishedAt: 1, LogDroppedAt: 1 + c.age.Milliseconds()}
		if got := p.dropped(j, "some day"); !strings.Contains(got, c.want) {
			t.Errorf("a %s after %v: %s", c.kind, c.age, got)
		}
	}
}

// TestTheCommandThatAllowsIsForItsHost: its agent's own directory, and the quotes of its shell.
func TestTheCommandThatAllowsIsForItsHost(t *testing.T) {
	operation := func(o topics.Operation) store.Job {
		j := store.Job{Kind: topics.RestoreJob, Message: `the policy guarded lets restores write below "/srv" only`}
		j.Operation.V = &o
		return j
	}
	linux, moved, windows := store.Host{OS: "linux"}, store.Host{OS: "linux"}, store.Host{OS: "windows"}
	moved.Permits.V = &topics.Permits{Quarantine: "/opt/the agent/restored"}
	for _, c := range []struct {
		host store.Host
		job  store.Job
		want string
	}{
		{linux, operation(topics.Operation{Target: "/srv/it's"}), `allow-restore '/srv/it'\''s' --state /var/lib/restic-manager-agent`},
		{moved, operation(topics.Operation{Target: "/srv/a"}), `allow-restore /srv/a --state '/opt/the agent'`},
		{windows, operation(topics.Operation{Target: `D:\my files`}),
			`allow-restore "D:\my files" --state "C:\ProgramData\restic-manager-agent"`},
		{moved, store.Job{Kind: topics.PruneJob, Message: "the policy does not allow prune"}, `allow-operation prune --state '/opt/the agent'`},
		{linux, store.Job{Kind: topics.BackupJob, Message: `it has no hook "dump it"`},
			`allow-hook 'dump it' /path/to/the/program --state /var/lib/restic-manager-agent`},
		{windows, store.Job{Kind: topics.BackupJob, Message: `it lets backups read other folders, not "C:\\Data"`},
			`allow-backup "C:\Data" --state "C:\ProgramData\restic-manager-agent"`},
		{moved, store.Job{Kind: topics.BackupJob, Message: "something else"}, `show --state '/opt/the agent'`},
	} {
		if got := allowing(told{Job: c.job, host: c.host}); got != "restic-manager-agent policy "+c.want {
			t.Errorf("%s: %q, want %q", c.job.Message, got, c.want)
		}
	}
}
