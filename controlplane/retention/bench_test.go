package retention

import (
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// BenchmarkPlan decides about many snapshots of a hundred source groups, one of which
// has collapsed.
func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{10_000, 50_000} {
		var list []store.Planned
		for i := range n {
			s := honest(fmt.Sprintf("%012d", i), noon.Add(-time.Duration(i/100)*6*time.Hour))
			s.SourceGroup = topics.SourceGroupID(fmt.Sprintf("group%03d", i%100))
			if s.Files, s.Bytes, s.Told = uint64(1000+i%7), uint64(1e6+i%11), 1; i%100 == 0 && i < 500 {
				s.Files, s.Bytes = 0, 0
			}
			list = append(list, s)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				v, err := Plan(store.Keep{Daily: 7, Weekly: 4, Monthly: 12}, list, Past{}, noon)
				if p := PlanOf(&v, Past{}, noon); err != nil || len(p.Held) == 0 {
					b.Fatal(err, len(p.Held))
				}
			}
		})
	}
}
