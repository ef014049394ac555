package restoring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	treeof "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// TestARestoreWaitsForAnothersLock has a real check hold the repository to itself, stopped in
// the middle. restic 0.14 does not wait for that; the agent tries again.
func TestARestoreWaitsForAnothersLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("d/a", "a")
	id := w.backup()
	w.binary.Timing.Lock = 20 * time.Millisecond
	check := exec.Command(w.real, "check")
	check.Env = append(os.Environ(), "RESTIC_REPOSITORY="+filepath.Join(w.dir, "repo"), "RESTIC_PASSWORD="+password,
		"RESTIC_CACHE_DIR="+filepath.Join(w.dir, "cache of the other"))
	if err := check.Start(); err != nil {
		t.Fatal(err)
	}
	treeof.Await(t, "the lock of the check", func() error { // it waits 0.2 s after writing its lock
		found, err := os.ReadDir(filepath.Join(w.dir, "repo", "locks"))
		if err != nil || len(found) == 0 || len(found[0].Name()) != 64 {
			return fmt.Errorf("there is none (%v)", err)
		}
		return check.Process.Signal(syscall.SIGSTOP)
	})
	to := filepath.Join(w.dir, "to")
	o := topics.Operation{Snapshot: id, Target: to}
	holder := fmt.Sprintf("already locked exclusively by PID %d", check.Process.Pid)
	if n := w.want(w.do(o), topics.Failed, topics.CauseLocked, holder); n.Files > 0 || n.Target != "" {
		t.Errorf("it restored %+v", n)
	}
	if left, _ := os.ReadDir(to); len(left) > 0 {
		t.Errorf("the target holds %v", left)
	}
	dry := o
	dry.DryRun = true
	w.want(w.do(dry), topics.Succeeded, "") // which takes no lock

	patiently := func(ctx context.Context, then func()) topics.Restored {
		j := w.job(o)
		j.RetryLock = time.Minute
		w.lines = nil
		waits := make(chan struct{})
		go func() {
			defer close(waits)
			treeof.Await(t, "the restore to wait", func() error {
				if said := w.text(); !w.binary.Version.AtLeast(0, 16, 0) && !strings.Contains(said, "trying again in ") {
					return errors.New("it says " + said)
				}
				return nil
			})
			then()
		}()
		e := j.Do(ctx)
		<-waits
		state, cause := topics.Succeeded, topics.CauseNone
		if ctx.Err() != nil {
			state, cause = topics.Cancelled, topics.CauseCancelled
		}
		return w.want(e, state, cause)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if n := patiently(ctx, cancel); n.Files > 0 {
		t.Errorf("cancelled while it waited, it restored %+v", n)
	}
	n := patiently(t.Context(), func() {
		if err := errors.Join(check.Process.Signal(syscall.SIGCONT), check.Wait()); err != nil {
			t.Error(err)
		}
	})
	if n.Restored != 1 || read(t, filepath.Join(to, w.source, "d/a")) != "a" {
		t.Errorf("when the lock was gone it restored %+v", n)
	}
}
