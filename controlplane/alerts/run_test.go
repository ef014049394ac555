package alerts

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store"
)

// TestItLooksWhenSomethingMayHaveChanged runs in a bubble: what counts is when it looks.
func TestItLooksWhenSomethingMayHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), t.TempDir()+"/data", t.TempDir()+"/key")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		d := deskOn(t, s, time.Time{})
		d.Now = time.Now
		seen := 0
		looks := func(span time.Duration) (n int) { // since it was asked last
			time.Sleep(span)
			synctest.Wait()
			d.mu.Lock()
			defer d.mu.Unlock()
			n, seen = d.facts-seen, d.facts
			return n
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.Run(ctx) }()
		if n := looks(time.Second); n != 1 {
			t.Errorf("at the start it looked %d times", n)
		}
		if n := looks(10 * time.Minute); n != 10 {
			t.Errorf("in ten minutes it looked %d times", n)
		}
		looks(3 * time.Second)
		for range 1000 { // much changes
			d.Stir()
			time.Sleep(time.Millisecond)
		}
		if n := looks(0); n != 1 {
			t.Errorf("while much changed within a second it looked %d times", n)
		}
		if n := looks(3 * time.Second); n != 1 {
			t.Errorf("after that it looked %d times", n)
		}
		d.mu.Lock()
		d.holds = []conditions.Finding{offline("attic")}
		d.mu.Unlock()
		d.Stir()
		looks(5 * time.Second)
		d.told("opened attic")
		d.mu.Lock()
		d.next = time.Now().Add(20 * time.Second)
		d.mu.Unlock()
		d.Stir()
		looks(3 * time.Second)
		if n := looks(18 * time.Second); n != 1 {
			t.Errorf("when time alone changes something, it looked %d times", n)
		}
		fail := func(err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.fails = err
		}
		if list := d.Notices(ctx); len(list) > 0 {
			t.Errorf("while it works it says %v", list)
		}
		fail(errors.New("no such\x1btable"))
		looks(3 * time.Minute)
		if list := d.Notices(ctx); len(list) > 0 {
			t.Errorf("after some failures it says %v", list)
		}
		turned := d.Turned()
		looks(3 * time.Minute)
		if list := d.Notices(ctx); len(list) != 1 || !strings.Contains(list[0].Say, "no such\\x1btable") {
			t.Errorf("after many it says %v", list)
		}
		if d.Turned() != turned {
			t.Error("the outside heartbeat hears that it works")
		}
		fail(nil)
		if n := looks(2 * time.Minute); n == 0 {
			t.Error("after a failure it looks no more")
		}
		if list := d.Notices(ctx); len(list) > 0 || !d.Turned().After(turned) {
			t.Errorf("when it works again it says %v", list)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
