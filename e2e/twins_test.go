package e2e

import (
	"errors"
	"fmt"
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

// A machine is one that uses a host's identity, as the API shows it.
type machine struct {
	Instance, State, Hostname string
	Online                    bool
	RefusedAt                 *string `json:"refused_at"`
}

type identity struct {
	Twins    string
	Machines []machine
}

func (a *Agent) identity() (i identity) {
	a.w.t.Helper()
	a.w.API("GET", "/api/hosts/"+a.ID+"/identity", nil, http.StatusOK, &i)
	return i
}

// Copy copies this one's state directory, for another agent that is not started yet.
func (a *Agent) Copy(name string) *Agent {
	a.w.t.Helper()
	c := &Agent{w: a.w, ID: a.ID, Name: name, Dir: filepath.Join(a.w.Dir, name), Home: a.Home, Restic: a.Restic}
	c.State = filepath.Join(c.Dir, "state")
	if err := os.CopyFS(c.State, os.DirFS(a.State)); err != nil {
		a.w.t.Fatal(err)
	}
	for _, name := range []string{"identity.json", "policy.json", "journal.db"} {
		if err := os.Chmod(filepath.Join(c.State, name), 0o600); err != nil {
			a.w.t.Fatal(err)
		}
	}
	return c
}

// awaitTwins waits until both machines are shown and connected, and returns the one
// whose agent has this state directory.
func (a *Agent) awaitTwins(stays *Agent) (m machine) {
	a.w.t.Helper()
	world.AwaitWithin(a.w.t, time.Minute, "two machines to be shown", func() error {
		i := a.identity()
		var there []machine
		for _, m := range i.Machines {
			if m.Online && m.State != "" && m.RefusedAt == nil {
				there = append(there, m)
			}
		}
		at := slices.IndexFunc(there, func(m machine) bool { return m.State == stays.State })
		if i.Twins == "" || len(there) != 2 || at < 0 {
			return fmt.Errorf("the identity is %+v", i)
		}
		m = there[at]
		return nil
	})
	return m
}

// stay decides, and returns the token for the other machine.
func (a *Agent) stay(m machine) string {
	a.w.t.Helper()
	var made struct{ Token, Command string }
	a.w.API("POST", "/api/hosts/"+a.ID+"/twins", map[string]any{"instance": m.Instance}, http.StatusOK, &made)
	if !strings.Contains(made.Command, "--again") || !strings.Contains(made.Command, made.Token) {
		a.w.t.Errorf("the command is %q", made.Command)
	}
	return made.Token
}

// becomes enrols the machine as a host of its own.
func (a *Agent) becomes(name, token string) {
	a.w.t.Helper()
	a.MustStop()
	r := command(a.w.t, exec.Command(program("restic-manager-agent"), "enroll", "--again", "--server", a.w.Agents, "--token", token,
		"--state", a.State))
	if r.code != 0 {
		a.w.t.Fatalf("enroll --again: %s", r.errs)
	}
	a.ID, a.Name = strings.TrimSpace(r.out), name
	a.Start()
	a.AwaitOnline()
}

// TestTwoMachinesWithOneIdentityLoseNothing copies a machine while a backup runs there.
func TestTwoMachinesWithOneIdentityLoseNothing(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic", "--policy", "managed")
	stand := NewStandIn(t, filepath.Join(w.Dir, "bin"), "gate slow")
	attic.Restic = stand.Path
	attic.Start()
	attic.AwaitOnline()
	attic.Write("letters.txt", "dear reader")
	attic.Group("letters")
	copied := attic.Copy("copy") // before the job: on one machine, the copy would find and end its process
	running := attic.Backup("letters")
	stand.AwaitAt("slow")
	w.AwaitState(running, "running")
	copied.Start()
	stays := attic.awaitTwins(attic)
	if j := w.Job(running); j.ended() {
		t.Fatalf("the copy's hello ended what the original runs: %+v", j)
	}
	for _, h := range w.Hosts() {
		if h.ID == attic.ID && (h.Cause != "twins" || h.Status != "warning") {
			t.Errorf("the host is %s because of %q", h.Status, h.Cause)
		}
	}
	attic.Group("others")
	waiting := attic.Backup("others")
	if got := w.waitsFor(waiting); got != "twins" {
		t.Errorf("a job that was asked for waits for %q", got)
	}

	token := attic.stay(stays)
	stand.Open("slow")
	w.AwaitState(running, "succeeded")
	world.Await(t, "the job that waited to run on the one that stays", func() error {
		if j := w.Job(waiting); j.State != "succeeded" {
			return fmt.Errorf("it is %+v", j)
		}
		return nil
	})
	world.Await(t, "the copy to be told what to do", func() error {
		if said := copied.process.Errs.String(); !strings.Contains(said, "enroll --again") {
			return errors.New(copied.process.Errs.Tail(500))
		}
		return nil
	})
	world.Await(t, "the certificate of the one that stays to be renewed", func() error {
		if said := attic.process.Errs.String(); !strings.Contains(said, "certificate renewed") {
			return errors.New(attic.process.Errs.Tail(500))
		}
		return nil
	})
	copied.becomes("copy", token)
	copied.Group("own")
	w.AwaitState(copied.Backup("own"), "succeeded")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	if i := attic.identity(); i.Twins != "" {
		t.Errorf("it is decided, and the identity says %q", i.Twins)
	}
}

// TestTheCopyMayStay, and the control plane begins anew before and after that.
func TestTheCopyMayStay(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	attic.Write("letters.txt", "dear reader")
	attic.Group("letters")
	w.AwaitState(attic.Backup("letters"), "succeeded")
	copied := attic.Copy("copy")
	copied.Start()
	attic.awaitTwins(copied)

	w.KillPlane()
	w.StartPlane()
	stays := attic.awaitTwins(copied)
	waiting := attic.Backup("letters")
	token := attic.stay(stays)
	w.KillPlane()
	w.StartPlane()
	w.AwaitState(waiting, "succeeded")
	if said := copied.process.Errs.String(); !strings.Contains(said, waiting) {
		t.Error("the job did not run on the machine that stays")
	}
	attic.MustStop()
	attic.Start() // the one that was refused comes back
	world.Await(t, "the original to be refused", func() error {
		if said := attic.process.Errs.String(); !strings.Contains(said, "--again") {
			return errors.New(attic.process.Errs.Tail(500))
		}
		return nil
	})
	w.AwaitState(copied.Backup("letters"), "succeeded")
	attic.becomes("attic-2", token)
	attic.Group("own")
	w.AwaitState(attic.Backup("own"), "succeeded")
}

// waitsFor is why a job waits.
func (w *World) waitsFor(id string) string {
	w.t.Helper()
	var j struct {
		Waiting *struct{ Reason string }
	}
	w.API("GET", "/api/jobs/"+id, nil, http.StatusOK, &j)
	if j.Waiting == nil {
		return ""
	}
	return j.Waiting.Reason
}
