package drafts_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drafts"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestADraftIsItsOwnersAlone(t *testing.T) {
	s, ctx := storetest.Open(t, store.Open), t.Context()
	d := must(s.Drafts().Add(ctx, drafts.Draft{ID: "d1", User: "anna"}))
	if d.Version != 1 || must(s.Drafts().Get(ctx, "anna", "d1")).ID != "d1" {
		t.Fatalf("it is %+v", d)
	}
	if _, err := s.Drafts().Get(ctx, "ben", "d1"); !errors.Is(err, drafts.ErrNone) {
		t.Errorf("ben reads it: %v", err)
	}
	if _, err := s.Drafts().Change(ctx, "ben", "d1", func(*drafts.Draft) ([]drafts.Part, error) {
		return []drafts.Part{drafts.Basket}, nil
	}); !errors.Is(err, drafts.ErrNone) {
		t.Errorf("ben changes it: %v", err)
	}
	if err := s.Drafts().Remove(ctx, "ben", "d1"); err != nil {
		t.Fatal(err)
	}
	if list := must(s.Drafts().List(ctx, "anna")); len(list) != 1 {
		t.Errorf("ben discarded it: %v", list)
	}
	if list := must(s.Drafts().List(ctx, "ben")); len(list) != 0 {
		t.Errorf("ben lists %v", list)
	}
}

func TestAChangeSaysWhichPartIsNew(t *testing.T) {
	s, ctx := storetest.Open(t, store.Open), t.Context()
	must(s.Drafts().Add(ctx, drafts.Draft{ID: "d1", User: "anna"}))
	d := must(s.Drafts().Change(ctx, "anna", "d1", func(d *drafts.Draft) ([]drafts.Part, error) {
		d.Body.V.Put(drafts.Item{Snapshot: "a", Path: "/etc"})
		return []drafts.Part{drafts.Basket}, nil
	}))
	if d.Version != 2 || !d.Body.V.Since(drafts.Basket, 1) || d.Body.V.Since(drafts.Basket, 2) || d.Body.V.Since(drafts.Place, 0) {
		t.Errorf("it is %+v %+v", d, d.Body.V)
	}
	d = must(s.Drafts().Change(ctx, "anna", "d1", func(d *drafts.Draft) ([]drafts.Part, error) {
		d.Body.V.DryRun, d.Body.V.DryRunOf = "job", d.Version
		return nil, nil
	}))
	if d.Version != 2 || must(s.Drafts().Get(ctx, "anna", "d1")).Body.V.DryRun != "job" {
		t.Errorf("a dry run made it %+v", d)
	}
}

func TestDraftsGoAfterAWeekAndWithTheirOwner(t *testing.T) {
	s, ctx := storetest.Open(t, store.Open), t.Context()
	at := s.Now()
	old, young := s.Drafts(), s.Drafts()
	old.Now = func() int64 { return at - drafts.Life.Milliseconds() - 1 }
	young.Now = func() int64 { return at - drafts.Life.Milliseconds() + time.Hour.Milliseconds() }
	for range 3 {
		must(old.Add(ctx, drafts.Draft{ID: topics.NewID(time.Now()), User: "anna"}))
	}
	must(young.Add(ctx, drafts.Draft{ID: "young", User: "anna"}))
	if n := must(s.Drafts().Sweep(ctx)); n != 3 {
		t.Errorf("%d went, want 3", n)
	}
	if list := must(s.Drafts().List(ctx, "anna")); len(list) != 1 || list[0].ID != "young" {
		t.Errorf("there are %+v", list)
	}
	for _, u := range []store.User{
		{ID: "u1", Name: "anna", Role: store.Admin, PasswordHash: "x"}, {ID: "u2", Name: "ben", Role: store.Admin, PasswordHash: "x"},
	} {
		if err := s.AddUser(ctx, "cli", u); err != nil {
			t.Fatal(err)
		}
		must(s.Drafts().Add(ctx, drafts.Draft{ID: "of " + u.Name, User: u.ID}))
	}
	must(s.RemoveUser(ctx, "cli", "u2", nil))
	if len(must(s.Drafts().List(ctx, "u2"))) != 0 || len(must(s.Drafts().List(ctx, "u1"))) != 1 {
		t.Error("a person's drafts stay when they go, or another's went")
	}
}

