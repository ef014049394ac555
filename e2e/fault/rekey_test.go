package fault

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/topics"
)

// A rekeying is one repository whose password is changed again and again, by real restics,
// while everybody is killed.
type rekeying struct {
	*world
	repository topics.RepositoryID
	keeper     *host
	hosts      []*host           // that back up into it
	places     map[*host]string  // its directory, as each host has it
	keys       map[string]string // by their files, the passwords that they are of
	mu         sync.Mutex        // of what follows: the watch reads it
	known      []string          // every password that it had, or was to have, the last first
	changes    int
}

// dirs are the places of the repository.
func (r *rekeying) dirs() []string {
	var all []string
	for _, dir := range r.places {
		if !slices.Contains(all, dir) {
			all = append(all, dir)
		}
	}
	return all
}

func (r *rekeying) passwords() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.known)
}

// opens says which passwords open a place, by its key files: each is tried once.
func (r *rekeying) opens(dir string) (all []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "keys", "????????????????????????????????????????????????????????????????"))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	known := slices.Clone(r.known)
	r.mu.Unlock()
	for _, file := range files {
		r.mu.Lock()
		of, tried := r.keys[file]
		r.mu.Unlock()
		if !tried {
			for _, password := range known {
				if does, err := resticrepo.KeyOpens(file, password); err != nil {
					return nil, err // it is being written, or it is gone
				} else if does {
					of = password
					break
				}
			}
			r.mu.Lock()
			r.keys[file] = of
			r.mu.Unlock()
		}
		if of != "" {
			all = append(all, of)
		}
	}
	return all, nil
}

// configured is the password of the repository in the config that a host keeps. It reads a
// copy of the journal, which a living agent has open.
func (r *rekeying) configured(h *host) (password string, err error) {
	identity, err := agent.LoadIdentity(h.state())
	if err != nil {
		return "", err
	}
	key, err := hkdf.Key(sha256.New, identity.SealKey, nil, "restic-manager/1 journal", 32)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "journal-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	const name = "journal.db"
	b, err := os.ReadFile(filepath.Join(h.state(), name))
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		return "", err
	}
	journal, err := spool.Open(dir, [32]byte(key), time.Now)
	if err != nil {
		return "", err
	}
	defer journal.Close()
	c, _, err := journal.Plan()
	if err != nil {
		return "", err
	}
	for _, one := range c.Config.Repositories {
		if one.ID == r.repository {
			return one.Password.Reveal(), nil
		}
	}
	return "", errors.New("the host's config does not have the repository")
}

// row is the password that commands and configs have from now on.
func (r *rekeying) row() (string, error) {
	a, err := r.store.RepositoryAccess(context.WithoutCancel(r.t.Context()), r.repository)
	return a.Password.Reveal(), err
}

// working insists that what the control plane has opens every place, and that what each host
// has opens its own. What somebody is just writing is looked at again.
func (r *rekeying) working(when string) {
	r.t.Helper()
	for h, dir := range r.places {
		bad := func(read func() (string, error)) error {
			has, err := read()
			if err != nil {
				return err
			}
			open, err := r.opens(dir)
			if err == nil && !slices.Contains(open, has) {
				err = fmt.Errorf("it has the password %.8s…, and %s is opened by %.8q", has, filepath.Base(dir), open)
			}
			return err
		}
		err := bad(r.row)
		for n := 0; err != nil && n < 5; n++ {
			err = bad(r.row)
		}
		if err != nil {
			r.t.Errorf("%s: the control plane: %v", when, err)
		}
		own := func() (string, error) { return r.configured(h) }
		for n, err := 0, bad(own); err != nil; n, err = n+1, bad(own) {
			if n == 20 {
				r.t.Errorf("%s: %s: %v", when, filepath.Base(h.dir), err)
				break
			}
		}
	}
}

