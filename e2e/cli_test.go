package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

func TestTheCommandLineSaysHowItEnded(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	other := filepath.Join(dir, "other.key")
	if r := command(t, exec.Command(program("restic-manager"), "api-token", "create", "--name", "first", "--role", "admin", "--data",
		data)); r.code != 0 {
		t.Fatalf("exit status %d: %s", r.code, r.errs)
	}
	if err := os.WriteFile(other, []byte(strings.Repeat("x", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		program, args string
		code          int
		says          string
	}{
		{"restic-manager", "", 2, "expected one of"},
		{"restic-manager", "fly", 2, "fly"},
		{"restic-manager", "serve", 2, "--data"},
		{"restic-manager", "serve --colour", 2, "--colour"},
		{"restic-manager", "enroll-token create", 2, "--data"},
		{"restic-manager", "enroll-token create --ttl soon --data " + data, 2, "soon"},
		{"restic-manager", "api-token create --name x --role king --data " + data, 2, "viewer, operator, restorer or admin"},
		{"restic-manager", "user add somebody --role admin --data " + data, 2, "--password-stdin"},
		{"restic-manager", "mqtt-user create --data " + data, 2, "name"},
		{"restic-manager", "schedule set attic nightly --cron @daily --data " + data, 1, `no host "attic"`},
		{"restic-manager", "schedule next attic nightly --data " + data, 1, `no host "attic"`},
		{"restic-manager", "enroll-token create --ttl 30h --data " + data, 1, "24"},
		{"restic-manager", "mqtt-user create a/b --data " + data, 1, "without + # and /"},
		{"restic-manager", "api-token create --name x --role admin --data " + data + " --key-file " + other, 3, "key"},
		{"restic-manager", "api-token create --name x --role admin --data /proc/nowhere/data", 1, "/proc/nowhere"},
		{"restic-manager", "audit verify --data " + dir + "/mistyped", 1, "no database"},
		{"restic-manager", "repository list --data " + dir + "/mistyped", 1, "no database"},
		{"restic-manager", "key rotate --data " + dir + "/mistyped", 1, "no database"},
		{"restic-manager", "serve --mqtt 0.0.0.0:0 --http 127.0.0.1:0 --agents 127.0.0.1:0 --data " + data, 1, "127.0.0.1"},
		{"restic-manager", "serve --mqtt 127.0.0.1:0 --http 192.0.2.1:1 --agents 127.0.0.1:0 --data " + data, 1, "--http"},
		{"restic-manager-agent", "", 2, "expected one of"},
		{"restic-manager-agent", "run --state", 2, "--state"},
		{"restic-manager-agent", "enroll --state " + dir, 2, "--server"},
		{"restic-manager-agent", "enroll --server 127.0.0.1:1 --token x --state " + dir + "/s --policy generous", 2, "generous"},
		{"restic-manager-agent", "enroll --server 127.0.0.1:1 --token x --state " + dir + "/s", 1, "token"},
		{"restic-manager-agent", "run --state " + dir + "/nothing", 1, "enrol"},
	} {
		name := c.program + " " + c.args
		r := command(t, exec.Command(program(c.program), strings.Fields(c.args)...))
		if r.code != c.code {
			t.Errorf("%s: exit status %d, want %d; it says %s", name, r.code, c.code, r.errs)
		}
		if r.out != "" {
			t.Errorf("%s: prints %q on stdout, which is for machines", name, r.out)
		}
		if !strings.Contains(r.errs, c.says) {
			t.Errorf("%s: says %q, want a word about %q", name, r.errs, c.says)
		}
	}
	if found, err := filepath.Glob(dir + "/mistyped*"); err != nil || len(found) > 0 {
		t.Errorf("a mistyped directory became %v (%v)", found, err)
	}
	for _, c := range []struct{ program, args, out string }{
		{"restic-manager", "version", `^\S+\n$`},
		{"restic-manager-agent", "version", `^restic-manager-agent \S+ linux/\S+\n$`},
		{"restic-manager", "--help", `(?s)serve.*demo.*enroll-token`},
		{"restic-manager-agent", "--help", `(?s)enroll.*run`},
		{"restic-manager", "enroll-token create --data " + data, `^rmt1_\S+\n$`},
		{"restic-manager", "api-token create --name second --role viewer --data " + data, `^rma_\S+\n$`},
		{"restic-manager", "mqtt-user create home --data " + data, `^\S{20,}\n$`},
	} {
		r := command(t, exec.Command(program(c.program), strings.Fields(c.args)...))
		if r.code != 0 || !regexp.MustCompile(c.out).MatchString(r.out) {
			t.Errorf("%s %s: exit status %d, stdout %q, want %s; stderr %s", c.program, c.args, r.code, r.out, c.out, r.errs)
		}
	}
	add := exec.Command(program("restic-manager"), "user", "add", "ada", "--role", "admin", "--password-stdin", "--data", data)
	add.Stdin = strings.NewReader("a long enough password\n")
	if r := command(t, add); r.code != 0 || r.out != "" {
		t.Errorf("user add: exit status %d, stdout %q, stderr %s", r.code, r.out, r.errs)
	}
	short := exec.Command(program("restic-manager"), "user", "add", "bob", "--role", "admin", "--password-stdin", "--data", data)
	short.Stdin = strings.NewReader("short\n")
	if r := command(t, short); r.code != 1 {
		t.Errorf("user add with a short password: exit status %d, stderr %s", r.code, r.errs)
	}
	for _, path := range []string{data + ".key", data} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v, %v; want it for its owner alone", path, info.Mode(), err)
		}
	}
}

func TestAControlPlaneTakesItsSettingsFromEnvironmentOrFile(t *testing.T) {
	dir := t.TempDir()
	fromEnv, fromFile := world.FreeAddress(t), world.FreeAddress(t)
	file := filepath.Join(dir, "config.yaml")
	yaml := fmt.Sprintf("serve:\n  http: %s\n  agents: 127.0.0.1:0\n  mqtt: 127.0.0.1:0\n  data: %s\n", fromFile, filepath.Join(dir, "file"))
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	byEnv := exec.Command(program("restic-manager"), "serve")
	byEnv.Env = append(os.Environ(), "RESTIC_MANAGER_HTTP="+fromEnv, "RESTIC_MANAGER_AGENTS=127.0.0.1:0", "RESTIC_MANAGER_MQTT=127.0.0.1:0",
		"RESTIC_MANAGER_DATA="+filepath.Join(dir, "env"))
	for _, c := range []struct {
		how     string
		cmd     *exec.Cmd
		address string
	}{
		{"the environment", byEnv, fromEnv},
		{"a file", exec.Command(program("restic-manager"), "serve", "--config", file), fromFile},
	} {
		p := world.Start(t, "serve by "+c.how, c.cmd)
		p.Await(`msg=serving`)
		r, err := http.Get("http://" + c.address + "/healthz")
		if err != nil {
			t.Errorf("with settings from %s it does not listen on %s: %v", c.how, c.address, err)
		} else {
			r.Body.Close()
			if r.StatusCode != http.StatusOK {
				t.Errorf("with settings from %s: %s", c.how, r.Status)
			}
		}
		p.MustStop(time.Minute)
	}
}
