package agent

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

func TestABackupFromTheCommandToTheSnapshot(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	stop := w.run()
	w.seen("a hello and heartbeats", func() bool { return len(w.hellos) == 1 && w.beats >= 2 })
	facts := w.hellos[0].Facts
	if facts.Restic == "" || facts.Hostname == "" || facts.Platform == "" || facts.Policy != "backup" {
		t.Errorf("the hello says %+v", facts)
	}
	if err := os.WriteFile(w.program+".chatty", []byte("500"), 0o600); err != nil {
		t.Fatal(err)
	}
	id := w.order(w.backup())
	end := w.awaitEnd(id)
	if end.State != topics.Succeeded || end.Snapshot == nil || len(end.Snapshot.ID) != 64 || end.Summary == nil || !end.RepositoryReady ||
		end.ExitCode == nil || *end.ExitCode != 0 {
		t.Errorf("it ended %+v", end)
	}
	if !slices.Equal(end.Snapshot.Tags, []string{"plan=letters-01"}) || end.Snapshot.Host != facts.Hostname {
		t.Errorf("the snapshot is %+v", end.Snapshot)
	}
	_, log, _ := w.job(id)
	words := 0
	for _, l := range log {
		if strings.Contains(l, fmt.Sprintf(" word %d", words+1)) {
			words++
		}
	}
	if words != 500 {
		t.Errorf("%d of 500 lines arrived in order", words)
	}
	stop()
	w.seen("the goodbye", func() bool { return len(w.deaths) == 1 && w.deaths[0].Reason == topics.Stopped })
}

func TestTheStateDirectoryMayBeGivenFromWhereOneStands(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	t.Chdir(w.folder)
	w.state, w.program = "state", "./restic.sh"
	w.run()
	if end := w.awaitEnd(w.order(w.backup())); end.State != topics.Succeeded {
		t.Errorf("it ended %+v", end)
	}
}

func TestADeafConnectionIsLeftForTheNextSession(t *testing.T) {
	w := newWorld(t)
	w.deaf, w.welcome = 2, 500*time.Millisecond // a third welcome may come too late, on a busy machine
	w.enroll()
	w.run()
	w.seen("a hello, and the deaths before it", func() bool { return len(w.hellos) > 0 && len(w.deaths) >= len(w.births)-1 })
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.births) - 1
	if last < 2 || w.hellos[0].Session != w.births[last].Session {
		t.Fatalf("births %+v, hello of session %+v, want the third", w.births, w.hellos[0].Session)
	}
	for i, d := range w.deaths {
		if i == last || d.Reason != topics.Lost || d.N != w.births[i].N || d.N >= w.births[i+1].N {
			t.Errorf("death %+v, want those of the sessions before the last of %+v", d, w.births)
		}
	}
}

func TestARefusedAgentAsksAgain(t *testing.T) {
	w := newWorld(t)
	w.refused = "its protocol is too old; update the agent"
	w.enroll()
	w.run()
	w.seen("several births", func() bool { return len(w.births) >= 2 })
	w.mu.Lock()
	if len(w.hellos) != 0 {
		t.Error("a refused session said hello")
	}
	w.refused = ""
	w.mu.Unlock()
	w.seen("a hello", func() bool { return len(w.hellos) == 1 })
}

func TestTheSameCommandTwiceStartsOneBackup(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	w.run()
	w.seen("a hello", func() bool { return len(w.hellos) == 1 })
	id := w.order(w.backup())
	again := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.command(w.plane.Jobs[id])
		w.command(w.plane.Jobs[id])
	}
	again()
	if end := w.awaitEnd(id); end.State != topics.Succeeded {
		t.Errorf("it ended %+v", end)
	}
	again()
	if next := w.awaitEnd(w.order(w.backup())); next.State != topics.Succeeded { // commands are taken in turn
		t.Errorf("the next one ended %+v", next)
	}
	if n := w.backups(); n != 2 {
		t.Errorf("%d backups were started for 2 jobs: %v", n, w.ledger())
	}
	if n := strings.Count(strings.Join(w.ledger(), " "), "init"); n != 0 {
		t.Errorf("a backup made the repository %d times", n)
	}
}

