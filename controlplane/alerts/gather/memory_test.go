package gather

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
)

// A stranger changes rows of a database as another process would, at random.
type stranger struct {
	db    *sqlx.DB
	rnd   *rand.Rand
	times []int64
	n     int
}

// values are what columns hold, by table and column or by column alone; other columns hold
// moments if they are numbers, else "".
var values = map[string][]any{
	"repository": {"vault-a", "vault-b", "vault-c"}, "host": {"host-a", "host-b"}, "keeper": {"host-a", "host-b", ""},
	"source_group": {"group-a", "group-b", "group-c"}, "schedule": {"plan-a", "plan-b"}, "place": {"", "host-a"},
	"subject": {"group-a", "group-b", "vault-a", "vault-b", "host-a"},
	// A group and what belongs to it are of one host.
	"source_groups.host": {"host-a"}, "group_facts.host": {"host-a"}, "schedules.host": {"host-a"},

	"repositories.id": {"vault-a", "vault-b", "vault-c"}, "source_groups.id": {"group-a", "group-b", "group-c"},
	"schedules.id": {"plan-a", "plan-b"}, "hosts.id": {"host-a", "host-b"}, "jobs.id": {"job-a", "job-b", "job-c"},
	"snapshots.id": {strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)},
	"job":          {"", "job-a"}, "named_by": {"", "job-a"}, "replaced_by": {"", strings.Repeat("a", 64)},
	"repository_looks.kind": {"open", "list", "write", "locks", "check"}, "maintenance_duties.kind": {"check", "forget"},
	"endings.kind": {"backup", "size", "unusual", "forget", "prune", "check", "restore"}, "drill_plans.kind": {"fleet", "host"},
	"drill_plans.subject": {"", "host-a"}, "jobs.kind": {"backup", "check", "locks"}, "repository_damage.kind": {"check", "backup"},
	"state":     {"succeeded", "failed", "warnings", "running", "queued"},
	"bad_cause": {"wrong-password", "repository-missing", "repository-locked", "disk-full"},
	"cause":     {"", "wrong-password", "unknown"}, "scope": {"structure", "all", "1/4"}, "clean": {""}, "cron": {"0 3 * * *", "30 4 * * 1"},
	"zone": {"UTC", "Europe/Berlin"}, "hostname": {"attic", "barn"}, "name": {"one", "two", "three"},
	"location": {"/srv/vault", "rest:https://vault.example/"}, "reason": {"a text of restic", "word"},
	"endings.body": {"", `{"why":"it is so"}`},
	"paths":        {"[]"}, "excludes": {"[]"}, "tags": {"[]"}, "enabled": {0, 1}, "paused": {0, 1},
	"allow_empty": {0, 1}, "exclusive": {0, 1},
	"alive": {0, 1}, "trusted": {0, 1}, "opened": {0, 1}, "gave_up": {0, 1}, "weekday": {-1, 2}, "times": {1, 3},
	"settings": {"{}"}, "kind": {"ntfy"},
	"url": {[]byte{}, []byte("no secret")}, "password": {[]byte{}}, "env": {[]byte{}}, "maintenance": {[]byte{}, []byte("nor this")},
	"removed_at": {0, 0, 0, 0, 0, 1}, "revoked_at": {0, 0, 0, 1}, "retired_at": {0, 0, 0, 1}, // mostly it is there
	"intermittent": {0, 1}, "agent_jobs": {0, 1}, "makes": {0, 1}, "held": {0, 1}, "accepted": {0, 1}, "cancel_asked": {0, 1},
	"collapsed": {0, 1}, "recalled": {0, 1}, "restoring": {0, 1},
	"stored_bytes": {int64(1 << 30), int64(2 << 30), int64(40 << 30)}, "day": {},
}

// strange are the tables that alerts are judged by.
var strange = []string{"repositories", "maintenance_duties", "snapshots", "repository_keys", "repository_looks", "repository_damage",
	"repository_locks", "repository_days", "places", "jobs", "hosts", "schedules", "schedule_groups", "source_groups", "group_facts",
	"pending_runs", "endings", "host_asides", "drill_plans", "maintenance_reviews", "channels"}

type cell struct {
	Name    string `db:"name"`
	Type    string `db:"type"`
	NotNull bool   `db:"notnull"`
	PK      int    `db:"pk"`
}

func (s *stranger) columns(table string) (list []cell) {
	if err := s.db.Select(&list, `SELECT name, type, "notnull", pk FROM pragma_table_info($1)`, table); err != nil {
		panic(err)
	}
	return list
}

func (s *stranger) value(table string, c cell) any {
	pool, known := values[table+"."+c.Name]
	if !known {
		pool = values[c.Name]
	}
	switch {
	case c.Name == "day":
		return s.times[2]/86_400_000 - int64(s.rnd.IntN(35))
	case c.Name == "good_at": // of two that are as new, either counts
		s.n++
		return s.times[s.rnd.IntN(len(s.times))] + int64(s.n)
	case len(pool) > 0:
		return pool[s.rnd.IntN(len(pool))]
	case strings.HasPrefix(c.Type, "BIGINT"), strings.HasPrefix(c.Type, "INT"):
		return s.times[s.rnd.IntN(len(s.times))]
	case c.Type == "BYTEA", c.Type == "BLOB":
		return []byte{}
	}
	if s.n++; c.PK > 0 {
		return fmt.Sprintf("%s-%d", table, s.rnd.IntN(4))
	}
	return ""
}

