package restic

import (
	"fmt"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// TestWithoutAShadowCopyTheFilesThemselvesAreRead is a volume that has none: restic goes on.
func TestWithoutAShadowCopyTheFilesThemselvesAreRead(t *testing.T) {
	const refused = `{"message_type":"error","error":{"message":"failed to create snapshot for [d:\\]: VSS error: Snapshots are not ` +
		`supported for volume d:\\"},"during":"","item":"d:\\"}`
	const held = `{"message_type":"error","error":{"message":"open D:\\a.pst: The process cannot access the file because it is being ` +
		`used by another process."},"during":"archival","item":"D:\\a.pst"}`
	const summary = `{"message_type":"summary","files_new":1,"total_files_processed":1,"snapshot_id":"6b778991"}`
	for _, c := range []struct {
		is, stderr string
		code       int
		cause      topics.Cause
		says       string
	}{
		{"the volume has none", refused, 0, topics.CauseShadowCopy, "not supported for volume"},
		{"and a file is held open", refused + "\n" + held, 3, topics.CauseUnreadable, "1 item could not be read: D:\\a.pst"},
		{"a file is held open", held, 3, topics.CauseUnreadable, "being used by another process"},
		{"all is well", "", 0, topics.CauseNone, ""},
	} {
		sink := &recorder{}
		o := newOutput(Backup{}, newRedactor(nil), sink, DefaultTiming)
		stdout, stderr, end := o.streams()
		fmt.Fprintln(stderr, c.stderr)
		fmt.Fprintln(stdout, summary)
		end()
		e := o.ending(process.Exit{Code: c.code}, Version{Minor: 18, Patch: 1}, bounds{}, nil)
		if e.Cause != c.cause || !strings.Contains(e.Message, c.says) || (e.State == topics.Succeeded) != (c.cause == topics.CauseNone) {
			t.Errorf("%s: it ended %+v", c.is, e)
		}
		if strings.Contains(c.stderr, "snapshot for") && !strings.Contains(sink.text(), "the files themselves are read") {
			t.Errorf("%s: the log says %s", c.is, sink.text())
		}
	}
}

// TestWithoutAShadowCopyNothingIsSavedWhereThatIsAskedFor ends restic at its word, and has its
// neighbours go on.
func TestWithoutAShadowCopyNothingIsSavedWhereThatIsAskedFor(t *testing.T) {
	const refused = `{"message_type":"error","error":{"message":"failed to create snapshot for [d:\\]: VSS error: Snapshots are not ` +
		`supported for volume d:\\"},"during":"","item":"d:\\"}`
	const held = `{"message_type":"error","error":{"message":"open D:\\a.pst: The process cannot access the file because it is being ` +
		`used by another process."},"during":"archival","item":"D:\\a.pst"}`
	for _, c := range []struct {
		is, stderr string
		only       bool
		ends       bool
	}{
		{"only a shadow copy, and there is none", refused, true, true},
		{"a file that is held open", held, true, false},
		{"the files themselves will do", refused, false, false},
	} {
		why := error(nil)
		o := newOutput(Backup{ShadowOnly: c.only}, newRedactor(nil), &recorder{}, DefaultTiming)
		o.stop = func(err error) { why = err }
		stdout, stderr, end := o.streams()
		fmt.Fprintln(stderr, c.stderr)
		if c.ends {
			fmt.Fprintln(stdout, `{"message_type":"summary","files_new":1,"total_files_processed":1,"snapshot_id":"6b778991"}`)
		}
		end()
		if (why != nil) != c.ends {
			t.Errorf("%s: restic is ended by %v", c.is, why)
		}
		if why == nil {
			continue
		}
		e := o.ending(process.Exit{Code: 1, Cancelled: true}, Version{Minor: 18, Patch: 1}, bounds{}, why)
		if e.State != topics.Failed || e.Cause != topics.CauseShadowCopy || !strings.Contains(e.Message, "not supported for volume") {
			t.Errorf("%s: it ended %+v", c.is, e)
		}
		e = o.ending(process.Exit{Code: 0}, Version{Minor: 18, Patch: 1}, bounds{}, why)
		if e.State != topics.Warnings || e.Cause != topics.CauseShadowCopy || e.SnapshotID == "" {
			t.Errorf("%s: restic was quicker, and there is a snapshot: it ended %+v", c.is, e)
		}
	}
}

// TestAShareHasNoShadowCopy is that restic is not begun where it would read files in use
// without a word, though nothing is to be saved so.
func TestAShareHasNoShadowCopy(t *testing.T) {
	for path, want := range map[string]bool{`\\nas\letters`: true, `//nas/letters`: true, `\\?\unc\nas\letters`: true,
		`C:\letters`: false, `\\?\C:\letters`: false, `\\?\Volume{12345678-0000-0000-0000-000000000000}\x`: false} {
		b := Backup{system: "windows", ShadowOnly: true, Paths: []string{`D:\more`, path}}
		if got := b.share() == path; got != want {
			t.Errorf("%s is of a share: %t", path, got)
		}
		if !want {
			continue
		}
		sink := &recorder{}
		e := Binary{}.Backup(t.Context(), Place{}, Repository{}, b, sink)
		if e.State != topics.Failed || e.Cause != topics.CauseShadowCopy || !strings.Contains(sink.text(), "is a share of the network") {
			t.Errorf("%s: it ended %+v, and the log says %s", path, e, sink.text())
		}
	}
	if share := (Backup{system: "linux", Paths: []string{"//srv"}}).share(); share != "" {
		t.Errorf("on Linux %s is of a share", share)
	}
}
