package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/release"
)

// layRelease puts a release beside the agents that are handed out: a newer build of the agent,
// and its manifest, signed by a key of this test's.
func (w *World) layRelease(version string, number int64) (publicKey string) {
	w.t.Helper()
	public, secret, err := minisign.GenerateKey(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	dir := filepath.Join(w.Dir, "plane", "agents")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	const module = "github.com/restic-manager/restic-manager/"
	name := "restic-manager-agent_" + version + "_" + runtime.GOOS + "_" + runtime.GOARCH
	build := exec.Command("go", "build", "-ldflags", fmt.Sprintf("-s -w -X %srelease.Number=%d -X %sagent.Version=%s", module, number, module,
		version), "-o", filepath.Join(dir, name), module+"cmd/restic-manager-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		w.t.Fatalf("building the newer agent: %v\n%s", err, out)
	}
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	manifest := release.Encode(release.Manifest{Format: release.Format, Number: number, Version: version, Programs: []release.Program{{
		OS: runtime.GOOS, Arch: runtime.GOARCH, Name: name, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}}})
	for file, content := range map[string][]byte{release.ManifestFile: manifest, release.SignatureFile: minisign.Sign(secret, manifest)} {
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return public.String()
}

// TestAHostIsUpdatedByTheButtonOnItsPage: a newer release lies here and is said to, a rollout
// that waits for its hours is stopped by the button, and the host's own button has its agent run
// the new program, which backs up as the old one did.
func TestAHostIsUpdatedByTheButtonOnItsPage(t *testing.T) {
	w := NewWorld(t)
	key := w.layRelease("9.9.9", 1_900_000_000)
	a := w.Enrol("attic")
	allowed := command(t, exec.Command(program("restic-manager-agent"), "policy", "allow-updates", "--key", key, "--state", a.State))
	if allowed.code != 0 {
		t.Fatalf("naming the key: %s%s", allowed.out, allowed.errs)
	}
	a.Start()
	a.AwaitOnline()

	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/updates")
	b.AwaitText("#updates-head", "1 host runs an older version than 9.9.9")
	b.AwaitText("#updates-release", "9.9.9")
	b.Inspect("updates-newer")

	var rollout struct{ ID, Outcome, Waits string }
	hour := func(add int) string { return fmt.Sprintf("%02d:00", (time.Now().UTC().Hour()+add)%24) }
	w.API("POST", "/api/updates/rollouts", map[string]any{"from": hour(6), "until": hour(8)}, 201, &rollout)
	w.API("POST", "/api/updates/rollouts", map[string]any{"from": hour(6), "until": hour(8)}, 201, &rollout) // the same one
	b.AwaitText("#updates-going", "Updates begin at "+hour(6))
	b.Press("Stop…")
	b.Press("Stop the update")
	b.AwaitPath("/updates/" + rollout.ID)
	b.AwaitText("#rollout-state", "Stopped by ")

	b.Open("/hosts/" + a.ID)
	b.AwaitText("#host-update", "Version 9.9.9 lies on this server")
	b.Press("Update to 9.9.9")
	b.AwaitPath("/updates/")
	b.AwaitText("#rollout-state", "1 updated")
	b.AwaitText("#rollout-hosts", "Updated")
	b.Inspect("rollout-done")
	world.Await(t, "the agent to run the new version", func() error {
		var hosts []struct {
			Version, Latest string
			Online          bool
		}
		w.API("GET", "/api/updates/hosts", nil, 200, &hosts)
		if len(hosts) != 1 || hosts[0].Version != "9.9.9" || hosts[0].Latest != "9.9.9" || !hosts[0].Online {
			return fmt.Errorf("hosts are %+v", hosts)
		}
		return nil
	})
	r := command(t, exec.Command(program("restic-manager"), "updates", "list", "--data", w.Data))
	if !strings.Contains(r.out, "stopped") || !strings.Contains(r.out, "attic alone") {
		t.Errorf("the command line lists\n%s%s", r.out, r.errs)
	}
	w.MustStopCleanly()
}
