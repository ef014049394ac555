package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane"
)

// A demo that was killed cannot tidy up; the next one does, and touches nothing
// that lives or is not a demo's.
func TestADemoRemovesWhatKilledOnesHaveLeft(t *testing.T) {
	temp := t.TempDir()
	prepare := func(name string, claimed bool) (string, *os.File) {
		dir := filepath.Join(temp, name)
		if err := os.MkdirAll(filepath.Join(dir, "vault"), 0o700); err != nil {
			t.Fatal(err)
		}
		if !claimed {
			return dir, nil
		}
		claim, err := controlplane.Claim(dir)
		if err != nil {
			t.Fatal(err)
		}
		return dir, claim
	}
	killed, claim := prepare(demoPrefix+"1", true)
	if err := claim.Close(); err != nil {
		t.Fatal(err)
	}
	alive, held := prepare(demoPrefix+"2", true)
	defer held.Close()
	begun, _ := prepare(demoPrefix+"3", false)
	other, stopped := prepare("data", true)
	if err := stopped.Close(); err != nil {
		t.Fatal(err)
	}
	removeLeftovers(temp)
	if _, err := os.Stat(killed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed demo has left is still there: %v", err)
	}
	for _, dir := range []string{alive, begun, other} {
		if _, err := os.Stat(filepath.Join(dir, "vault")); err != nil {
			t.Errorf("another's directory is gone: %v", err)
		}
	}
}
