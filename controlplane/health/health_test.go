package health

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) int64 { return began.Add(d).UnixMilli() }

// well is a repository that attic keeps, opened and checked an hour ago.
func well() looks.Facts {
	return looks.Facts{
		Repository: "repo-0001",
		Location:   "rest:https://nas.example.net/attic",
		Keeper:     "host-0001",
		CheckUsual: true,
		AddedAt:    at(-100 * day),
		ReadyAt:    at(-100 * day),
		CheckedAt:  at(-time.Hour),
		Good: map[looks.Kind]looks.Look{
			looks.Open:  {Host: "host-0001", Kind: looks.Open, GoodAt: at(-time.Hour)},
			looks.Write: {Host: "host-0001", Kind: looks.Write, GoodAt: at(-time.Hour)},
		},
		Names: map[topics.HostID]string{"host-0001": "attic", "host-0002": "cellar"},
	}
}

func bad(host topics.HostID, kind looks.Kind, cause topics.Cause, since, good time.Duration) looks.Look {
	l := looks.Look{Host: host, Kind: kind, BadSince: at(since), BadAt: at(since), Cause: cause, Job: "job-0001"}
	if good != 0 {
		l.GoodAt = at(good)
	}
	return l
}

// Each word, and what is next to it and must not be it.
func TestHowARepositoryIs(t *testing.T) {
	for _, c := range []struct {
		is   string
		with func(f *looks.Facts)
		want Word
	}{
		{"all is well", func(*looks.Facts) {}, Healthy},

		{"a check found damage", func(f *looks.Facts) {
			f.Damage = &looks.Damage{Kind: topics.CheckJob, Errors: 2, Host: "host-0001", Since: at(-time.Minute)}
		}, Damaged},
		{"a restore met damage", func(f *looks.Facts) { f.Damage = &looks.Damage{Kind: topics.RestoreJob, Host: "host-0002"} }, Damaged},
		{"a check of a structure that a job met no damage in", func(f *looks.Facts) { f.Good[looks.Check] = looks.Look{GoodAt: at(0)} },
			Healthy},

		{"wrong password", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0001", looks.Open, topics.CausePassword, -time.Minute, -time.Hour)}
		}, Unreadable},
		{"wrong password at the first try", func(f *looks.Facts) {
			f.Good, f.ReadyAt = nil, 0
			f.Bad = []looks.Look{bad("host-0001", looks.Open, topics.CausePassword, -time.Minute, 0)}
		}, Unreadable},
		{"wrong password, and another host has opened it since", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0002", looks.Open, topics.CausePassword, -2*time.Hour, -5*time.Hour)}
		}, Healthy},

		{"gone", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0001", looks.Open, topics.CauseNoRepository, -time.Minute, -time.Hour)}
		}, Missing},
		{"never there", func(f *looks.Facts) {
			f.Good, f.ReadyAt = nil, 0
			f.Bad = []looks.Look{bad("host-0001", looks.Open, topics.CauseNoRepository, -time.Minute, 0)}
		}, NeverLookedAt},
		{"a server that tells another host it is gone", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0002", looks.Open, topics.CauseNoRepository, -time.Minute, 0)}
		}, Missing},
		{"gone, and opened by a clock that was years ahead", func(f *looks.Facts) {
			f.Good[looks.Open] = looks.Look{Host: "host-0002", GoodAt: at(3650 * day)}
			f.Bad = []looks.Look{bad("host-0001", looks.Open, topics.CauseNoRepository, -time.Minute, -time.Hour)}
		}, Missing},
		{"opened and checked by a clock that was years ahead", func(f *looks.Facts) {
			f.Good[looks.Open], f.CheckedAt = looks.Look{Host: "host-0001", GoodAt: at(3650 * day)}, at(3650*day)
		}, CheckOverdue},
		{"a path that another host never found it at", func(f *looks.Facts) {
			f.Location = "/srv/backup"
			f.Bad = []looks.Look{bad("host-0002", looks.Open, topics.CauseNoRepository, -time.Minute, 0)}
		}, Healthy},
		{"a path that another host found it at before", func(f *looks.Facts) {
			f.Location = "/srv/backup"
			f.Bad = []looks.Look{bad("host-0002", looks.Open, topics.CauseNoRepository, -time.Minute, -time.Hour)}
		}, Missing},

		{"no answer", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0001", looks.Open, topics.CauseUnreachable, -time.Minute, -time.Hour)}
		}, Unreachable},
		{"no word from it", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0001", looks.Open, topics.CauseStalled, -time.Minute, -time.Hour)}
		}, Unreachable},
		{"its folder is closed", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0001", looks.Open, topics.CausePermission, -time.Minute, -time.Hour)}
		}, Unreachable},
		{"no answer for a host while another one opens it", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0002", looks.Open, topics.CauseUnreachable, -30*day, 0)}
		}, Healthy},
		{"no answer for a host while another one opened it too long ago", func(f *looks.Facts) {
			f.Good[looks.Open] = looks.Look{Host: "host-0001", GoodAt: at(-9 * day)}
			f.Bad = []looks.Look{bad("host-0002", looks.Open, topics.CauseUnreachable, -30*day, 0)}
		}, Unreachable},

		{"a key of somebody else", func(f *looks.Facts) { f.ForeignKeys = 1 }, Foreign},
		{"a snapshot of somebody else", func(f *looks.Facts) { f.ForeignSnapshots = 1 }, Foreign},
		{"somebody else removed one of ours", func(f *looks.Facts) { f.Lost, f.LostAt = 3, at(-time.Minute) }, Foreign},

		{"a lock was left behind", func(f *looks.Facts) {
			f.LocksAt, f.Locks = at(-time.Minute), []looks.Lock{{Time: at(-2 * time.Hour), Hostname: "attic"}}
		}, Locked},
		{"the lock of a process that its host says is gone", func(f *looks.Facts) {
			f.LocksAt, f.Locks = at(-time.Minute), []looks.Lock{{Time: at(-2 * time.Minute), Dead: true}}
		}, Locked},
		{"somebody else prunes", func(f *looks.Facts) {
			f.LocksAt, f.Locks = at(-time.Minute), []looks.Lock{{Time: at(-2 * time.Minute), Exclusive: true}}
		}, Locked},
		{"a job of ours prunes", func(f *looks.Facts) {
			f.LocksAt, f.Locks = at(-time.Minute), []looks.Lock{{Time: at(-2 * time.Hour), Exclusive: true, Alive: true}}
		}, Healthy},
		{"somebody else backs up", func(f *looks.Facts) {
			f.LocksAt, f.Locks = at(-time.Minute), []looks.Lock{{Time: at(-2 * time.Minute)}}
		}, Healthy},
		{"somebody else pruned before the last backup", func(f *looks.Facts) {
			f.LocksAt, f.Locks = at(-2*time.Hour), []looks.Lock{{Time: at(-2 * time.Hour), Exclusive: true}}
		}, Healthy},
		{"a prune has gone well since", func(f *looks.Facts) {
			f.LocksAt, f.Locks = at(-2*time.Hour), []looks.Lock{{Time: at(-5 * time.Hour)}}
			f.Good[looks.Locks] = looks.Look{GoodAt: at(-time.Hour)}
		}, Healthy},
		{"the last backup was locked out", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0001", looks.Write, topics.CauseLocked, -time.Minute, -time.Hour)}
		}, Locked},
		{"it was locked out, and there was no lock when somebody looked", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0001", looks.Write, topics.CauseLocked, -time.Minute, -time.Hour)}
			f.LocksAt = at(-time.Second)
		}, Healthy},
		{"it was locked out, and another host wrote since", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0002", looks.Write, topics.CauseLocked, -2*time.Hour, 0)}
		}, Healthy},

		{"no space left", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0001", looks.Write, topics.CauseDiskFull, -time.Minute, -time.Hour)}
		}, Full},
		{"no space left for one host, and another one wrote since", func(f *looks.Facts) {
			f.Bad = []looks.Look{bad("host-0002", looks.Write, topics.CauseDiskFull, -2*time.Hour, 0)}
		}, Healthy},

		{"checked 14 days ago and not since", func(f *looks.Facts) { f.CheckedAt = at(-14*day - 1) }, CheckOverdue},
		{"checked not quite 14 days ago", func(f *looks.Facts) { f.CheckedAt = at(-14*day + time.Minute) }, Healthy},
		{"checked daily, and not for more than a week", func(f *looks.Facts) { f.CheckDaily, f.CheckedAt = true, at(-8*day) }, CheckOverdue},
		{"checks are paused for a month", func(f *looks.Facts) { f.CheckPaused, f.CheckedAt = true, at(-30*day) }, Healthy},
		{"checks are paused for longer", func(f *looks.Facts) { f.CheckPaused, f.CheckedAt = true, at(-35*day) }, CheckOverdue},
		{"nobody keeps it, and it is new", func(f *looks.Facts) { f.Keeper, f.CheckedAt, f.AddedAt = "", 0, at(-34*day) }, Healthy},
		{"nobody keeps it, and it is old", func(f *looks.Facts) { f.Keeper, f.CheckedAt, f.AddedAt = "", 0, at(-35*day) }, CheckOverdue},
		{"nobody opened it for eight days", func(f *looks.Facts) { f.Good, f.ReadyAt = nil, at(-8*day) }, CheckOverdue},
		{"nobody opened it for not quite eight days", func(f *looks.Facts) { f.Good, f.ReadyAt = nil, at(-8*day+time.Minute) }, Healthy},
		{"nobody opened it for eight days, and it is used monthly", func(f *looks.Facts) {
			f.Good, f.ReadyAt, f.Plans = nil, at(-8*day), []looks.Plan{{Cron: "0 3 1 * *", Zone: "UTC"}}
		}, Healthy},
		{"nobody opened it for eight days, and it is used monthly and daily", func(f *looks.Facts) {
			f.Good, f.ReadyAt = nil, at(-8*day)
			f.Plans = []looks.Plan{{Cron: "0 3 1 * *", Zone: "UTC"}, {Cron: "@daily", Zone: "UTC"}}
		}, CheckOverdue},
		{"nobody opened it for two months of a monthly schedule", func(f *looks.Facts) {
			f.Good, f.ReadyAt, f.Plans = nil, at(-63*day), []looks.Plan{{Cron: "0 3 1 * *", Zone: "UTC"}}
		}, CheckOverdue},

		{"new", func(f *looks.Facts) { f.Good, f.ReadyAt, f.CheckedAt, f.AddedAt = nil, 0, 0, at(-time.Hour) }, NeverLookedAt},
		{"never looked at for long", func(f *looks.Facts) { f.Good, f.ReadyAt, f.CheckedAt = nil, 0, 0 }, CheckOverdue},
	} {
		f := well()
		c.with(&f)
		v := Judge(f, began)
		if v.Word != c.want {
			t.Errorf("%s: it is %s (%s), want %s", c.is, v.Word, v.Reason, c.want)
		}
		if v.Reason == "" || v.Cause == "" || !timeless.MatchString(v.Reason) {
			t.Errorf("%s: the reason is %q with the cause %q", c.is, v.Reason, v.Cause)
		}
	}
}

