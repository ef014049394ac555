package units

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

const (
	state = "/var/lib/restic-manager-agent"
	data  = "/var/lib/restic-manager/data"
	key   = "/etc/restic-manager/key"
)

// TestTheUnitsDoWhatTheyAreFor sets up both sides as the README says, and has them
// copy themselves, back up, run a hook and restore.
func TestTheUnitsDoWhatTheyAreFor(t *testing.T) {
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := exec.Command("journalctl", "--no-pager", "-n", "80", "-u", "restic-manager", "-u", "restic-manager-agent").CombinedOutput()
			t.Logf("%s", said)
		}
	})
	must(t, os.Mkdir("/etc/restic-manager", 0o700))
	must(t, os.WriteFile(key, []byte(strings.Repeat("0123456789abcdef", 4)+"\n"), 0o600))
	m := machine{T: t}
	m.serves()
	m.token = m.cli("api-token", "create", "--name", "tests", "--role", "admin")
	m.copied()
	files := plant(t)
	m.enrols()
	m.backsUp()
	m.restores("all", files)
	m.narrows(files)
	m.widens()
	m.copiesItself()
}

// A machine is the one the tests run in.
type machine struct {
	*testing.T
	token, host, repository, snapshot string
}

// serves sees that the control plane's unit serves, and not as root.
func (m *machine) serves() {
	m.Helper()
	run(m.T, "systemctl", "start", "restic-manager.service")
	m.ready()
	pid := run(m.T, "systemctl", "show", "--property=MainPID", "--value", "restic-manager.service")
	if info, err := os.Stat("/proc/" + pid); err != nil || info.Sys().(*syscall.Stat_t).Uid == 0 {
		m.Errorf("the control plane is process %s of root (%v)", pid, err)
	}
}

func (m *machine) ready() {
	m.Helper()
	world.Await(m.T, "the control plane to be ready", func() error {
		r, err := http.Get("http://127.0.0.1:8080/readyz")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return errors.New(r.Status)
		}
		return nil
	})
}

// copied has root make a copy, before the control plane has made one of its own.
func (m *machine) copied() {
	m.Helper()
	path := m.cli("backup")
	if info, err := os.Stat(path); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
		m.Errorf("backup made %s, %v, %v", path, info, err)
	}
	must(m.T, os.Remove(path)) // as long as it is there, it is the day's
}

// copiesItself sees that the control plane makes its daily copy, a minute after it was
// started, where root has made one before, and has nothing to complain of.
func (m *machine) copiesItself() {
	m.Helper()
	world.AwaitWithin(m.T, 2*time.Minute, "the control plane's own copy", func() error {
		made, err := filepath.Glob(data + "/copies/restic-manager-daily-*.db")
		must(m.T, err)
		for _, path := range made {
			if owner(m.T, path) != 0 {
				return nil
			}
		}
		return fmt.Errorf("there are %q, and not one is the control plane's", made)
	})
	var notices []struct{ Say, Remedy string }
	m.api("GET", "/api/notices", nil, &notices)
	for _, n := range notices {
		m.Errorf("the control plane is not content under its unit: %s %s", n.Say, n.Remedy)
	}
}

// A file is one that has to come back as it was.
type file struct {
	path string
	uid  uint32
	mode os.FileMode
	text string
	rdev uint64
	capa string // file capabilities, as the attribute has them
}

