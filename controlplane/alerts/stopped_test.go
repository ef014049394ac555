package alerts

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// What keeps many hosts out of a repository is found once by the next look, and not by the
// end of each of their jobs.
func TestWhatKeepsJobsOutIsLeftToTheNextLook(t *testing.T) {
	for cause, want := range map[topics.Cause]string{topics.CauseUnreachable: "repository-unreachable",
		topics.CausePassword: "repository-unreadable", topics.CauseDiskFull: "repository-full", topics.CauseLocked: "repository-locked"} {
		s := storetest.Open(t, store.Open)
		d := whole(t, s, time.Now())
		g := group(t, s, host(t, s, "attic"), "letters")
		if err := d.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.backup(g, topics.Failed, cause)
		if list := d.open(); len(list) > 0 {
			t.Errorf("%s: before anybody looked %q are open", cause, list)
		}
		d.after(time.Second)
		if list := d.open(); len(list) != 1 || !strings.HasPrefix(list[0], want+" of ") {
			t.Errorf("%s: open are %q, want %s alone", cause, list, want)
		}
	}
}
