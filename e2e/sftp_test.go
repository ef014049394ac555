package e2e

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/agent/sftp/sshd"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
)

// TestANewUserOfSFTPGetsThereByThePages: the key of a server that nobody knows is shown and
// accepted, a key pair is made and its public half copied to the server, and the backup works.
func TestANewUserOfSFTPGetsThereByThePages(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	attic, s := w.StartAgent("attic", "--policy", "backup"), sshd.Start(t)
	attic.Write("letters/1.txt", "dear reader")
	dir := filepath.Join(w.Dir, "far")
	if err := resticrepo.Make(dir, password); err != nil {
		t.Fatal(err)
	}
	far := w.AddRepository("far", s.URL(dir), password)
	attic.PutGroup("letters", far)
	open := func(state string) string {
		var made struct{ ID string }
		w.API("POST", "/api/hosts/"+attic.ID+"/jobs", map[string]any{"kind": "init", "repository": far}, http.StatusAccepted, &made)
		w.AwaitState(made.ID, state)
		return made.ID
	}

	// Nobody knows the server.
	b.signIn(w)
	first := open("failed")
	b.Open("/jobs/" + first)
	b.AwaitText("#job-ending", "does not know the server's SSH key")
	b.AwaitText("#job-ending", s.Fingerprint())
	b.Inspect("job-host-key")
	b.Press("Trust this server " + s.Name())
	b.AwaitPath("/hosts/" + attic.ID + "/ssh")
	b.AwaitText("main", "Trusted")

	// It knows nobody.
	second := open("failed")
	b.Open("/jobs/" + second)
	b.AwaitText("#job-ending", "lets none of the host's SSH keys in")
	b.Press("SSH keys of the host")
	b.AwaitPath("/hosts/" + attic.ID + "/ssh")
	b.Press("Make a key pair")
	b.AwaitText("#public-key", "ssh-ed25519 ")
	b.Inspect("host-ssh")
	s.Authorize(Eval[string](b, `document.querySelector("#public-key").textContent.trim()`))
	w.AwaitState(attic.Backup("letters"), "succeeded")

	// Another key in the place of the first: only the host's own administrator takes it.
	s.Stop()
	s.Rekey()
	s.Begin()
	third := attic.Backup("letters")
	w.AwaitState(third, "failed")
	b.Open("/jobs/" + third)
	b.AwaitText("#job-ending", "another SSH key")
	b.AwaitText("#job-ending", "stands between")
	b.Open("/hosts/" + attic.ID + "/ssh")
	b.AwaitText("main", "Another key is known")
	b.AwaitText("main", "--changed")
	b.Inspect("host-ssh-changed")
	var refused struct{ Cause, Command string }
	w.API("POST", "/api/hosts/"+attic.ID+"/host-keys", map[string]any{"name": s.Name(), "fingerprint": s.Fingerprint(), "changed": true},
		http.StatusConflict, &refused)
	if refused.Cause != "policy" || !strings.Contains(refused.Command, "ssh accept") {
		t.Errorf("refused with %+v", refused)
	}
	if r := command(t, exec.Command(program("restic-manager-agent"), "ssh", "accept", s.Name(), s.Fingerprint(), "--changed", "--state",
		attic.State)); r.code != 0 {
		t.Fatalf("accept: %s", r.errs)
	}
	w.AwaitState(attic.Backup("letters"), "succeeded")
	w.MustStopCleanly()
}
