package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/e2e/world"
)

// A World is a control plane with its database and ports, the agents that
// belong to it, and a client with an administrator's token. All is gone when
// the test is.
type World struct {
	t                  *testing.T
	Dir, Data          string
	HTTP, Agents, MQTT string // addresses, kept when the control plane restarts

	flags  []string // more flags of the control plane
	plane  *world.Process
	token  string
	agents []*Agent
}

// NewWorld starts a control plane on an empty database. Worlds do not touch each
// other, and most of a test is waiting, so that several run at a time. flags are more of
// the control plane's.
func NewWorld(t *testing.T, flags ...string) *World {
	t.Helper()
	t.Parallel()
	return NewQuietWorld(t, flags...)
}

// NewQuietWorld is NewWorld for tests that measure times: nothing runs beside them.
func NewQuietWorld(t *testing.T, flags ...string) *World {
	t.Helper()
	dir := t.TempDir()
	w := &World{
		t:      t,
		Dir:    dir,
		Data:   filepath.Join(dir, "plane", "data"),
		HTTP:   world.FreeAddress(t),
		Agents: world.FreeAddress(t),
		MQTT:   world.FreeAddress(t),
		flags:  flags,
	}
	if err := os.MkdirAll(filepath.Dir(w.Data), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // what a failed test leaves behind
		for _, pid := range resticsBelow(w.Dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	w.StartPlane()
	w.token = w.CLI("api-token", "create", "--name", "e2e", "--role", "admin", "--data", w.Data)
	return w
}

// In is the same world for a test within the test.
func (w *World) In(t *testing.T) *World {
	c := *w
	c.t, c.agents = t, nil
	return &c
}

// StartPlane starts the control plane, again at the same addresses, and returns
// when it is ready.
func (w *World) StartPlane() {
	w.t.Helper()
	w.plane = world.Start(w.t, "the control plane", exec.Command(program("restic-manager"), append([]string{"serve",
		"--data", w.Data, "--http", w.HTTP, "--agents", w.Agents, "--mqtt", w.MQTT}, w.flags...)...))
	w.plane.Await(`msg=serving`)
	world.Await(w.t, "the control plane to be ready", func() error {
		r, err := http.Get("http://" + w.HTTP + "/readyz")
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

// SetupLink is the one-time link the control plane printed when it started.
func (w *World) SetupLink() string {
	w.t.Helper()
	return w.plane.Await(`(http://\S+/setup\?\S+)`)[1]
}

// KillPlane ends the control plane as a power failure would.
func (w *World) KillPlane() {
	w.t.Helper()
	w.plane.Kill9()
}

// MustStopCleanly stops everything and insists that all of it ends well: exit
// status 0, and no restic left behind.
func (w *World) MustStopCleanly() {
	w.t.Helper()
	for _, a := range w.agents {
		if a.process.Running() {
			a.MustStop()
		}
	}
	if w.plane.Running() {
		w.plane.MustStop(time.Minute)
	}
	if left := resticsBelow(w.Dir); len(left) > 0 {
		w.t.Errorf("restic is left behind: processes %v", left)
	}
}

// CLI runs a command that must succeed, and answers with the one line on its stdout.
func (w *World) CLI(args ...string) string {
	w.t.Helper()
	r := command(w.t, exec.Command(program("restic-manager"), args...))
	if r.code != 0 {
		w.t.Fatalf("restic-manager %s ended with exit status %d: %s", strings.Join(args, " "), r.code, r.errs)
	}
	if !strings.HasSuffix(r.out, "\n") || strings.Count(r.out, "\n") != 1 {
		w.t.Fatalf("restic-manager %s printed %q, want one line", strings.Join(args, " "), r.out)
	}
	return strings.TrimSuffix(r.out, "\n")
}

// result is how a command ended.
type result struct {
	code      int
	out, errs string
}

// command runs one to its end.
func command(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	p := world.Start(t, strings.Join(cmd.Args, " "), cmd)
	return result{p.Wait(2 * time.Minute), p.Out.String(), p.Errs.String()}
}

// A response is an answer over HTTP, read to its end.
type response struct {
	*http.Response
	body []byte
}

// request sends one with the administrator's token; body is sent as JSON unless
// it is nil, a string or bytes.
func (w *World) request(method, path string, body any, headers ...string) response {
	w.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	case []byte:
		reader = bytes.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		reader = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.HTTP+path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return response{answer, b}
}

// API makes a call that must be answered with this status, and fills into.
func (w *World) API(method, path string, body any, status int, into any) {
	w.t.Helper()
	r := w.request(method, path, body)
	if r.StatusCode != status {
		w.t.Fatalf("%s %s: %s, want %d: %s", method, path, r.Status, status, r.body)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(r.body, into); err != nil {
		w.t.Fatalf("%s %s: %v in %s", method, path, err, r.body)
	}
}

// A Host is one as the API tells it.
type Host struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Online bool   `json:"online"`
	Status string `json:"status"`
	Cause  string `json:"cause"`
}

// Hosts lists them.
func (w *World) Hosts() (hosts []Host) {
	w.t.Helper()
	w.API("GET", "/api/hosts", nil, http.StatusOK, &hosts)
	return hosts
}

// AddRepository registers one and answers with its ID.
func (w *World) AddRepository(name, url, password string) string {
	w.t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	w.API("POST", "/api/repositories", map[string]any{"name": name, "url": url, "password": password}, http.StatusCreated, &made)
	return made.ID
}

// A Job is one as the API tells it.
type Job struct {
	ID         string          `json:"id"`
	Host       string          `json:"host"`
	Kind       string          `json:"kind"`
	State      string          `json:"state"`
	Cause      string          `json:"cause"`
	Message    string          `json:"message"`
	ExitCode   *int            `json:"exit_code"`
	Lines      int             `json:"lines"`
	SnapshotID string          `json:"snapshot_id"`
	QueuedAt   json.RawMessage `json:"queued_at"`
	StartedAt  json.RawMessage `json:"started_at"`
	FinishedAt json.RawMessage `json:"finished_at"`
}

func (j Job) ended() bool {
	return !slices.Contains([]string{"queued", "dispatched", "running"}, j.State)
}

// Job asks for one.
func (w *World) Job(id string) (j Job) {
	w.t.Helper()
	w.API("GET", "/api/jobs/"+id, nil, http.StatusOK, &j)
	return j
}

// AwaitState waits until a job is in a state, and gives up when it has ended
// in another.
func (w *World) AwaitState(id, state string) (j Job) {
	w.t.Helper()
	world.AwaitWithin(w.t, 3*time.Minute, "job "+id+" to be "+state, func() error {
		j = w.Job(id)
		switch {
		case j.State == state:
			return nil
		case j.ended():
			return world.Stop(fmt.Errorf("it has ended as %s, cause %q: %s\n%s", j.State, j.Cause, j.Message, w.logText(id)))
		}
		return fmt.Errorf("it is %s, with %d lines\n%s", j.State, j.Lines, w.logText(id))
	})
	return j
}

// endsWithin reports whether a job ends in time.
func (w *World) endsWithin(id string, within time.Duration) bool {
	w.t.Helper()
	return world.Try(within, func() error {
		if !w.Job(id).ended() {
			return errors.New("it goes on")
		}
		return nil
	}) == nil
}

// A Line is one of a job's log.
type Line struct {
	N     int             `json:"n"`
	At    json.RawMessage `json:"at"`
	Level string          `json:"level"`
	Text  string          `json:"text"`
}

// Log reads a job's lines after number after.
func (w *World) Log(id string, after int) (lines []Line) {
	w.t.Helper()
	path := "/api/jobs/" + id + "/log"
	if after > 0 {
		path += fmt.Sprintf("?after=%d", after)
	}
	r := w.request("GET", path, nil)
	if r.StatusCode != http.StatusOK {
		w.t.Fatalf("GET %s: %s: %s", path, r.Status, r.body)
	}
	s := bufio.NewScanner(bytes.NewReader(r.body))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var l Line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			w.t.Fatalf("GET %s: %v in %s", path, err, s.Bytes())
		}
		lines = append(lines, l)
	}
	return lines
}

func (w *World) logText(id string) string {
	var b strings.Builder
	for _, l := range w.Log(id, 0) {
		fmt.Fprintf(&b, "%d %s %s\n", l.N, l.Level, l.Text)
	}
	return b.String()
}

// mustBeComplete insists on lines 1..n, each once and in order, n being what
// the job says, and on the words the stand-in restic said: "word 1" … "word words".
func (w *World) mustBeComplete(id string, words int) {
	w.t.Helper()
	lines := w.Log(id, 0)
	if j := w.Job(id); j.Lines != len(lines) || len(lines) == 0 {
		w.t.Errorf("the job has %d lines and its log %d", j.Lines, len(lines))
	}
	next := 1
	for i, l := range lines {
		if l.N != i+1 {
			w.t.Fatalf("line %d of the log has number %d", i+1, l.N)
		}
		if n, ok := wordOf(l.Text); ok {
			if n != next {
				w.t.Fatalf("line %d is word %d, want word %d", l.N, n, next)
			}
			next++
		}
	}
	if next-1 != words {
		w.t.Errorf("the log has %d words, want %d", next-1, words)
	}
}

var wordLine = regexp.MustCompile(`\bword (\d+)\b`)

func wordOf(text string) (n int, ok bool) {
	m := wordLine.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	_, err := fmt.Sscan(m[1], &n)
	return n, err == nil
}

// An Agent is one host's, with a directory of its own to back up.
type Agent struct {
	w       *World
	Name    string
	ID      string // of the host
	Dir     string
	Home    string // what is backed up
	State   string
	Restic  string // --restic; "" for none
	Env     []string
	process *world.Process
}

// Enrol makes a host known without starting its agent. flags go to its enrolment.
func (w *World) Enrol(name string, flags ...string) *Agent {
	w.t.Helper()
	dir := filepath.Join(w.Dir, name)
	a := &Agent{w: w, Name: name, Dir: dir, Home: filepath.Join(dir, "home"), State: filepath.Join(dir, "state")}
	if err := os.MkdirAll(a.Home, 0o700); err != nil {
		w.t.Fatal(err)
	}
	// Without a drill, which on a Sunday night would run beside what a test looks at.
	token := w.CLI("enroll-token", "create", "--name", name, "--no-drill", "--data", w.Data)
	if !slices.Contains(flags, "managed") { // repositories of the tests are directories, too
		flags = append(slices.Clone(flags), "--repository-root", w.Dir)
	}
	r := command(w.t, exec.Command(program("restic-manager-agent"), append([]string{"enroll", "--server", w.Agents, "--token", token,
		"--state", a.State}, flags...)...))
	if r.code != 0 {
		w.t.Fatalf("enroll ended with exit status %d: %s", r.code, r.errs)
	}
	a.ID = strings.TrimSpace(r.out)
	return a
}

// StartAgent enrols a host, starts its agent and waits until it is online.
func (w *World) StartAgent(name string, flags ...string) *Agent {
	w.t.Helper()
	a := w.Enrol(name, flags...)
	a.Start()
	a.AwaitOnline()
	return a
}

// Start starts the agent's program, also again.
func (a *Agent) Start() {
	a.w.t.Helper()
	args := []string{"run", "--state", a.State}
	if a.Restic != "" {
		args = append(args, "--restic", a.Restic)
	}
	cmd := exec.Command(program("restic-manager-agent"), args...)
	if a.Env != nil {
		cmd.Env = a.Env
	}
	a.process = world.Start(a.w.t, "the agent of "+a.Name, cmd)
	if !slices.Contains(a.w.agents, a) {
		a.w.agents = append(a.w.agents, a)
	}
}

// AwaitOnline waits until the control plane calls the host online.
func (a *Agent) AwaitOnline() {
	a.w.t.Helper()
	a.awaitOnline(true)
}

// AwaitOffline waits until it does not any more.
func (a *Agent) AwaitOffline() {
	a.w.t.Helper()
	a.awaitOnline(false)
}

func (a *Agent) awaitOnline(want bool) {
	a.w.t.Helper()
	world.Await(a.w.t, fmt.Sprintf("%s to have online = %v", a.Name, want), func() error {
		for _, h := range a.w.Hosts() {
			if h.ID == a.ID && h.Online == want {
				return nil
			}
		}
		if want && !a.process.Running() {
			return world.Stop(errors.New("its agent has ended: " + a.process.Errs.Tail(2000)))
		}
		return fmt.Errorf("hosts are %+v", a.w.Hosts())
	})
}

// Kill9 ends the agent, and nothing else, as the kernel would when it runs out
// of memory.
func (a *Agent) Kill9() {
	a.w.t.Helper()
	a.process.Kill9()
}

// MustStop stops the agent and insists on exit status 0.
func (a *Agent) MustStop() {
	a.w.t.Helper()
	a.process.MustStop(time.Minute)
}

// Write puts a file below Home.
func (a *Agent) Write(name, content string) {
	a.w.t.Helper()
	path := filepath.Join(a.Home, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		a.w.t.Fatal(err)
	}
}

// Noise puts a file of random bytes below Home.
func (a *Agent) Noise(name string, mebibytes int) {
	a.w.t.Helper()
	var seed [32]byte
	copy(seed[:], name)
	b := make([]byte, mebibytes<<20)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	a.Write(name, string(b))
}

// A Repository is one that plain restic opens, too.
type Repository struct {
	ID, URL, Password string
}

const password = "correct horse battery staple"

// Group says what the agent backs up, into an empty repository beside it: its Home
// unless paths are given.
func (a *Agent) Group(name string, paths ...string) Repository {
	a.w.t.Helper()
	r := a.GroupToBegin(name, paths...)
	if err := resticrepo.Make(r.URL, r.Password); err != nil {
		a.w.t.Fatal(err)
	}
	return r
}

// GroupToBegin is Group whose repository is not there yet: the first backup makes
// it, and each restic that opens it takes half a second of processor time.
func (a *Agent) GroupToBegin(name string, paths ...string) Repository {
	a.w.t.Helper()
	r := Repository{URL: filepath.Join(a.Dir, "repository-"+name), Password: password}
	r.ID = a.w.AddRepository(a.Name+"-"+name, r.URL, r.Password)
	a.PutGroup(name, r.ID, paths...)
	return r
}

// PutGroup says what the agent backs up into a known repository.
func (a *Agent) PutGroup(name, repository string, paths ...string) {
	a.w.t.Helper()
	if len(paths) == 0 {
		paths = []string{a.Home}
	}
	r := a.w.request("PUT", "/api/hosts/"+a.ID+"/source-groups/"+name, map[string]any{
		"repository": repository,
		"paths":      paths,
		"excludes":   []string{},
	})
	if r.StatusCode/100 != 2 {
		a.w.t.Fatalf("put the source group %s: %s: %s", name, r.Status, r.body)
	}
}

// Backup asks for one, and answers with its job.
func (a *Agent) Backup(group string) string {
	a.w.t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	a.w.API("POST", "/api/hosts/"+a.ID+"/jobs", map[string]any{"kind": "backup", "source_group": group}, http.StatusAccepted, &made)
	return made.ID
}

// Snapshots lists the IDs of those the control plane knows.
func (a *Agent) Snapshots() (ids []string) {
	a.w.t.Helper()
	var list []struct {
		ID string `json:"id"`
	}
	a.w.API("GET", "/api/hosts/"+a.ID+"/snapshots", nil, http.StatusOK, &list)
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

// restic runs plain restic on a repository, and answers with its stdout.
func restic(t *testing.T, r Repository, args ...string) string {
	t.Helper()
	cmd := exec.Command("restic", append([]string{"--no-cache"}, args...)...)
	cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+r.URL, "RESTIC_PASSWORD="+r.Password)
	got := command(t, cmd)
	if got.code != 0 {
		t.Fatalf("restic %s: exit code %d: %s", strings.Join(args, " "), got.code, got.errs)
	}
	return got.out
}

// A StandIn is a restic that is real but for what is done before a backup. Its
// gates open when the test says so.
type StandIn struct {
	t    *testing.T
	Path string
}

// NewStandIn writes one below dir. before is shell: words N M says "word N" to
// "word M", gate NAME waits for Open(NAME).
func NewStandIn(t *testing.T, dir, before string) StandIn {
	t.Helper()
	real, err := exec.LookPath("restic")
	if err != nil {
		t.Fatal(err)
	}
	s := StandIn{t, filepath.Join(dir, "restic")}
	script := `#!/bin/sh
words() { i=$1; while [ $i -le $2 ]; do echo "word $i" >&2; i=$((i+1)); done; }
gate() { touch "$0.at-$1"; while [ ! -e "$0.$1" ]; do sleep 0.05; done; }
case " $* " in *" backup "*)
` + before + `
esac
exec ` + real + ` "$@"
`
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(s.Path, []byte(script), 0o700)); err != nil {
		t.Fatal(err)
	}
	return s
}

// Open lets it pass a gate.
func (s StandIn) Open(gate string) {
	s.t.Helper()
	if err := os.WriteFile(s.Path+"."+gate, nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// AwaitAt waits until it stands at a gate.
func (s StandIn) AwaitAt(gate string) {
	s.t.Helper()
	world.Await(s.t, "restic to reach gate "+gate, func() error {
		_, err := os.Stat(s.Path + ".at-" + gate)
		return err
	})
}

func agentCommand(args ...string) *exec.Cmd {
	return exec.Command(program("restic-manager-agent"), args...)
}

// NewWorldToken is an enrolment token of a control plane nobody has started.
func NewWorldToken(t *testing.T) string {
	t.Helper()
	r := command(t, exec.Command(program("restic-manager"), "enroll-token", "create", "--data", filepath.Join(t.TempDir(), "data")))
	if r.code != 0 {
		t.Fatal(r.errs)
	}
	return strings.TrimSpace(r.out)
}
