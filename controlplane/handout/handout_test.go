package handout

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNamesOfFiles(t *testing.T) {
	for name, want := range map[string]string{
		"restic-manager-agent_1.2.0_amd64.deb":              "1.2.0 linux amd64 deb",
		"restic-manager-agent_1.2.0~rc1_armhf.deb":          "1.2.0~rc1 linux armv7 deb",
		"restic-manager-agent_1.2.0_x86_64.rpm":             "1.2.0 linux amd64 rpm",
		"restic-manager-agent_1.2.0_aarch64.apk":            "1.2.0 linux arm64 apk",
		"restic-manager-agent_1.2.0_amd64.msi":              "1.2.0 windows amd64 msi",
		"restic-manager-agent_1.2.0_amd64.zip":              "1.2.0 windows amd64 zip",
		"restic-manager-agent_1.2.0_linux_arm64":            "1.2.0 linux arm64 binary",
		"restic-manager-agent_1.2.0_windows_amd64.exe":      "1.2.0 windows amd64 binary",
		"restic-manager-agent_1.2.0_amd64.deb.minisig":      "",
		"restic-manager-agent_1.2.0_amd64":                  "",
		"restic-manager-agent__amd64.deb":                   "",
		"restic-manager_1.2.0_amd64.deb":                    "",
		"restic-manager-agent_1.2.0_sparc.deb":              "",
		"../restic-manager-agent_1.2.0_amd64.deb":           "",
		"restic-manager-agent_1';x_amd64.deb":               "",
		"restic-manager-agent_1_2_amd64.deb":                "",
		"restic-manager-agent_1.2.0_amd64.deb\nx_amd64.deb": "",
	} {
		f, ok := fileOf(name)
		got := ""
		if ok {
			got = strings.Join([]string{f.Version, f.OS, f.Arch, f.Kind}, " ")
		}
		if got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	for _, pair := range [][2]string{{"1.2.0~rc1", "1.2.0"}, {"1.2.0-dev", "1.2.0"}, {"1.9.0", "1.10.0"}, {"1.2", "1.2.1"}, {"0.9", "1.0~a"}} {
		if newer(pair[0], pair[1]) >= 0 || newer(pair[1], pair[0]) <= 0 || newer(pair[0], pair[0]) != 0 {
			t.Errorf("%s does not come before %s", pair[0], pair[1])
		}
	}
}

// service hands out dir for a control plane whose pages are at an address.
func service(t *testing.T, dir, public, agents string) *Service {
	t.Helper()
	s := storetest.Open(t, store.Open)
	at := &reach.Service{Store: s, Listen: "127.0.0.1:8883", Flag: agents}
	return New(Config{
		Dirs:   []string{dir},
		Reach:  at,
		Public: func(context.Context) string { return public },
		Pin:    func() string { return "cGlu" },
	})
}

func get(t *testing.T, s *Service, path string, headers ...string) (*http.Response, string, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	err := s.Serve(w, r, PagesDoor, "192.0.2.1")
	return w.Result(), w.Body.String(), err
}

func sum(text string) string {
	b := sha256.Sum256([]byte(text))
	return hex.EncodeToString(b[:])
}

func TestOnlyTheNewestAgentsAreHandedOut(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "agents")
	s := service(t, dir, "https://backup.example.net", "agents.example.net:8883")
	if stock := s.Stock(); !strings.Contains(stock.Missing, "is not there") || !strings.Contains(stock.Remedy, "--agents-dir") {
		t.Errorf("without the directory: %+v", stock)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, base, "secret", "not to be read")
	write(t, dir, "notes.txt", "not to be read")
	for version, content := range map[string]string{"1.9.0": "old", "1.10.0": "the newest"} {
		write(t, dir, "restic-manager-agent_"+version+"_amd64.deb", content)
	}
	if err := os.Symlink(filepath.Join(base, "secret"), filepath.Join(dir, "restic-manager-agent_2.0_arm64.deb")); err != nil {
		t.Fatal(err)
	}
	name := "restic-manager-agent_1.10.0_amd64.deb"
	s = service(t, dir, "https://backup.example.net", "agents.example.net:8883")
	r, text, err := get(t, s, "/download/"+name)
	if err != nil || text != "the newest" || r.Header.Get("ETag") != `"`+sum(text)+`"` {
		t.Fatalf("the file: %v %q %v", err, text, r.Header)
	}
	if r, _, err := get(t, s, "/download/"+name, "If-None-Match", r.Header.Get("ETag")); err != nil || r.StatusCode != http.StatusNotModified {
		t.Errorf("the same once more: %v %s", err, r.Status)
	}
	if r, text, err := get(t, s, "/download/"+name, "Range", "bytes=4-"); err != nil || r.StatusCode != http.StatusPartialContent ||
		text != "newest" {
		t.Errorf("a part: %v %s %q", err, r.Status, text)
	}
	if _, text, err := get(t, s, "/download/SHA256SUMS"); err != nil || text != sum("the newest")+"  "+name+"\n" {
		t.Errorf("the sums: %v %q", err, text)
	}
	for _, path := range []string{"", "notes.txt", "../secret", "..%2fsecret", "restic-manager-agent_2.0_arm64.deb", ".", "x/y",
		"restic-manager-agent_1.9.0_amd64.deb"} {
		if _, text, err := get(t, s, "/download/"+path); !errors.Is(err, ErrNone) || text != "" {
			t.Errorf("%q: %v %q", path, err, text)
		}
	}

	// Another file of the same name has another sum, and the script knows.
	later := time.Now().Add(time.Hour)
	write(t, dir, name, "newer yet")
	if err := os.Chtimes(filepath.Join(dir, name), later, later); err != nil {
		t.Fatal(err)
	}
	s.dir.at = time.Time{}
	if _, script, err := get(t, s, ShellPath); err != nil || !strings.Contains(script, "linux amd64 deb "+sum("newer yet")+" "+name) {
		t.Errorf("the script after a change: %v", err)
	}
}

