package kit

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/kits"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// An address with {host} is another place for each host: a kit has each under its own name.
func TestAKitHasThePlaceOfEachHost(t *testing.T) {
	s, ctx := storetest.Open(t, store.Open), t.Context()
	r := store.Repository{ID: "r", Name: "vault", Location: "rest:https://nas/{host}", CreatedAt: 1}
	if err := s.AddRepository(ctx, "test", r, store.RepositoryAccess{URL: "rest:https://nas/{host}", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	ids := map[string]topics.HostID{}
	for _, name := range []string{"attic", "barn"} {
		h := topics.HostID(topics.NewID(time.Now()))
		ids[name] = h
		hash := sha256.Sum256([]byte(name))
		if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: string(h), KeyHash: hash[:], Name: name, CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Enroll(ctx, hash[:], store.Host{ID: h, SealKey: []byte("k"), Serial: name, Hostname: name}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID(name), Host: h, Name: "all", Repository: "r",
			Paths: store.List{"/srv"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		of   kits.Of
		want string
	}{
		{kits.Of{Kind: kits.OfRepository, Subject: "r"}, "rest:https://nas/attic rest:https://nas/barn"},
		{kits.Of{Kind: kits.OfHost, Subject: string(ids["barn"])}, "rest:https://nas/barn"},
		{kits.Of{Kind: kits.OfAll}, "rest:https://nas/attic rest:https://nas/barn"},
	} {
		set, err := Show(ctx, s, "anna", c.of)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range set.Kits {
			got = append(got, k.Location)
			if !strings.Contains(set.Text(), "'"+k.Location+"'") {
				t.Errorf("%s: the text lacks %s", c.of.Kind, k.Location)
			}
		}
		if strings.Join(got, " ") != c.want || strings.Contains(set.Text(), "{host}") {
			t.Errorf("the kit of %s has %q, want %q", c.of.Kind, got, c.want)
		}
	}
}

// latest is one snapshot, and each source group has its own: a kit of several brings back
// each of them by its tag.
func TestAKitBringsBackEverySourceGroup(t *testing.T) {
	s, ctx := storetest.Open(t, store.Open), t.Context()
	r := store.Repository{ID: "r", Name: "vault", Location: "/srv/vault", CreatedAt: 1}
	if err := s.AddRepository(ctx, "test", r, store.RepositoryAccess{URL: "/srv/vault", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	groups := map[string][]string{"attic": {"etc", "www"}, "barn": {"data"}}
	ids := map[string]topics.HostID{}
	for _, name := range []string{"attic", "barn"} {
		h := topics.HostID(topics.NewID(time.Now()))
		ids[name] = h
		hash := sha256.Sum256([]byte(name))
		if err := s.AddEnrollToken(ctx, store.EnrollToken{ID: string(h), KeyHash: hash[:], Name: name, CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Enroll(ctx, hash[:], store.Host{ID: h, SealKey: []byte("k"), Serial: name, Hostname: name}); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups[name] {
			if _, err := s.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID(g), Host: h, Name: g, Repository: "r",
				Paths: store.List{"/srv"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		of   kits.Of
		want string // the tags that a restore of everything names; "" is none
	}{
		{kits.Of{Kind: kits.OfRepository, Subject: "r"}, "etc www data"},
		{kits.Of{Kind: kits.OfHost, Subject: string(ids["attic"])}, "etc www"},
		{kits.Of{Kind: kits.OfHost, Subject: string(ids["barn"])}, ""},
	} {
		set, err := Show(ctx, s, "anna", c.of)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		into := map[string]bool{}
		for _, step := range set.Kits[0].Steps() {
			_, target, restores := strings.Cut(step.Command, " --target ")
			if _, tag, ok := strings.Cut(step.Command, " --tag 'plan="); ok && restores && !strings.Contains(step.Command, "--include") {
				got = append(got, tag[:strings.Index(tag, "'")])
			}
			if restores && into[target] {
				t.Errorf("two go to %s", target)
			}
			into[target] = restores
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %s: it restores %q, want %q:\n%s", c.of.Kind, c.of.Subject, got, c.want, set.Text())
		}
	}
}
