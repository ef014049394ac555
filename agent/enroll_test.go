package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

func TestEnrolmentLeavesAnIdentityOnlyTheOwnerCanRead(t *testing.T) {
	w := newWorld(t)
	got, err := Enroll(t.Context(), w.address, w.token.Reveal()+"\n", w.state, "keeper")
	if err != nil {
		t.Fatal(err)
	}
	if got.Host != w.host || got.Name != "attic" || got.Server != w.address {
		t.Errorf("the identity is %+v", got)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, identityFile: 0o600, policyFile: 0o600} {
		if info, err := os.Stat(filepath.Join(w.state, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has the mode %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if p, err := LoadPolicy(w.state); err != nil || p.Name != PolicyKeeper {
		t.Errorf("the policy is %v, %v", p, err)
	}
	before, err := os.ReadFile(filepath.Join(w.state, identityFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Enroll(t.Context(), w.address, w.token.Reveal(), w.state, "backup"); !errors.Is(err, ErrEnrolled) {
		t.Errorf("enrolled a second time: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(w.state, identityFile)); err != nil || string(after) != string(before) {
		t.Errorf("the identity was overwritten, %v", err)
	}
}

func TestEnrolmentThatFailsSaysWhy(t *testing.T) {
	w := newWorld(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	used := w.token
	used.Key = topics.Secret(strings.Repeat("U", 52))
	foreign := topics.NewEnrollToken(newAuthority(t).ca)
	for what, c := range map[string]struct {
		server, token, policy string
		want                  error
		says                  string
	}{
		"nobody listens":             {closed.Addr().String(), w.token.Reveal(), "backup", ErrUnreachable, "check address"},
		"another control plane":      {w.address, foreign.Reveal(), "backup", ErrOtherPlane, "check the address"},
		"a used token":               {w.address, used.Reveal(), "backup", nil, "make a new one"},
		"half a token":               {w.address, w.token.Reveal()[:50], "backup", topics.ErrToken, "copy it whole"},
		"no port":                    {"backup.example.org", w.token.Reveal(), "backup", nil, "HOST:PORT"},
		"a policy nobody knows":      {w.address, w.token.Reveal(), "everything", nil, "backup restore keeper managed"},
		"a directory that cannot be": {w.address, w.token.Reveal(), "backup", nil, "state directory"},
	} {
		state := filepath.Join(t.TempDir(), "state")
		if what == "a directory that cannot be" {
			state = filepath.Join(w.home, "letter.txt", "state")
		}
		_, err := Enroll(t.Context(), c.server, c.token, state, c.policy)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want one that says %q", what, err, c.says)
		}
		if _, err := LoadIdentity(state); err == nil {
			t.Errorf("%s: there is an identity", what)
		}
	}
	if rejected := new(Rejection); true {
		_, err := Enroll(t.Context(), w.address, used.Reveal(), filepath.Join(t.TempDir(), "state"), "backup")
		if !errors.As(err, &rejected) || rejected.Status != 403 {
			t.Errorf("a used token is answered with %v", err)
		}
	}
}

func TestADamagedIdentitySaysWhatToDo(t *testing.T) {
	state := t.TempDir()
	if _, err := LoadIdentity(state); !errors.Is(err, ErrNotEnrolled) || !strings.Contains(err.Error(), "enroll first") {
		t.Errorf("without one: %v", err)
	}
	if err := os.WriteFile(filepath.Join(state, identityFile), []byte(`{"host":"attic-0001"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(state); err == nil || !strings.Contains(err.Error(), "enrol this host again") {
		t.Errorf("with half of one: %v", err)
	}
}
