package self

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/restored"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAfterARestoreEachPlaceIsListedOnce: by its keeper or a host that has it, as soon as
// one can be reached, and not if somebody listed it or asked for that since.
func TestAfterARestoreEachPlaceIsListedOnce(t *testing.T) {
	s, ctx := storetest.Open(t, store.Open), t.Context()
	step := func(do func(tx store.Slots) error) { t.Helper(); check(t, s.SlotStep(ctx, do)) }
	for _, h := range []topics.HostID{"attic", "barn", "cellar"} {
		hash := sha256.Sum256([]byte(h))
		check(t, s.AddEnrollToken(ctx, store.EnrollToken{ID: "token-" + string(h), KeyHash: hash[:], CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000}))
		_, err := s.Enroll(ctx, hash[:], store.Host{ID: h, SealKey: []byte("key"), Hostname: string(h)})
		check(t, err)
	}
	into := func(host topics.HostID, r topics.RepositoryID) {
		t.Helper()
		_, err := s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID(string(host) + "-" + string(r)), Host: host,
			Name: string(r), Repository: r, Paths: store.List{"/x"}})
		check(t, err)
	}
	for id, c := range map[topics.RepositoryID]struct {
		url           string
		keeper        topics.HostID
		places, hosts []topics.HostID
	}{
		"kept":   {"sftp:nas:/kept", "cellar", []topics.HostID{"attic"}, []topics.HostID{"attic"}},
		"shared": {"sftp:nas:/shared", "", []topics.HostID{"attic"}, []topics.HostID{"attic", "barn"}},
		"local":  {"/srv/local", "cellar", []topics.HostID{"attic", "barn"}, []topics.HostID{"attic", "barn"}},
		"each":   {"sftp:nas:/each/{host}", "cellar", []topics.HostID{"attic", "barn"}, []topics.HostID{"attic", "barn"}},
		"empty":  {"sftp:nas:/empty", "cellar", nil, []topics.HostID{"attic"}},
		"listed": {"sftp:nas:/listed", "cellar", []topics.HostID{"attic"}, nil},
		"asked":  {"sftp:nas:/asked", "cellar", []topics.HostID{"attic"}, nil},
	} {
		check(t, s.AddRepository(ctx, "test", store.Repository{ID: id, Name: string(id), Location: c.url},
			store.RepositoryAccess{URL: topics.Secret(c.url), Password: "x"}))
		for _, h := range c.hosts {
			into(h, id)
		}
		step(func(tx store.Slots) (err error) {
			ctx, x := tx.Tx()
			if _, err = x.ExecContext(ctx, `UPDATE repositories SET keeper = $1 WHERE id = $2`, c.keeper, id); err != nil {
				return err
			}
			for _, h := range c.places {
				err = errors.Join(err, places.Found(ctx, x, id, h, "", 1))
			}
			return err
		})
	}

	online, refuses := map[topics.HostID]bool{}, topics.HostID("")
	var got []string
	list := func(ctx context.Context, host topics.HostID, r topics.RepositoryID, place topics.HostID) error {
		if host == refuses {
			return errors.New("its policy forbids it")
		}
		_, _, err := s.Ask(ctx, store.Plane, store.Job{ID: topics.JobID(topics.NewID(time.Now())), Host: host, Kind: topics.SnapshotsJob,
			Repository: r, Place: place, NotAfter: s.Now() + 60_000, Operation: store.JSON[topics.Operation]{V: &topics.Operation{}}})
		got = append(got, string(r)+" "+string(host)+" "+string(place))
		return err
	}
	service := &Service{Store: s, Log: slog.New(slog.DiscardHandler), List: list, Online: func(h topics.HostID) bool { return online[h] }}
	asks := func(when string, want ...string) {
		t.Helper()
		got = nil
		check(t, service.relist(ctx))
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: asked for %q, want %q", when, got, want)
		}
	}

	online["attic"] = true
	asks("never restored")
	step(func(tx store.Slots) error {
		ctx, x := tx.Tx()
		if _, err := restored.Begin(ctx, x.(*sqlx.Tx), s.Now(), 1); err != nil {
			return err
		}
		_, err := x.ExecContext(ctx, `UPDATE repositories SET listed_at = $1 WHERE id = 'listed'`, s.Now()+1)
		return err
	})
	check(t, list(ctx, "cellar", "asked", "")) // as somebody may
	online["attic"] = false
	asks("nobody is there")
	online["barn"] = true
	asks("one is", "each barn ", "local barn ", "shared barn ")
	asks("again")
	online["cellar"] = true
	refuses = "cellar"
	asks("the keeper refuses")
	online["attic"] = true
	asks("another host is there, too", "each attic ", "kept attic ", "local attic ")
	asks("all were")
}

// TestTheKeeperListsPlacesOfHostsThatAreAway: where the address has {host} it can reach them.
func TestTheKeeperListsPlacesOfHostsThatAreAway(t *testing.T) {
	service := &Service{}
	for _, c := range []struct {
		location string
		want     []topics.HostID
	}{{"sftp:nas:/each/{host}", []topics.HostID{"attic", "cellar"}}, {"/srv/local", []topics.HostID{"attic"}}} {
		got, err := service.listers(t.Context(), restored.Stale{Repository: "r", Place: "attic", Keeper: "cellar", Location: c.location})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q %v, want %q", c.location, got, err, c.want)
		}
	}
}
