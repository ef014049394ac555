package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/e2e/world"
)

// newClockWorld is a world whose control plane is in the test, with a clock that the
// test can move.
func newClockWorld(t *testing.T, now func() time.Time) *World {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	w := &World{t: t, Dir: dir, Data: filepath.Join(dir, "data"), HTTP: world.FreeAddress(t), Agents: world.FreeAddress(t),
		MQTT: world.FreeAddress(t)}
	p, err := controlplane.New(t.Context(), controlplane.Config{Data: w.Data, HTTP: w.HTTP, Agents: w.Agents, MQTT: w.MQTT,
		Log: slog.New(slog.DiscardHandler), Timing: controlplane.DefaultTiming(), Logs: controlplane.DefaultLogs(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	w.token = w.CLI("api-token", "create", "--name", "e2e", "--role", "admin", "--data", w.Data)
	return w
}

// An agent that was killed sends nothing any more. That alone makes its host late, and
// then overdue, on pages, in the API and in the topics, at the moment at which a slot
// and its grace have passed.
func TestAKilledAgentIsLateAndThenOverdueByTimeAlone(t *testing.T) {
	var ahead atomic.Int64
	w := newClockWorld(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	attic := w.StartAgent("attic")
	attic.Write("letters/1.txt", "dear reader")
	attic.Group("all")
	w.API("PUT", "/api/hosts/"+attic.ID+"/schedules/often", map[string]any{
		"cron":          "*/20 * * * *",
		"source_groups": []string{"all"},
	}, http.StatusOK, nil)
	w.AwaitState(attic.Backup("all"), "succeeded")
	secret := w.CLI("mqtt-user", "create", "home", "--data", w.Data)
	sub := world.Start(t, "mosquitto_sub", w.mosquitto("sub", "home", secret, "-v", "-t", "rm/v1/pub/#"))
	ada := w.SignIn()

	type group struct {
		Name       string `json:"name"`
		Status     string `json:"status"`
		LastGood   string `json:"last_good"`
		Restorable uint64 `json:"restorable_bytes"`
		Snapshots  int    `json:"snapshots"`
	}
	type state struct {
		Status     string  `json:"status"`
		Reason     string  `json:"reason"`
		Since      string  `json:"since"`
		PromisedBy string  `json:"promised_by"`
		LastGood   string  `json:"last_good"`
		Groups     []group `json:"groups"`
	}
	is := func(status, word string) (h state) {
		t.Helper()
		world.Await(t, "the host to be "+status, func() error {
			var hosts []state
			w.API("GET", "/api/hosts", nil, http.StatusOK, &hosts)
			if h = hosts[0]; h.Status != status || h.Groups[0].Status != status {
				return fmt.Errorf("it is %+v", h)
			}
			return nil
		})
		awaitSaid(t, sub, "pub/host/"+attic.ID+"/state", `"status":"`+status+`"`)
		awaitSaid(t, sub, "pub/fleet/state", `"`+status+`":1`)
		for _, path := range []string{"/", "/hosts/" + attic.ID} {
			if p := ada.Page(path); p.Missing(word) || status != "protected" && p.Missing(h.Reason) {
				t.Errorf("%s does not say %s: %s", path, word, p.Text)
			}
		}
		return h
	}
	good := is("protected", "Protected")
	if g := good.Groups[0]; g.Snapshots != 1 || g.Restorable == 0 || g.LastGood == "" || good.PromisedBy != "schedule often" {
		t.Errorf("protected as %+v", good)
	}
	attic.Kill9()
	attic.AwaitOffline()
	if is("protected", "Protected").LastGood != good.LastGood {
		t.Error("the last good backup became another")
	}

	// Its next slot is at most twenty minutes away, an hour is its grace.
	ahead.Store(int64(85 * time.Minute))
	late := is("late", "Late")
	if late.LastGood != good.LastGood || late.Since == "" || !strings.Contains(late.Reason, "offline") {
		t.Errorf("late as %+v", late)
	}
	ahead.Store(int64(125 * time.Minute)) // the third slot, and its grace
	if over := is("overdue", "Overdue"); over.Groups[0].Snapshots != 1 || over.Groups[0].Restorable != good.Groups[0].Restorable {
		t.Errorf("overdue as %+v", over)
	}
}
