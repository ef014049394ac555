package store

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/facts"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/topics"
)

// planned adds a schedule of some groups of a host.
func planned(t *testing.T, s *Store, h Host, name string, groups ...topics.SourceGroupID) Schedule {
	t.Helper()
	return must(s.PutSchedule(t.Context(), "test", h.ID, name, ScheduleID(topics.NewID(time.Now())), func(sc *Schedule) error {
		sc.Cron, sc.Zone, sc.Enabled, sc.RetryMax, sc.Groups = "0 3 * * *", "UTC", true, 3, groups
		return nil
	}))
}

// aHost is all that lists, boards and configs go by of a host.
type aHost struct {
	Host      Host
	Groups    []SourceGroup
	Schedules []Schedule
	Plans     []Member
}

func (s *Store) everything(t *testing.T, id topics.HostID) (a aHost) {
	t.Helper()
	ctx := t.Context()
	a.Host, _ = s.Host(ctx, id)
	a.Groups, a.Schedules, a.Plans = must(s.SourceGroups(ctx, id)), must(s.Schedules(ctx, id)), must(s.Plans(ctx, id))
	for i := range a.Schedules {
		a.Schedules[i].Since, a.Schedules[i].PausedFrom = 0, 0 // goes on anew
	}
	return a
}

func TestARemovedHostIsInNoListAndComesBackWhole(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic, barn := enrolled(t, s, "attic"), enrolled(t, s, "barn")
	g, other := grouped(t, s, attic), grouped(t, s, attic)
	grouped(t, s, barn)
	planned(t, s, attic, "nightly", g.ID, other.ID)
	planned(t, s, attic, "hourly", g.ID)
	must(s.PutHostSettings(ctx, "anna", attic.ID, removal.HostSettings{Intermittent: new(true), OverdueDays: new(int64(9)),
		Tags: new([]string{"web"})}))
	was, mark, plans := s.everything(t, attic.ID), must(s.FleetMark(ctx)), must(s.ScheduleMark(ctx))
	queued, sent := asked(t, s, g), asked(t, s, other)
	if err := s.Steps(ctx, func(tx protocol.PlaneTx) error {
		p := must2(tx.Job(sent.ID))
		p.State = topics.Dispatched
		if err := tx.PutJob(p); err != nil {
			return err
		}
		p.State = topics.Running
		return tx.PutJob(p)
	}); err != nil {
		t.Fatal(err)
	}

	if err := s.RemoveHost(ctx, "anna", attic.ID, removal.Keep); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"by its ID":   err2(s.Host(ctx, attic.ID)),
		"by its name": err2(s.FindHost(ctx, "attic")),
		"a new token": s.AddEnrollToken(ctx, EnrollToken{ID: "t1", ForHost: attic.ID, CreatedBy: "test"}),
		"a renewal":   s.Renew(ctx, attic.ID, "1", "2"),
		"settings":    err2(s.PutHostSettings(ctx, "anna", attic.ID, removal.HostSettings{Retired: new(true)})),
		"twice":       s.RemoveHost(ctx, "anna", attic.ID, removal.Keep),
		"a revocation": err2(s.Revoke(ctx, "anna",
			attic.ID)),
		"what it sends": s.Steps(ctx, func(tx protocol.PlaneTx) error { return err2(tx.Received(attic.ID)) }),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	nothing := aHost{Groups: []SourceGroup{}, Schedules: []Schedule{}, Plans: []Member{}}
	if gone := s.everything(t, attic.ID); !reflect.DeepEqual(gone, nothing) {
		t.Errorf("left is %+v", gone)
	}
	if list := must(s.Hosts(ctx)); len(list) != 1 || list[0].ID != barn.ID || must(s.HostCount(ctx)) != 1 {
		t.Errorf("the list has %+v", list)
	}
	if c := must(s.FleetSince(ctx, mark, 0)); len(c.Hosts) != 0 || len(c.Changed) != 1 || c.Changed[0] != attic.ID {
		t.Errorf("the board is told %+v", c)
	}
	if c := must(s.SchedulesSince(ctx, plans)); len(c.Names)+len(c.Schedules)+len(c.Groups) != 0 || len(c.Changed) == 0 {
		t.Errorf("the board of schedules is told %+v", c)
	}
	if since := must(s.Revoked(ctx)); since[attic.ID] == 0 {
		t.Error("its connections are not ended")
	}
	for id, want := range map[topics.JobID]topics.JobState{queued.ID: topics.Cancelled, sent.ID: topics.Interrupted} {
		if j := must(s.Job(ctx, id)); j.State != want || j.FinishedAt == 0 || want == topics.Interrupted && j.Cause != topics.CauseHostRemoved {
			t.Errorf("job %s is %+v, want %s", id, j, want)
		}
	}
	names, groups := map[topics.HostID]string{}, map[topics.SourceGroupID]string{}
	if err := errors.Join(s.HostNames(ctx, []topics.HostID{attic.ID}, names),
		s.GroupNames(ctx, []topics.SourceGroupID{g.ID}, groups)); err != nil || names[attic.ID] != "attic (removed)" ||
		groups[g.ID] != g.Name+" (removed)" {
		t.Errorf("its jobs are of %q and %q, %v", names[attic.ID], groups[g.ID], err)
	}
	heir := enrolled(t, s, "attic")
	if heir.Name != "attic" {
		t.Errorf("its name is not free: the next is called %s", heir.Name)
	}

	if _, err := s.Restore(ctx, "anna", removal.Host, string(attic.ID), ""); !errors.Is(err, removal.ErrTaken) {
		t.Errorf("brought back under a name that is taken: %v", err)
	}
	if left, err := s.Restore(ctx, "anna", removal.Host, string(attic.ID), "old attic"); err != nil || len(left) > 0 {
		t.Fatalf("left %+v, %v", left, err)
	}
	was.Host.Name = "old attic"
	now := s.everything(t, attic.ID)
	now.Host.LastJob, now.Host.LastState, now.Host.LastEndedAt = "", "", 0 // the ends of its jobs
	if !reflect.DeepEqual(now, was) {
		t.Errorf("back is\n%+v\nit was\n%+v", now, was)
	}
	for _, sc := range must(s.Schedules(ctx, attic.ID)) {
		if sc.PausedFrom == 0 || sc.PausedFrom > sc.Since {
			t.Errorf("schedule %s goes on as after a pause from %d to %d", sc.Name, sc.PausedFrom, sc.Since)
		}
	}
	if err := must(s.Host(ctx, attic.ID)).Trusts("1"); err != nil {
		t.Errorf("its certificate is not good any more: %v", err)
	}
	s.mustStep(t, attic.ID, 1, topics.Event{Finished: &topics.Finished{Job: sent.ID, State: topics.Succeeded}})
	if j := must(s.Job(ctx, sent.ID)); j.State != topics.Interrupted {
		t.Errorf("the job ended twice, as %s", j.State)
	}
	for _, action := range []string{"host.removed", "host.restored"} {
		if n := must(s.AuditCount(ctx, AuditFilter{Action: action, Target: string(attic.ID), Actor: "anna"})); n != 1 {
			t.Errorf("%d entries %s", n, action)
		}
	}
}

