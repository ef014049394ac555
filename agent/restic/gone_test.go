package restic

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// TestASnapshotThatIsGoneIsACauseOfItsOwn, by the words of every version.
func TestASnapshotThatIsGoneIsACauseOfItsOwn(t *testing.T) {
	for _, v := range versions {
		for stem, op := range map[string]func() operation{
			"diff-unknown-id-json":          func() operation { return &diff{Diff: Diff{From: "01234567", To: "deadbeef"}} },
			"restore-unknown-snapshot-json": func() operation { return &restore{Restore: Restore{Snapshot: "deadbeef"}} },
			"ls-unknown-snapshot-json":      func() operation { return &listing{snapshot: "deadbeef"} },
		} {
			e, _ := replayAs(t, v, stem, op())
			if e.State != topics.Failed || e.Cause != topics.CauseNoSnapshot || e.Message != noSnapshotWords("deadbeef") {
				t.Errorf("%s, %s: %+v", v, stem, e)
			}
		}
	}
}

// TestAWholeIDIsLoadedAndNotLookedFor: from 0.17 on, restic opens the snapshot's file, and the
// storage says that there is none.
func TestAWholeIDIsLoadedAndNotLookedFor(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	op := &restore{Restore: Restore{Snapshot: id}}
	if got := gone(&removeKey{id: "deadbeef"}, `Fatal: no matching ID found for prefix "deadbeef"`); got != "" {
		t.Errorf("a key is taken for the snapshot %s", got)
	}
	for line, want := range map[string]string{
		"Fatal: failed to find snapshot: failed to load snapshot 01234567: open /srv/repo/snapshots/" + id + ": no such file or directory": id,
		"failed to load snapshot 01234567: <snapshot/0123456789> does not exist":                                                           id,
		"Load(<snapshot/0123456789>, 0, 0) failed: unexpected HTTP response (404): 404 Not Found":                                          id,
		"Load(<snapshot/0123456789>, 0, 0) failed: unexpected HTTP response (503): 503 Service Unavailable":                                "",
		"failed to load snapshot 01234567: ciphertext verification failed":                                                                 "",
		"failed to load snapshot 89abcdef: <snapshot/89abcdef01> does not exist":                                                           "",
		"ignoring error for /srv/a: lstat /srv/a: no such file or directory":                                                               "",
		`no matching ID found for prefix "deadbeef"`:                                                                                       "",
		"Load(<snapshot/0123456789>, 0, 0) returned error, retrying after 1s: unexpected HTTP response (404): 404 Not Found":               "",
		`Load(<snapshot/0123456789>, 0, 0) failed: Get "https://nas:4040/vault/snapshots/` + id + `": dial tcp: i/o timeout`:               "",
		"Load(<snapshot/0123456789>, 0, 0) failed: The specified bucket does not exist":                                                    "",
		`no matching ID found for prefix "` + id + `"`:                                                                                     id,
	} {
		if got := gone(op, line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestTheNumberOfAnAnswerIsNotOneInAName: an ID may hold it as well.
func TestTheNumberOfAnAnswerIsNotOneInAName(t *testing.T) {
	id := strings.Repeat("40404abc", 8)
	for line, want := range map[string]string{
		"Load(<snapshot/40404abc40>, 0, 0) failed: unexpected HTTP response (503): 503 Service Unavailable": "",
		"failed to load snapshot 40404abc: ciphertext verification failed":                                  "",
		"Load(<snapshot/40404abc40>, 0, 0) failed: unexpected HTTP response (404): 404 Not Found":           id,
		"Load(<snapshot/40404abc40>, 0, 0) failed: server response unexpected: 404 Not Found (404)":         id,
		"Load(<snapshot/40404abc40>, 0, 0) failed: b2_download_file_by_name: 404: ":                         id,
	} {
		if got := gone(&restore{Restore: Restore{Snapshot: id}}, line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestAPathThatResticMayNotLookAtIsNotMissing: 0.19 says of the first that it cannot be
// accessed, and then that all sources are missing.
func TestAPathThatResticMayNotLookAtIsNotMissing(t *testing.T) {
	v, err := ParseVersion("restic 0.19.1")
	if err != nil {
		t.Fatal(err)
	}
	for said, want := range map[string]topics.Cause{
		"/srv/closed/a cannot be accessed, skipping\n": topics.CauseUnreadable,
		"/srv/gone does not exist, skipping\n":         topics.CauseSourceMissing,
	} {
		o := newOutput(Backup{}, newRedactor(nil), &recorder{}, DefaultTiming)
		_, stderr, end := o.streams()
		stderr.Write([]byte(said + `{"message_type":"exit_error","code":1,"message":"all source directories/files do not exist"}` + "\n"))
		end()
		e := o.ending(process.Exit{Code: 1}, v, bounds{}, nil)
		if e.State != topics.Failed || e.Cause != want || want == topics.CauseUnreadable && e.Message != "/srv/closed/a cannot be accessed" {
			t.Errorf("%s: %+v", said, e)
		}
	}
}
