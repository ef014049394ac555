package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatAMirrorLacks: a copy is known by the snapshot that it was made of, has its job and
// group, and what was forgotten in the mirror is not to come back.
func TestWhatAMirrorLacks(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	first, second := g.Repository, topics.RepositoryID("mirror-0001")
	if err := s.AddRepository(ctx, "test", Repository{ID: second, Name: "mirror", Location: "rest:https://mirror/"},
		RepositoryAccess{URL: "rest:https://mirror/", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	id := func(c string) string { return strings.Repeat(c, 64) }
	add := func(repository topics.RepositoryID, letter, original, tree, job string, at int64) {
		t.Helper()
		if _, err := s.w.ExecContext(ctx, `INSERT INTO snapshots (repository, id, time, hostname, paths, tags, username, tree, original, host,
			job, source_group, ended_at, noted_at, seen_at, files, bytes) VALUES ($1, $2, $3, 'attic', '["/srv"]', '[]', 'root', $4, $5, $6, $7,
			$8, $3, $3, 9, 1, 1)`, repository, id(letter), at, id(tree), original, map[bool]topics.HostID{true: g.Host}[job != ""], job,
			map[bool]topics.SourceGroupID{true: g.ID}[job != ""]); err != nil {
			t.Fatal(err)
		}
	}
	add(first, "a", "", "1", "job-a", 1000)
	add(first, "b", "", "2", "job-b", 2000)
	add(first, "c", "", "3", "job-c", 3000)
	m := Mirror{Repository: first, Target: second, Host: g.Host, Cron: "0 6 * * *", Zone: "UTC"}
	if err := s.PutMirror(ctx, "anna", m); err != nil {
		t.Fatal(err)
	}
	lag := func(lacks int, oldest int64) {
		t.Helper()
		if l := must(s.MirrorLag(ctx, m)); l.Snapshots != lacks || l.Oldest != oldest || l.All != 3 {
			t.Errorf("it lacks %+v, want %d since %d", l, lacks, oldest)
		}
	}
	lag(3, 1000)
	if ids, nothing, err := s.MirrorSelection(ctx, m); ids != nil || nothing || err != nil {
		t.Errorf("to copy are %v, %v, %v, want all", ids, nothing, err)
	}
	add(second, "d", id("a"), "1", "", 1000) // its copy
	add(second, "e", id("b"), "9", "", 2000) // says so, and holds something else
	add(second, "f", id("a"), "1", "", 1000) // once more
	tx := s.w.MustBegin()
	report := topics.Report{Job: "none", Part: 1}
	for letter, of := range map[string][2]string{"d": {"a", "1"}, "e": {"b", "9"}, "f": {"a", "1"}} {
		n := must(s.SnapshotByID(ctx, second, id(letter)))
		report.Snapshots = append(report.Snapshots, topics.Snapshot{ID: n.ID, Time: n.Time, Host: n.Hostname, Paths: n.Paths, Username: "root",
			Original: id(of[0]), Tree: id(of[1])})
	}
	if _, err := tx.Exec(`INSERT INTO job_reports (job, part, body) VALUES ('none', 1, $1)`, string(topics.Encode(report))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := snapshots.List(ctx, tx, snapshots.Listing{Job: "none", Repository: second, Host: g.Host, QueuedAt: 8, At: 9,
		Result: topics.Result{Parts: 1, Count: 3}}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	copied, forged := must(s.SnapshotByID(ctx, second, id("d"))), must(s.SnapshotByID(ctx, second, id("e")))
	if copied.Job != "job-a" || copied.Host != g.Host || copied.SourceGroup != g.ID || copied.CopiedFrom != first {
		t.Errorf("a copy is %+v", copied)
	}
	if !forged.Foreign() || forged.CopiedFrom != "" || forged.Host != "" {
		t.Errorf("what only calls itself a copy is %+v", forged)
	}
	if again := must(s.SnapshotByID(ctx, second, id("f"))); !again.Foreign() {
		t.Errorf("a second copy counts, too, and rules that keep some of the last ones keep it: %+v", again)
	}
	lag(2, 2000)
	if _, err := s.w.ExecContext(ctx, `DELETE FROM snapshots WHERE repository = $1 AND id = $2`, second, id("f")); err != nil {
		t.Fatal(err)
	}
	// The mirror's own rules remove the first.
	if _, err := s.w.ExecContext(ctx, `UPDATE snapshots SET gone_at = 10, named_by = 'forget-1' WHERE repository = $1 AND id = $2`, second,
		id("d")); err != nil {
		t.Fatal(err)
	}
	lag(2, 2000)
	if ids, nothing, err := s.MirrorSelection(ctx, m); len(ids) != 2 || ids[0] != id("c") || ids[1] != id("b") || nothing || err != nil {
		t.Errorf("to copy are %v, %v, %v, want the third, which is not there, and then the second", ids, nothing, err)
	}
	// Somebody removed it, and it is to come back.
	if _, err := s.w.ExecContext(ctx, `UPDATE snapshots SET named_by = '' WHERE repository = $1 AND id = $2`, second, id("d")); err != nil {
		t.Fatal(err)
	}
	lag(3, 1000)
	if err := s.DropMirror(ctx, "anna", first); err != nil {
		t.Error(err)
	}
	if err := s.DropMirror(ctx, "anna", first); !errors.Is(err, ErrNotFound) {
		t.Errorf("of none: %v", err)
	}
}

// TestACopyIsKnownAmongManyRepositories: nobody said that one is copied into the other, and
// what was copied counts from its first listing on.
func TestACopyIsKnownAmongManyRepositories(t *testing.T) {
	for _, others := range []int{1, 2 * snapshots.Few} {
		s, g, second, copies := manyCopies(t, 120, others)
		copies[7].Tree = "another" // it says that it is one
		ran(t, s, Job{Host: g.Host, Kind: topics.SnapshotsJob, Repository: second}, s.Now()+500, whole(1, len(copies)),
			topics.Report{Snapshots: copies})
		for i, c := range copies {
			n := must(s.SnapshotByID(t.Context(), second, c.ID))
			if i == 7 != n.Foreign() || i != 7 && (n.CopiedFrom != g.Repository || n.SourceGroup != g.ID || string(n.Job) != "job "+c.Original ||
				n.EndedAt != c.Time || n.State != topics.Succeeded) {
				t.Fatalf("among %d others, number %d is %+v", others, i, n)
			}
		}
	}
}

// TestAHostsSnapshotsAreInRepositoriesInCare: of a snapshot and its copy the first is listed,
// and the copy once the first one's repository is out of care.
func TestAHostsSnapshotsAreInRepositoriesInCare(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	second := topics.RepositoryID("mirror-0001")
	if err := s.AddRepository(ctx, "test", Repository{ID: second, Name: "mirror", Location: "rest:https://mirror/"},
		RepositoryAccess{URL: "rest:https://mirror/", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		repository, from topics.RepositoryID
		letter           string
	}{{g.Repository, "", "a"}, {second, g.Repository, "b"}} {
		if _, err := s.w.ExecContext(ctx, `INSERT INTO snapshots (repository, id, time, hostname, paths, tags, username, tree, original, host,
			job, source_group, ended_at, noted_at, seen_at, files, bytes, copied_from) VALUES ($1, $2, 1, 'attic', '["/srv"]', '[]', 'root', '',
			'', $3, 'job', $4, 1, 1, 9, 1, 1, $5)`, one.repository, strings.Repeat(one.letter, 64), g.Host, g.ID, one.from); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what, letter string) {
		t.Helper()
		list, n := must(s.Snapshots(ctx, g.Host, 10)), must(s.SnapshotCount(ctx, g.Host))
		if letter == "" && len(list)+n == 0 {
			return
		}
		if len(list) != 1 || n != 1 || list[0].ID[:1] != letter {
			t.Errorf("%s: %d, %+v, want %s", what, n, list, letter)
		}
	}
	want("both in care", "a")
	for _, id := range []topics.RepositoryID{g.Repository, second} {
		if _, err := s.w.ExecContext(ctx, `UPDATE repositories SET removed_at = 5 WHERE id = $1`, id); err != nil {
			t.Fatal(err)
		}
		want("without "+string(id), map[bool]string{true: "b"}[id == g.Repository])
	}
}

// TestACopyOfSomeSnapshotsIsNotOfAll: a mirror is good only after a copy that left none out.
func TestACopyOfSomeSnapshotsIsNotOfAll(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	second := topics.RepositoryID("mirror-0001")
	if err := s.AddRepository(ctx, "test", Repository{ID: second, Name: "mirror", Location: "rest:https://mirror/"},
		RepositoryAccess{URL: "rest:https://mirror/", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for _, id := range []string{a, b} {
		must(s.w.ExecContext(ctx, `INSERT INTO snapshots (repository, id, time, hostname, paths, tags, username, tree, original, host,
			job, source_group, ended_at, noted_at, seen_at, files, bytes) VALUES ($1, $2, 1, 'attic', '["/srv"]', '[]', 'root', '', '', $3,
			'job', $4, 1, 1, 9, 1, 1)`, g.Repository, id, g.Host, g.ID))
	}
	m := Mirror{Repository: g.Repository, Target: second, Host: g.Host, Cron: "0 6 * * *", Zone: "UTC"}
	if err := s.PutMirror(ctx, "anna", m); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		ids  []string
		good bool
	}{{[]string{a}, false}, {[]string{b, a}, true}, {nil, true}} {
		job := Job{ID: topics.JobID("copy-000" + strings.Repeat("1", i+1)), Host: g.Host, Kind: topics.CopyJob, Repository: g.Repository,
			Other: second, State: topics.Succeeded,
			Operation: JSON[topics.Operation]{V: &topics.Operation{To: string(second), Snapshots: c.ids}},
			Result:    JSON[topics.Result]{V: &topics.Result{Copy: &topics.Copied{}}}}
		if err := s.tx(ctx, func(tx *sqlx.Tx) error { return newJournal(ctx, s, tx).copied(job, 50) }); err != nil {
			t.Fatal(err)
		}
		if m := must(s.Mirror(ctx, g.Repository)); m.Job != job.ID || (m.GoodJob == job.ID) != c.good {
			t.Errorf("after a copy of %d, %+v", len(c.ids), m)
		}
	}
}

// TestACopyIsAJobOfBothRepositories where their locks are judged: it locks both.
func TestACopyIsAJobOfBothRepositories(t *testing.T) {
	s, ctx := open(t), t.Context()
	g := grouped(t, s, enrolled(t, s, "attic"))
	second := topics.RepositoryID("mirror-0001")
	for _, r := range []topics.RepositoryID{second, "third-00001"} {
		if err := s.AddRepository(ctx, "test", Repository{ID: r, Name: string(r), Location: "rest:https://mirror/" + string(r)},
			RepositoryAccess{URL: topics.Secret("rest:https://mirror/" + r), Password: "secret"}); err != nil {
			t.Fatal(err)
		}
	}
	must(s.w.ExecContext(ctx, `INSERT INTO jobs (id, host, kind, source_group, repository, other, state, cause, requested_by, queued_at,
			started_at, finished_at, not_after)
		VALUES ('copy-1', $1, 'copy', '', $2, $3, 'interrupted', 'killed', 'anna', 1, 2, 5, 1 << 50),
			('copy-2', $1, 'copy', '', $2, $3, 'failed', 'locked', 'anna', 2, 3, 6, 1 << 50)`, g.Host, g.Repository, second))
	for id, want := range map[topics.RepositoryID]bool{g.Repository: true, second: true, "third-00001": false} {
		jobs, died, locked := must(s.JobsSince(ctx, id, 5)), must(s.DiedSince(ctx, id, 4)), must(s.LockedSince(ctx, id, 6))
		if (len(jobs) == 2 && jobs[0].ID == "copy-2") != want || died != want || locked != want {
			t.Errorf("%s: its jobs are %d, died %v, locked %v", id, len(jobs), died, locked)
		}
		if must(s.DiedSince(ctx, id, 6)) || must(s.LockedSince(ctx, id, 7)) {
			t.Errorf("%s: what ended before counts", id)
		}
	}
}