func must2[T any](v T, _ bool, err error) T { return must(v, err) }
func err2[T any](_ T, err error) error      { return err }

// A keeper takes what it looks after with it, so another one is chosen first.
// TestAHostThatIsRetiredNoLongerGoesOnAsAfterAPause: what it missed meanwhile is nobody's
// fault, and not made good either.
func TestAHostThatIsRetiredNoLongerGoesOnAsAfterAPause(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	planned(t, s, attic, "nightly", grouped(t, s, attic).ID)
	at := must(s.PutHostSettings(ctx, "anna", attic.ID, removal.HostSettings{Retired: new(true)})).RetiredAt
	must(s.PutHostSettings(ctx, "anna", attic.ID, removal.HostSettings{Retired: new(false)}))
	if sc := must(s.ScheduleNamed(ctx, attic.ID, "nightly")); sc.PausedFrom != at || sc.Since < at {
		t.Errorf("retired at %d, it is %+v", at, sc)
	}
}

func TestAKeeperIsNotRemoved(t *testing.T) {
	s, ctx := open(t), t.Context()
	vault := enrolled(t, s, "vault")
	r := must(s.Repository(ctx, grouped(t, s, enrolled(t, s, "attic")).Repository))
	a := must(s.RepositoryAccess(ctx, r.ID))
	r.Keeper = vault.ID
	if err := s.ChangeRepository(ctx, "anna", r, a); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveHost(ctx, "anna", vault.ID, removal.Keep); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), r.Name) {
		t.Errorf("%v", err)
	}
	r.Keeper = ""
	if err := s.ChangeRepository(ctx, "anna", r, a); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveHost(ctx, "anna", vault.ID, removal.Keep); err != nil {
		t.Error(err)
	}
}

