package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demonstrate runs demo --once and answers with the line it printed.
func demonstrate(t *testing.T, temp string, args ...string) (line map[string]string) {
	t.Helper()
	cmd := exec.Command(program("restic-manager"), append([]string{"demo", "--once"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	r := command(t, cmd)
	if r.code != 0 {
		t.Fatalf("exit status %d: %s", r.code, r.errs)
	}
	if strings.Count(r.out, "\n") != 1 || json.Unmarshal([]byte(r.out), &line) != nil {
		t.Fatalf("stdout is %q, want one line of JSON", r.out)
	}
	for _, key := range []string{"job", "state", "snapshot_id", "repository", "password_file", "source"} {
		if line[key] == "" {
			t.Errorf("%s is missing in %v", key, line)
		}
	}
	if line["state"] != "succeeded" {
		t.Errorf("the backup %s", line["state"])
	}
	if left := resticsBelow(temp); len(left) > 0 {
		t.Errorf("restic is left behind: processes %v", left)
	}
	return line
}

func TestADemoLeavesARepositoryThatPlainResticChecks(t *testing.T) {
	t.Parallel()
	dir, temp := filepath.Join(t.TempDir(), "demo"), t.TempDir()
	line := demonstrate(t, temp, "--dir", dir)
	password, err := os.ReadFile(line["password_file"])
	if err != nil {
		t.Fatal(err)
	}
	r := Repository{URL: line["repository"], Password: string(password)}
	restic(t, r, "check", "--read-data")
	target := t.TempDir()
	restic(t, r, "restore", line["snapshot_id"], "--target", target)
	mustBeEqualTrees(t, line["source"], filepath.Join(target, line["source"]))
	mustBeEmpty(t, temp)

	again := demonstrate(t, temp, "--dir", dir) // the second run in the same directory goes on with what is there
	if again["snapshot_id"] == line["snapshot_id"] || again["repository"] != line["repository"] {
		t.Errorf("the second run says %v after %v", again, line)
	}
	restic(t, r, "check")
}

func TestADemoWithoutADirectoryLeavesNothing(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	line := demonstrate(t, temp)
	if _, err := os.Stat(line["repository"]); err == nil {
		t.Errorf("%s is still there", line["repository"])
	}
	mustBeEmpty(t, temp)
}

func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%s holds %v, %v; want nothing", dir, entries, err)
	}
}

// A demo whose agent is gone says so; it does not just end.
func TestADemoWhoseAgentIsKilledSaysSo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	p := start(t, "demo", exec.Command(program("restic-manager"), "demo", "--dir", dir))
	p.await("sign-in")
	if err := syscall.Kill(awaitDemosAgent(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, said := p.wait(time.Minute), p.errs.String(); code != 1 || !strings.Contains(said, "ended by itself (signal: killed)") || !strings.Contains(said, "agent.log") {
		t.Errorf("it ended with exit status %d and says %q", code, said)
	}
}

func TestADemoThatIsKilledTakesItsAgentAlong(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	p := start(t, "demo", exec.Command(program("restic-manager"), "demo", "--dir", dir))
	p.await("sign-in")
	awaitDemosAgent(t, dir)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait(time.Minute)
	Await(t, "its agent to end", func() error {
		if pid := demosAgent(dir); pid > 0 {
			return fmt.Errorf("process %d runs", pid)
		}
		return nil
	})
}

// demosAgent is the process of the agent of the demo in a directory, 0 for none.
func demosAgent(dir string) (pid int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	for _, path := range lines {
		if b, err := os.ReadFile(path); err == nil && strings.HasSuffix(string(b), "run\x00--state\x00"+filepath.Join(dir, "agent")+"\x00") {
			_, _ = fmt.Sscanf(path, "/proc/%d/cmdline", &pid)
		}
	}
	return pid
}

func awaitDemosAgent(t *testing.T, dir string) (pid int) {
	t.Helper()
	Await(t, "the demo's agent", func() error {
		if pid = demosAgent(dir); pid == 0 {
			return errors.New("it does not run")
		}
		return nil
	})
	return pid
}
