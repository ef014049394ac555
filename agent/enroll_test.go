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

// TestAPolicyThatIsThereIsNotReplaced enrols where an administrator has decided
// already: the pins of the host would be lost with a default in their place.
func TestAPolicyThatIsThereIsNotReplaced(t *testing.T) {
	w := newWorld(t)
	mine := preset(t, PolicyBackup, w.state)
	if err := mine.Narrow([]string{"/srv/vault"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(w.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mine.Save(w.state); err != nil {
		t.Fatal(err)
	}
	pinned := func(when string) {
		t.Helper()
		if p, err := LoadPolicy(w.state); err != nil || p.Name != PolicyBackup || len(p.Repositories) != 1 {
			t.Errorf("%s: the policy is %+v, %v", when, p, err)
		}
	}
	for _, other := range []string{PolicyBackup, PolicyManaged} {
		if _, err := Enroll(t.Context(), w.address, w.token.Reveal(), w.state, other); !errors.Is(err, ErrPolicy) ||
			!strings.Contains(err.Error(), "--again") {
			t.Errorf("as %s: %v", other, err)
		}
		pinned("as " + other)
	}
	if _, err := (Enrolment{Server: w.address, Token: w.token.Reveal()[:50], State: w.state, Policy: mine}).Run(t.Context()); err == nil {
		t.Error("half a token let it in")
	}
	pinned("after a failure")
	if _, err := (Enrolment{
		Server: w.address,
		Token:  w.token.Reveal(),
		State:  w.state,
		Policy: preset(t, PolicyManaged, w.state),
		Again:  true,
	}).Run(t.Context()); err != nil {
		t.Errorf("with --again: %v", err)
	}
	pinned("enrolled")
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
		if _, err := os.Lstat(filepath.Join(state, policyFile)); err == nil {
			t.Errorf("%s: a policy was left that the next try did not ask for", what)
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
