package main

import (
	"database/sql"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/importing"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/topics"
)

// A taking is one row of what a repository holds, and whose it is to be, as any door may say.
type taking struct {
	Of    string // the host name that the snapshots have, or a key that no row has
	Group string // an ID
	Newer bool
}

// key is the row's.
func (in taking) key(t *testing.T, h *house) (key string, k importing.Known) {
	t.Helper()
	k, err := (&importing.Service{Store: h.store}).Look(t.Context(), h.repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range k.Proposals {
		if p.Hostname == in.Of {
			return p.Key, k
		}
	}
	return in.Of, k
}

var takings = subject[taking]{
	before: func(t *testing.T, h *house) { h.nobodys(t) },
	service: func(t *testing.T, h *house, in taking) error {
		key, k := in.key(t, h)
		s := &importing.Service{Store: h.store}
		choice := imports.Choice{Kin: key, Group: topics.SourceGroupID(in.Group), Newer: in.Newer}
		for _, p := range k.Proposals {
			if p.Key == key {
				choice.Seen = p.Seen
			}
		}
		_, _, err := s.Confirm(t.Context(), "test", h.repository, []imports.Choice{choice})
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in taking) (bool, string){
		theForm: func(t *testing.T, h *house, in taking) (bool, string) {
			key, _ := in.key(t, h)
			page := "/repositories/" + string(h.repository) + "/import"
			form := url.Values{"review": {"1"}, "g." + key: {in.Group}}
			if in.Newer {
				form.Set("n."+key, "1")
			}
			status, text := h.ask("GET", page+"?"+form.Encode(), nil)
			if status != http.StatusOK {
				return false, text
			}
			send := url.Values{}
			for _, m := range regexp.MustCompile(`<input type="hidden" name="([gcdn]\.[^"]+)" value="([^"]*)"`).FindAllStringSubmatch(text, -1) {
				send.Set(m[1], html.UnescapeString(m[2]))
			}
			status, text = h.ask("POST", page, send)
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in taking) (bool, string) {
			key, _ := in.key(t, h)
			status, text := h.ask("POST", "/api/repositories/import", map[string]any{"repository": "vault",
				"confirm": []map[string]any{{"key": key, "source_group": in.Group, "newer": in.Newer}}})
			if status == http.StatusOK {
				return true, text
			}
			return false, detail(t, text)
		},
		theCommandLine: func(t *testing.T, h *house, in taking) (bool, string) {
			key, _ := in.key(t, h)
			args := []string{"repository", "import", "vault", "--assign=" + key + "=" + in.Group}
			if in.Newer {
				args = append(args, "--newer="+key)
			}
			said, code := h.tell(args...)
			digest := regexp.MustCompile(`--confirm (\S+)`).FindStringSubmatch(said)
			if code != 0 || digest == nil {
				return false, said
			}
			said, code = h.tell(append(args, "--confirm="+digest[1])...)
			return code == 0, said
		},
	},
	saved: func(t *testing.T, h *house) (all []string) {
		for i := range ofNobody {
			n, err := h.store.SnapshotByID(t.Context(), h.repository, nobodysID(i))
			if err != nil {
				t.Fatal(err)
			}
			if n.Imported != "" {
				all = append(all, fmt.Sprintf("%.4s is of %s", n.ID, n.SourceGroup))
			}
		}
		done, _, err := h.store.Imports(t.Context(), h.repository)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range done {
			if i.UndoneAt == 0 {
				if err := (&importing.Service{Store: h.store}).Undo(t.Context(), "test", h.repository, i.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		return all
	},
	cases: map[string]doorCase[taking]{
		"what was there before":       {in: taking{Of: "attic", Group: "letters-0001"}},
		"what came later, too":        {in: taking{Of: "attic", Group: "letters-0001", Newer: true}},
		"to another group":            {in: taking{Of: "attic", Group: "photos-0001"}},
		"of a host that is not known": {in: taking{Of: "barn", Group: "photos-0001"}},
		"a group that is not there":   {in: taking{Of: "attic", Group: "none"}, bad: "confirm"},
		"a row that is not there":     {in: taking{Of: "00ff", Group: "letters-0001"}, bad: "confirm", not: []string{theForm}},
		"what came later alone":       {in: taking{Of: "late", Group: "letters-0001"}, bad: "confirm"},
	},
}

// ofNobody are snapshots that no job made; some say they are older than a listing that had
// them not.
var ofNobody = []struct {
	hostname string
	unseen   int64
}{{"attic", 0}, {"attic", 0}, {"attic", 90_000_000}, {"barn", 0}, {"late", 90_000_000}}

func nobodysID(i int) string { return strings.Repeat(fmt.Sprintf("%04x", i), 16) }

// nobodys puts them into the repository.
func (h *house) nobodys(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.data, "restic-manager.db"))
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range ofNobody {
		if _, err := db.ExecContext(t.Context(), `INSERT INTO snapshots (repository, id, host, job, time, hostname, paths, tags, username, tree,
			seen_at, files, bytes, unseen_at) VALUES ($1, $2, '', '', $3, $4, '["/letters"]', '[]', 'anna', $2, 1, 0, 0, $5)
			ON CONFLICT (repository, id) DO NOTHING`, h.repository, nobodysID(i), 1000+i, n.hostname,
			n.unseen); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNoDoorTakesInWhatWasNotShown: each refuses what has changed since it was shown, in the
// same words, and undoes what the others did.
func TestNoDoorTakesInWhatWasNotShown(t *testing.T) {
	h := newHouse(t)
	h.nobodys(t)
	key, k := taking{Of: "attic"}.key(t, h)
	page := "/repositories/" + string(h.repository) + "/import"
	const changed = "It changed since you looked: 2 more, 0 fewer. Nothing was taken in."
	const was = "1.m.000000"
	for door, ask := range map[string]func() (bool, string){
		theForm: func() (bool, string) {
			status, text := h.ask("POST", page, url.Values{"g." + key: {"letters-0001"}, "c." + key: {"1"}, "d." + key: {was}})
			return status == http.StatusConflict, text
		},
		theAPI: func() (bool, string) {
			status, text := h.ask("POST", "/api/repositories/import", map[string]any{"repository": "vault",
				"confirm": []map[string]any{{"key": key, "source_group": "letters-0001", "digest": was}}})
			return status == http.StatusConflict, text
		},
		theCommandLine: func() (bool, string) {
			text, code := h.tell("repository", "import", "vault", "--assign="+key+"=letters-0001", "--confirm="+was)
			return code != 0, text
		},
	} {
		if refused, text := ask(); !refused || !strings.Contains(html.UnescapeString(text), changed) {
			t.Errorf("%s: refused %t\n%.1500s", door, refused, text)
		}
	}
	if said := takings.saved(t, h); len(said) > 0 {
		t.Errorf("taken in are %q", said)
	}
	// A digest is of these choices, too.
	digest := k.Digest([]imports.Choice{{Kin: key, Group: "letters-0001"}})
	if text, code := h.tell("repository", "import", "vault", "--assign="+key+"=photos-0001", "--confirm="+digest); code == 0 {
		t.Errorf("with another group: %s", text)
	}
	undo := map[string]func(id string) (bool, string){
		theForm: func(id string) (bool, string) {
			status, text := h.ask("POST", page+"/"+id+"/undo", url.Values{})
			return status == http.StatusSeeOther, text
		},
		theAPI: func(id string) (bool, string) {
			status, text := h.ask("DELETE", "/api/repositories/"+string(h.repository)+"/imports/"+id, nil)
			return status == http.StatusNoContent, text
		},
		theCommandLine: func(id string) (bool, string) {
			text, code := h.tell("repository", "import", "vault", "--undo="+id)
			return code == 0, text
		},
	}
	for door, ask := range undo {
		id, _, err := (&importing.Service{Store: h.store}).Confirm(t.Context(), "test", h.repository,
			[]imports.Choice{{Kin: key, Group: "letters-0001"}})
		if err != nil {
			t.Fatal(err)
		}
		if text, code := h.tell("repository", "import", "vault"); code != 0 || !strings.Contains(text, id) {
			t.Errorf("the list of imports: %s", text)
		}
		done, said := ask(id)
		if left := takings.saved(t, h); !done || len(left) > 0 {
			t.Errorf("%s: %t, left is %q\n%.1000s", door, done, left, said)
		}
		if again, said := ask(id); again || !strings.Contains(html.UnescapeString(said), "undone already") {
			t.Errorf("%s, a second time: %.1000s", door, said)
		}
	}
	var entries int
	list, err := h.store.AuditEntries(t.Context(), store.AuditFilter{}, 50)
	for _, e := range list {
		if e.Action == "snapshots.import_undone" {
			entries++
		}
	}
	if err != nil || entries != len(undo) {
		t.Errorf("%d entries of the audit log, %v", entries, err)
	}
	if _, _, err := (&importing.Service{Store: h.store}).Confirm(t.Context(), "test", h.repository, nil); !errors.As(err,
		new(field.Errors)) {
		t.Errorf("nothing is chosen: %v", err)
	}
}