// A sentence says no moment and no age: pages show those in the zone of who reads.
var timeless = regexp.MustCompile(`^[A-Z0-9][^:]*[a-z]\.$`)

// The worst is the verdict, and the rest is said after it.
func TestTheWorstIsTheVerdict(t *testing.T) {
	f := well()
	f.CheckedAt, f.ForeignKeys, f.Damage = 0, 1, &looks.Damage{Kind: topics.CheckJob}
	f.Bad = []looks.Look{
		bad("host-0001", looks.Write, topics.CauseDiskFull, -time.Minute, -time.Hour),
		bad("host-0001", looks.Open, topics.CauseUnreachable, -time.Minute, -time.Hour),
		bad("host-0002", looks.Open, topics.CausePassword, -time.Minute, -time.Hour),
	}
	var got []Word
	for _, v := range All(f, began) {
		got = append(got, v.Word)
	}
	if want := []Word{Damaged, Unreadable, Unreachable, Foreign, Full, CheckOverdue}; !slices.Equal(got, want) {
		t.Errorf("said are %v, want %v", got, want)
	}
}

// A verdict says when time alone makes another one: not before it, and at it. This also
// walks through every boundary from healthy on.
func TestAVerdictSaysUntilWhenItHolds(t *testing.T) {
	f := well()
	f.Bad = []looks.Look{bad("host-0002", looks.Open, topics.CauseUnreachable, -2*time.Hour, 0)}
	now, was := began, []Verdict(nil)
	var path []Word
	for range 10 {
		said := All(f, now)
		if was != nil && same(said, was) {
			t.Fatalf("at %s, when it should be another, the verdict is still %v", now, said)
		}
		path = append(path, said[0].Word)
		until := said[0].Until
		if until == 0 {
			break
		}
		if before := All(f, time.UnixMilli(until-1)); !same(before, said) {
			t.Fatalf("the verdict became %v before the moment it named", before)
		}
		now, was = time.UnixMilli(until), said
	}
	if want := []Word{Healthy, Unreachable, Unreachable}; !slices.Equal(path, want) {
		t.Errorf("with time it becomes %v, want %v", path, want)
	}
}