func TestARemovedGroupTakesTheSchedulesAlongThatBackUpNothingElse(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g, other := grouped(t, s, attic), grouped(t, s, attic)
	both, own := planned(t, s, attic, "nightly", g.ID, other.ID), planned(t, s, attic, "hourly", g.ID)
	was := s.everything(t, attic.ID)
	job := asked(t, s, g)

	schedules, err := s.RemoveSourceGroup(ctx, "anna", g.ID, removal.Keep)
	if err != nil || !reflect.DeepEqual(schedules, []string{"hourly"}) {
		t.Fatalf("%v went with it, %v", schedules, err)
	}
	if j := must(s.Job(ctx, job.ID)); j.State != topics.Cancelled {
		t.Errorf("its job is %s", j.State)
	}
	now := s.everything(t, attic.ID)
	if len(now.Groups) != 1 || now.Groups[0].ID != other.ID || len(now.Schedules) != 1 || now.Schedules[0].ID != both.ID ||
		len(now.Schedules[0].Groups) != 1 {
		t.Errorf("left is %+v", now)
	}
	// Another schedule takes the name meanwhile.
	planned(t, s, attic, "hourly", other.ID)
	if list := must(s.RemovedGroups(ctx, attic.ID)); len(list) != 1 || list[0].Name != g.Name || !list[0].Restorable() {
		t.Errorf("removed are %+v", list)
	}
	if _, err := s.Restore(ctx, "anna", removal.Group, string(g.ID), ""); err != nil {
		t.Fatal(err)
	}
	now = s.everything(t, attic.ID)
	if !reflect.DeepEqual(now.Groups, was.Groups) {
		t.Errorf("back is %+v, it was %+v", now.Groups, was.Groups)
	}
	if sc := must(s.ScheduleNamed(ctx, attic.ID, "hourly-2")); sc.ID != own.ID || len(sc.Groups) != 1 || sc.Groups[0] != g.ID {
		t.Errorf("its schedule is %+v", sc)
	}
	if sc := must(s.ScheduleNamed(ctx, attic.ID, "nightly")); len(sc.Groups) != 2 {
		t.Errorf("the other one backs up %v", sc.Groups)
	}
	if _, err := s.Restore(ctx, "anna", removal.Group, string(g.ID), ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("brought back twice: %v", err)
	}
}

