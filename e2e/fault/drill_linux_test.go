package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAKilledDrillLeavesNothingBehind kills the agent at each step of a drill, of a sample
// and of all into a folder that somebody named. What was restored is gone when the agent is
// back, and the job is told to be interrupted; the next drill proves what it should.
func TestAKilledDrillLeavesNothingBehind(t *testing.T) {
	points := []string{
		"agent-drill-made",     // the folder is there, restic was not started
		"agent-spawned:2",      // restic restores, and goes on without its agent
		"agent-drill-restored", // all has come, nothing was looked at
		"agent-drill-judged",   // all was looked at, nothing is removed
		"agent-restic-ended",   // all is removed, and nobody knows
	}
	w := newWorld(t, 8)
	var all sync.WaitGroup
	for i, point := range points {
		h := w.enrol(fmt.Sprintf("host%d", i))
		all.Go(func() { h.killedDrill(t, point, i%2 == 1) })
	}
	all.Wait()
}

func (h *host) killedDrill(t *testing.T, point string, full bool) {
	real, err := exec.LookPath("restic")
	source, repository := filepath.Join(h.dir, "source"), filepath.Join(h.dir, "repository")
	for _, name := range []string{"closed/one", "two", "empty"} {
		at := filepath.Join(source, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(strings.Repeat(name, 1000)), 0o400))
	}
	err = errors.Join(err, os.Chmod(filepath.Join(source, "closed"), 0o500), resticrepo.Make(repository, "correct horse"),
		// What is restored stays half done for a while.
		os.WriteFile(h.restic, []byte("#!/bin/sh\ncase \"$*\" in *--verify*) [ -e \"$0.slow\" ] && { "+real+" \"$@\"; sleep 300; };; esac\nexec "+
			real+" \"$@\"\n"), 0o700))
	if point == "agent-spawned:2" {
		err = errors.Join(err, os.WriteFile(h.restic+".slow", nil, 0o600))
	}
	groups, err2 := h.w.store.SourceGroups(t.Context(), h.id)
	if err = errors.Join(err, err2); err == nil {
		groups[0].Paths = []string{source}
		_, err = h.w.store.PutSourceGroup(t.Context(), "test", groups[0])
	}
	if err != nil {
		t.Error(err)
		return
	}
	ask := func(request map[string]any) topics.JobID {
		var job struct {
			ID topics.JobID `json:"id"`
		}
		await(t, "a job to be accepted", func() error { return h.w.api("POST", "/api/hosts/"+string(h.id)+"/jobs", request, &job) })
		return job.ID
	}
	h.start("")
	if j := h.w.awaitEnd(ask(map[string]any{"kind": "backup", "source_group": "all"})); j.State != topics.Succeeded {
		t.Errorf("%s: the backup ended as %s: %s", point, j.State, j.Message)
		return
	}
	h.process.MustStop(time.Minute)

	drill := map[string]any{"kind": "drill"}
	own := filepath.Join(h.state(), "drills")
	if full {
		own = filepath.Join(h.state(), "restored", "drill")
		drill["full"], drill["target"] = true, own
	}
	h.start(point)
	id := ask(drill)
	h.process.AwaitDeath()
	there := func() (names []string) {
		names, _ = filepath.Glob(own + "/*")
		return names
	}
	if names := there(); (len(names) == 0) != (point == "agent-restic-ended") {
		t.Errorf("%s: when it was killed, %v was there", point, names)
	}
	if err := os.Remove(h.restic + ".slow"); err != nil && point == "agent-spawned:2" {
		t.Error(err)
	}
	h.start("")
	if j := h.w.awaitEnd(id); j.State != topics.Interrupted {
		t.Errorf("%s: it ended as %s: %s", point, j.State, j.Message)
	}
	if names := there(); len(names) > 0 {
		t.Errorf("%s: %v is left", point, names)
	}
	if left := running(id); len(left) > 0 {
		t.Errorf("%s: processes %v are left", point, left)
	}
	j := h.w.awaitEnd(ask(drill))
	if j.State != topics.Succeeded || j.Result.V == nil || j.Result.V.Drill == nil || j.Result.V.Drill.Files != 3 {
		t.Errorf("%s: the next drill ended as %s: %s, %+v", point, j.State, j.Message, j.Result)
	}
	if names := there(); len(names) > 0 {
		t.Errorf("%s: after the next drill %v is left", point, names)
	}
	h.process.MustStop(time.Minute)
}
