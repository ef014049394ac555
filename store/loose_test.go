package store

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/intake"
	"github.com/restic-manager/restic-manager/topics"
)

// TestASlotOfAForgottenPlanIsOneOfFew: where a plan was changed before plans were kept,
// nobody can tell which slots it had, and somebody with the host's keys could name every
// millisecond since 1970.
func TestASlotOfAForgottenPlanIsOneOfFew(t *testing.T) {
	t.Parallel()
	s, ctx := open(t), t.Context()
	now := time.Now().Truncate(24 * time.Hour).UnixMilli()
	const minute, day = 60_000, 24 * 60 * 60_000
	write := func(query string, args ...any) {
		t.Helper()
		if _, err := s.w.ExecContext(ctx, query, args...); err != nil {
			t.Fatal(err)
		}
	}
	write(`INSERT INTO former_plans (schedule, host, cron, zone, created_at, until_at) VALUES ('forgotten', 'attic', '', '', 0, $1)`, now)
	fits := func(schedule topics.ScheduleID, group topics.SourceGroupID, at int64) protocol.Fit {
		t.Helper()
		fit, err := intake.Plans{}.Fits(ctx, s.r, "attic", topics.Slot{Schedule: schedule, At: at}, group, now)
		if err != nil {
			t.Fatal(err)
		}
		return fit
	}
	for _, c := range []struct {
		what string
		at   int64
		want protocol.Fit
	}{
		{"while it was away", now - 90*day, protocol.Fit{}},
		{"after it was changed", now - 7*minute, protocol.Fit{}},
		{"between two minutes", now - 90*day + 1, protocol.Fit{Why: protocol.AsideSlot}},
		{"years before", now - 900*day, protocol.Fit{Far: true}},
		{"days ahead", now + 3*day, protocol.Fit{Far: true}},
	} {
		if got := fits("forgotten", "home", c.at); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
	write(`PRAGMA foreign_keys = OFF`)
	write(`WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 287)
		INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at, not_after, schedule, slot, attempt, fired)
		SELECT 'job-' || n, 'attic', 'backup', 'home', '', 'succeeded', 'x', 1, 1, 'forgotten', $1 + n * 60000, 0, 1 FROM n`, now-day)
	for group, want := range map[topics.SourceGroupID]protocol.Fit{"home": {Why: protocol.AsideSlot}, "etc": {}} {
		if got := fits("forgotten", group, now-day+1000*minute); got != want {
			t.Errorf("after 288 jobs a day, %s: %+v, want %+v", group, got, want)
		}
	}
	if got := fits("forgotten", "home", now-2*day); got != (protocol.Fit{}) {
		t.Errorf("another day: %+v", got)
	}
	// A plan that is known has its slots, however many.
	write(`INSERT INTO former_plans (schedule, host, cron, zone, created_at, until_at)
		VALUES ('forgotten', 'attic', '* * * * *', 'UTC', 1, $1)`, now)
	if got := fits("forgotten", "home", now-day+1000*minute); got != (protocol.Fit{}) {
		t.Errorf("by a plan that is known: %+v", got)
	}
}
