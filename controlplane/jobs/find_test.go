package jobs

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestAJobIsFoundByWhatPagesShowOfItsID(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	g, err := w.store.SourceGroups(ctx, w.host.ID)
	if err != nil || len(g) == 0 {
		t.Fatal(err)
	}
	// The first two were asked for in the same moment, and one is a beginning of another.
	ids := []topics.JobID{"06h2760t37ipii0cle2oi7vlig", "06h2760t99ipii0cle2oaaaaaa", "06h9aaaa11ipii0cle2obbbbbb", "06h9aaaa"}
	for i, id := range ids {
		kind := []topics.JobKind{topics.StatsJob, topics.KeyJob, topics.LocksJob, topics.SnapshotsJob}[i]
		if _, _, err := w.store.Ask(ctx, "test", store.Job{ID: id, Host: w.host.ID, Kind: kind, Repository: g[0].Repository}); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{"06h2760t…2oi7vlig", "06h2760t…2oaaaaaa", "06h9aaaa…2obbbbbb", "06h9aaaa"} {
		got := ShortID(ctx, w.store, ids[i])
		if got != want {
			t.Errorf("%s is shown as %s, want %s", ids[i], got, want)
		}
		if j, err := Find(ctx, w.store, got); err != nil || j.ID != ids[i] {
			t.Errorf("what is shown, %s, finds %s, %v", got, j.ID, err)
		}
	}
	for text, want := range map[string]topics.JobID{
		"06h2760t3":                    ids[0],
		"06H2760T3":                    ids[0],
		" 06h2760t9 ":                  ids[1],
		"06h2760t...aaaaaa":            ids[1],
		"06h9aaaa":                     ids[3], // whole, although it begins another
		"06h9aaaa1":                    ids[2],
		"06h2760t37ipii0cle2oi7vlig":   ids[0],
		"06h2760t37ipii0cle2oi7vlig0":  "",
		"":                             "",
		"…":                            "",
		"zz":                           "",
		"06h2760t%":                    "",
		"06h2760t_7ipii0cle2oi7vlig":   "",
		"' OR 1=1":                     "",
		"06h2760t…zzzz":                "",
		strings.Repeat("0", 100) + "0": "",
	} {
		j, err := Find(ctx, w.store, text)
		if j.ID != want || (want == "") != errors.Is(err, ErrNoJob) {
			t.Errorf("%q finds %q, %v", text, j.ID, err)
		}
	}
	for text, fits := range map[string][]topics.JobID{"06h2760t": ids[:2], "06h9": {ids[3], ids[2]}} {
		_, err := Find(ctx, w.store, text)
		var several *AmbiguousError
		if !errors.As(err, &several) || several.More || !slices.Equal(several.Fits, fits) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
