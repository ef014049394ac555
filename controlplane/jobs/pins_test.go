package jobs

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/permits"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// What a host's pins are certain to refuse is refused when it is asked for, with the
// command that allows it; what is not certain, and its neighbours, the host decides.
func TestPinsAreHeldToBeforeAJobIsSent(t *testing.T) {
	w := newWorld(t)
	w.connect()
	urls := map[topics.RepositoryID]string{"nas-0001": "sftp:anna@nas:dir", "disk-0001": "/srv/vault", "climbs-0001": "/srv/x/../vault"}
	for id, url := range urls {
		if err := w.store.AddRepository(t.Context(), "anna", store.Repository{ID: id, Name: string(id), Location: url},
			store.RepositoryAccess{URL: topics.Secret(url), Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
	}
	const place = "sftp:nas:dir"
	refused := func(kind topics.JobKind, repository topics.RepositoryID) string {
		return string(kind) + " " + string(repository)
	}
	nas, disk := []string{refused("restore", "nas-0001"), refused("snapshots", "nas-0001")},
		[]string{refused("restore", "disk-0001"), refused("snapshots", "disk-0001")}
	climbs := []string{refused("restore", "climbs-0001"), refused("snapshots", "climbs-0001")}
	backups := []string{refused("backup", "disk-0001"), refused("check", "disk-0001"), refused("prune", "disk-0001")}
	for _, c := range []struct {
		what    string
		permits topics.Permits
		refuses []string // the rest it may be asked for
	}{
		{"an older agent", topics.Permits{}, nil},
		{"an older agent with a pin", topics.Permits{Repositories: []string{"/srv/other"}}, nil},
		{"managed", topics.Permits{Anywhere: true}, nil},
		{"before the first backup", topics.Permits{BackupPins: true}, slices.Concat(nas, disk, climbs, backups)},
		{"with a root", topics.Permits{BackupPins: true, RepositoryRoots: []string{"/srv"}}, slices.Concat(nas, disk, climbs)},
		{"with a root in other letters", topics.Permits{BackupPins: true, RepositoryRoots: []string{"/SRV"}}, slices.Concat(nas, disk, climbs)},
		{"with a root beside it", topics.Permits{BackupPins: true, RepositoryRoots: []string{"/srv/vaul"}},
			slices.Concat(nas, disk, climbs, backups)},
		{"a keeper before it", topics.Permits{BackupPins: true, Kinds: []topics.JobKind{topics.ForgetJob}, RepositoryRoots: []string{"/srv"}},
			[]string{nas[0], disk[0], climbs[0]}},
		{"pinned there", topics.Permits{BackupPins: true, Repositories: []string{place, "/srv/vault", "/srv/x/../vault"}}, nil},
		{"pinned there as this user", topics.Permits{BackupPins: true, Repositories: []string{place, "/srv/vault", "/srv/x/../vault"},
			As: map[string][]string{place: {"user=anna"}}}, nil},
		{"pinned there as another", topics.Permits{BackupPins: true, Repositories: []string{place, "/srv/vault", "/srv/x/../vault"},
			As: map[string][]string{place: {"user=bert"}}}, append(slices.Clone(nas), refused("backup", "nas-0001"),
			refused("check", "nas-0001"), refused("prune", "nas-0001"))},
	} {
		p := c.permits.Digested()
		h := store.Host{ID: w.host.ID, Name: "attic", Policy: "backup", OS: "linux", Permits: store.JSON[topics.Permits]{V: p}}
		w.engine.Presence.Permits(h.ID, p.Digest)
		for id := range maps.Keys(urls) {
			for _, kind := range []topics.JobKind{topics.BackupJob, topics.SnapshotsJob, topics.RestoreJob, topics.CheckJob, topics.PruneJob} {
				err := w.engine.Opens(t.Context(), h, kind, id, h.ID)
				if id == "climbs-0001" && !slices.Contains(climbs, refused(kind, id)) {
					if len(c.permits.Repositories) == 0 && err != nil {
						t.Errorf("%s: a path that climbs is refused by its name: %v", c.what, err)
					}
					continue
				}
				if want := slices.Contains(c.refuses, refused(kind, id)); (err != nil) != want || err != nil && (!errors.Is(err, ErrForbidden) ||
					!errors.Is(err, permits.ErrNotPinned) || !strings.Contains(err.Error(), "restic-manager-agent policy allow-repository")) {
					t.Errorf("%s: %s: %v", c.what, refused(kind, id), err)
				}
			}
		}
	}

	// Not certain: the host's heartbeat says that it permits something else by now; it says
	// nothing of it; it is not connected.
	p := (&topics.Permits{BackupPins: true}).Digested()
	h := store.Host{ID: w.host.ID, Name: "attic", Permits: store.JSON[topics.Permits]{V: p}}
	asks := func() error { return w.engine.Opens(t.Context(), h, topics.RestoreJob, "nas-0001", h.ID) }
	for _, digest := range []string{"another", ""} {
		if w.engine.Presence.Permits(h.ID, digest); asks() != nil {
			t.Errorf("it is refused while heartbeats say %q: %v", digest, asks())
		}
	}
	w.engine.Presence.Permits(h.ID, p.Digest)
	if asks() == nil {
		t.Error("it is not refused while it is certain")
	}
	w.engine.Presence.Died(h.ID, w.session)
	if asks() != nil {
		t.Errorf("it is refused while the host is not connected: %v", asks())
	}
}

// What a connected host tells anew counts at once, as if it had just said hello.
func TestAHostTellsAgainWhatItPermits(t *testing.T) {
	w := newWorld(t)
	w.connect()
	for _, name := range []string{"backup", "keeper"} {
		p := (&topics.Permits{Kinds: []topics.JobKind{topics.BackupJob}, Hooks: []string{name}}).Digested()
		w.step(protocol.Told{Facts: topics.Facts{Hostname: "attic", Restic: "0.17.0", Policy: name, Permits: p}})
		w.await("it to be known", func() bool {
			h := must(w.store.Host(t.Context(), w.host.ID))
			return h.Policy == name && h.ResticVersion == "0.17.0" && h.Permits.V != nil && h.Permits.V.Digest == p.Digest && h.Hello() == w.session
		})
	}
	err := w.engine.Permit(t.Context(), Order{Host: w.host.ID, Kind: topics.PruneJob, Repository: "vault-0001"})
	if !errors.Is(err, ErrForbidden) {
		t.Errorf("a prune is answered with %v", err)
	}
}
