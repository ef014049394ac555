package conditions

import (
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/words"
)

const (
	// FewClocks is how many hosts have to be connected so that they say something of ours.
	FewClocks = 3
	// alike is by how much clocks may differ that are off alike.
	alike = 15 * 1000
)

// clocks says that it is this server's clock that is wrong: most hosts are off from it by the
// same. It does so at half of what is told of a host, so that no host is told of first while
// ours drifts away; hosts are compared with what they have in common then.
func (j *judging) clocks() {
	var off []int64
	for _, h := range j.Hosts {
		if !h.Retired && !h.Revoked && !h.Offline && !h.Unknown && h.Clock != 0 {
			off = append(off, h.Clock)
		}
	}
	if len(off) < FewClocks {
		return
	}
	slices.Sort(off)
	median := off[len(off)/2]
	n := 0
	for _, o := range off {
		if max(o-median, median-o) <= alike {
			n++
		}
	}
	limit, _, _ := j.limits.Of(byName[ClockOff], "", nil)
	s := subject{Finding: Finding{Key: alerts.Key{On: alerts.OnPlane}, Body: alerts.Body{Name: "Control plane"}},
		path: "/control-plane", link: "Open the control plane"}
	c, _, _, on := j.check(s, PlaneClock)
	by, way := median, "behind"
	if by < 0 {
		by, way = -by, "ahead of"
	}
	if !on || by <= limit*1000/2 || 3*n < 2*len(off) {
		return
	}
	j.common = median
	j.say(s, c, said{cause: fill(c.Cause, "is", words.Span(about(time.Duration(by)*time.Millisecond)), "way", way,
		"n", words.Number(uint64(n)), "all", words.Count(uint64(len(off)), "host", "hosts"))})
}
