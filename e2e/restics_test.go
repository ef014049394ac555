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

	"github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/topics"
)

// layRestic puts a file as restic is released into the control plane's directory for them: a
// program that says it is a version, and is the restic of this machine otherwise. It returns
// its name and checksum.
func (w *World) layRestic(version, script string) (name, sum string) {
	w.t.Helper()
	dir := filepath.Join(w.Data, "restic")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	name = "restic_" + version + "_" + runtime.GOOS + "_" + runtime.GOARCH
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o600); err != nil {
		w.t.Fatal(err)
	}
	s := sha256.Sum256([]byte(script))
	return name, hex.EncodeToString(s[:])
}

// TestAHostFetchesResticWhereItsPolicyLetsIt: a file with restic is given only once its checksum
// was confirmed, and taken only where the host's own policy says so; what is another file, no
// restic, or older replaces nothing; what was fetched is used for the next backup, and gone back
// from.
func TestAHostFetchesResticWhereItsPolicyLetsIt(t *testing.T) {
	real, err := exec.LookPath("restic")
	if err != nil {
		t.Skip("there is no restic")
	}
	w := NewWorld(t)
	a := w.Enrol("attic")
	a.Start()
	a.AwaitOnline()
	version := func(v string) string {
		return fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = version ]; then echo restic %s compiled with go1.25 on linux/amd64; exit; fi\n"+
			"exec %s \"$@\"\n", v, real)
	}
	name, sum := w.layRestic("0.14.9", version("0.14.9"))
	pin := func(name, sum string, status int) {
		w.API("PUT", "/api/restic/files/"+name, map[string]any{"sha256": sum}, status, nil)
	}
	type outcome struct{ Name, Job, Why, Remedy string }
	fetch := func(body map[string]any) outcome {
		t.Helper()
		body["host"] = "attic"
		var out []outcome
		w.API("POST", "/api/restic/fetches", body, 200, &out)
		if len(out) != 1 {
			t.Fatalf("%+v", out)
		}
		return out[0]
	}
	type job struct{ State, Cause, Message string }
	ended := func(o outcome) (j job) {
		t.Helper()
		if o.Job == "" {
			t.Fatalf("nothing was asked for: %s %s", o.Why, o.Remedy)
		}
		world.Await(t, "the job to end", func() error {
			w.API("GET", "/api/jobs/"+o.Job, nil, 200, &j)
			if !topics.JobState(j.State).Ended() {
				return fmt.Errorf("it is %s", j.State)
			}
			return nil
		})
		return j
	}
	type known struct {
		Version, Fetched, Cannot string
		Lacks                    []struct{ What string }
	}
	awaitRestic := func(version, file string) {
		t.Helper()
		world.Await(t, "restic "+version+" to be told", func() error {
			var list []known
			w.API("GET", "/api/restic/hosts", nil, 200, &list)
			if len(list) != 1 || list[0].Version != version && version != "" || list[0].Fetched != file {
				return fmt.Errorf("%+v", list)
			}
			return nil
		})
	}

	w.API("POST", "/api/restic/fetches", map[string]any{"host": "attic", "version": "0.14.9"}, 422, nil) // nobody confirmed it
	w.API("POST", "/api/restic/fetches", map[string]any{"version": "0.14.9"}, 422, nil)                  // of no host
	pin(name, strings.Repeat("ab", 32), 422)
	pin(name, sum, 200)
	if o := fetch(map[string]any{"version": "0.14.9"}); o.Job != "" || !strings.Contains(o.Why, "policy") {
		t.Fatalf("its policy does not let it: %+v", o)
	}
	agent := func(args ...string) string {
		t.Helper()
		r := command(t, exec.Command(program("restic-manager-agent"), append(args, "--state", a.State)...))
		if r.code != 0 {
			t.Fatalf("%v: %s%s", args, r.out, r.errs)
		}
		return r.out + r.errs
	}
	allowed := func() {
		t.Helper()
		world.Await(t, "the policy to be told", func() error {
			var list []known
			w.API("GET", "/api/restic/hosts", nil, 200, &list)
			if len(list) != 1 || list[0].Cannot != "" {
				return fmt.Errorf("%+v", list)
			}
			return nil
		})
	}
	agent("policy", "allow-restic")
	allowed()

	// What says that it is restic and is not, and what is older, replaces nothing.
	broken, brokenSum := w.layRestic("0.15.0", "just a text\n")
	pin(broken, brokenSum, 200)
	if j := ended(fetch(map[string]any{"version": "0.15.0"})); j.State != "failed" || j.Cause != "cannot-run" {
		t.Fatalf("a text: %+v", j)
	}
	old, oldSum := w.layRestic("0.16.0", version("0.13.1"))
	pin(old, oldSum, 200)
	if j := ended(fetch(map[string]any{"version": "0.16.0"})); j.State != "failed" || j.Cause != "old-manifest" {
		t.Fatalf("one that is too old: %+v", j)
	}
	awaitRestic("", "")

	// It is used for what comes next.
	if j := ended(fetch(map[string]any{"version": "0.14.9"})); j.State != "succeeded" {
		t.Fatalf("the good one: %+v", j)
	}
	awaitRestic("0.14.9", name)
	if said := agent("restic", "show"); !strings.Contains(said, "restic 0.14.9 is used") || !strings.Contains(said, sum) {
		t.Errorf("the host says %s", said)
	}
	info, err := os.Stat(filepath.Join(a.State, "fetched", sum, "restic"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("it lies there as %v, %v", info, err)
	}
	if o := fetch(map[string]any{"version": "0.14.9"}); o.Job != "" || !strings.Contains(o.Why, "already") {
		t.Errorf("again: %+v", o)
	}
	var audit []struct{ Action, Target, Detail string }
	w.API("GET", "/api/audit", nil, 200, &audit)
	if text := fmt.Sprint(audit); !strings.Contains(text, "{restic.pinned "+name+" its SHA-256 is "+sum) ||
		!strings.Contains(text, "update of restic "+name+" "+sum) {
		t.Errorf("the audit log has %s", text)
	}

	// Going back leads to the host's own.
	agent("restic", "rollback")
	world.Await(t, "its own restic to be used", func() error {
		var list []known
		w.API("GET", "/api/restic/hosts", nil, 200, &list)
		if len(list) != 1 || list[0].Version == "0.14.9" || list[0].Fetched != "" {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	w.MustStopCleanly()
}
