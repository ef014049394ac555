package mirroring

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/topics"
)

// selecting is a jobs engine that chooses what is copied as the real one does.
type selecting struct {
	asking
	engine *jobs.Engine
}

func (e *selecting) CopySelection(ctx context.Context, host topics.HostID, r topics.RepositoryID, o topics.Operation) (
	topics.Operation, error) {
	return e.engine.CopySelection(ctx, host, r, o)
}

// TestWhatIsDamagedIsNotCopied until a check finds it whole: restic would copy a snapshot
// without what is lost, and nobody would copy it again.
func TestWhatIsDamagedIsNotCopied(t *testing.T) {
	s, ctx := fleet(t), t.Context()
	now := time.UnixMilli(s.Now())
	e := &selecting{asking: asking{s: s}, engine: &jobs.Engine{Config: jobs.Config{Store: s}}}
	service := &Service{Store: s, Jobs: e, Online: func(topics.HostID) bool { return true }, Changed: func(...topics.HostID) {},
		Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(), Now: func() time.Time { return now }}
	if err := service.Put(ctx, "anna", "first-0001", Input{To: new("near-00001"), Cron: new("* * * * *"), Zone: new("UTC")}); err != nil {
		t.Fatal(err)
	}
	held := func() bool {
		t.Helper()
		st, err := Of(ctx, s, "first-0001", now)
		if err != nil {
			t.Fatal(err)
		}
		return st.Held
	}
	step := func(after time.Duration) int {
		t.Helper()
		now = now.Add(after)
		if err := service.Step(ctx); err != nil {
			t.Fatal(err)
		}
		return len(e.orders)
	}
	exec(t, s, `INSERT INTO repository_damage (repository, place, since, found_at, host, job, kind, errors, scope, clean)
		VALUES ('near-00001', '', 1, 1, 'attic-0001', 'job', 'check', 1, '', '')`)
	if held() {
		t.Error("it is held for damage of another repository")
	}
	exec(t, s, `INSERT INTO repository_damage (repository, place, since, found_at, host, job, kind, errors, scope, clean)
		VALUES ('first-0001', '', 1, 1, 'barn-00001', 'job', 'check', 1, '', '')`)
	if n := step(2 * time.Minute); n != 0 || !held() {
		t.Errorf("of a damaged repository %d copies are asked for, held %v", n, held())
	}
	if n := step(time.Hour); n != 0 {
		t.Errorf("an hour later %d are", n)
	}
	exec(t, s, `DELETE FROM repository_damage WHERE repository = 'first-0001'`)
	if n := step(24 * time.Hour); n != 1 || held() {
		t.Errorf("when it is whole again %d copies are asked for, held %v", n, held())
	}
}