// TestWhatAnybodyMayWriteIsNotHandedOut: it would run as root on the hosts.
func TestWhatAnybodyMayWriteIsNotHandedOut(t *testing.T) {
	const name = "restic-manager-agent_1.0_amd64.deb"
	dir := filepath.Join(t.TempDir(), "agents")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, name, "an agent")
	for _, in := range []struct {
		path string
		mode os.FileMode
	}{{dir, 0o777}, {dir, 0o777 | os.ModeSticky}, {filepath.Join(dir, name), 0o666}} {
		if err := os.Chmod(in.path, in.mode); err != nil {
			t.Fatal(err)
		}
		s := service(t, dir, "https://backup.example.net", "agents.example.net:8883")
		if stock := s.Stock(); !strings.Contains(stock.Missing, "any user of this machine") || len(stock.Files) > 0 ||
			!strings.Contains(stock.Remedy, "chmod -R o-w "+dir) {
			t.Errorf("%s with mode %v: %+v", in.path, in.mode, stock)
		}
		if _, text, err := get(t, s, "/download/"+name); err == nil || text != "" {
			t.Errorf("%s with mode %v: handed out: %q", in.path, in.mode, text)
		}
		if _, script, err := get(t, s, ShellPath); err != nil || !strings.Contains(script, "any user of this machine") ||
			strings.Contains(script, name) {
			t.Errorf("%s with mode %v: the script does not say it: %v", in.path, in.mode, err)
		}
		if err := os.Chmod(in.path, in.mode&0o755); err != nil {
			t.Fatal(err)
		}
	}
	if stock := service(t, dir, "https://backup.example.net", "agents.example.net:8883").Stock(); len(stock.Files) != 1 {
		t.Errorf("after the remedy: %+v", stock)
	}
	if got := DirsOf("", filepath.Join(os.TempDir(), "data")); len(got) != 1 || got[0] != Packaged {
		t.Errorf("beside data in a directory of everybody's: %q", got)
	}
	if got := DirsOf("", filepath.Join(dir, "data")); len(got) != 2 || got[1] != filepath.Join(dir, "agents") {
		t.Errorf("beside data: %q", got)
	}
}

