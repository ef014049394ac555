package retention

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// honest is a snapshot that a job of ours made when it says so.
func honest(id string, at time.Time) store.Planned {
	ms := at.UnixMilli()
	return store.Planned{
		Snapshot: store.Snapshot{
			ID:          id,
			Time:        ms,
			Job:         "job-00000001",
			Host:        "host0001",
			SourceGroup: "group001",
			Hostname:    "attic",
			SeenAt:      1,
			QueuedAt:    ms - 1000,
			BegunAt:     ms,
			EndedAt:     ms + 60_000,
		},
		Group:      "all",
		GroupThere: true,
		Seen:       true,
	}
}

func ids(list []Verdict) (ids []string) {
	for _, v := range list {
		ids = append(ids, v.ID)
	}
	slices.Sort(ids)
	return ids
}

// flags are what restic calls the rules.
func flags(k store.Keep) (args []string) {
	b, _ := json.Marshal(k)
	var fields map[string]any
	_ = json.Unmarshal(b, &fields)
	for name, v := range fields {
		args = append(args, "--"+strings.ReplaceAll(name, "_", "-"), fmt.Sprint(v))
	}
	return args
}

// someKeep draws rules that do something with snapshots of a year or two.
func someKeep(r *rand.Rand) (k store.Keep) {
	for _, f := range []*string{&k.Within, &k.WithinHourly, &k.WithinDaily, &k.WithinWeekly, &k.WithinMonthly, &k.WithinYearly} {
		if r.IntN(4) == 0 {
			*f = []string{"5h", "36h", "3d", "30d", "2m", "1y", "1y2m3d4h", "7d12h"}[r.IntN(8)]
		}
	}
	for _, f := range []*int{&k.Last, &k.Hourly, &k.Daily, &k.Weekly, &k.Monthly, &k.Yearly} {
		if r.IntN(4) == 0 {
			*f = 1 + r.IntN(12)
		}
	}
	if k == (store.Keep{}) {
		k.Daily = 3
	}
	return k
}

// resticRemoves is what restic removes of some snapshots, as ApplyPolicy of its
// sources does it: since 0.16 it keeps the oldest, too, while a rule wants more. It
// shares nothing with package retention but how a duration is read.
func resticRemoves(t *testing.T, k store.Keep, times []time.Time, keepsOldest bool) (removed []int) {
	order := make([]int, len(times)) // the newest first
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return times[b].Compare(times[a]) })
	latest := times[order[0]]
	after := func(at time.Time, text string) bool {
		s, err := parseSpan(text)
		if err != nil {
			t.Fatal(err)
		}
		return at.After(latest.AddDate(-s.years, -s.months, -s.days).Add(-time.Duration(s.hours) * time.Hour))
	}
	week := func(at time.Time) string { y, w := at.ISOWeek(); return fmt.Sprint(y, " ", w) }
	form := func(layout string) func(time.Time) string {
		return func(at time.Time) string { return at.Format(layout) }
	}
	type bucket struct {
		count  int
		within string
		of     func(time.Time) string
		last   string
	}
	nr := 0
	buckets := []*bucket{
		{count: k.Last, of: func(time.Time) string { return fmt.Sprint(nr) }},
		{count: k.Hourly, of: form("2006010215")}, {count: k.Daily, of: form("20060102")}, {count: k.Weekly, of: week},
		{count: k.Monthly, of: form("200601")}, {count: k.Yearly, of: form("2006")},
		{within: k.WithinHourly, of: form("2006010215")}, {within: k.WithinDaily, of: form("20060102")}, {within: k.WithinWeekly, of: week},
		{within: k.WithinMonthly, of: form("200601")}, {within: k.WithinYearly, of: form("2006")},
	}
	for _, i := range order {
		at := times[i].Local()
		keep := k.Within != "" && after(at, k.Within)
		for _, b := range buckets {
			if b.count <= 0 && (b.within == "" || !after(at, b.within)) {
				continue
			}
			if v := b.of(at); v != b.last || keepsOldest && nr == len(order)-1 {
				keep, b.last = true, v
				b.count--
			}
		}
		if !keep {
			removed = append(removed, i)
		}
		nr++
	}
	return removed
}

// TestTheOldestStaysWhileARuleIsNotFull: restic 0.19.1 removes 160 of these, and 0.14
// removes 180.
func TestTheOldestStaysWhileARuleIsNotFull(t *testing.T) {
	var list []store.Planned
	for group := range 20 {
		for n := range 10 {
			s := honest(fmt.Sprintf("%02d%010d", group, n), noon.Add(10*time.Minute+time.Duration(n)*time.Minute))
			s.SourceGroup = topics.SourceGroupID(fmt.Sprintf("group%03d", group))
			list = append(list, s)
		}
	}
	for _, c := range []struct {
		name    string
		keep    store.Keep
		removed int // of each group
	}{
		{"a rule by the hour that wants one more", store.Keep{Last: 1, Hourly: 2}, 8},
		{"a rule by the hour that is full", store.Keep{Last: 1, Hourly: 1}, 9},
		{"the last ones, and no other rule", store.Keep{Last: 2}, 8},
		{"a year that wants one more", store.Keep{Yearly: 2}, 8},
		{"days within a time that the oldest is in", store.Keep{WithinDaily: "3d"}, 8},
		{"hours within a time that the oldest is in", store.Keep{WithinHourly: "1h", Last: 1}, 8},
	} {
		v, err := Plan(c.keep, list, Past{}, noon.Add(time.Hour))
		if err != nil || len(v.Remove) != 20*c.removed {
			t.Errorf("%s: %d of 200 go (%v), want %d", c.name, len(v.Remove), err, 20*c.removed)
		}
		oldest := 0
		for _, k := range v.Keep {
			if strings.HasSuffix(k.ID, "0000000000") && strings.HasPrefix(k.Reasons[0], "the oldest, ") {
				oldest++
			}
		}
		if want := map[bool]int{true: 20}[c.removed == 8 && c.keep != (store.Keep{Last: 2})]; oldest != want {
			t.Errorf("%s: the oldest of %d groups stays as such, want %d", c.name, oldest, want)
		}
	}
}