// plant makes files that only a reader who may read everything reads, and only one who
// may do everything to files restores.
func plant(t *testing.T) []file {
	t.Helper()
	ping := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" // cap_net_raw=ep
	files := []file{
		{path: "/etc/app/settings", mode: 0o644, text: "of everybody"},
		{path: "/etc/app/secret", mode: 0o000, text: "of root alone"},
		{path: "/root/notes", mode: 0o600, text: "of root's home"},
		{path: "/home/ada/letters/first", uid: 1000, mode: 0o600, text: "dear reader"},
		{path: "/home/ada/raise", mode: 0o755 | os.ModeSetuid, text: "#!/bin/sh\n"},
		{path: "/home/ada/ping", mode: 0o755, text: "ping", capa: ping},
		{path: "/home/ada/null", mode: 0o666 | os.ModeDevice | os.ModeCharDevice, rdev: 1<<8 | 3},
		{path: "/tmp/scratch", uid: 1000, mode: 0o600, text: "of the moment"},
		{path: "/var/tmp/scratch", uid: 1000, mode: 0o600, text: "of a longer moment"},
	}
	for _, f := range files {
		must(t, os.MkdirAll(filepath.Dir(f.path), 0o700))
		if f.rdev != 0 {
			must(t, syscall.Mknod(f.path, syscall.S_IFCHR|0o600, int(f.rdev)))
		} else {
			must(t, os.WriteFile(f.path, []byte(f.text), 0o600))
		}
		must(t, os.Chown(f.path, int(f.uid), int(f.uid)))
		must(t, os.Chmod(f.path, f.mode))
		if f.capa != "" {
			must(t, syscall.Setxattr(f.path, "security.capability", []byte(f.capa), 0))
		}
	}
	for _, dir := range []string{"/home/ada", "/home/ada/letters"} {
		must(t, os.Chown(dir, 1000, 1000))
	}
	must(t, os.MkdirAll("/srv/backup", 0o700))
	must(t, os.MkdirAll("/opt/hooks", 0o755))
	must(t, os.WriteFile("/opt/hooks/dump", []byte("#!/bin/sh\nset -eu\necho dumping\n"+
		"runuser -u ada -- sh -c 'id -un >/home/ada/by-runuser'\n"+
		"setpriv --reuid=ada --regid=ada --init-groups sh -c 'id -un >/home/ada/by-setpriv'\n"), 0o755))
	return append(files, file{path: "/home/ada/by-runuser", uid: 1000, text: "ada\n", mode: 0o600},
		file{path: "/home/ada/by-setpriv", uid: 1000, text: "ada\n", mode: 0o600})
}

// enrols lets this machine in as a host, and starts the agent's unit.
func (m *machine) enrols() {
	m.Helper()
	run(m.T, "restic-manager-agent", "enroll", "--server", "127.0.0.1:8883", "--state", state, "--policy", "managed", "--token",
		m.cli("enroll-token", "create", "--name", "attic"))
	run(m.T, "restic-manager-agent", "policy", "allow-hook", "dump", "/opt/hooks/dump", "--state", state)
	run(m.T, "systemctl", "start", "restic-manager-agent.service")
	m.online()
}

func (m *machine) online() {
	m.Helper()
	world.Await(m.T, "the agent to be online", func() error {
		var hosts []struct {
			ID, Name string
			Online   bool
		}
		m.api("GET", "/api/hosts", nil, &hosts)
		if len(hosts) != 1 || !hosts[0].Online {
			return fmt.Errorf("hosts are %+v", hosts)
		}
		m.host = hosts[0].ID
		return nil
	})
}

const dropIn = "/etc/systemd/system/restic-manager-agent.service.d"

// narrows has the agent be a user of its own by the drop-in for the policy backup, with what
// it has written before as root: it backs up the same files, and restores them.
func (m *machine) narrows(files []file) {
	m.Helper()
	m.stop()
	must(m.T, os.Mkdir(dropIn, 0o755))
	conf := world.Must(os.ReadFile("/usr/local/bin/backup.conf"))
	must(m.T, os.WriteFile(dropIn+"/backup.conf", conf, 0o644))
	must(m.T, os.WriteFile(dropIn+"/paths.conf", []byte("[Service]\nReadWritePaths=/srv/backup\n"), 0o644))
	m.start()
	if uid := m.agentIs(); uid != 998 {
		m.Errorf("the agent is user %d", uid)
	}
	m.api("PUT", "/api/hosts/"+m.host+"/source-groups/plain", map[string]any{"repository": m.repository, "paths": saved}, nil)
	m.snapshot = m.job(map[string]any{"kind": "backup", "source_group": "plain"}).SnapshotID
	files = slices.DeleteFunc(slices.Clone(files), func(f file) bool { return f.rdev != 0 })
	m.restores("plain", files)

	// A hook that becomes another user is refused, and the job says so.
	end := m.end(map[string]any{"kind": "backup", "source_group": "all"})
	if end.State != "failed" || end.Cause != "hook" || !strings.Contains(end.Message+end.log, "runuser") {
		m.Errorf("with a hook that becomes another user it ended %+v", end)
	}

	// What the agent has written is root's, whose commands go on working.
	run(m.T, "restic-manager-agent", "policy", "allow-repository", "/srv/backup/second", "--state", state)
	m.stop()
	must(m.T, os.RemoveAll(state+"/cache"))
	m.start()
	m.api("PUT", "/api/hosts/"+m.host+"/source-groups/second", map[string]any{"repository": m.adds("second"), "paths": []string{"/etc"}}, nil)
	m.job(map[string]any{"kind": "backup", "source_group": "second"})
	if by := owner(m.T, state+"/policy.json"); by != 0 {
		m.Errorf("the policy is user %d's", by)
	}
	run(m.T, "restic-manager-agent", "policy", "show", "--state", state)
	m.doctor("ProtectSystem=strict keeps the service from writing /,") // which the policy managed lets it
}