func TestARemovedRepositoryComesBackWithItsGroupsAndSecrets(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic, barn := enrolled(t, s, "attic"), enrolled(t, s, "barn")
	g, mine := grouped(t, s, attic), grouped(t, s, barn)
	must(s.PutSourceGroup(ctx, "test", SourceGroup{ID: mine.ID, Host: barn.ID, Name: mine.Name, Repository: g.Repository, Paths: List{"/b"}}))
	r, a := must(s.Repository(ctx, g.Repository)), must(s.RepositoryAccess(ctx, g.Repository))
	r.Keeper, r.Keep.V = attic.ID, &Keep{Within: "30d"}
	if err := s.ChangeRepository(ctx, "anna", r, a); err != nil {
		t.Fatal(err)
	}
	was := must(s.Repository(ctx, r.ID))
	if err := s.RemoveRepository(ctx, "anna", r.ID, false); !errors.Is(err, ErrInUse) {
		t.Fatalf("without its groups: %v", err)
	}
	if err := s.RemoveRepository(ctx, "anna", r.ID, true); err != nil {
		t.Fatal(err)
	}
	if list := must(s.SourceGroups(ctx, "")); len(list) != 0 {
		t.Errorf("left are %+v", list)
	}
	if _, err := s.Restore(ctx, "anna", removal.Group, string(g.ID), ""); !errors.Is(err, removal.ErrRepository) {
		t.Errorf("a group without its repository: %v", err)
	}
	if err := s.RemoveHost(ctx, "anna", barn.ID, removal.Keep); err != nil {
		t.Fatal(err)
	}
	left, err := s.Restore(ctx, "anna", removal.Repository, string(r.ID), "")
	if err != nil || len(left) != 1 || left[0].ID != string(mine.ID) {
		t.Fatalf("left are %+v, %v", left, err)
	}
	if now := must(s.Repository(ctx, r.ID)); !reflect.DeepEqual(now, was) {
		t.Errorf("back is\n%+v\nit was\n%+v", now, was)
	}
	if b := must(s.RepositoryAccess(ctx, r.ID)); b.Password != a.Password {
		t.Error("its password is another")
	}
	if list := must(s.SourceGroups(ctx, attic.ID)); len(list) != 1 || list[0].ID != g.ID {
		t.Errorf("its groups are %+v", list)
	}
	// The other group comes back with its host, or when that is there.
	if _, err := s.Restore(ctx, "anna", removal.Host, string(barn.ID), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Restore(ctx, "anna", removal.Group, string(mine.ID), ""); err != nil {
		t.Error(err)
	}
}

func TestWhatIsPurgedDoesNotComeBack(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	if err := s.RemoveHost(ctx, "anna", attic.ID, removal.Retention); err != nil {
		t.Fatal(err)
	}
	if n, err := s.PurgeRemoved(ctx, s.Now()-30*dayMillis); err != nil || n != 0 {
		t.Fatalf("too early, %d were purged, %v", n, err)
	}
	if n, err := s.PurgeRemoved(ctx, s.Now()+1); err != nil || n != 2 {
		t.Fatalf("%d were purged, %v", n, err)
	}
	if _, err := s.Restore(ctx, "anna", removal.Host, string(attic.ID), ""); !errors.Is(err, removal.ErrPurged) {
		t.Errorf("the host: %v", err)
	}
	if h := must(s.AnyHost(ctx, attic.ID)); h.Serial != "" {
		t.Error("its certificate could be trusted again")
	}
	if r := must(s.Removed(ctx, removal.Group, string(g.ID))); r.Snapshots != removal.Retention || r.Restorable() {
		t.Errorf("of its group is left %+v", r)
	}
	if list := must(s.AllRemoved(ctx, removal.Host, 10)); len(list) != 0 {
		t.Errorf("offered are %+v", list)
	}
}

// stays are the columns that name a host, group or repository in rows that a purge
// leaves, and why.
var stays = map[string]string{
	"snapshots.host": "what exists is kept or goes by rules", "snapshots.source_group": "as its host", "snapshots.repository": "as its host",
	"group_tallies.source_group": "they count snapshots", "group_tallies.repository": "they count snapshots",
	"snapshot_tallies.repository": "they count snapshots",
	"jobs.host":                   "records go by age", "jobs.source_group": "records go by age", "jobs.repository": "records go by age",
	"maintenance_runs.host": "records go by age", "maintenance_runs.repository": "records go by age",
	"removed.host": "names and rules of groups stay", "removed.repository": "names and rules of groups stay",
	"import_rows.host": "what a person decided stays with the repository", "import_rows.source_group": "as its host",
	"mirrors.host":           "its mirror stays, and says that nobody copies it",
	"repositories.keeper":    "a keeper is not removed",
	"repository_damage.host": "the repository is damaged, whoever found it", "repository_locks.looked_by": "the next listing says it anew",
	"host_changes.host": "one number", "schedule_changes.host": "one number",
	"source_groups.host": "gone with the removal", "source_groups.repository": "gone with the removal",
	"schedules.host": "gone with the removal", "pending_runs.host": "gone with the removal",
	"schedule_groups.source_group": "gone with the removal", "group_facts.host": "gone with the removal",
	"group_facts.source_group": "gone with the removal", "group_facts.repository": "gone with the removal",
	"group_facts_due.source_group": "empty after each transaction", "retention_measures.source_group": "its snapshots may go by rules",
	"replaced_groups.repository": "what was pinned is the host's", "replaced_pins.repository": "as replaced_groups",
	"repository_keys.repository": "gone with the removal", "repository_locks.repository": "gone with the removal",
}

// TestAPurgeForgetsNoTable: each column of the schema that names what can be removed
// is either erased, and then no row is left, or known to stay.
func TestAPurgeForgetsNoTable(t *testing.T) {
	s, ctx := open(t), t.Context()
	columns := must(all[string](ctx, s.r, `SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND c.name IN ('host', 'for_host', 'keeper', 'looked_by', 'source_group', 'repository') ORDER BY 1`))
	own := map[string]bool{}
	for _, list := range removal.Own {
		for _, c := range list {
			own[c] = true
		}
	}
	for _, c := range columns {
		if own[c] == (stays[c] != "") {
			t.Errorf("%s: say either in removal.Own that a purge erases these rows, or here why they stay", c)
		}
	}
	for c := range stays {
		if !slices.Contains(columns, c) {
			t.Errorf("%s is in the list, and there is no such column", c)
		}
	}

	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	planned(t, s, attic, "nightly", g.ID)
	fill := func(host topics.HostID, group topics.SourceGroupID, repository topics.RepositoryID, slots int) {
		write := func(query string, args ...any) {
			if _, err := s.w.ExecContext(ctx, query, args...); err != nil {
				t.Fatalf("%.60s: %v", query, err)
			}
		}
		write(`WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < $3) INSERT INTO slot_outcomes (schedule,
			source_group, slot, host, outcome, at) SELECT 'plan-' || $1, $2, n, $1, 'ran', n FROM n`, host, group, slots)
		write(`INSERT INTO repository_looks (repository, host, kind) VALUES ($1, $2, 'open')`, repository, host)
		write(`INSERT INTO repository_places (repository, host, place, seen_at) VALUES ($1, $2, 'here', 1)`, repository, host)
		write(`INSERT INTO places (repository, host, ready_at) VALUES ($1, $2, 1)`, repository, host)
		write(`INSERT INTO making_tries (repository, host, job, attempts, failed_at, next_at) VALUES ($1, $2, '', 1, 1, 1)`, repository, host)
		write(`INSERT INTO enroll_tokens (id, name, key_hash, created_by, created_at, expires_at, for_host, host)
			VALUES ('again-' || $1, 'again', $1, 'anna', 1, 2, $1, $1)`, host)
		write(`INSERT INTO enroll_held (host, key, held_at) VALUES ($1, 'key', 1)`, host)
		write(`INSERT INTO rollouts (id, number, version, host, tag, window_from, window_until, zone, at_once, automatic, began_by, began_at)
			VALUES ('of-' || $1, 1, '1', $1, '', 0, 0, 'UTC', 1, 0, 'anna', 1)`, host)
		write(`INSERT INTO rollout_hosts (rollout, host, wave, state, began_at) VALUES ('r', $1, 1, 'updated', 1)`, host)
		write(`INSERT INTO host_lanes (host, epoch) VALUES ($1, 1)`, host)
		write(`INSERT INTO host_asides (host, reason, n, first_at, last_at) VALUES ($1, 'slot', 1, 1, 1)`, host)
		write(`INSERT INTO host_hours (host, hour, bytes, far) VALUES ($1, 1, 1, 1)`, host)
		write(`INSERT INTO former_plans (schedule, host, cron, zone, created_at, until_at) VALUES ('plan-' || $1, $1, '', '', 1, 1)`, host)
		write(`INSERT INTO host_gaps (host, epoch, from_at, to_at) VALUES ($1, 1, 1, 2)`, host)
		write(`INSERT INTO repository_damage (repository, since, found_at, host, job, kind, errors, scope)
			VALUES ($1, 1, 1, $2, '', 'check', 1, '')`, repository, host)
		write(`INSERT INTO replacements (id, host, begun_at, begun_by) VALUES ('r-' || $1, $1, 1, 'anna')`, host)
		write(`INSERT INTO replaced_groups (replacement, host, source_group, repository) VALUES ('r-' || $1, $1, $2, $3)`, host, group,
			repository)
		write(`INSERT INTO replaced_pins (replacement, host, source_group, repository, snapshot) VALUES ('r-' || $1, $1, $2, $3, 'x')`,
			host, group, repository)
		write(`INSERT INTO replaced_schedules (replacement, host, schedule) VALUES ('r-' || $1, $1, 'plan')`, host)
		write(`INSERT INTO repository_days (repository, day, snapshots, restore_bytes, stored_bytes, plain_bytes)
			VALUES ($1, 1, 1, 1, 1, 1)`, repository)
		write(`INSERT INTO mirrors (repository, target, host, cron, zone, since, served) VALUES ($1, $1, $2, '', '', 1, 1)`, repository, host)
		write(`INSERT INTO imports (id, repository, made_at, made_by) VALUES ('i-' || $1, $1, 1, 'anna')`, repository)
		write(`INSERT INTO import_rows (import_id, kin, repository, hostname, paths, tags, host, source_group, snapshots)
			VALUES ('i-' || $1, 'k', $1, '', '[]', '[]', $2, $3, 1)`, repository, host, group)
		write(`INSERT INTO maintenance_duties (repository, kind, paused, weekday, minute, slices, served)
			VALUES ($1, 'check', 0, 0, 0, 0, 0)`, repository)
		write(`INSERT INTO maintenance_reviews (repository, hash, plan, held_at, expires_at) VALUES ($1, 'x', '', 1, 2)`, repository)
		write(`INSERT INTO restore_drafts (id, user_id, repository, version, created_at, touched_at, body)
			VALUES ('draft-' || $1, 'anna', $1, 1, 1, 1, '')`, repository)
		write(`INSERT INTO drill_plans (kind, subject, cron, zone, files, bytes, enabled, since) VALUES ('host', $1, '', '', 1, 1, 1, 1)`, host)
		write(`INSERT INTO heartbeats (id, scope, subject, kind, url, every_seconds, version, changed_at, changed_by, last_at, last_ok_at,
			last_answer, failing_since, failures) VALUES ('beat-' || $1, 'host', $1, '', '', 0, 1, 1, 'anna', 0, 0, '', 0, 0)`, host)
		write(`INSERT INTO key_passwords (id, repository, password, created_at) VALUES ('pw-' || $1, $1, X'', 1)`, repository)
		write(`INSERT INTO password_changes (id, repository, state, lasting, former, patient, began_by, began_at)
			VALUES ('change-' || $1, $1, 'done', '', '', FALSE, 'anna', 1)`, repository)
		write(`INSERT INTO password_change_places (change_id, repository, host) VALUES ('change-' || $1, $1, $2)`, repository, host)
		write(`INSERT INTO password_change_hosts (change_id, repository, host) VALUES ('change-' || $1, $1, $2)`, repository, host)
		write(`INSERT INTO kits_shown (kind, subject, at, actor) VALUES ('host', $1, 1, 'anna'), ('repository', $2, 1, 'anna')`, host, repository)
		write(`INSERT INTO drill_slots (host, slot) VALUES ($1, 1)`, host)
		write(`INSERT INTO drill_verdicts (source_group, host, repository, job, at, proven, why, proven_at, proven_job)
			VALUES ($1, $2, $3, '', 1, 1, '', 1, '')`, group, host, repository)
		write(`INSERT INTO retention_measures (repository, source_group, gone_files) VALUES ($1, $2, 3)`, repository, group)
		for _, subject := range []any{host, group, repository} {
			write(`INSERT INTO endings (subject, kind, place, host, repository, job, state, cause, at, begun, since, times, gave_up, body)
				VALUES ($1, 'backup', $2, $2, $3, '', 'failed', '', 1, 1, 1, 1, 0, '') ON CONFLICT DO NOTHING`, subject, host, repository)
		}
		write(`INSERT INTO alerts (id, condition, on_kind, subject, host, repository, job, severity, opened_at, since, seen_at, count,
			began_at, before_at, flaps, quiet_at, acked_at, acked_by, snoozed_until, snoozed_by, ended_at, ended_by, ended_why, changed, body)
			VALUES ('alert-' || $1, 'backup-failed', 'group', $2, $1, $3, '', 'critical', 1, 1, 1, 1, 1, 0, 0, 0, 0, '', 0, '', 0, '', '',
			1, '{}')`, host, group, repository)
		write(`INSERT INTO alert_pauses (id, kind, subject, reason, from_at, until_at, created_at, created_by)
			VALUES ('pause-' || $1, 'host', $1, 'works', 1, 2, 1, 'anna')`, host)
	}
	fill(attic.ID, g.ID, g.Repository, 2*removal.Rows+1)
	other := grouped(t, s, enrolled(t, s, "barn"))
	fill(other.Host, other.ID, other.Repository, 3)
	ids := map[removal.Kind]string{removal.Host: string(attic.ID), removal.Group: string(g.ID), removal.Repository: string(g.Repository)}
	neighbours := map[removal.Kind]string{removal.Host: string(other.Host), removal.Group: string(other.ID),
		removal.Repository: string(other.Repository)}
	rows := func(ids map[removal.Kind]string) map[string]int {
		n := map[string]int{}
		for kind, list := range removal.Own {
			for _, c := range list {
				table, column, _ := strings.Cut(c, ".")
				n[c] = must(get[int](ctx, s.r, `SELECT count(*) FROM `+table+` WHERE `+column+` = $1`, ids[kind]))
			}
		}
		return n
	}
	for c, n := range rows(ids) {
		if n == 0 {
			t.Errorf("%s has no row to purge", c)
		}
	}
	kept := rows(neighbours)
	if err := errors.Join(s.RemoveHost(ctx, "anna", attic.ID, removal.Retention),
		s.RemoveRepository(ctx, "anna", g.Repository, true)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.PurgeRemoved(ctx, s.Now()+1); n != 3 || err != nil {
		t.Fatalf("%d were purged, %v", n, err)
	}
	for c, n := range rows(ids) {
		if n > 0 {
			t.Errorf("%d rows of %s are left", n, c)
		}
	}
	for _, c := range columns {
		if why := stays[c]; why == "gone with the removal" {
			table, column, _ := strings.Cut(c, ".")
			if n := must(get[int](ctx, s.r, `SELECT count(*) FROM `+table+` WHERE `+column+` IN ($1, $2, $3)`, attic.ID, g.ID,
				g.Repository)); n > 0 {
				t.Errorf("%d rows of %s were left by the removal", n, c)
			}
		}
	}
	if now := rows(neighbours); !reflect.DeepEqual(now, kept) {
		t.Errorf("of its neighbours is left %v, was %v", now, kept)
	}
}

// TestQueriesOfHostsLeaveOutRemovedOnes: whoever reads hosts says in the same text
// which ones; all other tables hold only what is there.
func TestQueriesOfHostsLeaveOutRemovedOnes(t *testing.T) {
	reads := regexp.MustCompile(`(?i)\b(FROM|JOIN)\s+hosts\b`)
	found := 0
	for _, name := range append(must(filepath.Glob("*.go")), must(filepath.Glob("*/*.go"))...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		ast.Inspect(must(parser.ParseFile(files, name, nil, 0)), func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if text := must(strconv.Unquote(lit.Value)); reads.MatchString(text) {
				if found++; !strings.Contains(text, "removed_at") {
					t.Errorf("%s: %.100s reads removed hosts, too: add removed_at = 0, or read host_names", files.Position(lit.Pos()), text)
				}
			}
			return true
		})
	}
	if found < 10 {
		t.Errorf("only %d queries of hosts were found", found)
	}
}

// TestRecordsGoByAgeAndTheLastOfEachStay: what is judged or compared by a job or run
// is found after a sweep as before it, and counts stay right.
func TestRecordsGoByAgeAndTheLastOfEachStay(t *testing.T) {
	s, ctx := open(t), t.Context()
	now := time.UnixMilli(1_790_000_000_000)
	s.now = func() time.Time { return now }
	attic := enrolled(t, s, "attic")
	g, idle := grouped(t, s, attic), grouped(t, s, attic)
	stored(t, s, idle, 3)
	var jobs []topics.JobID
	for range 3 {
		now = now.Add(24 * time.Hour)
		jobs = append(jobs, stored(t, s, g, 5))
		must(s.w.ExecContext(ctx, `UPDATE jobs SET finished_at = $1 WHERE id = $2`, now.UnixMilli(), jobs[len(jobs)-1]))
	}
	for i, outcome := range []RunOutcome{RunSucceeded, RunSucceeded, RunFailed, RunFailed} {
		at := now.Add(time.Duration(i) * time.Minute).UnixMilli()
		if _, err := s.w.ExecContext(ctx, `INSERT INTO maintenance_runs (id, repository, kind, host, requested_by, slot, created_at, ended_at,
			outcome) VALUES ($1, $2, 'forget', $3, 'plane', 0, $4, $4, $5)`, "run-000"+strconv.Itoa(i), g.Repository, attic.ID, at,
			outcome); err != nil {
			t.Fatal(err)
		}
	}
	was, standing := must(s.Plans(ctx, "")), must(s.Host(ctx, attic.ID))
	last := must(s.LastRun(ctx, g.Repository, topics.ForgetJob, RunSucceeded))
	planned := must(s.PlannedSnapshots(ctx, g.Repository))
	if n, runs, err := s.SweepRecords(ctx, 0); n+runs != 0 || err != nil {
		t.Errorf("without a limit %d jobs and %d runs went, %v", n, runs, err)
	}
	if n, runs, err := s.SweepRecords(ctx, 48*time.Hour); n+runs != 0 || err != nil { // nothing of the last two days
		t.Errorf("%d young jobs and %d young runs went, %v", n, runs, err)
	}
	now = now.Add(time.Hour)
	if n, runs, err := s.SweepRecords(ctx, 24*time.Hour); n != 2 || runs != 0 || err != nil {
		t.Errorf("%d jobs and %d runs went, want the two oldest of three, %v", n, runs, err)
	}
	now = now.Add(800 * 24 * time.Hour)
	if n, runs, err := s.SweepRecords(ctx, 24*time.Hour); n != 0 || runs != 2 || err != nil {
		t.Errorf("%d jobs and %d runs went, want the runs that later ones of their kind stand for, %v", n, runs, err)
	}
	for i, id := range jobs {
		if _, err := s.Job(ctx, id); (err == nil) != (i == 2) {
			t.Errorf("job %d: %v", i, err)
		}
	}
	if n := must(get[int](ctx, s.r, `SELECT count(*) FROM job_lines`)); n != 5+3 {
		t.Errorf("%d lines are left", n)
	}
	if kept, counted := keptFigures(s.r), countedFigures(s.r); !reflect.DeepEqual(kept, counted) {
		t.Errorf("kept %+v, counted %+v", kept, counted)
	}
	if h := must(s.Host(ctx, attic.ID)); !reflect.DeepEqual(h, standing) || !reflect.DeepEqual(must(s.Plans(ctx, "")), was) ||
		must(s.LastRun(ctx, g.Repository, topics.ForgetJob, RunSucceeded)).ID != last.ID ||
		!reflect.DeepEqual(must(s.PlannedSnapshots(ctx, g.Repository)), planned) {
		t.Error("what is judged is another after the sweep")
	}
}

// TestABackupOfARemovedGroupEndsAsOneOfIt: it ran when its group was removed, or its
// host, which had not heard of that yet, began it by itself.
func TestABackupOfARemovedGroupEndsAsOneOfIt(t *testing.T) {
	s, ctx := open(t), t.Context()
	attic := enrolled(t, s, "attic")
	g := grouped(t, s, attic)
	sc := planned(t, s, attic, "nightly", g.ID)
	slot := s.Now() - s.Now()%60_000
	if _, err := s.w.Exec(`UPDATE schedules SET cron = '* * * * *' WHERE id = $1`, sc.ID); err != nil {
		t.Fatal(err)
	}
	running := asked(t, s, g)
	if err := s.Steps(ctx, func(tx protocol.PlaneTx) error {
		p := must2(tx.Job(running.ID))
		p.State = topics.Dispatched
		return tx.PutJob(p)
	}); err != nil {
		t.Fatal(err)
	}
	must(s.RemoveSourceGroup(ctx, "anna", g.ID, removal.Retention))
	own := topics.JobID(topics.NewID(time.Now()))
	list := snaps(1, 2)
	for i := range list {
		list[i].Tags = []string{"plan=" + string(g.ID)}
	}
	end := func(id topics.JobID, n int) topics.Event {
		return topics.Event{Finished: &topics.Finished{Job: id, State: topics.Succeeded, Summary: &topics.Summary{TotalFiles: 1},
			Snapshot: &list[n]}}
	}
	s.mustStep(t, attic.ID, 1, end(running.ID, 0),
		topics.Event{Fired: &topics.Fired{Job: own, Group: g.ID, Repository: g.Repository,
			Slot: topics.Slot{Schedule: sc.ID, At: slot}}}, end(own, 1))
	for i, id := range []topics.JobID{running.ID, own} {
		if j, err := s.Job(ctx, id); err != nil || j.State != topics.Succeeded {
			t.Errorf("job %d is %s, %v", i, j.State, err)
		}
	}
	for _, p := range must(s.PlannedSnapshots(ctx, g.Repository)) {
		if p.SourceGroup != g.ID || p.Host != attic.ID || !p.GroupThere || p.Group != g.Name {
			t.Errorf("a snapshot of it is %+v", p)
		}
	}
	if _, err := s.Restore(ctx, "anna", removal.Group, string(g.ID), ""); err != nil {
		t.Error(err)
	}
	known := must(s.Facts(ctx, attic.ID))
	i := slices.IndexFunc(known, func(f facts.Group) bool { return f.Group == g.ID })
	if i < 0 || known[i].Snapshots != 2 || known[i].Lost != 0 || known[i].Last.Job != own || known[i].Good.Job != own {
		t.Errorf("of the group that came back is known %+v", known)
	}
}

// TestSnapshotsOfARemovedGroupStayOrFollowTheRules, and are its own again when it is back.
func TestSnapshotsOfARemovedGroupStayOrFollowTheRules(t *testing.T) {
	for _, snapshots := range []string{removal.Keep, removal.Retention} {
		p, ctx := began(t), t.Context()
		p.backup(topics.Succeeded, 1, 10, 100)
		look := func() Planned {
			list := must(p.s.PlannedSnapshots(ctx, p.g.Repository))
			if len(list) != 1 {
				t.Fatalf("%d snapshots", len(list))
			}
			return list[0]
		}
		was := must(p.s.Host(ctx, p.g.Host)).Name
		if n := look(); !n.GroupThere || n.GroupKept || n.Group != p.g.Name || n.HostName != was {
			t.Errorf("%s: before it was %+v", snapshots, n)
		}
		must(p.s.RemoveSourceGroup(ctx, "anna", p.g.ID, snapshots))
		if n := look(); n.GroupKept != (snapshots == removal.Keep) || n.GroupThere == n.GroupKept || n.Group != p.g.Name || n.Job == "" {
			t.Errorf("%s: with the group removed it is %+v", snapshots, n)
		}
		must(p.s.Restore(ctx, "anna", removal.Group, string(p.g.ID), ""))
		if n := look(); !n.GroupThere || n.GroupKept {
			t.Errorf("%s: with the group back it is %+v", snapshots, n)
		}
		if f := p.facts(); f.Snapshots != 1 || f.Lost != 0 || f.Good.Files != 10 {
			t.Errorf("%s: what is known of it then is %+v", snapshots, f)
		}
	}
}

// TestABackupOfARemovedHostBelongsToItsGroupWhenItIsBack: it goes on, and what it made is
// listed before the host is brought back.
func TestABackupOfARemovedHostBelongsToItsGroupWhenItIsBack(t *testing.T) {
	p, ctx := began(t), t.Context()
	cellar := enrolled(t, p.s, "cellar")
	p.tick()
	j := asked(t, p.s, p.g)
	if err := p.s.Steps(ctx, func(tx protocol.PlaneTx) error {
		running := must2(tx.Job(j.ID))
		running.State = topics.Dispatched
		return tx.PutJob(running)
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.s.RemoveHost(ctx, "anna", p.g.Host, removal.Keep); err != nil {
		t.Fatal(err)
	}
	p.tick()
	n := of(p.g, 7)[0]
	p.listBy(cellar.ID, topics.Result{}, n)
	must(p.s.Restore(ctx, "anna", removal.Host, string(p.g.Host), ""))
	for first := range uint64(2) { // it may say so twice
		p.s.mustStep(t, p.g.Host, first+1, topics.Event{Finished: &topics.Finished{Job: j.ID, State: topics.Succeeded, Snapshot: &n,
			Summary: &topics.Summary{TotalFiles: 5, TotalBytes: 50}}})
	}
	if end := must(p.s.Job(ctx, j.ID)); end.State != topics.Interrupted || end.SnapshotID != n.ID {
		t.Errorf("the job is %+v", end)
	}
	p.list(n)
	for _, s := range must(p.s.PlannedSnapshots(ctx, p.g.Repository)) {
		if s.ID != n.ID || s.Job != j.ID || s.SourceGroup != p.g.ID || !s.GroupThere || s.GroupKept {
			t.Errorf("its snapshot is %+v", s)
		}
	}
	if f := p.facts(); f.Snapshots != 1 || f.Lost != 0 || f.Good.ID != n.ID || f.Good.Files != 5 {
		t.Errorf("what is known of its group is %+v", f)
	}
}
