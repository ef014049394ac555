package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// What a control plane holds to the quarantine goes nowhere else, whatever the policy permits.
func TestAConfinedRestoreStaysInTheQuarantine(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	for _, name := range []string{"elsewhere", "state/restored/full", "state/restored/empty"} {
		if err := os.MkdirAll(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("state/restored/full/letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("elsewhere"), at("state/restored/out")); err != nil {
		t.Fatal(err)
	}
	for _, name := range Presets {
		p := preset(t, name, at("state"))
		if got := p.permits(at("state")).Quarantine; got != at("state/restored") {
			t.Errorf("%s says that its quarantine is %q", name, got)
		}
		for target, says := range map[string]string{
			"state/restored/new":      "",
			"state/restored/new/deep": "",
			"state/restored/empty":    "",
			"state/restored":          "may restore below",
			"state":                   "may restore below",
			"state/restored2/x":       "may restore below",
			"elsewhere":               "may restore below",
			"state/restored/full":     "is not empty, and who asked for this may not",
			"state/restored/out":      "a link",
			"state/restored/out/x":    "a link",
		} {
			run := topics.Run{Kind: topics.RestoreJob, Repository: topics.Repository{ID: "vault-0001", URL: "/srv/vault"},
				Operation: topics.Operation{Snapshot: "0123456789", Target: at(target), Confined: true}}
			p.Repositories = []string{"/srv/vault"}
			err := p.decide(at("state"), run)
			if err == nil {
				err = p.prepare(at("state"), run)
			}
			if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
				t.Errorf("%s, %s: %v, want %q", name, target, err, says)
			}
			if says == "" && target != "state/restored/empty" {
				_ = os.RemoveAll(at("state/restored/new"))
			}
		}
	}
	if left, _ := os.ReadDir(at("elsewhere")); len(left) > 0 {
		t.Errorf("elsewhere there is %v", left)
	}
	over := topics.Operation{Snapshot: "0123456789", Target: at("state/restored/x"), Confined: true, Overwrite: "always"}
	if err := over.Check(topics.RestoreJob); err == nil {
		t.Error("over files is not refused")
	}
	// A policy that names other roots has no quarantine to tell of.
	p := preset(t, PolicyBackup, at("state"))
	p.RestoreRoots = []string{at("elsewhere")}
	if got := p.permits(at("state")).Quarantine; got != "" {
		t.Errorf("with other roots its quarantine is %q", got)
	}
}
