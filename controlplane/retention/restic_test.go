package retention

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/store"
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

// TestRulesMeanWhatTheyMeanToRestic holds Plan against restic forget --dry-run on
// a real repository.
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
	list := make([]store.Planned, len(listed))
	for i, s := range listed {
		list[i] = honest(s.ID, s.Time)
	}
	keeps := []store.Keep{{Within: "30d"}, {Last: 5}, {
		Daily:   7,
		Weekly:  5,
		Monthly: 12,
		Yearly:  2,
	}, {Within: "3d", WithinDaily: "30d", WithinMonthly: "1y"}, {Hourly: 24}, {Yearly: 10}}
	for len(keeps) < policies {
		keeps = append(keeps, someKeep(r))
	}
	removed := 0
	var mu sync.Mutex
	side(len(keeps), func(i int) {
		var groups []struct{ Keep, Remove []struct{ ID string } }
		args := append([]string{"forget", "--dry-run", "--no-lock", "--json", "--group-by", ""}, flags(keeps[i])...)
		if err := json.Unmarshal(restic(args...), &groups); err != nil || len(groups) != 1 {
			t.Errorf("restic %v: %d groups, %v", args, len(groups), err)
			return
		}
		got, err := Plan(keeps[i], list, time.Now())
		if err != nil {
			t.Errorf("%+v: %v", keeps[i], err)
			return
		}
		var want []string
		for _, s := range groups[0].Remove {
			want = append(want, s.ID)
		}
		slices.Sort(want)
		if !slices.Equal(ids(got.Remove), want) {
			t.Errorf("%+v: removes %s, restic %s", keeps[i], strconv.Itoa(len(got.Remove)), strconv.Itoa(len(want)))
		}
		mu.Lock()
		removed += len(want)
		mu.Unlock()
	})
	if removed == 0 {
		t.Error("restic never removed anything, so that nothing was compared")
	}
}
