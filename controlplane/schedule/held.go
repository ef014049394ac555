package schedule

import (
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// A Held is a slot of a source group that has come due and is not begun, because of
// what its host has in hand. It is begun when that has ended; its outcome is known when
// its grace is over.
type Held struct {
	Group     topics.SourceGroupID
	GroupName string
	Slot      int64         // the planned moment, Unix milliseconds
	Start     time.Time     // with the schedule's share of the jitter
	Wait      protocol.Wait // WaitJob: another job in its repository; WaitBusy: as many as the host may run at once
	Job       topics.JobID  // which one; the oldest of those
	Kind      topics.JobKind
}

// Full reports whether the slot waits because its host runs as many jobs as it may.
func (h Held) Full() bool { return h.Wait == protocol.WaitBusy }

// heldOf says which groups of a schedule are held; hands are those of the schedule.
func heldOf(p slots.Policy, hands []slotlog.Hand, now time.Time, skips []slots.Span) (held []Held) {
	if _, paused := slots.In(skips, now); paused {
		return nil // it waits for the end of the pause
	}
	for len(hands) > 0 {
		n := 1
		for n < len(hands) && hands[n].Group == hands[0].Group {
			n++
		}
		own := hands[:n]
		hands = hands[n:]
		slot, due := latest(p, time.UnixMilli(own[0].After), now, skips)
		if !due {
			continue
		}
		h := Held{Group: own[0].Group, GroupName: own[0].GroupName, Slot: slot.UnixMilli(), Start: p.Start(slot), Wait: protocol.WaitBusy,
			Job: own[0].Job, Kind: own[0].Kind}
		places := map[topics.RepositoryID]bool{} // of two jobs in one the host runs one
		for _, j := range own {
			if places[j.Place] = true; j.Place == j.Repository && h.Wait != protocol.WaitJob {
				h.Wait, h.Job, h.Kind = protocol.WaitJob, j.Job, j.Kind
			}
		}
		if h.Wait == protocol.WaitJob || len(places) >= own[0].AtOnce {
			held = append(held, h)
		}
	}
	return held
}
