package web

import (
	"net/url"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
)

// TestWhoeverMeansAllHostsSaysSo: to name no host for a restic that is to be fetched is a
// mistake, and does not mean all of them.
func TestWhoeverMeansAllHostsSaysSo(t *testing.T) {
	w := newWorld(t)
	w.enrol("attic").connect()
	admin, program := w.person(store.Admin), w.program(store.Admin)
	for body, want := range map[string]string{
		`{"version":"0.20.0"}`:                             "Say which hosts",
		`{"back":true}`:                                    "Say which hosts",
		`{"version":"0.20.0","all":false}`:                 "Say which hosts",
		`{"version":"0.20.0","all":true,"host":"attic"}`:   "Either all hosts",
		`{"version":"0.20.0","all":true,"tag":"site=one"}`: "Either all hosts",
		`{"version":"0.20.0","all":true}`:                  "No confirmed file with restic 0.20.0",
		`{"version":"0.20.0","host":"attic"}`:              "No confirmed file with restic 0.20.0",
	} {
		if r := program.do("POST", "/api/restic/fetches", body); r.StatusCode != 422 || !strings.Contains(r.text, want) {
			t.Errorf("%s: %s %s", body, r.Status, r.text)
		}
	}
	if r := program.do("POST", "/api/restic/fetches", `{"back":true,"all":true}`); r.StatusCode != 200 ||
		!strings.Contains(r.text, `"name":"attic"`) {
		t.Errorf("all go back: %s %s", r.Status, r.text)
	}
	for _, host := range []string{"", "*", "attic"} { // none, all, and one: there is no such file
		r := admin.do("POST", "/updates/restic/fetch", url.Values{"host": {host}, "version": {"0.20.0"}})
		if r.StatusCode != 422 {
			t.Errorf("by page, %q: %s", host, r.Status)
		}
	}
}