func TestNobodyHasTooMany(t *testing.T) {
	s, ctx := storetest.Open(t, store.Open), t.Context()
	for range drafts.Most {
		must(s.Drafts().Add(ctx, drafts.Draft{ID: topics.NewID(time.Now()), User: "anna"}))
	}
	if _, err := s.Drafts().Add(ctx, drafts.Draft{ID: "more", User: "anna"}); !errors.Is(err, drafts.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	must(s.Drafts().Add(ctx, drafts.Draft{ID: "other", User: "ben"}))
}

func TestAChosenVersionTakesThePlaceOfAnother(t *testing.T) {
	var b drafts.Body
	for _, i := range []drafts.Item{
		{Snapshot: "a", Path: "/etc/hosts", Type: "file"},
		{Snapshot: "a", Path: "/etc/hosts.allow", Type: "file"}, // another path
		{Snapshot: "b", Path: "/srv", Type: "dir"},
	} {
		b.Put(i)
	}
	b.Choose(drafts.Item{Snapshot: "b", Path: "/etc/hosts", Type: "file"})
	b.Choose(drafts.Item{Snapshot: "b", Path: "/etc/hosts", Type: "file"}) // chosen again
	b.Choose(drafts.Item{Snapshot: "a", Path: "/srv/x", Type: "file"})     // not the path of /srv
	want := []topics.Item{{Snapshot: "a", Paths: []string{"/etc/hosts.allow", "/srv/x"}},
		{Snapshot: "b", Paths: []string{"/etc/hosts", "/srv"}}}
	if got := b.Basket(); !slices.EqualFunc(got, want, func(a, b topics.Item) bool {
		return a.Snapshot == b.Snapshot && slices.Equal(a.Paths, b.Paths)
	}) {
		t.Errorf("it holds %v, want %v", got, want)
	}
}

func TestWhatADirectoryIncludes(t *testing.T) {
	var b drafts.Body
	for _, i := range []drafts.Item{
		{Snapshot: "a", Path: "/etc/hosts", Type: "file"},
		{Snapshot: "a", Path: "/etc/hosts.allow", Type: "file"},
		{Snapshot: "b", Path: "/etc/hosts", Type: "file"},
		{Snapshot: "a", Path: "/etc", Type: "dir"},          // takes the place of both
		{Snapshot: "a", Path: "/etc/passwd", Type: "file"},  // included
		{Snapshot: "a", Path: "/etc2", Type: "dir"},         // not below /etc
		{Snapshot: "a", Path: "/srv/x", Type: "file"},       //
		{Snapshot: "a", Path: "/srv/x/below", Type: "file"}, // below what is no directory
	} {
		b.Put(i)
	}
	want := []topics.Item{{Snapshot: "b", Paths: []string{"/etc/hosts"}},
		{Snapshot: "a", Paths: []string{"/etc", "/etc2", "/srv/x", "/srv/x/below"}}}
	got := b.Basket()
	if !slices.EqualFunc(got, want, func(a, b topics.Item) bool { return a.Snapshot == b.Snapshot && slices.Equal(a.Paths, b.Paths) }) {
		t.Errorf("it holds %v, want %v", got, want)
	}
	b.Drop("a", "/etc")
	if _, in := b.Covering("a", "/etc/passwd"); in {
		t.Error("a directory that was removed still includes")
	}
	b.Put(drafts.Item{Snapshot: "a", Path: "/"})
	if got := b.Basket(); len(got) != 2 || len(got[1].Paths) != 0 {
		t.Errorf("all of a snapshot beside what is in it: %v", got)
	}
}
