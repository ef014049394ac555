package importing

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// What is to be known of a row beside its match is said with it.
func TestWhatARowSaysBesides(t *testing.T) {
	k := Known{From: map[topics.RepositoryID]string{"a": "attic-vault", "b": "barn-vault"}}
	of := func(n imports.Foreign, times int) (list []imports.Foreign) {
		for range times {
			list = append(list, n)
		}
		return list
	}
	plain, copied, back := imports.Foreign{ID: "1"}, imports.Foreign{ID: "2", CopyOf: "a"}, imports.Foreign{ID: "3", Backdated: true}
	for name, c := range map[string]struct {
		kin   imports.Kin
		group topics.SourceGroupID
		want  string
	}{
		"nothing": {imports.Kin{List: of(plain, 2)}, "g", "Same."},
		"one copy": {imports.Kin{List: of(copied, 1), From: []topics.RepositoryID{"a"}}, "g",
			"Same. 1 is a copy of snapshots in attic-vault"},
		"copies": {imports.Kin{List: of(copied, 2), From: []topics.RepositoryID{"a", "b"}}, "g",
			"2 are copies of snapshots in attic-vault, barn-vault"},
		"what counts": {imports.Kin{Counted: 3, From: []topics.RepositoryID{"a"}}, "",
			"They are copies of snapshots in attic-vault that count there"},
		"some count": {imports.Kin{List: of(plain, 1), Counted: 3, From: []topics.RepositoryID{"a"}}, "g",
			"3 are copies besides of what counts in attic-vault"},
		"the future":     {imports.Kin{Ahead: 2}, "", "made in the future"},
		"some backdated": {imports.Kin{List: append(of(plain, 1), back)}, "g", "1 came after a listing that had them not"},
	} {
		p := Proposal{Kin: c.kin, Fit: Fit{Group: "g", Why: "Same."}}
		if k.say(&p); p.Group != c.group || !strings.Contains(p.Why, c.want) || name == "nothing" && p.Why != c.want {
			t.Errorf("%s: %q says %q", name, p.Group, p.Why)
		}
	}
	for want, list := range map[string][]imports.Foreign{
		"All came after a listing": of(back, 2), "or came later than they say": append(of(plain, 1), back),
		"All are newer than the first backup of ours: another": of(plain, 2)} {
		if got := late(imports.Kin{List: list}); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}

// What is taken in counts in a mirror as well, whose rules are not those that were weighed.
func TestAMirrorWithRulesIsNamed(t *testing.T) {
	ctx, s := t.Context(), storetest.Open(t, store.Open)
	add := func(id topics.RepositoryID, keep *store.Keep) {
		t.Helper()
		r := store.Repository{ID: id, Name: string(id), Location: "rest:https://" + string(id) + "/"}
		r.Keep.V = keep
		if err := s.AddRepository(ctx, "test", r, store.RepositoryAccess{URL: topics.Secret(r.Location), Password: "secret"}); err != nil {
			t.Fatal(err)
		}
	}
	add("vault-0001", nil)
	add("plain-0001", nil)
	add("thinned-0001", &store.Keep{Last: 3})
	service := &Service{Store: s}
	for _, c := range []struct{ target, want string }{{"", ""}, {"plain-0001", ""}, {"thinned-0001", "thinned-0001"}} {
		if c.target != "" {
			if err := s.PutMirror(ctx, "test", store.Mirror{Repository: "vault-0001", Target: topics.RepositoryID(c.target), Cron: "0 6 * * *",
				Zone: "UTC"}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := service.mirror(ctx, "vault-0001"); got != c.want || err != nil {
			t.Errorf("with the mirror %q it is %q, %v", c.target, got, err)
		}
	}
	if said := strings.Join(Consequence{Mirror: "attic"}.Words(), " "); !strings.Contains(said, "in the mirror attic count there, too") {
		t.Errorf("it says %q", said)
	}
	if said := strings.Join(Consequence{}.Words(), " "); strings.Contains(said, "mirror") {
		t.Errorf("without one it says %q", said)
	}
}
