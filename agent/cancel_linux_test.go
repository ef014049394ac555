package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// TestACancelOfAResticThatDoesNotListenRemovesItsLock: restic is stopped, so that
// only the kill ends it, and its lock stays behind.
func TestACancelOfAResticThatDoesNotListenRemovesItsLock(t *testing.T) {
	w := newWorld(t)
	w.grace = 300 * time.Millisecond
	w.vault()
	w.enroll()
	w.run()
	w.slow()
	id := w.order(w.backup())
	w.crawling(id)
	environs, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	for _, path := range environs {
		if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), "RESTIC_MANAGER_JOB="+string(id)) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.locks()) == 0 {
		t.Fatal("restic has no lock any more, so this shows nothing")
	}
	w.cancel(id)
	if end := w.awaitEnd(id); end.State != topics.Cancelled || end.Cause != topics.CauseCancelled {
		t.Errorf("it ended %+v", end)
	}
	if err := left(id); err != nil {
		t.Error(err)
	}
	if locks := w.locks(); len(locks) > 0 {
		t.Errorf("locks are left: %v", locks)
	}
}
