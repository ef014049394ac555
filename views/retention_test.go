package views

import "testing"

func TestRetentionCountsInWords(t *testing.T) {
	rows := func(n int) []RetentionRow { return make([]RetentionRow, n) }
	for _, c := range []struct {
		keep, remove, flagged int
		want                  string
	}{
		{0, 0, 0, "No snapshot is known yet."},
		{1, 0, 0, "1 stays, none would be removed."},
		{2, 1, 0, "2 stay, 1 would be removed."},
		{0, 3, 0, "None stays, 3 would be removed."},
		{1, 1, 1, "2 stay, 1 would be removed; 1 of those that stay is flagged."},
	} {
		v := Retention{Keep: rows(c.keep), Remove: rows(c.remove), Flagged: rows(c.flagged)}
		if got := v.counts(); got != c.want {
			t.Errorf("%d kept, %d removed, %d flagged: %q, want %q", c.keep, c.remove, c.flagged, got, c.want)
		}
	}
}
