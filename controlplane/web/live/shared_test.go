package live

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Streams that ask at the same time share one reading, whose age counts from its
// end; what rang while it went on causes another.
func TestWhatIsReadLatelyIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const gap, takes = 250 * time.Millisecond, 400 * time.Millisecond
		var l Lately[int]
		loads := 0
		load := func(context.Context) (*int, error) {
			loads++
			n := loads
			time.Sleep(takes)
			return &n, nil
		}
		read := func(since time.Time) (int, bool) {
			v, fresh, err := l.Read(t.Context(), since, gap, load)
			return *v, fresh && err == nil
		}
		began := time.Now()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if n, fresh := read(began); n != 1 || !fresh {
					t.Errorf("of fifty who ask at once, one has reading %d, fresh: %t", n, fresh)
				}
			})
		}
		all.Wait()
		during := began.Add(takes / 2) // something rang while it was read
		if n, fresh := read(during); n != 1 || fresh {
			t.Errorf("just after the reading it is reading %d, fresh: %t", n, fresh)
		}
		time.Sleep(gap - 1)
		if n, _ := read(during); n != 1 {
			t.Error("it is read again too early")
		}
		time.Sleep(1)
		if n, fresh := read(during); n != 2 || !fresh {
			t.Errorf("after the gap it is reading %d, fresh: %t", n, fresh)
		}
		time.Sleep(time.Hour)
		if n, fresh := read(during); n != 2 || !fresh || loads != 2 {
			t.Error("nothing rang, and it was read again")
		}
	})
}

// Who began a reading may go, and who waits may go, without the others' harm.
func TestAReadingOutlivesWhoBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lately[int]
		load := func(ctx context.Context) (*int, error) {
			time.Sleep(time.Second)
			n := 1
			return &n, ctx.Err()
		}
		began := time.Now()
		first, leave := context.WithCancel(t.Context())
		impatient, give := context.WithTimeout(t.Context(), time.Second/2)
		defer give()
		var all sync.WaitGroup
		all.Go(func() { _, _, _ = l.Read(first, began, 0, load) })
		synctest.Wait()
		all.Go(func() {
			if _, _, err := l.Read(impatient, began, 0, load); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who cannot wait: %v", err)
			}
		})
		all.Go(func() {
			if v, fresh, err := l.Read(t.Context(), began, 0, load); err != nil || !fresh || *v != 1 {
				t.Errorf("who waits: %v", err)
			}
		})
		leave()
		all.Wait()
	})
}

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