// widens takes the drop-in away again.
func (m *machine) widens() {
	m.Helper()
	m.stop()
	must(m.T, os.RemoveAll(dropIn))
	m.start()
	if uid := m.agentIs(); uid != 0 {
		m.Errorf("the agent is user %d", uid)
	}
	m.job(map[string]any{"kind": "backup", "source_group": "all"})
	m.doctor()
}

// doctor sees that by both doctors nothing is wrong but what is expected, and that this
// machine is in memory.
func (m *machine) doctor(expected ...string) {
	m.Helper()
	for program, args := range map[string][]string{"restic-manager": {"--data", data, "--key-file", key},
		"restic-manager-agent": {"--state", state}} {
		expected := expected
		out, _ := exec.Command(program, append([]string{"doctor"}, args...)...).Output() //nolint:gosec // ours; its status says what it found
		var fails []string
		for _, fail := range regexp.MustCompile(`(?m)^fail .*$`).FindAllString(string(out), -1) {
			if !strings.HasSuffix(fail, " is in memory (tmpfs)") {
				fails = append(fails, fail)
			}
		}
		if program == "restic-manager" {
			expected = nil
		}
		said := strings.Join(fails, "\n")
		if len(fails) != len(expected) || slices.ContainsFunc(expected, func(e string) bool { return !strings.Contains(said, e) }) {
			m.Errorf("%s doctor: want %q\n%s", program, expected, out)
		}
	}
}

func (m *machine) stop() { m.Helper(); run(m.T, "systemctl", "stop", "restic-manager-agent.service") }

func (m *machine) start() {
	m.Helper()
	run(m.T, "systemctl", "daemon-reload")
	run(m.T, "systemctl", "start", "restic-manager-agent.service")
	m.online()
}

// agentIs is the user that the agent is.
func (m *machine) agentIs() uint32 {
	m.Helper()
	pid := run(m.T, "systemctl", "show", "--property=MainPID", "--value", "restic-manager-agent.service")
	return owner(m.T, "/proc/"+pid)
}

// adds adds a repository on this machine's disk.
func (m *machine) adds(name string) string {
	m.Helper()
	var made struct{ ID string }
	m.api("POST", "/api/repositories", map[string]any{"name": name, "url": "/srv/backup/" + name, "password": "a long enough password"}, &made)
	return made.ID
}

// saved is what is backed up.
var saved = []string{"/etc", "/root", "/home", "/tmp", "/var/tmp", "/usr/lib/modules-load.d"}

// backsUp backs up what only root can read, with a hook that becomes somebody else.
func (m *machine) backsUp() {
	m.Helper()
	m.repository = m.adds("vault")
	m.api("PUT", "/api/hosts/"+m.host+"/source-groups/all", map[string]any{"repository": m.repository, "paths": saved,
		"hooks": map[string][]string{"before": {"dump"}}}, nil)
	m.snapshot = m.job(map[string]any{"kind": "backup", "source_group": "all"}).SnapshotID
}

