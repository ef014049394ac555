package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// While there is no repository, page and API say who makes it and who could not, with
// what helps; once it is there, they say nothing of it.
func TestWhoMakesARepositoryIsShown(t *testing.T) {
	w := newWorld(t)
	ctx, attic := t.Context(), w.enrol("attic")
	r := store.Repository{ID: "vault-0001", Name: "vault", Location: "/srv/vault", CreatedAt: w.store.Now()}
	if err := w.store.AddRepository(ctx, "test", r, store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	must(w.store.PutSourceGroup(ctx, "test", store.SourceGroup{ID: topics.SourceGroupID(topics.NewID(time.Now())), Host: attic.id,
		Name: "letters", Repository: r.ID, Paths: store.List{"/letters"}}))
	admin, viewer := w.person(store.Admin), w.person(store.Viewer)
	said := func() string {
		t.Helper()
		var got struct {
			Making []struct {
				State string `json:"state"`
				Cause string `json:"cause"`
				Tries int    `json:"tries"`
				Held  bool   `json:"held"`
			} `json:"making"`
		}
		if err := json.Unmarshal([]byte(admin.do("GET", "/api/repositories/vault-0001", nil).text), &got); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(got.Making)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const page = "/repositories/vault-0001"
	is := func(want string) {
		t.Helper()
		if got := said(); got != want {
			t.Errorf("the API says %s, want %s", got, want)
		}
	}
	is("[]")
	if _, _, err := w.engine.AskBackup(ctx, "test", attic.id, "letters"); err != nil {
		t.Fatal(err)
	}
	is(`[{"state":"waiting","cause":"","tries":0,"held":false}]`)
	admin.shows(page, "Its backup waits until the repository is made")
	attic.connect()
	first := attic.asked(topics.InitJob).ID
	w.awaitState(first, topics.Dispatched)
	is(`[{"state":"asked","cause":"","tries":0,"held":true}]`)
	admin.shows(page, "has not answered", "/making/release")
	if text := viewer.shows(page, "has not answered"); strings.Contains(text, "/making/release") {
		t.Error("who may only look can release it")
	}
	attic.start(first)
	is(`[{"state":"runs","cause":"","tries":0,"held":false}]`)
	if text := admin.shows(page, "It makes the repository"); strings.Contains(text, "/making/release") {
		t.Error("what is at work on a host that can be reached can be released")
	}
	attic.finish(first, topics.Finished{State: topics.Failed, Cause: topics.CauseNotMounted, Message: "/srv/vault is an empty directory"})
	is(`[{"state":"failed","cause":"not-mounted","tries":1,"held":false}]`)
	admin.shows(page, "is not mounted", "/srv/vault is an empty directory", "1 try so far", "Make it here anyway")
	if text := viewer.shows(page, "is not mounted"); strings.Contains(text, "Make it here anyway") {
		t.Error("who may only look can have it made anyway")
	}
	attic.found(r.ID)
	is("[]")
	if text := admin.shows(page); strings.Contains(text, "so far") {
		t.Error("what there is is still being made")
	}
}

// A held plan that waits is told on the fleet's page; one that lapsed or was approved is
// nobody's business any more.
func TestAPlanThatIsHeldNeedsAttention(t *testing.T) {
	w := newWorld(t)
	g := w.enrol("attic").group("letters")
	admin, now := w.person(store.Admin), w.store.Now()
	const text = "a plan of retention is held"
	for _, c := range []struct {
		expires, approved int64
		shown             bool
	}{{now + 3_600_000, 0, true}, {now - 1, 0, false}, {now + 3_600_000, now, false}} {
		if err := w.store.SlotStep(t.Context(), func(tx store.Slots) error {
			ctx, x := tx.Tx()
			_, err := x.ExecContext(ctx, `INSERT OR REPLACE INTO maintenance_reviews (repository, hash, plan, held_at, expires_at, approved_at)
				VALUES ($1, 'x', '{}', $2, $3, $4)`, g.Repository, now-60_000, c.expires, c.approved)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		page := admin.shows("/")
		if shown := strings.Contains(page, text) && strings.Contains(page, string(g.Repository)+"/retention"); shown != c.shown {
			t.Errorf("%+v: shown %t", c, shown)
		}
	}
}
