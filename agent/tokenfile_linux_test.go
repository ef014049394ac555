package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// put writes a file to enrol by, as it would lie there.
func put(t *testing.T, state, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(state, TokenFile)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func loaded(t *testing.T, state string) *Identity {
	t.Helper()
	i, err := LoadIdentity(state)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func stateDir(t *testing.T) string {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	return state
}

func TestOnlyASafeFileEnrols(t *testing.T) {
	good := `{"server": "backup.example.net:8883", "token": "rmt1_x", "policy": "restore", "restore_roots": ["/srv/restored"]}`
	state := stateDir(t)
	put(t, state, "\ufeff"+good, 0o644) // written by PowerShell, and read by others
	o, err := readOrder(state)
	if err != nil || o.Server != "backup.example.net:8883" || o.Policy != "restore" {
		t.Fatalf("%+v, %v", o, err)
	}
	if e, err := o.enrolment(state); err != nil || e.Policy.Name != PolicyRestore || e.Policy.RestoreRoots[0] != "/srv/restored" || e.Again {
		t.Errorf("%+v, %v", e, err)
	}
	for what, spoil := range map[string]func(state, path string){
		"others may write it":  func(_, path string) { _ = os.Chmod(path, 0o602) },
		"its group may":        func(_, path string) { _ = os.Chmod(path, 0o620) },
		"others may swap it":   func(state, _ string) { _ = os.Chmod(state, 0o777) },
		"it is a link":         func(_, path string) { _ = os.Rename(path, path+"2"); _ = os.Symlink(path+"2", path) },
		"it is a directory":    func(_, path string) { _ = os.Remove(path); _ = os.Mkdir(path, 0o700) },
		"it is no JSON":        func(_, path string) { _ = os.WriteFile(path, []byte("rmt1_x"), 0o600) },
		"it has another field": func(_, path string) { _ = os.WriteFile(path, []byte(`{"server": "a:1", "again": true}`), 0o600) },
		"it goes on":           func(_, path string) { _ = os.WriteFile(path, []byte(good+good), 0o600) },
		"it is large":          func(_, path string) { _ = os.WriteFile(path, []byte(good+strings.Repeat(" ", mostTokenFile)), 0o600) },
	} {
		state := stateDir(t)
		spoil(state, put(t, state, good, 0o600))
		if o, err := readOrder(state); err == nil {
			t.Errorf("%s, and it is used: %+v", what, o)
		}
	}
	if os.Geteuid() == 0 {
		state := stateDir(t)
		if err := os.Chown(put(t, state, good, 0o600), 1234, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := readOrder(state); err == nil || !strings.Contains(err.Error(), "another user") {
			t.Errorf("somebody else's: %v", err)
		}
	}
	for what, o := range map[string]fileOrder{
		"no such policy":    {Policy: "generous"},
		"restores anywhere": {Policy: PolicyRestore},
		"no full path":      {BackupRoots: []string{"srv"}},
	} {
		if _, err := o.enrolment(state); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestAnAgentWithoutAnIdentityWaitsForItsFile(t *testing.T) {
	state, w := stateDir(t), newWorld(t)
	run := func(ctx context.Context, waits bool) error {
		a := &Agent{State: state, Waits: waits, Log: slog.New(slog.DiscardHandler), Timing: Timing{TokenFile: time.Millisecond}}
		_, err := a.enrolled(ctx, state)
		return err
	}
	if err := run(t.Context(), false); !errors.Is(err, ErrNotEnrolled) {
		t.Fatalf("one that does not wait: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run(t.Context(), true) }()
	put(t, state, `{"server": "127.0.0.1:1", "token": "`+w.token.Reveal()+`"}`, 0o600) // nobody there: it goes on trying
	put(t, state, `{"server": "`+w.address+`", "token": "`+w.token.Reveal()+`", "policy": "keeper"}`, 0o600)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(state, TokenFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if policy, err := LoadPolicy(state); err != nil || policy.Name != PolicyKeeper {
		t.Errorf("the policy is %+v, %v", policy, err)
	}
	// A file that is put there once more is removed and enrols nobody.
	before := loaded(t, state)
	put(t, state, `{"server": "`+w.address+`", "token": "`+w.token.Reveal()+`", "policy": "managed"}`, 0o600)
	if err := run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if after := loaded(t, state); after.Host != before.Host {
		t.Errorf("the host was %s and is %s", before.Host, after.Host)
	}
	if policy, err := LoadPolicy(state); err != nil || policy.Name != PolicyKeeper {
		t.Errorf("the policy became %s, %v", policy.Name, err)
	}
	if _, err := os.Lstat(filepath.Join(state, TokenFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second file is still there: %v", err)
	}
}