// restores has the snapshot of a group brought back beside the agent's identity. If files have
// no device node, it is the one thing in the snapshot that may not come back.
func (m *machine) restores(group string, files []file) {
	m.Helper()
	done := m.end(map[string]any{"kind": "restore", "repository": m.repository, "snapshot": m.snapshot})
	nodes := slices.ContainsFunc(files, func(f file) bool { return f.rdev != 0 })
	if nodes && done.State != "succeeded" || !nodes && (done.State != "warnings" ||
		!strings.HasPrefix(done.Message, "1 item could not be restored, the first is /home/ada/null:")) {
		m.Fatalf("%s: the restore is %s, cause %q: %s\n%s", group, done.State, done.Cause, done.Message, done.log)
	}
	where := regexp.MustCompile(`restored to (/[^"\s]+)`).FindStringSubmatch(done.log)
	if where == nil {
		m.Fatalf("it does not say where to: %s", done.log)
	}
	for _, f := range files {
		path := where[1] + f.path
		info, err := os.Lstat(path)
		if err != nil {
			m.Errorf("%s: %s did not come back: %v", group, f.path, err)
			continue
		}
		st := info.Sys().(*syscall.Stat_t)
		if st.Uid != f.uid || st.Gid != f.uid || info.Mode() != f.mode || st.Rdev != f.rdev {
			m.Errorf("%s: %s came back as %v of %d:%d, device %d, want %v of %d, device %d", group, f.path, info.Mode(), st.Uid,
				st.Gid, st.Rdev, f.mode, f.uid, f.rdev)
		}
		if f.rdev == 0 {
			if b, err := os.ReadFile(path); err != nil || string(b) != f.text {
				m.Errorf("%s came back with %q, %v", f.path, b, err)
			}
		}
		if f.capa != "" {
			b := make([]byte, 64)
			if n, err := syscall.Getxattr(path, "security.capability", b); err != nil || string(b[:max(n, 0)]) != f.capa {
				m.Errorf("%s came back with capabilities %q, %v", f.path, b, err)
			}
		}
	}
}

// A job is one as the API tells it.
type job struct {
	State, Cause, Message string
	SnapshotID            string `json:"snapshot_id"`
	log                   string
}

// job asks for one, and waits until it has succeeded.
func (m *machine) job(ask map[string]any) job {
	m.Helper()
	j := m.end(ask)
	if j.State != "succeeded" {
		m.Fatalf("%v is %s, cause %q: %s\n%s", ask, j.State, j.Cause, j.Message, j.log)
	}
	return j
}

// end asks for a job, and waits until it has ended.
func (m *machine) end(ask map[string]any) (j job) {
	m.Helper()
	var made struct{ ID string }
	m.api("POST", "/api/hosts/"+m.host+"/jobs", ask, &made)
	world.Await(m.T, fmt.Sprintf("%s to end", ask["kind"]), func() error {
		m.api("GET", "/api/jobs/"+made.ID, nil, &j)
		if slices.Contains([]string{"queued", "dispatched", "running"}, j.State) {
			return errors.New("it is " + j.State)
		}
		j.log = m.cli("job", "log", made.ID)
		return nil
	})
	return j
}

// api makes a call that must succeed.
func (m *machine) api(method, path string, body, into any) {
	m.Helper()
	var text io.Reader
	if body != nil {
		text = bytes.NewReader(world.Must(json.Marshal(body)))
	}
	r := world.Must(http.NewRequestWithContext(m.Context(), method, "http://127.0.0.1:8080"+path, text))
	r.Header.Set("Authorization", "Bearer "+m.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	must(m.T, err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	must(m.T, err)
	if answer.StatusCode/100 != 2 {
		m.Fatalf("%s %s: %s: %s", method, path, answer.Status, b)
	}
	if into != nil {
		must(m.T, json.Unmarshal(b, into))
	}
}

// cli runs a command of the control plane as root, with the arguments that its unit
// says commands take.
func (m *machine) cli(args ...string) string {
	m.Helper()
	return run(m.T, "restic-manager", append(args, "--data", data, "--key-file", key)...)
}

// run runs a program that must succeed, and answers with what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	cmd.WaitDelay = time.Minute
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, out, errs.Bytes())
	}
	return strings.TrimSpace(string(out))
}

func owner(t *testing.T, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Sys().(*syscall.Stat_t).Uid
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
