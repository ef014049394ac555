package controlplane

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// Consumers hear within seconds that a host was proven restorable, and that it is not any
// more, although nothing else of it changed.
func TestConsumersHearWhatDrillsProve(t *testing.T) {
	p, _ := running(t, func(c *Config) { c.Timing.Public.Quiet = 50 * time.Millisecond })
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const id = "attic-0001"
	check(p.Store.AddEnrollToken(ctx, store.EnrollToken{ID: "token-0001", KeyHash: []byte("k"), Name: "attic", CreatedBy: "test",
		ExpiresAt: p.Store.Now() + 600_000}))
	_, err := p.Store.Enroll(ctx, []byte("k"), store.Host{ID: id, SealKey: []byte("k"), Serial: "1", Hostname: "attic"})
	check(err)
	check(p.Store.AddRepository(ctx, "test", store.Repository{ID: "vault-0001", Name: "vault"},
		store.RepositoryAccess{URL: "/srv/vault", Password: "correct horse"}))
	_, err = p.Store.PutSourceGroup(ctx, "test", store.SourceGroup{ID: "letters-0001", Host: id, Name: "letters",
		Repository: "vault-0001", Paths: store.List{"/letters"}})
	check(err)
	p.decided(id)
	cmd := p.mosquitto(t, "sub", "home", p.consumer(t, "home", false), "-t", "rm/v1/pub/host/"+id+"/state")
	out := &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	check(cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	hears := func(word drills.Word, at bool) {
		t.Helper()
		await(t, "a consumer to hear "+string(word), func() error {
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			var s topics.HostState
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
				return fmt.Errorf("it heard %q", out.String())
			}
			if s.Proven != string(word) || (s.ProvenAt != "") != at {
				return fmt.Errorf("it heard %s at %q", s.Proven, s.ProvenAt)
			}
			return nil
		})
	}
	now := p.Store.Now()
	drilled := func(job topics.JobID, state topics.JobState, failed uint64, at int64) {
		t.Helper()
		check(p.Store.SlotStep(ctx, func(tx store.Slots) error {
			ctx, x := tx.Tx()
			return drills.Note(ctx, x, id, "vault-0001", job, state, "it differs", &topics.Drilled{Complete: true,
				Snapshots: []topics.DrilledSnapshot{{Group: "letters-0001", Snapshot: "aa", Files: 2, Proven: 2 - failed, Failed: failed}}}, at)
		}))
		p.decided(id) // as the end of a job does
	}
	hears(drills.Unproven, false)
	drilled("drill-0001", topics.Succeeded, 0, now)
	hears(drills.Proven, true)
	drilled("drill-0002", topics.Failed, 1, now+1)
	hears(drills.Disproved, true)
	drilled("drill-0003", topics.Succeeded, 0, now-drills.MaxAge.Milliseconds()-1)
	hears(drills.Unproven, true) // too old
}