// TestRulesMeanWhatTheyMeanToRestic holds Plan against restic forget --dry-run on
// a real repository: what it removes, restic would remove both as it is now and as it
// was before 0.16. Which of the two is installed decides which one is compared with
// the program; the other is read off its sources.
func TestRulesMeanWhatTheyMeanToRestic(t *testing.T) {
	const wanted, policies = 40, 25
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(5, 55))
	env := []string{"RESTIC_REPOSITORY=" + filepath.Join(dir, "repository"), "RESTIC_PASSWORD=x",
		"RESTIC_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"PATH=" + os.Getenv("PATH"), "TZ=" + os.Getenv("TZ"), "HOME=" + dir}
	restic := func(args ...string) []byte {
		cmd := exec.Command("restic", args...)
		cmd.Env, cmd.Dir = env, dir
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("restic %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
	side := func(n int, do func(int)) {
		var wg sync.WaitGroup
		turns := make(chan struct{}, 3)
		for i := range n {
			wg.Go(func() {
				turns <- struct{}{}
				do(i)
				<-turns
			})
		}
		wg.Wait()
	}
	if err := resticrepo.Make(filepath.Join(dir, "repository"), "x"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Two years, thick at the end: several an hour, then one a day, then fewer;
	// and some of the very same second's neighbourhood as a year's turn.
	times := []time.Time{}
	now := time.Now().Truncate(time.Second)
	for i := range wanted {
		var age time.Duration
		switch {
		case i < 12:
			age = time.Duration(r.IntN(12*3600)) * time.Second
		case i < 25:
			age = time.Duration(r.IntN(40*24*3600)) * time.Second
		default:
			age = time.Duration(r.IntN(800*24*3600)) * time.Second
		}
		times = append(times, now.Add(-time.Minute-age))
	}
	turn := time.Date(now.Year(), 1, 1, 0, 0, 0, 0, time.Local)
	times = append(times, turn.Add(-time.Second), turn, turn.Add(time.Second), now.Add(-30*24*time.Hour),
		now.Add(-30*24*time.Hour-time.Second))
	side(len(times), func(i int) {
		restic("backup", "-q", "--host", "attic", "--tag", "plan=x", "--time", times[i].Format("2006-01-02 15:04:05"), "a")
	})
	var listed []struct {
		ID   string
		Time time.Time
	}
	if err := json.Unmarshal(restic("snapshots", "--json"), &listed); err != nil || len(listed) != len(times) {
		t.Fatalf("restic lists %d snapshots, want %d (%v)", len(listed), len(times), err)
	}
	list, taken := make([]store.Planned, len(listed)), make([]time.Time, len(listed))
	for i, s := range listed {
		list[i], taken[i] = honest(s.ID, s.Time), s.Time
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(restic("version")), "restic %d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	newer := major > 0 || minor >= 16
	keeps := []store.Keep{{Within: "30d"}, {Last: 5}, {
		Daily:   7,
		Weekly:  5,
		Monthly: 12,
		Yearly:  2,
	}, {Within: "3d", WithinDaily: "30d", WithinMonthly: "1y"}, {Hourly: 24}, {Yearly: 10}}
	for len(keeps) < policies {
		keeps = append(keeps, someKeep(r))
	}
	removed, differ := 0, 0
	var mu sync.Mutex
	side(len(keeps), func(i int) {
		var groups []struct{ Keep, Remove []struct{ ID string } }
		args := append([]string{"forget", "--dry-run", "--no-lock", "--json", "--group-by", ""}, flags(keeps[i])...)
		if err := json.Unmarshal(restic(args...), &groups); err != nil || len(groups) != 1 {
			t.Errorf("restic %v: %d groups, %v", args, len(groups), err)
			return
		}
		got, err := Plan(keeps[i], list, Past{}, time.Now())
		if err != nil {
			t.Errorf("%+v: %v", keeps[i], err)
			return
		}
		var real []string
		for _, s := range groups[0].Remove {
			real = append(real, s.ID)
		}
		slices.Sort(real)
		model := map[bool][]string{}
		for _, keepsOldest := range []bool{false, true} {
			for _, n := range resticRemoves(t, keeps[i], taken, keepsOldest) {
				model[keepsOldest] = append(model[keepsOldest], listed[n].ID)
			}
			slices.Sort(model[keepsOldest])
		}
		if !slices.Equal(real, model[newer]) {
			t.Errorf("%+v: restic %d.%d removes %d, and its sources say %d", keeps[i], major, minor, len(real), len(model[newer]))
		}
		want := slices.DeleteFunc(slices.Clone(model[false]), func(id string) bool { return !slices.Contains(model[true], id) })
		if !slices.Equal(ids(got.Remove), want) {
			t.Errorf("%+v: removes %d, both kinds of restic %d", keeps[i], len(got.Remove), len(want))
		}
		mu.Lock()
		removed += len(want)
		differ += len(model[false]) - len(model[true])
		mu.Unlock()
	})
	if removed == 0 || differ == 0 {
		t.Errorf("both remove %d, and one of them %d more: nothing was compared", removed, differ)
	}
}
