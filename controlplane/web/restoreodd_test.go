package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/store"
)

// Whatever an address of a restore's pages says, a page comes, soon, and not because
// something broke.
func TestNoAddressOfARestoreKeepsTheServerBusy(t *testing.T) {
	w, _, g, a, ids := wizard(t)
	c := w.person(store.Restorer)
	d := c.begin(g, ids[0])
	c.do("POST", d+"/basket", url.Values{"snapshot": {ids[0]}, "tick": {"d /letters"}})
	odd := []string{"etc", `C:\Users`, "/etc/../..", "/letters/", "/" + strings.Repeat("a/", 1800) + "a", "-1", "99999999999999999999",
		"\xff\x00", "/\u202e<script>e"}
	for _, page := range []string{"/restore/new", d + "/files", d + "/directories"} {
		for _, name := range []string{"path", "snapshot", "after", "q", "host"} {
			for _, value := range odd {
				a.err = nil
				if strings.HasPrefix(page, d) && name == "path" {
					a.err = &queries.InputError{Field: "path", Say: "This is no path."}
				}
				begun := time.Now()
				r := c.do("GET", page+"?"+url.Values{name: {value}}.Encode(), nil)
				if r.StatusCode >= http.StatusInternalServerError || strings.Contains(r.text, "<script>e") || seenAsItIs.MatchString(r.text) {
					t.Errorf("%s?%s=%.80q: %s", page, name, value, r.Status)
				}
				if took := time.Since(begun); took > 20*time.Second {
					t.Errorf("%s?%s=%.80q took %v", page, name, value, took)
				}
			}
		}
	}
}

// seenAsItIs finds what turns the direction of a text, outside of tags.
var seenAsItIs = regexp.MustCompile(`>[^<]*\x{202e}`)

// A basket has room for so much, and what is too much is refused before it is put together.
func TestATooLargeBasketIsRefusedAtOnce(t *testing.T) {
	w, _, g, _, ids := wizard(t)
	c := w.person(store.Restorer)
	d := c.begin(g, ids[0])
	form := url.Values{"snapshot": {ids[0]}}
	for i := range 5_000 {
		form.Add("tick", fmt.Sprintf("f /%x", i))
	}
	r := c.do("POST", d+"/basket", form)
	if r.StatusCode != http.StatusConflict || !strings.Contains(r.text, "It does not fit into this restore") {
		t.Errorf("%s\n%.500s", r.Status, r.text)
	}
}
