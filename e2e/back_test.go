package e2e

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// An agent hears that its control plane stops, tries again within moments, and is back when
// the next one listens. Nobody is told meanwhile that its host is offline.
func TestAnAgentIsBackAsSoonAsItsControlPlaneIs(t *testing.T) {
	w := NewQuietWorld(t)
	attic := w.StartAgent("attic")
	for i := range 3 {
		attic.AwaitOnline()
		attic.process.Await(fmt.Sprintf(`(?s)(msg="the control plane is there".*){%d}`, i+1)) // it hears what is said to all
		w.plane.MustStop(time.Minute)
		attic.process.Await(fmt.Sprintf(`(?s)(msg="the control plane stops".*){%d}`, i+1))
		time.Sleep(2 * time.Second) // as long as an update takes: the agent finds nobody, several times
		began := time.Now()
		w.StartPlane()
		listens := time.Now()
		world.Await(t, "the host to be online", func() error {
			var hosts []struct{ Connection string }
			w.API("GET", "/api/hosts", nil, 200, &hosts)
			switch c := hosts[0].Connection; c {
			case "online":
				return nil
			case "offline":
				t.Fatal("it is said to be offline")
				return nil
			default:
				return errors.New(c)
			}
		})
		t.Logf("back %s after the control plane was ready, %s after it was started", time.Since(listens).Round(time.Millisecond),
			time.Since(began).Round(time.Millisecond))
	}
	w.MustStopCleanly()
}