func same(a, b []Verdict) bool {
	return slices.EqualFunc(a, b, func(a, b Verdict) bool { return a.Word == b.Word && a.Cause == b.Cause && a.Since == b.Since })
}

// One host is well and one is not, in whichever order they look; when the one that is
// well becomes unwell, too, it is the repository's trouble at once.
func TestOneHostsTroubleIsNotTheRepositorys(t *testing.T) {
	var attic, cellar looks.Look
	judge := func(now int64) Word {
		f := well()
		f.ReadyAt, f.CheckedAt, f.Good = at(-day), now, map[looks.Kind]looks.Look{}
		gather(&f, map[topics.HostID]looks.Look{"host-0001": attic, "host-0002": cellar})
		return Judge(f, time.UnixMilli(now)).Word
	}
	now := at(0)
	attic = attic.After("", "", now)
	for range 40 {
		now += (6 * time.Hour).Milliseconds()
		cellar = cellar.After(topics.CauseUnreachable, "job", now)
		if now > at(6*time.Hour) && judge(now) != Healthy {
			t.Fatalf("attic opens it every six hours, and it is %s", judge(now))
		}
		now += time.Hour.Milliseconds()
		attic = attic.After("", "", now)
		if judge(now) != Healthy {
			t.Fatalf("attic just opened it, and it is %s", judge(now))
		}
	}
	now += time.Hour.Milliseconds()
	attic = attic.After(topics.CauseUnreachable, "job", now)
	if judge(now) != Unreachable {
		t.Errorf("nobody opens it any more, and it is %s", judge(now))
	}
}

