package process

import (
	"os/exec"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

func TestReapFindsWhatACrashLeftBehind(t *testing.T) {
	job := topics.JobID(topics.NewID(time.Now()))
	orphan := func(mark, script string) *exec.Cmd {
		cmd := exec.Command("sh", "-c", script)
		cmd.Env = append(Inherited(), mark)
		out, err := cmd.StdoutPipe()
		if err == nil {
			_, err = start(cmd, false)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // it is ready
			t.Fatal(err)
		}
		t.Cleanup(func() { group{cmd.Process.Pid}.kill(); _ = cmd.Wait() })
		return cmd
	}
	mark := Variable + "=" + string(job)
	polite := orphan(mark, "echo; sleep 1000 & wait")
	deaf := orphan(mark, "trap '' INT; setsid sleep 1000 & echo; sleep 1000")
	unmarked := orphan("X=1", "echo; sleep 1000")
	stranger := orphan(Variable+"=another-job", "echo; exec sleep 1000")
	reused := ID{PID: stranger.Process.Pid, Start: "another boot/1"}
	if err := Reap(t.Context(), job, reused, 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	alive := func(c *exec.Cmd) bool { s, ok := stat(c.Process.Pid); return ok && s.state != "Z" }
	if alive(polite) || alive(deaf) || len(Of(job, ID{})) > 0 {
		t.Error("something of the job still runs")
	}
	if !alive(stranger) || !alive(unmarked) {
		t.Error("a stranger was ended")
	}
	if err := Reap(t.Context(), job, ID{PID: unmarked.Process.Pid, Start: StartOf(unmarked.Process.Pid)}, time.Second); err != nil ||
		alive(unmarked) {
		t.Errorf("the recorded process still runs (%v)", err)
	}
	if err := Reap(t.Context(), job, ID{}, time.Second); err != nil {
		t.Error(err)
	}
	if err := Reap(t.Context(), "", ID{}, time.Second); err == nil {
		t.Error("no job, and no complaint")
	}
}
