package conditions

import (
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/alerts"
)

func TestWhatIsOffWithAllOthersIsOurs(t *testing.T) {
	now := time.Now()
	f := samples[PlaneClock](now.UnixMilli())
	odd := sampleHost(now.UnixMilli())
	odd.ID, odd.Clock = "odd", 40 // as ours, and so off from all others
	away := sampleHost(now.UnixMilli())
	away.ID, away.Offline = "away", true
	f.Hosts = append(f.Hosts, odd, away)
	holds, _ := Judge(f, nil, now)
	var keys []alerts.Key
	for _, h := range holds {
		keys = append(keys, h.Key)
	}
	want := []alerts.Key{{Condition: string(ClockOff), On: alerts.OnHost, Subject: "odd"}, {Condition: string(PlaneClock), On: alerts.OnPlane}}
	if !slices.Equal(keys, want) {
		t.Errorf("it finds %v, want %v", keys, want)
	}

	// While ours drifts away, no host is told of first.
	for ahead := range int64(120) {
		for i := range f.Hosts[:3] {
			f.Hosts[i].Clock = ahead*1000 + int64(i)*100
		}
		names := found(Facts{Hosts: f.Hosts[:3]}, nil, now)
		if want := ahead >= 30; slices.Contains(names, ClockOff) || slices.Contains(names, PlaneClock) != want {
			t.Errorf("by %d s: %v", ahead, names)
		}
	}
}