func TestARepositoryThatIsGoneIsNotBegunAnew(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	w.run()
	run := w.backup()
	run.Repository.Initialise = true // as control planes of before say it
	if err := os.RemoveAll(filepath.Join(w.folder, "repository")); err != nil {
		t.Fatal(err)
	}
	if end := w.awaitEnd(w.order(run)); end.State != topics.Failed || end.Cause != topics.CauseNoRepository || end.RepositoryReady {
		t.Errorf("it ended %+v", end)
	}
	if _, err := os.Stat(filepath.Join(w.folder, "repository")); err == nil {
		t.Error("a repository was made")
	}
}

func TestAJobOfAnUnknownKindIsRefused(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	w.run()
	run := w.backup()
	run.Kind = "defragment"
	if end := w.awaitEnd(w.order(run)); end.State != topics.Failed || end.Cause != topics.CauseRefused ||
		!strings.Contains(end.Message, "update it") {
		t.Errorf("it ended %+v", end)
	}
}

func TestWithoutResticABackupSaysWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	script, err := os.ReadFile(w.program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.program); err != nil {
		t.Fatal(err)
	}
	w.run()
	if end := w.awaitEnd(w.order(w.backup())); end.State != topics.Failed || end.Cause != topics.CauseNoRestic ||
		!strings.Contains(end.Message, "install restic") {
		t.Errorf("it ended %+v", end)
	}
	if err := os.WriteFile(w.program, script, 0o700); err != nil {
		t.Fatal(err)
	}
	if end := w.awaitEnd(w.order(w.backup())); end.State != topics.Succeeded {
		t.Errorf("with restic in place it ended %+v", end)
	}
}

// slow makes the backup of a new file take minutes; fast undoes it.
func (w *world) slow() {
	w.t.Helper()
	w.write("restic.sh.slow", "")
	noise := make([]byte, 4<<20)
	rnd := rand.NewChaCha8([32]byte{1}) // does not compress
	_, _ = rnd.Read(noise)
	w.write("home/noise", string(noise))
}

func (w *world) fast() {
	w.t.Helper()
	if err := os.Remove(w.program + ".slow"); err != nil {
		w.t.Fatal(err)
	}
}

// crawling returns when restic backs up, with a lock in the repository.
func (w *world) crawling(id topics.JobID) {
	w.t.Helper()
	await(w.t, "a backup with its lock", func() error {
		if j, _, _ := w.job(id); len(w.locks()) == 0 || j.State != topics.Running {
			return fmt.Errorf("the job is %s, locks %v", j.State, w.locks())
		}
		return nil
	})
}

// locks are the repository's. One that is still being written has a longer name,
// and is none to restic.
func (w *world) locks() []string {
	locks, _ := filepath.Glob(filepath.Join(w.folder, "repository", "locks", strings.Repeat("?", 64)))
	return locks
}

func TestACancelledBackupLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.run()
	w.slow()
	id := w.order(w.backup())
	w.crawling(id)
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

func TestWhatABrokerLosesArrivesOnce(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.run()
	w.write("restic.sh.chatty", "20000")
	id := w.order(w.backup())
	for round := 1; round <= 3; round++ {
		await(t, "more lines", func() error {
			if _, log, end := w.job(id); len(log) < 2000*round && end == nil {
				return fmt.Errorf("%d lines", len(log))
			}
			return nil
		})
		w.seen("a hello since the last broker", func() bool { return len(w.hellos) >= round })
		w.stopBroker()
		w.start(w.address)
	}
	end := w.awaitEnd(id)
	if end.State != topics.Succeeded || end.Lines < 20000 {
		t.Errorf("it ended %+v", end)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.hellos) < 3 || len(w.plane.Ends[id]) != 1 || w.backups() != 1 {
		t.Errorf("%d hellos, %d ends, %d backups", len(w.hellos), len(w.plane.Ends[id]), w.backups())
	}
}