// TestAPackageOfAgentsCountsWhileServing: what comes along with the control plane may be
// installed later than it, and is taken away again.
func TestAPackageOfAgentsCountsWhileServing(t *testing.T) {
	packaged, own := filepath.Join(t.TempDir(), "packaged"), filepath.Join(t.TempDir(), "own")
	s := New(Config{Dirs: []string{packaged, own}})
	look := func() Stock {
		s.dir.at = time.Time{}
		return s.Stock()
	}
	if stock := look(); stock.Dir != own || !strings.Contains(stock.Missing, own+" is not there") ||
		!strings.Contains(stock.Remedy, "restic-manager-agents") {
		t.Errorf("without any: %+v", stock)
	}
	for _, dir := range []string{packaged, own} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Unix(1_700_000_000, 0)
	put := func(dir, name, content string) {
		write(t, dir, name, content)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	deb := "restic-manager-agent_1.0_amd64.deb"
	put(own, deb, "own")
	put(packaged, "SHA256SUMS", "is no agent")
	if stock := look(); stock.Dir != own || len(stock.Files) != 1 || stock.Files[0].SHA256 != sum("own") {
		t.Errorf("beside the data: %+v", stock)
	}
	put(packaged, deb, "its") // of the same name, size and moment
	if stock := look(); stock.Dir != packaged || len(stock.Files) != 1 || stock.Files[0].SHA256 != sum("its") {
		t.Errorf("once the package is installed: %+v", stock)
	}
	if _, text, err := get(t, s, "/download/"+deb); err != nil || text != "its" {
		t.Errorf("the file: %q %v", text, err)
	}
	if err := os.Remove(filepath.Join(packaged, deb)); err != nil {
		t.Fatal(err)
	}
	if stock := look(); stock.Dir != own || stock.Files[0].SHA256 != sum("own") {
		t.Errorf("once it is removed: %+v", stock)
	}
	if got := DirsOf("", "/var/lib/x/data"); len(got) != 2 || got[0] != Packaged || got[1] != "/var/lib/x/agents" {
		t.Errorf("if nobody says another: %q", got)
	}
	if got := DirsOf("/srv/agents", "/var/lib/x/data"); len(got) != 1 || got[0] != "/srv/agents" {
		t.Errorf("if somebody does: %q", got)
	}
}

func TestDownloadsAreLimitedForEachNetwork(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := service(t, t.TempDir(), "", "")
	s.Now = func() time.Time { return now }
	ask := func(network string) error {
		return s.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/download/SHA256SUMS", nil), PagesDoor, network)
	}
	for i := range burst {
		if err := ask("a"); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	var busy Busy
	if err := ask("a"); !errors.As(err, &busy) || busy.Seconds() != 1 {
		t.Errorf("one more: %v", err)
	}
	if err := ask("b"); err != nil {
		t.Errorf("another network: %v", err)
	}
	now = now.Add(time.Second)
	for i := range perSecond {
		if err := ask("a"); err != nil {
			t.Fatalf("a second later, request %d: %v", i, err)
		}
	}
	if err := ask("a"); err == nil {
		t.Error("more than a second's worth")
	}
}

func TestScriptsSayWhereFrom(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "restic-manager-agent_1.0_amd64.deb", "x")
	for _, c := range []struct {
		public, agents string
		door           Door
		want           string
	}{
		{"https://backup.example.net/rm", "agents.example.net:1", PagesDoor, "rm_files='https://backup.example.net/rm/download/'\n\trm_pin=''"},
		{"https://backup.example.net", "agents.example.net:1", AgentsDoor, "rm_files='https://agents.example.net:1/download/'\n\trm_pin='cGlu'"},
		{"http://backup.example.net", "agents.example.net:1", PagesDoor, "rm_files='https://agents.example.net:1/download/'\n\trm_pin='cGlu'"},
		{"", "", PagesDoor, "rm_problem='Agents on other machines cannot reach this server"},
		{"https://a.example/$(reboot)'`x`", "a.example:1", PagesDoor, "rm_files='https://a.example/(reboot)x/download/'"},
	} {
		s := service(t, dir, c.public, c.agents)
		text := must(s.script(t.Context(), c.door, ShellPath))
		if !strings.Contains(text, c.want) || strings.Contains(text, "@") && strings.Contains(text, "@FILES@") {
			t.Errorf("%+v: the script lacks %q", c, c.want)
		}
		for _, script := range []string{text, must(s.script(t.Context(), c.door, PowerShellPath))} {
			last := strings.Split(strings.TrimSpace(script), "\n")
			if line := last[len(last)-1]; !strings.HasPrefix(line, "rm_install ") && !strings.HasPrefix(line, "Install-ResticManagerAgent ") {
				t.Errorf("the last line is %q", line)
			}
		}
		if out, err := runShell(t, text, "-n", nil); err != nil {
			t.Errorf("%+v: %v %s", c, err, out)
		}
	}
}

func runShell(t *testing.T, script, flag string, env []string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", append([]string{flag, "/dev/stdin"}, args...)...)
	if flag == "" {
		c = exec.CommandContext(t.Context(), "sh", append([]string{"-s", "--"}, args...)...)
	}
	c.Stdin = strings.NewReader(script)
	c.Env = env
	out, err := c.CombinedOutput()
	return string(out), err
}

// A host is a machine whose programs are stand-ins that write down how they were called.
type host struct {
	bin, log string
	env      []string
}

func newHost(t *testing.T, programs map[string]string) host {
	t.Helper()
	h := host{bin: t.TempDir(), log: filepath.Join(t.TempDir(), "log")}
	for name, does := range programs {
		script := "#!/bin/sh\n" + does + "\n"
		if does == "" {
			script = "#!/bin/sh\necho \"" + name + " $*\" >>" + h.log + "\n"
		}
		if err := os.WriteFile(filepath.Join(h.bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"sh", "cat", "grep", "sort", "mktemp", "rm", "sha256sum", "chmod", "curl", "stat"} {
		if path, err := exec.LookPath(tool); err == nil && programs[tool] == "" {
			if err := os.Symlink(path, filepath.Join(h.bin, tool)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.env = []string{"PATH=" + h.bin, "TMPDIR=" + t.TempDir()}
	return h
}

func (h host) calls(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(h.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// TestTheScriptInstalls runs the script on hosts of stand-ins, with a real curl that talks
// to a real server by the key it pins.
func TestTheScriptInstalls(t *testing.T) {
	dir := t.TempDir()
	deb, program := "restic-manager-agent_1.0_amd64.deb", "restic-manager-agent_1.0_linux_amd64"
	write(t, dir, deb, "a package")
	write(t, dir, program, "a program")
	var s *Service
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Serve(w, r, AgentsDoor, "x"); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
		}
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "https://")
	s = service(t, dir, "", address)
	s.Pin = func() string { return PinOf(server.Certificate()) }

	debian := func() map[string]string {
		return map[string]string{"id": "echo 0", "uname": `case $1 in -s) echo Linux ;; -m) echo x86_64 ;; esac`, "dpkg": "exit 0", "apt-get": "",
			"restic": "", "restic-manager-agent": "",
			"systemctl": `case $1 in list-timers) echo 'Mon 2h - - restic-backup.timer restic-backup.service' ;; esac`}
	}
	token := "rmt1_" + strings.Repeat("A", 90)
	script := must(s.script(t.Context(), AgentsDoor, ShellPath))

	h := newHost(t, debian())
	write(t, h.bin, "restic-manager-agent", `#!/bin/sh
echo "restic-manager-agent $*" >>`+h.log+`
while [ "$1" != --token-file ]; do shift; done
echo "with $(cat "$2") of $(stat -c %a "$2")" >>`+h.log+"\n")
	out, err := runShell(t, script, "", append(h.env, "https_proxy=http://127.0.0.1:1"), "--token", token, "--policy", "restore",
		"--restore-root", "/srv/my restores", "--again")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls := h.calls(t)
	for _, want := range []string{"apt-get install -y --allow-downgrades ", deb,
		"restic-manager-agent enroll --server " + address + " --token-file ", "/token --state /var/lib/restic-manager-agent --policy restore" +
			" --again --restore-root /srv/my restores\n", "with " + token + " of 600\n"} {
		if !strings.Contains(calls, want) {
			t.Errorf("%q was not called:\n%s%s", want, calls, out)
		}
	}
	if !strings.Contains(out, "restic already runs on this host") || !strings.Contains(out, "restic-backup.timer") {
		t.Errorf("the timer that is there goes unsaid:\n%s", out)
	}

	for what, c := range map[string]struct {
		change func(programs map[string]string)
		script string
		args   []string
		say    string
	}{
		"somebody between": {script: strings.ReplaceAll(script, s.Pin(), PinOf(otherCertificate(t))), say: "could not be downloaded"},
		"another file":     {script: strings.ReplaceAll(script, sum("a package"), sum("another")), say: "is not what the control plane has"},
		"no root":          {change: func(p map[string]string) { p["id"] = "echo 1000" }, say: "put sudo before sh"},
		"a strange processor": {change: func(p map[string]string) { p["uname"] = `case $1 in -s) echo Linux ;; *) echo s390x ;; esac` },
			say: "no agent for the processor s390x"},
		"a bad option":      {args: []string{"--polcy", "backup"}, say: "--polcy is no option"},
		"no value":          {args: []string{"--token"}, say: "--token needs a value"},
		"a bad token":       {args: []string{"--token", "secret"}, say: "no enrolment token"},
		"an empty token":    {args: []string{"--token", ""}, say: "the token is empty"},
		"restores anywhere": {args: []string{"--policy", "restore"}, say: "needs --restore-root"},
		"nobody there": {script: strings.ReplaceAll(script, "rm_agents='"+address, "rm_agents='127.0.0.1:1"),
			say: "does not reach the control plane"},
		"cut short": {script: script[:len(script)-len("rm_install \"$@\"\n")]},
	} {
		programs := debian()
		if c.change != nil {
			c.change(programs)
		}
		if c.script == "" {
			c.script = script
		}
		h := newHost(t, programs)
		out, err := runShell(t, c.script, "", h.env, append([]string{"--policy", "backup"}, c.args...)...)
		if (err == nil) != (c.say == "") || !strings.Contains(out, c.say) || c.say != "" && !strings.Contains(out, "Nothing was changed") {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
		if calls := h.calls(t); calls != "" {
			t.Errorf("%s: something was done:\n%s", what, calls)
		}
	}

	// A full disk: half a program is not put in the place of what is there.
	full := debian()
	full["install"], full["mv"] = "exit 1", ""
	h = newHost(t, full)
	if out, err := runShell(t, script, "", h.env, "--binary"); err == nil || !strings.Contains(out, "installing "+program+" failed") ||
		h.calls(t) != "" {
		t.Errorf("half a program: %v\n%s%s", err, out, h.calls(t))
	}

	// Without a package manager the program itself is installed, and so where dpkg is a tool
	// among others, and over a kernel of 64 bits where the system has 32.
	for name, does := range map[string]string{"dpkg": "exit 1", "getconf": "echo 32"} {
		other := debian()
		other[name], other["install"], other["mv"] = does, "", ""
		h := newHost(t, other)
		if out, err := runShell(t, script, "", h.env); err != nil || !strings.Contains(h.calls(t), program) ||
			strings.Contains(h.calls(t), "apt-get") {
			t.Errorf("%s: %v\n%s%s", name, err, out, h.calls(t))
		}
	}
	bare := debian()
	delete(bare, "dpkg")
	delete(bare, "apt-get")
	bare["install"], bare["mv"] = "", ""
	h = newHost(t, bare)
	if out, err := runShell(t, script, "", h.env); err != nil || !strings.Contains(out, "installed and not enrolled") {
		t.Errorf("the program alone: %v\n%s", err, out)
	}
	if calls := h.calls(t); !strings.Contains(calls, "install -m 0755 ") || !strings.Contains(calls, program) ||
		strings.Contains(calls, "enroll") {
		t.Errorf("the program alone:\n%s", calls)
	}
}

// Without a token, on a host that is enrolled, the script says so and has the agent that was
// installed run in place of the one before, whether a package was installed or the program.
func TestTheScriptRenewsTheAgentOfAnEnrolledHost(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "restic-manager-agent_1.0_amd64.deb", "a package")
	write(t, dir, "restic-manager-agent_1.0_linux_amd64", "a program")
	var s *Service
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Serve(w, r, AgentsDoor, "x"); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
		}
	}))
	defer server.Close()
	s = service(t, dir, "", strings.TrimPrefix(server.URL, "https://"))
	s.Pin = func() string { return PinOf(server.Certificate()) }
	script := must(s.script(t.Context(), AgentsDoor, ShellPath))
	state := t.TempDir()
	script = strings.Replace(script, "rm_state=/var/lib/restic-manager-agent", "rm_state="+state, 1)

	for _, enrolled := range []bool{false, true} {
		if enrolled {
			write(t, state, "identity.json", "{}")
		}
		for _, args := range [][]string{nil, {"--binary"}} {
			// rc-service, as whether systemd runs is asked of this machine's own /run.
			h := newHost(t, map[string]string{"id": "echo 0", "uname": `case $1 in -s) echo Linux ;; -m) echo x86_64 ;; esac`,
				"dpkg": "exit 0", "apt-get": "", "restic": "", "restic-manager-agent": "", "install": "", "mv": "", "rc-service": "", "rc-update": ""})
			out, err := runShell(t, script, "", h.env, args...)
			if err != nil {
				t.Fatalf("enrolled %t, %v: %v\n%s", enrolled, args, err, out)
			}
			if calls := h.calls(t); strings.Contains(calls, "rc-service restic-manager-agent restart") != enrolled {
				t.Errorf("enrolled %t, %v: the agent was restarted: %t\n%s", enrolled, args, !enrolled, calls)
			}
			for text, want := range map[string]bool{"installed and not enrolled": !enrolled, "The host is enrolled already": enrolled} {
				if strings.Contains(out, text) != want {
					t.Errorf("enrolled %t, %v: %q is said: %t\n%s", enrolled, args, text, !want, out)
				}
			}
			if !enrolled {
				continue
			}
			h = newHost(t, map[string]string{"id": "echo 0", "uname": "echo Linux", "apt-get": "", "restic-manager-agent": ""})
			again := append([]string{"--token", "rmt1_x"}, args...) // of another control plane, perhaps
			if out, err := runShell(t, script, "", h.env, again...); err == nil || !strings.Contains(out, "Nothing was changed") ||
				!strings.Contains(out, "--again") || h.calls(t) != "" {
				t.Errorf("%v: %v\n%s%s", again, err, out, h.calls(t))
			}
		}
	}
}

// BenchmarkSums is what a look at an unchanged directory costs.
func BenchmarkSums(b *testing.B) {
	dir := b.TempDir()
	for i := range 20 {
		name := fmt.Sprintf("restic-manager-agent_1.%d_amd64.deb", i)
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte{1}, 1<<20), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	d := directory{dirs: []string{dir}}
	for b.Loop() {
		d.at = time.Time{}
		if _, _, err := d.list(); err != nil {
			b.Fatal(err)
		}
	}
}

// otherCertificate is one of somebody else.
func otherCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))
}

