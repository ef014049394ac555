package store

import (
	"errors"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// A group that cannot be saved leaves no repository behind, whose secrets nobody
// would look for.
func TestARepositoryIsAddedWithItsGroupOrNotAtAll(t *testing.T) {
	s := open(t)
	host := enrolled(t, s, "attic").ID
	fill := func(id topics.SourceGroupID) func(*SourceGroup, bool) error {
		return func(g *SourceGroup, _ bool) error {
			g.ID, g.Paths = id, List{"/letters"}
			return nil
		}
	}
	nas := func(id topics.RepositoryID, name string) *NewRepository {
		return &NewRepository{Repository{ID: id, Name: name, Location: "/srv/" + name}, RepositoryAccess{URL: "/srv/x", Password: "canary"}}
	}
	g, err := s.EditSourceGroup(t.Context(), "anna", host, "letters", nas("nas-0001", "nas"), fill("group-0001"))
	if err != nil || g.Repository != "nas-0001" {
		t.Fatalf("saved as %+v, %v", g, err)
	}
	bad := errors.New("the group is not as it should be")
	for what, c := range map[string]struct {
		name string
		add  *NewRepository
		edit func(*SourceGroup, bool) error
		want error
	}{
		"a group that is refused":           {"photos", nas("nas-0002", "other"), func(*SourceGroup, bool) error { return bad }, bad},
		"a group that the database refuses": {"photos", nas("nas-0002", "other"), fill("group-0001"), ErrConflict},
		"a repository whose name is taken":  {"photos", nas("nas-0002", "nas"), fill("group-0002"), ErrRepositoryTaken},
	} {
		if _, err := s.EditSourceGroup(t.Context(), "anna", host, c.name, c.add, c.edit); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if rows := must(s.Repositories(t.Context())); len(rows) != 1 {
			t.Errorf("after %s there are the repositories %+v", what, rows)
		}
		if groups := must(s.SourceGroups(t.Context(), host)); len(groups) != 1 {
			t.Errorf("after %s there are the groups %+v", what, groups)
		}
	}
}
