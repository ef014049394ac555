package e2e

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// A RestServer is rclone's, on one directory twice: append-only and private for
// endpoints, and with every right for whoever has the maintenance credential.
type RestServer struct {
	Dir            string
	Everyday, Full string // addresses
}

// What a test looks for where it must not be.
const (
	everydaySecret    = "everyday-4f1c2b7a"
	maintenanceSecret = "maintenance-9d8e03c5"
)

// NewRestServer starts both, with the user attic for everyday and keeper for the rest.
func NewRestServer(t *testing.T) RestServer {
	t.Helper()
	dir := t.TempDir()
	s := RestServer{Dir: filepath.Join(dir, "data"), Everyday: world.FreeAddress(t), Full: world.FreeAddress(t)}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	serve := func(address, user, password string, args ...string) {
		sum := sha1.Sum([]byte(password))
		file := filepath.Join(dir, user)
		if err := os.WriteFile(file, []byte(user+":{SHA}"+base64.StdEncoding.EncodeToString(sum[:])+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("rclone", append([]string{"serve", "restic", "--config", filepath.Join(dir, "none"), "--addr", address,
			"--htpasswd", file}, append(args, s.Dir)...)...)
		world.Start(t, "rclone for "+user, cmd)
		world.Await(t, "rclone to listen on "+address, func() error {
			c, err := net.DialTimeout("tcp", address, time.Second)
			if err != nil {
				return err
			}
			return c.Close()
		})
	}
	serve(s.Everyday, "attic", everydaySecret, "--append-only", "--private-repos")
	serve(s.Full, "keeper", maintenanceSecret)
	return s
}

// URL is the repository as somebody sees it.
func (s RestServer) URL(address, user, password string) string {
	return fmt.Sprintf("rest:http://%s:%s@%s/attic/", user, password, address)
}

// StartKeeper starts an agent whose host's policy lets it maintain.
func (w *World) StartKeeper(name string) *Agent {
	w.t.Helper()
	return w.StartAgent(name, "--policy", "keeper")
}

// Maintain asks for maintenance and answers with its job.
func (w *World) Maintain(repository, kind string) string {
	w.t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	w.API("POST", "/api/repositories/"+repository+"/maintenance", map[string]any{"kind": kind}, http.StatusAccepted, &made)
	return made.ID
}

// A Verdict is what becomes of one snapshot.
type Verdict struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	Reasons []string `json:"reasons"`
}

// A RetentionPlan is one as the API tells it.
type RetentionPlan struct {
	Keep    []Verdict `json:"keep"`
	Remove  []Verdict `json:"remove"`
	Flagged []Verdict `json:"flagged"`
	Unusual []string  `json:"unusual"`
	Held    *struct {
		Plan   string   `json:"plan"`
		Remove []string `json:"remove"`
	} `json:"held"`
}

// RetentionPlan asks what the next forget does.
func (w *World) RetentionPlan(repository string) (p RetentionPlan) {
	w.t.Helper()
	w.API("GET", "/api/repositories/"+repository+"/retention-plan", nil, http.StatusOK, &p)
	return p
}

func idsOf(list []Verdict) (ids []string) {
	for _, v := range list {
		ids = append(ids, v.ID)
	}
	slices.Sort(ids)
	return ids
}

// snapshotIDs is what plain restic finds in a repository.
func snapshotIDs(t *testing.T, r Repository) (ids []string) {
	t.Helper()
	for line := range strings.Lines(restic(t, r, "list", "snapshots", "-q", "--no-lock")) {
		if line = strings.TrimSpace(line); len(line) == 64 {
			ids = append(ids, line)
		}
	}
	slices.Sort(ids)
	return ids
}

// mustNotHold searches a directory for a secret.
func mustNotHold(t *testing.T, dir, secret string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// inMemory searches the memory of a process, all of it that can be read.
func inMemory(t *testing.T, pid int, secret string) bool {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	read := 0
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var rights string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil || rights[0] != 'r' || strings.Contains(line, "[v") {
			continue
		}
		const chunk = 8 << 20
		for at := from; at < to; at += chunk {
			b := make([]byte, min(chunk+int64(len(secret)), to-at))
			n, err := mem.ReadAt(b, at)
			if n == 0 && err != nil {
				continue // a mapping that has gone or is not backed
			}
			read += n
			if bytes.Contains(b[:n], []byte(secret)) {
				return true
			}
		}
	}
	if read < 1<<20 {
		t.Fatalf("only %d bytes of the memory of process %d could be read", read, pid)
	}
	return false
}

// TestOnlyTheKeeperDeletes has an endpoint that can only add, and a keeper.
func TestOnlyTheKeeperDeletes(t *testing.T) {
	w := NewWorld(t)
	server := NewRestServer(t)
	attic, keeper := w.StartAgent("attic"), w.StartKeeper("keeper")
	attic.Noise("photo.raw", 2)

	everyday := Repository{URL: server.URL(server.Everyday, "attic", everydaySecret), Password: password}
	everyday.ID = w.AddRepository("vault", everyday.URL, everyday.Password)
	full := Repository{ID: everyday.ID, URL: server.URL(server.Full, "keeper", maintenanceSecret), Password: password}
	change := func(body map[string]any) {
		t.Helper()
		w.API("PUT", "/api/repositories/"+everyday.ID, body, http.StatusOK, nil)
	}
	change(map[string]any{"append_only": true, "keeper": keeper.ID, "retention": map[string]any{"keep_within": "30d"},
		"maintenance": map[string]any{"url": "rest:http://" + server.Full + "/attic/", "username": "keeper", "password": maintenanceSecret}})
	attic.PutGroup("all", everyday.ID)
	var snapshots []string
	for i := range 4 {
		attic.Write("letter", fmt.Sprint("dear reader, ", i))
		attic.Noise(fmt.Sprintf("gone-%d.raw", i), 1)
		snapshots = append(snapshots, w.AwaitState(attic.Backup("all"), "succeeded").SnapshotID)
		if err := os.Remove(filepath.Join(attic.Home, fmt.Sprintf("gone-%d.raw", i))); err != nil {
			t.Fatal(err)
		}
	}

	// Inside the window nothing goes, and an empty plan succeeds.
	w.AwaitState(w.Maintain(everyday.ID, "forget"), "succeeded")
	if plan := w.RetentionPlan(everyday.ID); len(plan.Keep) != 4 || len(plan.Remove)+len(plan.Flagged) != 0 {
		t.Errorf("the plan is %+v, want one that keeps all four", plan)
	}
	// Counts are refused where anybody can add.
	if r := w.request("PUT", "/api/repositories/"+everyday.ID,
		map[string]any{"retention": map[string]any{"keep_last": 1}}); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a count on an append-only repository: %s %s", r.Status, r.body)
	}

	// Whoever has the endpoint's credential cannot delete.
	cmd := exec.Command("restic", "--no-cache", "forget", snapshots[0])
	cmd.Env = append(os.Environ(), "RESTIC_REPOSITORY="+everyday.URL, "RESTIC_PASSWORD="+everyday.Password)
	if got := command(t, cmd); got.code == 0 || !strings.Contains(got.errs, "403") {
		t.Errorf("restic forget as the endpoint: exit code %d: %s", got.code, got.errs)
	}
	for _, kind := range []string{"snapshots", "locks", "keys", "data", "index"} {
		dir := filepath.Join(server.Dir, "attic", kind)
		var name string
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				name = d.Name()
			}
			return err
		})
		if kind == "locks" || name == "" {
			continue // those an endpoint may remove
		}
		r, err := http.NewRequest("DELETE", "http://"+server.Everyday+"/attic/"+kind+"/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("attic", everydaySecret)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("DELETE of a file in %s as the endpoint: %s, want 403", kind, answer.Status)
		}
	}
	if r := w.request("POST", "/api/hosts/"+attic.ID+"/jobs", map[string]any{
		"kind":       "forget",
		"repository": everyday.ID,
		"snapshots":  snapshots[:1],
	}); r.StatusCode/100 == 2 {
		t.Errorf("a forget on the endpoint is taken: %s", r.body)
	}

	// Through the keeper it works. To have something to remove so soon after, the
	// operator says for once that counts are fine.
	change(map[string]any{"append_only": false, "retention": map[string]any{"keep_last": 2}})
	job := w.AwaitState(w.Maintain(everyday.ID, "forget"), "succeeded")
	if job.Host != keeper.ID || job.Kind != "forget" {
		t.Errorf("the job is %+v, want a forget on the keeper", job)
	}
	want := sortedIDs(snapshots[2:])
	if got := snapshotIDs(t, full); !slices.Equal(got, want) {
		t.Errorf("after the forget there are %v, want %v", got, want)
	}
	if plan := w.RetentionPlan(everyday.ID); !slices.Equal(idsOf(plan.Keep), want) || len(plan.Remove) != 0 {
		t.Errorf("then the plan is %+v", plan)
	}
	size := func() (n int64) {
		_ = filepath.WalkDir(filepath.Join(server.Dir, "attic", "data"), func(path string, d fs.DirEntry, err error) error {
			if info, e := d.Info(); err == nil && e == nil && d.Type().IsRegular() {
				n += info.Size()
			}
			return err
		})
		return n
	}
	before := size()
	w.AwaitState(w.Maintain(everyday.ID, "prune"), "succeeded")
	if after := size(); after > before-(1<<20) {
		t.Errorf("prune left %d of %d bytes", after, before)
	}
	w.AwaitState(w.Maintain(everyday.ID, "check"), "succeeded")
	restic(t, full, "check", "--read-data")

	// The endpoint never held the credential that may delete; the keeper did, so
	// that looking for it is known to work, but has it nowhere on disk.
	mustNotHold(t, attic.State, maintenanceSecret)
	mustNotHold(t, keeper.State, maintenanceSecret)
	if inMemory(t, attic.process.Cmd.Process.Pid, maintenanceSecret) {
		t.Error("the endpoint's memory holds the maintenance credential")
	}
	if !inMemory(t, attic.process.Cmd.Process.Pid, attic.ID) {
		t.Error("the endpoint's memory does not even hold its own ID: nothing was searched")
	}
	w.MustStopCleanly()
}

func sortedIDs(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return ids
}
