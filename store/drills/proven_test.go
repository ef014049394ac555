package drills

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Each row has a neighbour that is judged otherwise.
func TestWhatIsProven(t *testing.T) {
	proven := func(group topics.SourceGroupID, at int64) Verdict {
		return Verdict{Group: group, Proven: true, At: at, ProvenAt: at, Job: "good", ProvenJob: "good"}
	}
	failed := func(group topics.SourceGroupID, at, before int64) Verdict {
		return Verdict{Group: group, At: at, ProvenAt: before, Job: "bad", Why: "it differs"}
	}
	day := (24 * time.Hour).Milliseconds()
	both := []topics.SourceGroupID{"home", "mail"}
	for _, c := range []struct {
		what     string
		groups   []topics.SourceGroupID
		verdicts []Verdict
		want     Word
		at       int64
	}{
		{"no group", nil, nil, Unproven, 0},
		{"never tried", both, nil, Unproven, 0},
		{"one of two", both, []Verdict{proven("home", 5)}, Unproven, 0},
		{"both", both, []Verdict{proven("home", 5), proven("mail", 3)}, Proven, 3},
		{"one failed, and was proven before", both, []Verdict{proven("home", 5), failed("mail", 9, 3)}, Disproved, 3},
		{"one failed, and never was", both, []Verdict{proven("home", 5), failed("mail", 9, 0)}, Disproved, 0},
		{"one failed, the other was never tried", both, []Verdict{failed("mail", 9, 3)}, Disproved, 0},
		{"one of a group that is gone", both[:1], []Verdict{proven("home", 5), failed("mail", 9, 0)}, Proven, 5},
		{"a moment before it is too old", both[:1], []Verdict{proven("home", -35*day+11)}, Proven, -35*day + 11},
		{"too old", both[:1], []Verdict{proven("home", -35*day+10)}, Unproven, -35*day + 10},
		{"one of two is too old", both, []Verdict{proven("home", 5), proven("mail", -40*day)}, Unproven, -40 * day},
		{"too old, and the last one failed", both, []Verdict{proven("home", 5), failed("mail", 9, -40*day)}, Disproved, -40 * day},
		{"too old, and one never was", both, []Verdict{proven("home", -40*day)}, Unproven, 0},
	} {
		for i := range c.verdicts { // as if it were long after 1970
			if v := &c.verdicts[i]; v.ProvenAt != 0 {
				v.ProvenAt += 1000 * day
			}
		}
		if c.at != 0 {
			c.at += 1000 * day
		}
		got := Judge(c.groups, c.verdicts, time.UnixMilli(1000*day+10))
		if got.Word != c.want || got.At != c.at {
			t.Errorf("%s: %+v, want %s since %d", c.what, got, c.want, c.at)
		}
		if until := map[bool]int64{true: c.at + 35*day}[c.want == Proven]; got.Until != until {
			t.Errorf("%s: it is judged again at %d, want %d", c.what, got.Until, until)
		}
		if old := c.want == Unproven && c.at > 0; got.TooOld() != old || strings.Contains(got.Words(), "35 days") != old {
			t.Errorf("%s: too old is %t, and %q", c.what, got.TooOld(), got.Words())
		}
	}
}
