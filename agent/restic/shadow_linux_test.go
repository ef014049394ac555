package restic

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// TestWhereNothingGetsAShadowCopyTheFilesAreRead is a service without the right to make one,
// for which restic gives up: it is run again without, if the group lets it.
func TestWhereNothingGetsAShadowCopyTheFilesAreRead(t *testing.T) {
	const script = `case " $* " in
*" snapshots "*) exit 1 ;;
*" --use-fs-snapshot "*) echo 'Fatal: VSS error: E_ACCESSDENIED' >&2; exit 1 ;;
*) echo '{"message_type":"summary","files_new":1,"total_files_processed":1,"snapshot_id":"6b778991"}' ;;
esac
`
	const torn = `case " $* " in
*" --use-fs-snapshot "*) echo 'Fatal: VSS error: E_ACCESSDENIED' >&2; exit 1 ;;
*) echo 'Fatal: unable to open repository: permission denied' >&2; exit 1 ;;
esac
`
	const broken = "echo 'Fatal: wrong password or no key found' >&2; exit 1\n"
	for _, c := range []struct {
		is, script string
		system     string
		live, only bool
		state      topics.JobState
		cause      topics.Cause
		runs       int
	}{
		{"the files will do", script, "windows", false, false, topics.Warnings, topics.CauseShadowCopy, 2},
		{"only a shadow copy", script, "windows", false, true, topics.Failed, topics.CauseShadowCopy, 1},
		{"the files themselves from the start", script, "windows", true, false, topics.Succeeded, topics.CauseNone, 1},
		{"another failure", broken, "windows", false, false, topics.Failed, topics.CausePassword, 1},
		{"the second one fails, too", torn, "windows", false, false, topics.Failed, topics.CausePermission, 2},
		{"another system", script, "linux", false, false, topics.Succeeded, topics.CauseNone, 1},
	} {
		w := standIn(t, c.script)
		e := w.b.Backup(t.Context(), w.place, w.repo, Backup{Host: "attic", Paths: []string{w.source}, LiveFiles: c.live, ShadowOnly: c.only,
			system: c.system}, w.sink)
		if runs := strings.Count(w.sink.text(), "backup --json"); e.State != c.state || e.Cause != c.cause || runs != c.runs {
			t.Errorf("%s: %d runs, ended %s/%s: %s\n%s", c.is, runs, e.State, e.Cause, e.Message, w.sink.text())
		}
	}
}