// gather puts the last looks of hosts into facts, as the database does.
func gather(f *looks.Facts, last map[topics.HostID]looks.Look) {
	for host, l := range last {
		l.Host, l.Kind = host, looks.Open
		if l.BadSince > 0 {
			f.Bad = append(f.Bad, l)
		}
		if l.GoodAt > f.Good[looks.Open].GoodAt {
			f.Good[looks.Open] = looks.Look{Host: host, Kind: looks.Open, GoodAt: l.GoodAt}
		}
	}
	slices.SortFunc(f.Bad, func(a, b looks.Look) int { return int(a.BadSince - b.BadSince) })
}

// Whatever hosts found in two months: a repository is never healthy when the newest
// look of every host failed or is older than the limit, and without a failed look since
// the last good one of that host it is never anything worse than overdue.
func TestGeneratedHistories(t *testing.T) {
	causes := []topics.Cause{"", topics.CausePassword, topics.CauseNoRepository, topics.CauseUnreachable, topics.CausePermission}
	rapid.Check(t, func(t *rapid.T) {
		f := well()
		f.Location = rapid.SampledFrom([]string{"/srv/backup", "rest:https://nas.example.net/"}).Draw(t, "location")
		f.Good, f.ReadyAt = map[looks.Kind]looks.Look{}, 0
		last := map[topics.HostID]looks.Look{}
		now := at(0)
		for i := range rapid.IntRange(0, 40).Draw(t, "looks") {
			now += rapid.Int64Range(1, (3*day).Milliseconds()).Draw(t, fmt.Sprint("after ", i))
			host := rapid.SampledFrom([]topics.HostID{"host-0001", "host-0002", "host-0003"}).Draw(t, "host")
			cause := rapid.SampledFrom(causes).Draw(t, "cause")
			last[host] = last[host].After(cause, "job", now)
			if cause == "" && f.ReadyAt == 0 {
				f.ReadyAt = now
			}
		}
		now += rapid.Int64Range(0, (10*day).Milliseconds()).Draw(t, "and then")
		f.CheckedAt = now
		gather(&f, last)
		v := Judge(f, time.UnixMilli(now))
		alive, wrong := false, false
		for _, l := range last {
			alive = alive || l.BadSince == 0 && now-l.GoodAt < LookLimit.Milliseconds()
			wrong = wrong || l.BadSince > 0
		}
		if v.Word == Healthy && !alive {
			t.Errorf("it is healthy, and the last looks are %+v", last)
		}
		if bad := slices.Index(Words, v.Word) < slices.Index(Words, CheckOverdue); bad && !wrong {
			t.Errorf("it is %s without a fault: %+v", v.Word, last)
		}
		if f.ReadyAt > 0 && alive == wrong && !alive && v.Word != CheckOverdue {
			t.Errorf("everybody's last look is too old, and it is %s", v.Word)
		}
	})
}

