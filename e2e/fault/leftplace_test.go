package fault

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/topics"
)

// TestAChangeOfThePasswordGoesOnWithoutAPlace: the place of a host that was removed, in a
// repository without a keeper, has nobody who would add a key. An administrator goes on without
// it, the old password stays for it, a host that is first configured with a repository of the old
// password gets the new key, and so does the place, when it has a keeper.
func TestAChangeOfThePasswordGoesOnWithoutAPlace(t *testing.T) {
	const fresh = "another password of all"
	w := newWorld(t, 23)
	served := filepath.Join(w.dir, "served")
	dirs := map[string]string{}
	for _, name := range []string{"attic", "barn", "cellar"} {
		dirs[name] = filepath.Join(served, "fleet", name)
		if err := errors.Join(os.MkdirAll(dirs[name], 0o700), resticrepo.Make(dirs[name], making)); err != nil {
			t.Fatal(err)
		}
	}
	attic, barn, cellar := w.pioneerAs("attic", agent.PolicyKeeper), w.pioneerAs("barn", agent.PolicyKeeper),
		w.pioneerAs("cellar", agent.PolicyKeeper)
	keeper := w.pioneerAs("keeper", agent.PolicyKeeper)
	keeper.start("")
	b := &beginning{world: w, group: "all", hosts: []*host{attic, barn}}
	r := &rekeying{world: w}
	var made struct {
		ID topics.RepositoryID `json:"id"`
	}
	b.must("POST", "/api/repositories", map[string]any{"name": "fleet", "url": serveRestic(t, served) + "fleet/{host}/", "password": making},
		&made)
	b.repository, r.repository = made.ID, made.ID
	at := "/api/repositories/" + string(made.ID)
	configure := func(h *host) {
		t.Helper()
		b.must("PUT", "/api/hosts/"+string(h.id)+"/source-groups/all", map[string]any{"repository": made.ID, "paths": []string{h.source()},
			"excludes": []string{}}, nil)
		h.start("")
	}
	backedUp := func(h *host, n int) {
		t.Helper()
		await(t, "backup "+fmt.Sprint(n)+" of "+filepath.Base(h.dir), func() error {
			good, said := 0, []string{}
			for _, j := range b.jobs(h) {
				if j.Kind == topics.BackupJob && j.State == topics.Succeeded {
					good++
				}
				said = append(said, fmt.Sprintf("%s %s (%s: %s)", j.Kind, j.State, j.Cause, j.Message))
			}
			if good < n {
				return fmt.Errorf("its jobs are %s", strings.Join(said, "\n"))
			}
			return nil
		})
	}
	for _, h := range b.hosts {
		configure(h)
		b.ask(h)
		backedUp(h, 1)
	}
	barn.process.MustStop(time.Minute)
	b.must("DELETE", "/api/hosts/"+string(barn.id)+"?snapshots=keep", nil, nil)

	type place struct {
		Host    topics.HostID `json:"host"`
		Stuck   string        `json:"stuck"`
		LeftBy  string        `json:"left_by"`
		LeftWhy string        `json:"left_why"`
		Opens   string        `json:"opens"`
	}
	var said struct {
		State  string  `json:"state"`
		Places []place `json:"places"`
	}
	of := func(h *host) (p place) {
		for _, one := range said.Places {
			if one.Host == h.id {
				p = one
			}
		}
		return p
	}
	look := func(what string, good func() bool) {
		t.Helper()
		await(t, what, func() error {
			if err := w.api("GET", at+"/password", nil, &said); err != nil || !good() {
				return fmt.Errorf("it says %+v, %w", said, err)
			}
			return nil
		})
	}
	b.must("POST", at+"/password", map[string]any{"password": fresh}, nil)
	look("the place to be in the way", func() bool { return of(barn).Stuck != "" && of(attic).Stuck == "" && said.State == "adding" })
	if err := w.api("POST", at+"/password/former", map[string]any{"place": barn.id}, nil); err == nil {
		t.Error("the password of a place that was not left is told")
	}
	b.must("POST", at+"/password/go-on", map[string]any{"places": []topics.HostID{barn.id}}, nil)
	look("the change to go on", func() bool { return said.State == "done" && of(barn).LeftBy != "" })
	if p := of(barn); !strings.Contains(p.LeftWhy, "No host") || !strings.Contains(p.Opens, "Only the old password opens it") {
		t.Errorf("of the place that was left it says %+v", p)
	}
	r.mustOpen(dirs["attic"], fresh, true)
	r.mustOpen(dirs["attic"], making, false)
	r.mustOpen(dirs["barn"], making, true)
	r.mustOpen(dirs["barn"], fresh, false)
	var old struct {
		Password string `json:"password"`
	}
	b.must("POST", at+"/password/former", map[string]any{"place": barn.id}, &old)
	if old.Password != making {
		t.Errorf("the password of the place is told as %q", old.Password)
	}

	// The repository of cellar was made by somebody, long ago.
	configure(cellar)
	b.ask(cellar)
	await(t, "cellar to be refused", func() error {
		for _, j := range b.jobs(cellar) {
			if j.Cause == topics.CausePassword {
				return nil
			}
		}
		return fmt.Errorf("its jobs are %+v", b.jobs(cellar))
	})
	look("cellar to get the new key", func() bool { return of(cellar).Host != "" })
	await(t, "the old key of cellar to go", func() error {
		l, err := w.store.LookPassword(t.Context(), b.change(t).ID)
		for _, p := range l.Places {
			if p.Host == cellar.id && p.RemovedAt > 0 {
				return nil
			}
		}
		return fmt.Errorf("the places are %+v, %w", l.Places, err)
	})
	b.ask(cellar)
	backedUp(cellar, 1)
	r.mustOpen(dirs["cellar"], fresh, true)
	r.mustOpen(dirs["cellar"], making, false)

	// Somebody reaches the place, and nothing is left to be kept.
	b.must("PATCH", at, map[string]any{"keeper": keeper.id}, nil)
	await(t, "the place to be reached, and the former password to be erased", func() error {
		if c := b.change(t); c.Former != "" {
			l, err := w.store.LookPassword(t.Context(), c.ID)
			return fmt.Errorf("the places are %+v, %w", l.Places, err)
		}
		return nil
	})
	r.mustOpen(dirs["barn"], fresh, true)
	r.mustOpen(dirs["barn"], making, false)
	for _, h := range []*host{attic, cellar, keeper} {
		h.process.MustStop(time.Minute)
	}
	w.plane.MustStop(time.Minute)
}

// change is the last change of the repository's password.
func (b *beginning) change(t *testing.T) passwords.Change {
	t.Helper()
	list, err := b.store.Passwords(t.Context(), b.repository)
	if err != nil || len(list) == 0 {
		t.Fatalf("the changes are %v, %v", list, err)
	}
	return list[0]
}