// change changes a row, and returns what takes it back; what the schema refuses is no
// change.
func (s *stranger) change(table string) (what string, back func()) {
	columns := s.columns(table)
	var rows []int64
	if err := s.db.Select(&rows, `SELECT rowid FROM `+table); err != nil {
		panic(err)
	}
	back = func() {}
	switch n := s.rnd.IntN(10); {
	case n < 4 || len(rows) < 2:
		var names, marks []string
		var args []any
		for _, c := range columns {
			names, marks, args = append(names, c.Name), append(marks, "?"), append(args, s.value(table, c))
		}
		r, err := s.db.Exec(`INSERT INTO `+table+` (`+strings.Join(names, ", ")+`) VALUES (`+strings.Join(marks, ", ")+`)`, args...)
		if err != nil {
			return "", back
		}
		id := must(r.LastInsertId())
		return fmt.Sprintf("added to %s: %v %v", table, names, args), func() { s.db.MustExec(`DELETE FROM `+table+` WHERE rowid = $1`, id) }
	case n < 8:
		row, c := rows[s.rnd.IntN(len(rows))], columns[s.rnd.IntN(len(columns))]
		if c.PK > 0 || c.Name == "host" || c.Name == "last_seen" {
			return "", back // no row becomes another's; who was seen last the connections say better
		}
		var was any
		if err := s.db.QueryRow(`SELECT `+c.Name+` FROM `+table+` WHERE rowid = $1`, row).Scan(&was); err != nil {
			panic(err)
		}
		is := s.value(table, c)
		if _, err := s.db.Exec(`UPDATE `+table+` SET `+c.Name+` = $1 WHERE rowid = $2`, is, row); err != nil {
			return "", back
		}
		return fmt.Sprintf("%s.%s from %v to %v", table, c.Name, was, is), func() {
			s.db.MustExec(`UPDATE `+table+` SET `+c.Name+` = $1 WHERE rowid = $2`, was, row)
		}
	}
	s.db.MustExec(`DELETE FROM `+table+` WHERE rowid = $1`, rows[s.rnd.IntN(len(rows))])
	return "removed of " + table, back
}

// TestWhatIsKeptIsNeverStale: after whatever change of whatever row by another process, who
// keeps what it read knows what one knows that reads all.
func TestWhatIsKeptIsNeverStale(t *testing.T) {
	mattered := map[string]int{}
	idle := func() (list []string) {
		for _, table := range strange {
			if mattered[table] == 0 {
				list = append(list, table)
			}
		}
		return list
	}
	seeds := []uint64{1, 2, 3, rand.Uint64()}
	for i := 0; i < len(seeds); i++ {
		t.Run(fmt.Sprint(seeds[i]), func(t *testing.T) { play(t, seeds[i], mattered) })
		if i+1 == len(seeds) && len(idle()) > 3 && i < 8 { // what matters seldom comes later
			seeds = append(seeds, rand.Uint64())
		}
	}
	if list := idle(); len(list) > 3 {
		t.Errorf("no change of %v mattered: the values for them are no good", list)
	}
}

// play changes a database for a while, and counts by tables the changes that mattered.
func play(t *testing.T, seed uint64, mattered map[string]int) {
	dir := filepath.Join(t.TempDir(), "data")
	storetest.Make(t, dir, store.Open)
	s := must(store.Open(t.Context(), dir, ""))
	defer func() { must(0, s.Close()) }()
	db := must(sqlx.Open("sqlite", "file:"+filepath.Join(dir, "restic-manager.db")+"?_pragma=foreign_keys(0)&_pragma=busy_timeout(60000)"))
	db.SetMaxOpenConns(1)
	defer func() { must(0, db.Close()) }()

	now := time.Now()
	clock := func() time.Time { return now }
	other := &stranger{db: db, rnd: rand.New(rand.NewPCG(seed, 1))}
	for _, ago := range []time.Duration{0, time.Hour, 60 * time.Hour, 60 * 24 * time.Hour} {
		other.times = append(other.times, now.Add(-ago).UnixMilli())
	}
	other.times = append(other.times, 0, 0, 1)
	presence := hosts.NewPresence(hosts.DefaultTiming(), clock, nil)
	board := fleet.NewBoard(s, presence, clock) // its own tests say that it is not stale
	reader := func() *Reader {
		return &Reader{Store: s, Fleet: board, Presence: presence, Notices: &notices.List{}, Now: clock}
	}
	for _, table := range strange { // something to change
		for range 12 {
			if _, back := other.change(table); readable(t, reader()) != nil {
				back()
			}
		}
	}
	keeps, before := reader(), conditions.Facts{}
	for i := range 500 {
		if i%7 == 0 {
			now = now.Add(time.Minute)
		}
		table := strange[other.rnd.IntN(len(strange))]
		what, back := other.change(table)
		want, err := reader().Facts(t.Context())
		if err != nil { // no program of ours writes this
			back()
			if want, err = reader().Facts(t.Context()); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		got, err := keeps.Facts(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: after %s it knows\n%+v\nand there is\n%+v", i, what, got, want)
		}
		if !reflect.DeepEqual(want, before) {
			mattered[table]++
		}
		before = want
	}
	t.Log(mattered)
}

func readable(t *testing.T, r *Reader) error {
	_, err := r.Facts(t.Context())
	return err
}
