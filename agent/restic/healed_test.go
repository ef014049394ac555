package restic

import (
	"fmt"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAFileThatIsStoredAgainIsNotMissing: after a repair, a backup saves what the repository
// has lost, and restic reports each such file as an error.
func TestAFileThatIsStoredAgainIsNotMissing(t *testing.T) {
	said := func(path, why string) string {
		return `{"message_type":"error","error":{"message":"` + why + `"},"during":"archival","item":"` + path + `"}`
	}
	again := said("/srv/a", "parts of /srv/a not found in the repository index; storing the file again")
	const summary = `{"message_type":"summary","files_unmodified":3,"total_files_processed":3,"snapshot_id":"819c8c88"}`
	for _, c := range []struct {
		what, stderr string
		code         int
		state        topics.JobState
		unread       uint64
		items        string
	}{
		{"stored again", again, 3, topics.Succeeded, 0, "[]"},
		{"two of them", again + "\n" + strings.ReplaceAll(again, "/srv/a", "/srv/b"), 3, topics.Succeeded, 0, "[]"},
		{"and another cannot be read", again + "\n" + said("/srv/c", "open /srv/c: permission denied"), 3, topics.Warnings, 1, "[/srv/c]"},
		{"it cannot be read either", again + "\n" + said("/srv/a", "read /srv/a: input/output error"), 3, topics.Warnings, 1, "[/srv/a]"},
		{"another source is not there", again + "\n/mnt does not exist, skipping", 3, topics.Warnings, 1, "[]"},
		{"nothing was said", "", 3, topics.Warnings, 0, "[]"},
	} {
		sink := &recorder{}
		o := newOutput(Backup{}, newRedactor(nil), sink, DefaultTiming)
		stdout, stderr, end := o.streams()
		fmt.Fprintln(stderr, c.stderr)
		fmt.Fprintln(stdout, summary)
		end()
		e := o.ending(process.Exit{Code: c.code}, Version{Minor: 19, Patch: 1}, bounds{}, nil)
		if e.State != c.state || e.Summary == nil || e.Summary.Unreadable != c.unread || fmt.Sprint(e.Summary.Items) != c.items {
			t.Errorf("%s: it ended %+v, %+v", c.what, e, e.Summary)
		}
		if strings.Contains(c.stderr, "again") && !strings.Contains(sink.text(), "storing the file again") {
			t.Errorf("%s: the log says %s", c.what, sink.text())
		}
	}
}
