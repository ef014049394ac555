package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
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

// A demo one of whose agents is gone says so; it does not just end.
func TestADemoWhoseAgentIsKilledSaysSo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	p := world.Start(t, "demo", exec.Command(program("restic-manager"), "demo", "--dir", dir))
	p.Await("sign-in")
	if err := syscall.Kill(awaitDemosAgent(t, dir, "pi"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	code, said := p.Wait(2*time.Minute), p.Errs.String()
	if code != 1 || !strings.Contains(said, "ended by itself (signal: killed)") ||
		!strings.Contains(said, filepath.Join(dir, "agents", "pi.log")) {
		t.Errorf("it ended with exit status %d and says %q", code, said)
	}
	mustBeGone(t, dir)
}

func TestADemoThatIsKilledTakesItsAgentsAndResticAlong(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	p := world.Start(t, "demo", exec.Command(program("restic-manager"), "demo", "--dir", dir))
	p.Await("sign-in")
	for _, host := range []string{"nas", "db", "web", "pi"} {
		awaitDemosAgent(t, dir, host)
	}
	world.Await(t, "a restic of the demo", func() error {
		if len(resticsBelow(dir)) == 0 {
			return errors.New("none runs")
		}
		return nil
	})
	if err := p.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.Wait(time.Minute)
	mustBeGone(t, dir)
}

// Whoever looks at the demo finds every state there is, a login, and a credential
// for MQTT; after Ctrl-C nothing runs, and a second run shows the same hosts.
func TestADemoShowsEveryState(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	for run := range 2 {
		p := world.Start(t, "demo", exec.Command(program("restic-manager"), "demo", "--dir", dir))
		p.Await("Ctrl-C ends it all")
		said := regexp.MustCompile(`user demo with the password (\S+) on (\S+?)\.\n`).FindStringSubmatch(p.Errs.String())
		consume := regexp.MustCompile(`mosquitto_sub (.*) -t '(\S+)' -v`).FindStringSubmatch(p.Errs.String())
		if said == nil || consume == nil {
			t.Fatalf("it says %q", p.Errs.String())
		}
		fleet := signedIn(t, said[2], "demo", said[1])
		world.Await(t, "every state to be shown", func() error {
			page, err := fleet()
			if err != nil {
				return err
			}
			for _, word := range []string{"Failed", "Overdue", "Warning", "No backup yet", "Asleep"} {
				if !strings.Contains(page, ">"+word+" <") {
					return fmt.Errorf("no host is %s", word)
				}
			}
			if run == 0 && !strings.Contains(page, "Backing up") {
				return errors.New("nothing runs")
			}
			return nil
		})
		sub := exec.Command("mosquitto_sub", append(strings.Fields(consume[1]), "-t", consume[2], "-C", "3", "-W", "20")...)
		if out, err := sub.CombinedOutput(); err != nil {
			t.Errorf("%v: %v, %s", sub.Args, err, out)
		}
		if err := p.Cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if code := p.Wait(2 * time.Minute); code != 0 {
			t.Errorf("it ended with exit status %d: %s", code, p.Errs.String())
		}
		mustBeGone(t, dir)
	}
}

// signedIn signs somebody in with a password, and answers with how they read the
// fleet page.
func signedIn(t *testing.T, base, name, password string) (fleet func() (string, error)) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar}
	t.Cleanup(c.CloseIdleConnections)
	r, err := c.PostForm(base+"/login", url.Values{"name": {name}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.Request.URL.Path != "/" || r.StatusCode != http.StatusOK {
		t.Fatalf("signing in leads to %s, %s", r.Request.URL, r.Status)
	}
	return func() (string, error) {
		r, err := c.Get(base + "/")
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return string(b), err
	}
}

// mustBeGone awaits the end of whatever works below a demo's directory.
func mustBeGone(t *testing.T, dir string) {
	t.Helper()
	end := time.Now().Add(2 * time.Minute) // a restic that uploads slowly finishes what it has begun
	for {
		left := resticsBelow(dir)
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
		for _, path := range lines {
			if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), dir) {
				var pid int
				_, _ = fmt.Sscanf(path, "/proc/%d/cmdline", &pid)
				left = append(left, pid)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("processes %v are left behind", left)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// demosAgent is the process of one of the agents of the demo in a directory, 0 for
// none.
func demosAgent(dir, host string) (pid int) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	for _, path := range lines {
		if b, err := os.ReadFile(path); err == nil && strings.HasSuffix(string(b),
			"run\x00--state\x00"+filepath.Join(dir, "agents", host)+"\x00") {
			_, _ = fmt.Sscanf(path, "/proc/%d/cmdline", &pid)
		}
	}
	return pid
}

func awaitDemosAgent(t *testing.T, dir, host string) (pid int) {
	t.Helper()
	world.Await(t, "the demo's agent", func() error {
		if pid = demosAgent(dir, host); pid == 0 {
			return errors.New("it does not run")
		}
		return nil
	})
	return pid
}