// watch looks, until ctx ends, whenever a key has come or gone or the row has changed. It
// insists that an old key goes only when every host has confirmed.
func (r *rekeying) watch(ctx context.Context) {
	before := ""
	had := map[string][]string{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && !r.t.Failed() {
		row, err := r.row()
		now := row
		for _, dir := range r.dirs() {
			open, lerr := r.opens(dir)
			err = errors.Join(err, lerr)
			slices.Sort(open)
			now += "\n" + strings.Join(open, " ")
			if lerr != nil {
				continue
			}
			for _, password := range had[dir] {
				if !slices.Contains(open, password) {
					r.went(dir, password, row)
				}
			}
			had[dir] = open
		}
		if err == nil && now != before {
			before = now
			r.working("while it is changed")
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// went takes note that a password does not open a place any more.
func (r *rekeying) went(dir, password, row string) {
	if password == row {
		r.t.Errorf("%s lost the key that is in use", filepath.Base(dir))
	}
	ctx := context.WithoutCancel(r.t.Context())
	list, err := r.store.Passwords(ctx, r.repository)
	if err != nil || len(list) == 0 {
		r.t.Errorf("changes %v, %v", list, err)
		return
	}
	l, err := r.store.LookPassword(ctx, list[0].ID)
	if err != nil {
		r.t.Error(err)
		return
	}
	if l.State != passwords.Removing && l.State != passwords.Done {
		r.t.Errorf("a key of %s was removed while the change is %s", filepath.Base(dir), l.State)
	}
	for _, h := range l.Hosts {
		if h.ConfirmedAt == 0 {
			r.t.Errorf("a key of %s was removed before %s had confirmed", filepath.Base(dir), h.Name)
		}
	}
}

// open has a change go on, or begins one, and returns it.
func (r *rekeying) open() passwords.Change {
	r.t.Helper()
	list, err := r.store.Passwords(r.t.Context(), r.repository)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(list) > 0 && !list[0].Ended() {
		return list[0]
	}
	if len(list) > 0 {
		r.over()
	}
	r.mu.Lock()
	r.changes++
	next := fmt.Sprintf("password number %d of this repository", r.changes)
	r.known = append([]string{next}, r.known...)
	r.mu.Unlock()
	await(r.t, "a change to begin", func() error {
		err := r.api("POST", "/api/repositories/"+string(r.repository)+"/password", map[string]any{"password": next}, nil)
		if err == nil {
			return nil
		}
		// The control plane may have died after it had begun.
		if list, lerr := r.store.Passwords(r.t.Context(), r.repository); lerr != nil || len(list) < r.changes {
			return errors.Join(err, lerr, r.revive())
		}
		return nil
	})
	list, err = r.store.Passwords(r.t.Context(), r.repository)
	if err != nil || len(list) != r.changes {
		r.t.Fatalf("there are %d changes, %v, want %d", len(list), err, r.changes)
	}
	return list[0]
}

// revive starts what has died.
func (r *rekeying) revive() error {
	if !r.plane.Running() {
		r.startPlane("")
	}
	for _, h := range append(slices.Clone(r.hosts), r.keeper) {
		if !h.process.Running() {
			h.start("")
		}
	}
	return nil
}

// over insists on what a change has come to: one key at each place, which every host has.
func (r *rekeying) over() {
	r.t.Helper()
	now := r.passwords()[0]
	for _, dir := range r.dirs() {
		open, err := r.opens(dir)
		if err != nil || !slices.Equal(open, []string{now}) {
			r.t.Errorf("after its change, %s is opened by %q, %v, want %q alone", filepath.Base(dir), open, err, now)
		}
	}
	r.working("after its change")
	if row, err := r.row(); row != now || err != nil {
		r.t.Errorf("after its change, the control plane has %q, %v", row, err)
	}
}

// far says how far the change is.
func (r *rekeying) far() string {
	list, err := r.store.Passwords(r.t.Context(), r.repository)
	if err != nil || len(list) == 0 {
		return fmt.Sprint(err)
	}
	l, err := r.store.LookPassword(r.t.Context(), list[0].ID)
	text := fmt.Sprint(l.State, err)
	for _, p := range l.Places {
		text += fmt.Sprintf(", added %v, removed %v, doing %q as %q", p.AddedAt > 0, p.RemovedAt > 0, p.Doing, l.Jobs[p.Job].State)
	}
	return text
}

// done waits until the change has ended.
func (r *rekeying) done() (c passwords.Change) {
	r.t.Helper()
	await(r.t, "the password to be changed", func() error {
		list, err := r.store.Passwords(r.t.Context(), r.repository)
		if err != nil {
			return err
		}
		if c = list[0]; !c.Ended() {
			l, err := r.store.LookPassword(r.t.Context(), c.ID)
			return fmt.Errorf("it is %s: %+v, %+v, busy %d, %w", c.State, l.Places, l.Hosts, len(l.Busy), err)
		}
		return nil
	})
	if c.State != passwords.Done {
		r.t.Errorf("the change is %s", c.State)
	}
	return c
}

// mustOpen has real restic open a place.
func (r *rekeying) mustOpen(dir, password string, does bool) {
	r.t.Helper()
	cmd := exec.Command("restic", "--no-cache", "-r", dir, "cat", "config")
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD="+password)
	if out, err := cmd.CombinedOutput(); (err == nil) != does {
		r.t.Errorf("restic opens %s with %q: %v, want %v: %s", filepath.Base(dir), password, err == nil, does, out)
	}
}

// A death is who is killed, and where.
type death struct{ who, point string }

// Where everybody is killed while a password is changed. A point that a change does not come
// by kills in the next one: what comes before it has been done.
var (
	deaths = []death{
		{"plane", "plane-password-stepped"},   // the first step, not committed
		{"plane", "plane-password-asking"},    // what to do is written, and nobody was asked
		{"keeper", "agent-commanded"},         // asked, and not in the journal
		{"plane", "plane-password-asked"},     // asked, and not written down
		{"keeper", "agent-spawned:3"},         // restic adds the key, and the journal does not know
		{"keeper", "agent-restic-ended"},      // all is done, and nobody knows
		{"plane", "plane-password-stepped:2"}, // it came back, and the row is to change
		{"attic", "agent-configured"},         // the config with the new password came, and nobody knows
		{"plane", "plane-password-stepped:2"}, // a host has confirmed
		{"plane", "plane-password-asking"},    // the removal is to be asked for
		{"keeper", "agent-spawned:3"},         // restic removes the key
		{"plane", "plane-password-asked"},
		{"keeper", "agent-end-journalled"}, // removed, and the control plane does not know
		{"plane", "plane-password-stepped:2"},
	}
	moreDeaths = []death{
		{"keeper", "agent-journalled"}, {"keeper", "agent-spawned"}, {"keeper", "agent-spawned:2"}, {"keeper", "agent-spawned:4"},
		{"keeper", "agent-spawned:5"}, {"keeper", "agent-spawned:6"}, {"keeper", "agent-spawn-journalled:3"}, {"keeper", "agent-lines"},
		{"keeper", "agent-lines-journalled"}, {"keeper", "agent-sent:2"}, {"keeper", "agent-receipt:2"}, {"barn", "agent-configured"},
		{"plane", "plane-password-stepped:3"}, {"plane", "plane-password-stepped:4"}, {"plane", "plane-password-stepped:5"},
		{"plane", "plane-password-asking:2"}, {"plane", "plane-password-asked:2"}, {"plane", "plane-command-sent"},
		{"plane", "plane-uncommitted:2"}, {"plane", "plane-committed:2"},
	}
)

// TestAPasswordThatIsChangedAlwaysOpens: while the password of a repository is changed, the
// control plane, the keeper and the hosts are killed at each step, and at every moment what
// each of them has opens the repository: that of all hosts, and one for each host. The old
// key goes only when every host has confirmed, and the old password is kept while a copy of
// the database is older than the change.
func TestAPasswordThatIsChangedAlwaysOpens(t *testing.T) {
	for _, c := range []struct {
		name   string
		shared bool
		deaths []death
	}{
		{"one place", true, deaths},
		{"a place for each host", false, moreDeaths},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.shared && !soak {
				c.deaths = []death{{"keeper", "agent-spawned:3"}, {"plane", "plane-password-stepped:3"}, {"barn", "agent-configured"}}
			}
			rekeyed(t, c.shared, c.deaths)
		})
	}
}

func rekeyed(t *testing.T, shared bool, all []death) {
	w := newWorld(t, 17)
	served := filepath.Join(w.dir, "served")
	r := &rekeying{world: w, places: map[*host]string{}, keys: map[string]string{}, known: []string{making}}
	r.keeper = w.pioneerAs("keeper", agent.PolicyKeeper)
	r.hosts = []*host{w.pioneer("attic"), w.pioneer("barn")}
	url, dir := "fleet/", func(*host) string { return filepath.Join(served, "fleet") }
	if !shared {
		url, dir = "fleet/{host}/", func(h *host) string { return filepath.Join(served, "fleet", filepath.Base(h.dir)) }
	}
	for _, h := range r.hosts {
		r.places[h] = dir(h)
	}
	for _, dir := range r.dirs() { // its first key costs nothing to open
		if err := errors.Join(os.MkdirAll(dir, 0o700), resticrepo.Make(dir, making)); err != nil {
			t.Fatal(err)
		}
	}
	b := &beginning{world: w, group: "all", hosts: r.hosts}
	var made struct {
		ID topics.RepositoryID `json:"id"`
	}
	b.must("POST", "/api/repositories", map[string]any{"name": "fleet", "url": serveRestic(t, served) + url, "password": making,
		"keeper": r.keeper.id}, &made)
	r.repository, b.repository = made.ID, made.ID
	r.keeper.start("")
	for _, h := range r.hosts {
		b.must("PUT", "/api/hosts/"+string(h.id)+"/source-groups/all", map[string]any{"repository": made.ID, "paths": []string{h.source()},
			"excludes": []string{}}, nil)
		b.must("PUT", "/api/hosts/"+string(h.id)+"/schedules/all", map[string]any{"cron": "0 3 1 1 *", "source_groups": []string{"all"}}, nil)
		h.start("")
		b.ask(h)
	}
	backedUp := func(n int) {
		t.Helper()
		for _, h := range r.hosts {
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
	}
	backedUp(1)
	for _, h := range r.hosts {
		await(t, "the config of "+filepath.Base(h.dir), func() error { _, err := r.configured(h); return err })
	}

	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { r.watch(ctx) })
	for _, d := range all {
		if t.Failed() {
			break
		}
		began := time.Now()
		process := r.arm(d)
		await(t, "somebody to die at "+d.point, func() error {
			if !process() {
				return nil
			}
			c := r.open()
			return fmt.Errorf("all live, and change %d is %s", r.changes, c.State)
		})
		r.working(d.who + " died at " + d.point)
		t.Logf("change %d: %s died at %s, %s, %v", r.changes, d.who, d.point, r.far(), time.Since(began).Round(100*time.Millisecond))
		_ = r.revive()
	}
	if !t.Failed() {
		r.patience()
	}
	cancel()
	watching.Wait()
	if t.Failed() {
		return
	}
	b.hosts = r.hosts
	for _, h := range r.hosts {
		b.ask(h)
	}
	backedUp(2)
	known := r.passwords()
	for _, dir := range r.dirs() {
		r.mustOpen(dir, known[0], true)
		r.mustOpen(dir, known[1], false)
	}
	for _, h := range append(slices.Clone(r.hosts), r.keeper) {
		h.process.MustStop(time.Minute)
	}
	w.plane.MustStop(time.Minute)
}

// arm starts whoever is to die, and says how to see that it lives.
func (r *rekeying) arm(d death) (lives func() bool) {
	r.t.Helper()
	if d.who == "plane" {
		r.plane.Kill9()
		r.startPlane(d.point)
		return r.plane.Running
	}
	h := r.keeper
	for _, one := range r.hosts {
		if filepath.Base(one.dir) == d.who {
			h = one
		}
	}
	h.process.Kill9()
	h.start(d.point)
	return h.process.Running
}

// patience changes the password once more while a host is away and a copy of the database is
// kept: the old key stays for the host, and the old password for the copy.
func (r *rekeying) patience() {
	r.t.Helper()
	t := r.t
	if list, err := r.store.Passwords(t.Context(), r.repository); err != nil {
		t.Fatal(err)
	} else if len(list) > 0 {
		r.done()
	}
	attic, barn := r.hosts[0], r.hosts[1]
	barn.process.MustStop(time.Minute)
	copies := filepath.Join(r.data, "copies")
	kept := filepath.Join(copies, "restic-manager-daily-"+time.Now().UTC().Format("20060102T150405Z")+".db")
	if err := errors.Join(os.MkdirAll(copies, 0o700), os.WriteFile(kept, []byte("a copy"), 0o600)); err != nil {
		t.Fatal(err)
	}
	c := r.open()
	old := r.passwords()[1]
	away := func() error {
		l, err := r.store.LookPassword(t.Context(), c.ID)
		if err != nil || l.State != passwords.Switching {
			return fmt.Errorf("it is %s, %w", l.State, err)
		}
		for _, h := range l.Hosts {
			if (h.ConfirmedAt > 0) == (h.Host.Host == barn.id) {
				return fmt.Errorf("the hosts are %+v", l.Hosts)
			}
		}
		return nil
	}
	await(t, "all but barn to confirm", away)
	r.plane.Kill9()
	r.startPlane("") // it looks at once, and removes nothing
	var said struct {
		State       string          `json:"state"`
		Outstanding []topics.HostID `json:"outstanding"`
	}
	await(t, "the control plane to wait for barn", func() error {
		if err := r.api("GET", "/api/repositories/"+string(r.repository)+"/password", nil, &said); err != nil {
			return err
		}
		if said.State != "switching" || !slices.Equal(said.Outstanding, []topics.HostID{barn.id}) {
			return fmt.Errorf("it says %+v", said)
		}
		return nil
	})
	for _, dir := range r.dirs() {
		r.mustOpen(dir, old, true)
		r.mustOpen(dir, r.passwords()[0], true)
	}
	if has, err := r.configured(barn); has != old || err != nil {
		t.Errorf("barn has %q, %v, want the old one", has, err)
	}
	if has, err := r.configured(attic); has != r.passwords()[0] || err != nil {
		t.Errorf("attic has %q, %v, want the new one", has, err)
	}
	barn.start("")
	c = r.done()
	r.over()
	// The old key is gone, and its password is sealed for whoever puts the copy back.
	former := func() (topics.Secret, error) { return r.store.KeyPassword(t.Context(), r.repository, c.Former) }
	if p, err := former(); err != nil || p.Reveal() != old {
		t.Errorf("the former password is kept as %q, %v, want %q", p.Reveal(), err, old)
	}
	r.plane.MustStop(time.Minute)
	r.startPlane("plane-password-stepped") // it dies while it erases it
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	r.plane.AwaitDeath()
	if p, err := former(); err != nil || p.Reveal() != old {
		t.Errorf("after a death, the former password is kept as %q, %v", p.Reveal(), err)
	}
	r.startPlane("")
	await(t, "the former password to be erased", func() error {
		if _, err := former(); !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
}