func TestCommandsForAHost(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "restic-manager-agent_1.0_amd64.deb", "x")
	write(t, dir, "restic-manager-agent_1.0_amd64.msi", "x")
	for what, c := range map[string]struct {
		public, agents string
		want           Want
		install, enrol string // parts; "" is that there is none
		why            string
	}{
		"with https": {"https://backup.example.net", "agents.example.net:1",
			Want{Policy: "restore", RestoreRoots: []string{"/srv/my restores"}},
			"curl -fsSL https://backup.example.net/install.sh | sudo sh -s -- --token T --policy restore --restore-root '/srv/my restores'",
			"enroll --server agents.example.net:1 --token T --state /var/lib/restic-manager-agent --policy restore", ""},
		"in clear": {"http://backup.example.net", "agents.example.net:1", Want{},
			"curl -fsSk --tlsv1.3 --pinnedpubkey 'sha256//cGlu' https://agents.example.net:1/install.sh" +
				" | sudo sh -s -- --token T --policy backup",
			"--server agents.example.net:1", ""},
		"no address of the pages": {"", "agents.example.net:1", Want{System: Linux}, "--pinnedpubkey", "--server agents.example.net:1", ""},
		"Windows with https": {"https://backup.example.net", "a.example:1",
			Want{System: Windows, Policy: "restore", RestoreRoots: []string{`D:\back`}},
			`& ([scriptblock]::Create((irm 'https://backup.example.net/install.ps1'))) -Token T -Policy restore -RestoreRoot 'D:\back'`,
			`--state C:\ProgramData\restic-manager-agent --policy restore --restore-root "D:\back"`, ""},
		"Windows without": {"http://backup.example.net", "a.example:1", Want{System: Windows}, "", "--server a.example:1",
			"needs pages with an https"},
	} {
		s := service(t, dir, c.public, c.agents)
		if err := c.want.Check(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got := must(s.Commands(t.Context(), "T", c.want))
		if !strings.Contains(got.Install, c.install) || (got.Install == "") != (c.install == "") || !strings.Contains(got.Enrol, c.enrol) ||
			!strings.Contains(got.Why, c.why) || c.why != "" && got.Do == "" || len(got.Files) != 1 {
			t.Errorf("%s: %+v", what, got)
		}
	}
	none := must(service(t, t.TempDir(), "https://backup.example.net", "a.example:1").Commands(t.Context(), "T", Want{}))
	if none.Install != "" || none.Why == "" || none.Do == "" || none.Enrol == "" {
		t.Errorf("with nothing to hand out: %+v", none)
	}
	for what, c := range map[string]struct {
		in  Want
		bad string
	}{
		"no such policy":      {Want{Policy: "generous"}, "policy"},
		"no such system":      {Want{System: "beos"}, "system"},
		"restores anywhere":   {Want{Policy: "restore"}, "restore_root"},
		"a path that is none": {Want{Policy: "restore", RestoreRoots: []string{"srv"}}, "restore_root"},
		"a quote":             {Want{Policy: "restore", RestoreRoots: []string{"/a'; reboot"}}, "restore_root"},
		"of another system":   {Want{System: Windows, Policy: "restore", RestoreRoots: []string{"/srv"}}, "restore_root"},
	} {
		var wrong field.Errors
		if err := c.in.Check(); !errors.As(err, &wrong) || wrong[c.bad] == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}
