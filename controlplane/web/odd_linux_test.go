package web

import (
	"encoding/json"
	"math"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Times that cannot be, in whatever an agent says: nothing that holds them is refused,
// they are shown for what they are, and what they stand beside is judged as before.
func TestATimeThatCannotBeIsMarkedWhereverItIs(t *testing.T) {
	w, attic, done := furnished(t)
	const impossible = 4_611_686_018_427_387_904 // the year 146,138,514,283
	group := must(w.store.SourceGroups(t.Context(), attic.id))[0]
	api, admin := w.program(store.Admin), w.person(store.Admin)
	status := func() (s struct{ Status string }) {
		t.Helper()
		var list []struct{ Status string }
		if err := json.Unmarshal([]byte(api.do("GET", "/api/hosts", nil).text), &list); err != nil {
			t.Fatal(err)
		}
		s.Status = list[0].Status
		return s
	}
	before := status()
	mine := topics.Snapshot{ID: strings.Repeat("c", 64), Time: time.Now().UnixMilli(), Host: "attic", Paths: []string{"/letters"},
		Tags: []string{"plan=" + string(group.ID)}}
	all := []topics.Snapshot{mine}
	for i, ms := range []int64{impossible, math.MaxInt64, math.MinInt64, -1, words.LatestTime, time.Now().AddDate(50, 0, 0).UnixMilli()} {
		all = append(all, topics.Snapshot{ID: strings.Repeat(string(rune('1'+i)), 64), Time: ms, Host: "attic", Paths: []string{"/letters"},
			Tags: []string{"plan=" + string(group.ID)}})
	}
	attic.lists(group.Repository, all...)
	id := w.backup(attic)
	attic.say(topics.Event{At: math.MinInt64, Started: &topics.Started{Job: id}},
		topics.Event{At: impossible, Log: &topics.Log{Job: id, First: 1,
			Lines: []topics.Line{{At: impossible, Level: topics.Info, Text: "odd"}}}},
		topics.Event{At: impossible, Finished: &topics.Finished{Job: id, State: topics.Succeeded, Lines: 1,
			Snapshot: &topics.Snapshot{ID: strings.Repeat("e", 64), Time: impossible, Host: "attic", Paths: []string{"/letters"}},
			Summary:  &topics.Summary{TotalFiles: 1, TotalBytes: 1}}})
	w.awaitState(id, topics.Succeeded)
	// What was stored before times were looked at.
	db := beside(t, filepath.Dir(t.TempDir()), "immediate")
	defer db.Close()
	if _, err := db.Exec(`UPDATE snapshots SET time = 4611686018427387904 WHERE id LIKE '1%'`); err != nil {
		t.Fatal(err)
	}

	for _, path := range w.addresses(attic.id, group.Repository, id) {
		r := api.do("GET", path, nil)
		if r.StatusCode >= 500 {
			t.Errorf("GET %s: %s %.300s", path, r.Status, r.text)
		}
		if strings.Contains(r.text, "146138514283") || strings.Contains(r.text, "-00") {
			t.Errorf("GET %s: %.300s", path, r.text)
		}
	}
	marked := 0
	for _, path := range admin.crawl("/", "/jobs/"+string(id), "/jobs/"+string(done)) {
		r := admin.do("GET", path, nil)
		if r.StatusCode != http.StatusOK || strings.Contains(r.text, "146138514283") || strings.Contains(r.text, "9999-") {
			t.Errorf("GET %s: %s", path, r.Status)
		}
		if strings.Contains(r.text, words.OutOfRange) {
			marked++
		}
	}
	if marked < 3 {
		t.Errorf("%d pages say %q", marked, words.OutOfRange)
	}
	var list []struct {
		ID   string
		Time string
		Odd  bool `json:"time_out_of_range"`
	}
	text := api.do("GET", "/api/repositories/"+string(group.Repository)+"/snapshots", nil).text
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	odd := 0
	for _, n := range list {
		if n.Odd {
			odd++
		}
	}
	if odd != 6 { // the five that cannot be, and our own
		t.Errorf("%d snapshots are marked: %s", odd, text)
	}
	if tally := must(w.store.SnapshotTallies(t.Context()))[group.Repository]; tally.Newest > time.Now().UnixMilli() {
		t.Errorf("the newest snapshot is of %s", words.At(tally.Newest))
	}
	if after := status(); after != before {
		t.Errorf("the host was %v and is %v", before, after)
	}
}
