package schedule

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// TestASlotThatWaitsForWhatItsHostDoesIsShown: from when it is due until it is begun,
// with the job it waits for, and nothing else is.
func TestASlotThatWaitsForWhatItsHostDoesIsShown(t *testing.T) {
	type scene struct {
		*world
		h             topics.HostID
		letters, wine topics.SourceGroupID
		slot          time.Time
		sc            store.Schedule
		offline       bool
	}
	running := func(s *scene, repo topics.RepositoryID) store.Job {
		return s.asked(s.h, topics.CheckJob, "", repo, s.slot.Add(-time.Minute), time.Time{})
	}
	for _, c := range []struct {
		name string
		play func(*scene) (want string) // "letters job, wine busy", with the kinds of jobs that are waited for
	}{
		{"nothing runs", func(*scene) string { return "" }},
		{"a job in its repository", func(s *scene) string {
			running(s, topics.RepositoryID(s.letters))
			return "letters job"
		}},
		{"a job in another repository, with room", func(s *scene) string {
			running(s, s.vault("other"))
			return ""
		}},
		{"as many as the host may run, elsewhere", func(s *scene) string {
			s.exec(`UPDATE hosts SET jobs_at_once = 2 WHERE id = ?`, s.h)
			running(s, s.vault("other"))
			running(s, s.vault("third"))
			return "letters busy, wine busy"
		}},
		{"as many as it may run, one of them in its repository", func(s *scene) string {
			s.exec(`UPDATE hosts SET jobs_at_once = 2 WHERE id = ?`, s.h)
			running(s, s.vault("other"))
			running(s, topics.RepositoryID(s.wine))
			return "letters busy, wine job"
		}},
		{"an agent of an older version with one job", func(s *scene) string {
			s.exec(`UPDATE hosts SET agent_jobs = 0 WHERE id = ?`, s.h)
			running(s, s.vault("other"))
			return "letters busy, wine busy"
		}},
		{"a job that is only queued", func(s *scene) string {
			j := running(s, topics.RepositoryID(s.letters))
			s.exec(`UPDATE jobs SET state = 'queued' WHERE id = ?`, j.ID)
			return ""
		}},
		{"the host is not connected", func(s *scene) string {
			running(s, topics.RepositoryID(s.letters))
			s.offline = true
			return ""
		}},
		{"the schedule is paused", func(s *scene) string {
			running(s, topics.RepositoryID(s.letters))
			s.put(s.h, s.sc.Name, func(sc *store.Schedule) { sc.Enabled = false })
			return ""
		}},
		{"it is not due yet", func(s *scene) string {
			running(s, topics.RepositoryID(s.letters))
			s.now = s.slot.Add(-time.Second)
			return ""
		}},
		{"one of two groups has begun", func(s *scene) string {
			running(s, topics.RepositoryID(s.letters))
			s.fires(s.sc, s.wine, s.slot, s.slot)
			return "letters job"
		}},
		{"it has begun, and another job waits", func(s *scene) string {
			s.fires(s.sc, s.letters, s.slot, s.slot)
			s.fires(s.sc, s.wine, s.slot, s.slot)
			return ""
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &scene{world: newWorld(t, open(t))}
			s.h = s.firing("attic")
			s.exec(`UPDATE hosts SET agent_jobs = 16 WHERE id = ?`, s.h)
			s.letters, s.wine = s.group(s.h, "letters"), s.group(s.h, "wine")
			s.sc = s.nightly(s.h, "nightly", s.letters, s.wine)
			s.exec(`UPDATE schedules SET since = ?`, s.now.UnixMilli())
			s.slot = s.now.Truncate(day).Add(day)
			s.now = s.slot.Add(time.Minute)
			want := c.play(s)
			service := &Service{Store: s.store.Store, Now: func() time.Time { return s.now }, Online: func(topics.HostID) bool { return !s.offline }}
			st := must(service.Standing(t.Context(), s.h, "nightly"))
			var got []string
			for _, h := range st.Held {
				got = append(got, fmt.Sprintf("%s %s", h.GroupName, h.Wait))
				if h.Slot != s.slot.UnixMilli() || !h.Start.Equal(s.slot) || h.Kind != topics.CheckJob || h.Job == "" {
					t.Errorf("%+v", h)
				}
			}
			if text := strings.Join(got, ", "); text != want {
				t.Errorf("held: %q, want %q", text, want)
			}
		})
	}
}