func TestAFullJournalCountsTheLinesItDoesNotKeep(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.room = 20_000
	w.run()
	w.seen("a hello", func() bool { return len(w.hellos) == 1 })
	w.write("restic.sh.chatty", "5000")
	w.write("restic.sh.wait", "")
	id := w.order(w.backup())
	await(t, "restic to wait", func() error {
		_, err := os.Stat(w.program + ".waiting")
		return err
	})
	w.stopBroker()
	if err := os.Remove(w.program + ".wait"); err != nil {
		t.Fatal(err)
	}
	await(t, "the backup's end", func() error {
		_, err := os.Stat(w.program + ".done")
		return err
	})
	w.start(w.address)
	var end *topics.Finished
	var log []string
	await(t, "the job's end", func() error {
		if _, log, end = w.job(id); end == nil {
			return fmt.Errorf("%d lines", len(log))
		}
		return nil
	})
	last, gaps := 0, 0
	for _, l := range log {
		var from, to int
		if n, _ := fmt.Sscanf(l, "%d-%d gap", &from, &to); n == 2 {
			gaps++
		} else if _, err := fmt.Sscanf(l, "%d ", &from); err != nil {
			t.Fatalf("%q has no number", l)
		} else {
			to = from
		}
		if from != last+1 {
			t.Fatalf("%q follows line %d", l, last)
		}
		last = to
	}
	if end.State != topics.Succeeded || end.Lines != last || last < 5000 || gaps == 0 || len(log) > 3000 {
		t.Errorf("it ended %+v with %d of %d lines and %d gaps", end, len(log), last, gaps)
	}
}

func TestAStoppedAgentInterruptsItsBackup(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	stop := w.run()
	w.slow()
	id := w.order(w.backup())
	w.crawling(id)
	stop()
	if _, _, end := w.job(id); end == nil || end.State != topics.Interrupted || end.Cause != topics.CauseAgentStopped ||
		end.Message != "The agent was stopped on its host while the job ran." {
		t.Errorf("when the agent has stopped the job's end is %+v", end)
	}
	if err := left(id); err != nil {
		t.Error(err)
	}
	if locks := w.locks(); len(locks) > 0 {
		t.Errorf("locks are left: %v", locks)
	}
}

// TestMain is also the agent that is killed.
func TestMain(m *testing.M) {
	if state := os.Getenv("TEST_AGENT_STATE"); state != "" {
		a := &Agent{State: state, Restic: os.Getenv("TEST_AGENT_RESTIC"), Timing: swift(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
		if err := a.Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(releasesDir())
	os.Exit(status)
}

// releasesDir is where tests of updates build releases.
func releasesDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("restic-manager-releases-%d", os.Getpid()))
}

func TestAfterAKillNothingRunsAndTheJobIsInterrupted(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.slow()
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), "TEST_AGENT_STATE="+w.state, "TEST_AGENT_RESTIC="+w.program)
	victim.Stderr = t.Output()
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { victim.Process.Kill() })
	id := w.order(w.backup())
	w.crawling(id)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := victim.Wait(); err == nil {
		t.Fatal("the agent ended by itself")
	}
	if left(id) == nil {
		t.Fatal("restic died with the agent, so this shows nothing")
	}
	w.run()
	if end := w.awaitEnd(id); end.State != topics.Interrupted || end.Cause != topics.CauseAgentDied {
		t.Errorf("it ended %+v", end)
	}
	if err := left(id); err != nil {
		t.Error(err)
	}
	if locks := w.locks(); len(locks) > 0 {
		t.Errorf("locks are left: %v", locks)
	}
	if n := w.backups(); n != 1 {
		t.Errorf("the backup was started %d times", n)
	}
	w.fast()
	if end := w.awaitEnd(w.order(w.backup())); end.State != topics.Succeeded {
		t.Errorf("the next backup ended %+v", end)
	}
}
