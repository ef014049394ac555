package main

import (
	"crypto/sha256"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/kit"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/kits"
	"github.com/restic-manager/restic-manager/topics"
)

// TestEveryDoorShowsTheSameKits: page and command line show the secrets of the same
// repositories and write the same down, in the audit log and as what was last shown; a program
// with a token of the API gets none.
func TestEveryDoorShowsTheSameKits(t *testing.T) {
	h := newHouse(t)
	const other, bare = topics.RepositoryID("other-0001"), topics.HostID("bare-00001")
	if err := h.store.AddRepository(t.Context(), "test", store.Repository{ID: other, Name: "other"},
		store.RepositoryAccess{URL: "/srv/other", Password: "battery staple"}); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(bare))
	if err := h.store.AddEnrollToken(t.Context(), store.EnrollToken{ID: "bare-token", KeyHash: hash[:], Name: "bare", CreatedBy: "test",
		ExpiresAt: h.store.Now() + 60_000}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.Enroll(t.Context(), hash[:], store.Host{ID: bare, SealKey: []byte("k"), Serial: "2", Hostname: "bare"}); err != nil {
		t.Fatal(err)
	}
	secrets := func(text string) (all []string) {
		for _, s := range []string{"correct horse", "battery staple"} {
			if strings.Contains(text, s) {
				all = append(all, s)
			}
		}
		return all
	}
	// written is what was written down since an entry, and the last one.
	written := func(since int64, of kits.Of) ([]string, int64) {
		entries, err := h.store.AuditEntries(t.Context(), store.AuditFilter{}, 20)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		last := since
		for _, e := range entries {
			if e.N > since && strings.Contains(e.Action, "kit") {
				all = append(all, fmt.Sprintf("%s %s %s", e.Action, e.Target, e.Detail))
			}
			last = max(last, e.N)
		}
		slices.Sort(all)
		shown, err := h.store.KitsShown(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return append(all, fmt.Sprint(shown[of].At > 0)), last
	}
	for what, c := range map[string]struct {
		of   kits.Of
		page string
		args []string
		want []string // secrets
		none bool     // there is no such thing
	}{
		"a repository": {of: kits.Of{Kind: kits.OfRepository, Subject: string(h.repository)},
			page: "/repositories/" + string(h.repository) + "/kit",
			args: []string{"--repository=vault"}, want: []string{"correct horse"}},
		"a host": {of: kits.Of{Kind: kits.OfHost, Subject: string(h.host)}, page: "/hosts/" + string(h.host) + "/kit",
			args: []string{"--host=attic"}, want: []string{"correct horse"}},
		"a host without any": {of: kits.Of{Kind: kits.OfHost, Subject: string(bare)}, page: "/hosts/" + string(bare) + "/kit",
			args: []string{"--host=bare"}},
		"all": {of: kits.Of{Kind: kits.OfAll}, page: "/repositories/kit", args: []string{"--all"},
			want: []string{"correct horse", "battery staple"}},
		"no repository": {of: kits.Of{Kind: kits.OfRepository, Subject: "nobody"}, page: "/repositories/nobody/kit",
			args: []string{"--repository=nobody"}, none: true},
		"no host": {of: kits.Of{Kind: kits.OfHost, Subject: "nobody"}, page: "/hosts/nobody/kit", args: []string{"--host=nobody"}, none: true},
	} {
		t.Run(what, func(t *testing.T) {
			_, since := written(0, c.of)
			set, err := kit.Show(t.Context(), h.store, "test", c.of)
			if (err != nil) != c.none || !slices.Equal(secrets(set.Text()), c.want) {
				t.Fatalf("the service: %v, %v", err, secrets(set.Text()))
			}
			want, since := written(since, c.of)
			for door, ask := range map[string]func() (bool, string){
				theForm: func() (bool, string) {
					status, text := h.ask("GET", c.page, nil)
					return status == http.StatusOK, html.UnescapeString(text)
				},
				theCommandLine: func() (bool, string) {
					text, code := h.tell(append([]string{"kit"}, c.args...)...)
					return code == 0, text
				},
			} {
				taken, said := ask()
				var got []string
				got, since = written(since, c.of)
				if taken == c.none || !slices.Equal(secrets(said), c.want) || !slices.Equal(got, want) {
					t.Errorf("%s: taken %t, shows %v, wrote %q; want %v and %q", door, taken, secrets(said), got, c.want, want)
				}
			}
			if _, text := h.ask("GET", "/api"+c.page, nil); len(secrets(text)) > 0 {
				t.Error("a token of the API gets secrets")
			}
		})
	}
}
