package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/agent/sftp/sshd"
	"github.com/restic-manager/restic-manager/topics"
)

// What a control plane may have trusted is the policy's to say, and never a key that no
// server has shown this host.
func TestAPolicySaysWhichServersMayBeTrusted(t *testing.T) {
	state := t.TempDir()
	s := sshd.Start(t)
	binary := restic.Binary{SSH: sshOf(state)}
	look := func() topics.Cause {
		return binary.Reach(t.Context(), restic.Repository{URL: topics.Secret(s.URL("/srv/vault"))}, mute{}).Cause
	}
	accept := func(p Policy, fingerprint string, changed bool) topics.Answer {
		return p.ssh(state, "attic", topics.SSHQuery{Accept: &topics.AcceptKey{Name: s.Name(), Fingerprint: fingerprint, Changed: changed}})
	}
	want := func(a topics.Answer, cause topics.Cause, says string) {
		t.Helper()
		if a.Cause != cause || !strings.Contains(a.Message, says) || (a.SSH == nil) != (cause != "") {
			t.Errorf("answered %s with %q and %+v, want %s", a.Cause, a.Message, a.SSH, cause)
		}
	}
	plain, managed := preset(t, PolicyBackup, state), preset(t, PolicyManaged, state)
	none, any := plain, plain
	none.HostKeys, any.HostKeys = topics.HostKeysNone, topics.HostKeysAny

	want(accept(managed, s.Fingerprint(), true), topics.CauseNotFound, "shown this host")
	if cause := look(); cause != topics.CauseHostKey {
		t.Fatalf("the server is %s", cause)
	}
	want(accept(none, s.Fingerprint(), true), topics.CausePolicy,
		"run on the host: restic-manager-agent ssh accept '"+s.Name()+"' "+s.Fingerprint())
	want(accept(plain, s.Fingerprint(), false), "", "")
	if cause := look(); cause != topics.CauseKeyRefused {
		t.Fatalf("the server is %s", cause)
	}
	s.Stop()
	s.Rekey()
	s.Begin()
	if cause := look(); cause != topics.CauseHostKeyOther {
		t.Fatalf("the server is %s", cause)
	}
	want(accept(plain, s.Fingerprint(), false), topics.CauseHostKeyOther, "")
	want(accept(plain, s.Fingerprint(), true), topics.CausePolicy, "--changed")
	want(accept(managed, s.Fingerprint(), false), topics.CauseHostKeyOther, "")
	want(accept(any, s.Fingerprint(), true), "", "")

	a := none.ssh(state, "attic", topics.SSHQuery{MakeKey: true})
	want(a, "", "")
	if a.SSH == nil || a.SSH.Accepts != topics.HostKeysNone || !strings.HasSuffix(a.SSH.PublicKey, " restic-manager@attic") {
		t.Fatalf("answered %+v", a.SSH)
	}
	private, err := os.ReadFile(filepath.Join(state, "ssh", "id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	if said := string(topics.Encode(a)); strings.Contains(said, strings.Split(string(private), "\n")[1]) {
		t.Error("the private half was told")
	}
	s.Authorize(a.SSH.PublicKey)
	if cause := look(); cause != topics.CauseNone {
		t.Errorf("the server is %s", cause)
	}
}
