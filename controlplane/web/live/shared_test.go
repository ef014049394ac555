package live

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

func TestARecentIsReadOncePerKey(t *testing.T) {
	var r Recent[int, int]
	loads, broken := 0, errors.New("broken")
	for i, want := range []int{1, 1, 2, 2} {
		v, err := r.Read(t.Context(), i/2, func(context.Context) (int, error) { loads++; return loads, nil })
		if err != nil || v != want {
			t.Errorf("reading %d is %d: %v", i, v, err)
		}
	}
	if _, err := r.Read(t.Context(), 9, func(context.Context) (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("a failure is answered with %v", err)
	}
	if v, err := r.Read(t.Context(), 1, func(context.Context) (int, error) { return 9, nil }); err != nil || v != 2 {
		t.Errorf("a failure costs what was read: %d, %v", v, err)
	}
}

// Progress of a hundred jobs is drawn once a second; whoever rings is drawn.
func TestProgressIsDrawnOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := Progress{Pause: time.Second}
		ring := func(ids ...topics.HostID) map[topics.HostID]bool {
			rang := map[topics.HostID]bool{}
			for _, id := range ids {
				rang[id] = true
			}
			return rang
		}
		if now, wait := p.Due(ring("attic"), false); !now["attic"] || wait {
			t.Error("the first is held back")
		}
		if now, wait := p.Due(ring("cellar"), false); len(now) > 0 || !wait {
			t.Error("the next is not")
		}
		if now, wait := p.Due(nil, true); !now["cellar"] || wait {
			t.Error("what is held back is not drawn with all others")
		}
		time.Sleep(time.Second)
		if now, wait := p.Due(ring("attic"), false); !now["attic"] || wait {
			t.Error("a second later it is held back")
		}
		if now, wait := p.Due(nil, false); len(now) > 0 || wait {
			t.Error("nothing rang, and something is due")
		}
	})
}