// docs/STATUS.md explains every word, in this order, and pages have a face for each.
func TestEveryWordIsExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/STATUS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## How a repository is\n")
	if !found {
		t.Fatal("docs/STATUS.md has no section about repositories")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var documented, shown []Word
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ..").FindAllStringSubmatch(section, -1) {
		documented = append(documented, Word(m[1]))
	}
	for _, s := range views.RepositoryStatuses() {
		shown = append(shown, Word(s.Key))
	}
	if !slices.Equal(documented, Words) {
		t.Errorf("docs/STATUS.md has %v, want %v", documented, Words)
	}
	if !slices.Equal(shown, Words) {
		t.Errorf("pages know %v, want %v", shown, Words)
	}
}

// Whatever is wrong says what it means for the data, and what to do.
func TestEveryFindingHasAdvice(t *testing.T) {
	causes := map[string]bool{"check-overdue": true, "look-overdue": true, "never-looked-at": true, "repository-damaged": true,
		"foreign-keys": true, "foreign-snapshots": true, "snapshots-missing": true, "repository-locked": true, "repository-full": true,
		"secrets-unread": true, "maintenance-unread": true}
	for _, s := range shut {
		causes[s.cause] = true
	}
	for c := range causes {
		if a := advice[c]; !strings.HasSuffix(a.Effect, ".") || !strings.HasSuffix(a.Remedy, ".") {
			t.Errorf("%s has the advice %+v", c, a)
		}
	}
	for c := range advice {
		if !causes[c] {
			t.Errorf("there is advice for %s, which nothing says", c)
		}
	}
}
