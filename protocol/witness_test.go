package protocol_test

import (
	"testing"
	"time"

	. "github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A sight is one thing that a witness is told, some seconds after the beginning.
type sight struct {
	at       float64 // seconds
	born     string  // an instance, "" if none; "-" is an agent of an older version
	epoch    int64   // of its session; 0 is 1
	n        uint64
	died     uint64 // the session of epoch 1 that ended
	vanished uint64 // the session of epoch 1 that had no connection
}

// witnessed plays sights, and returns whether two machines were found, and who was
// admitted, in order.
func witnessed(list []sight) (twins bool, admitted []string) {
	w := NewWitness(DefaultTiming())
	now := int64(1_000_000)
	look := func(until int64) {
		for ; now < until; now += 100 {
			if _, a := w.Look(now); a != nil {
				admitted = append(admitted, a.Instance)
			}
		}
	}
	for _, s := range list {
		look(1_000_000 + int64(s.at*1000))
		epoch := max(s.epoch, 1)
		switch {
		case s.born != "":
			instance := s.born
			if instance == "-" {
				instance = ""
			}
			switch w.Born(Sighting{Instance: instance, Session: topics.Session{Epoch: epoch, N: s.n}}, now) {
			case Twins:
				return true, admitted
			case Admit:
				admitted = append(admitted, s.born)
			}
		case s.died > 0:
			w.Died(topics.Session{Epoch: epoch, N: s.died})
		case s.vanished > 0:
			w.Vanished(topics.Session{Epoch: epoch, N: s.vanished})
		}
	}
	look(now + (time.Minute).Milliseconds())
	return false, admitted
}

// TestWhatTwoMachinesAreAndWhatTheyAreNot holds each circumstance beside the neighbour
// that looks like it.
func TestWhatTwoMachinesAreAndWhatTheyAreNot(t *testing.T) {
	for _, c := range []struct {
		what  string
		list  []sight
		twins bool
		last  string // who is admitted last
	}{
		{"a copy began while the original ran, and each came back when it was cut",
			[]sight{{at: 0, born: "a", n: 1}, {at: 60, born: "b", n: 2}, {at: 66, born: "a", n: 3}, {at: 72, born: "b", n: 4}}, true, ""},
		{"the same, hours after the original began",
			[]sight{{at: 0, born: "a", n: 1}, {at: 40_000, born: "b", n: 2}, {at: 40_006, born: "a", n: 3},
				{at: 40_012, born: "b", n: 4}}, true, ""},
		{"the same, after the original's network was away: its end had been heard",
			[]sight{{at: 0, born: "a", n: 1}, {at: 30, died: 1}, {at: 60, born: "b", n: 2}, {at: 120, born: "a", n: 9},
				{at: 128, born: "b", n: 10}}, true, ""},
		{"the copy, too, was silent when it was cut, and came back too late to be waited for",
			[]sight{{at: 0, born: "a", n: 1}, {at: 60, born: "b", n: 2}, {at: 90, born: "a", n: 3}, {at: 96, born: "b", n: 4}}, true, ""},
		{"agents of an older version took turns: a new epoch each time",
			[]sight{{born: "-", n: 1}, {at: 20, born: "-", epoch: 2, n: 2}, {at: 50, born: "-", epoch: 3, n: 2},
				{at: 80, born: "-", epoch: 4, n: 2}}, true, ""},
		{"one of them an agent of an older version",
			[]sight{{born: "-", n: 1}, {at: 20, born: "b", n: 2}, {at: 26, born: "-", n: 2}, {at: 33, born: "b", n: 3}}, true, ""},

		{"the agent was restarted, and said goodbye",
			[]sight{{born: "a", n: 1}, {at: 60, died: 1}, {at: 61, born: "b", n: 2}}, false, "b"},
		{"it was killed and started anew: its last will came just after the next birth",
			[]sight{{born: "a", n: 1}, {at: 60, born: "b", n: 2}, {at: 60.1, died: 1}}, false, "b"},
		{"it was upgraded from an agent that has no instance",
			[]sight{{born: "-", n: 1}, {at: 60, died: 1}, {at: 61, born: "b", n: 2}}, false, "b"},
		{"it was upgraded, put back to the older version, and upgraded again",
			[]sight{{born: "-", n: 1}, {at: 60, died: 1}, {at: 61, born: "b", n: 2}, {at: 90, died: 2},
				{at: 91, born: "-", n: 3}, {at: 99, died: 3},
				{at: 100, born: "c", n: 4}}, false, "c"},
		{"the machine lost its power: nobody said goodbye, and the old process does not come back",
			[]sight{{born: "a", n: 1}, {at: 60, born: "b", n: 2}}, false, "b"},
		{"a container was started anew five times within a minute",
			[]sight{{born: "a", n: 1}, {at: 10, born: "b", n: 2}, {at: 20, born: "c", n: 3}, {at: 30, born: "d", n: 4},
				{at: 40, born: "e", n: 5}}, false, "e"},
		{"the network was lost, and the same process came back",
			[]sight{{born: "a", n: 1}, {at: 60, born: "a", n: 2}, {at: 61, died: 1}, {at: 70, born: "a", n: 3}}, false, "a"},
		{"a laptop changed its address ten times",
			[]sight{{born: "a", n: 1}, {at: 5, born: "a", n: 2}, {at: 9, born: "a", n: 3}, {at: 12, born: "a", n: 4},
				{at: 13, born: "a", n: 5},
				{at: 15, born: "a", n: 6}, {at: 16, born: "a", n: 7}, {at: 17, born: "a", n: 8}, {at: 18, born: "a", n: 9},
				{at: 19, born: "a", n: 10}}, false, "a"},
		{"the same, of an older version",
			[]sight{{born: "-", n: 1}, {at: 5, born: "-", n: 2}, {at: 9, born: "-", n: 3}, {at: 12, born: "-", n: 4}}, false, "-"},
		{"the machine was put back to a snapshot of its disk: a new process with an older number, then with a new epoch",
			[]sight{{born: "a", n: 7}, {at: 60, born: "b", n: 3}, {at: 75, born: "b", n: 4}, {at: 90, born: "c", epoch: 2, n: 5}}, false, "c"},
		{"the same, of an older version",
			[]sight{{born: "-", n: 7}, {at: 60, born: "-", n: 3}, {at: 75, born: "-", n: 4}, {at: 76, born: "-", epoch: 2, n: 5}}, false, "-"},
		{"it was put back to a snapshot with its memory: an earlier process is back, and the later one is not",
			[]sight{{born: "a", n: 1}, {at: 60, died: 1}, {at: 61, born: "b", n: 2}, {at: 90, born: "a", n: 2}}, false, "a"},
		{"that was done twice, on different days",
			[]sight{{born: "a", n: 1}, {at: 60, died: 1}, {at: 61, born: "b", n: 2}, {at: 90, born: "a", n: 2},
				{at: 90_000, born: "b", n: 3}}, false, "b"},
		{"the control plane began anew and there is no connection of the one before",
			[]sight{{born: "a", n: 1}, {at: 60, born: "b", n: 2}, {at: 60.4, vanished: 1}}, false, "b"},
	} {
		twins, admitted := witnessed(c.list)
		if twins != c.twins {
			t.Errorf("%s: two machines: %t, want %t", c.what, twins, c.twins)
		}
		if c.twins {
			continue
		}
		if n := len(admitted); n == 0 || admitted[n-1] != c.last {
			t.Errorf("%s: %v were admitted, want %s at last", c.what, admitted, c.last)
		}
	}
}

// TestNothingOfANewProcessCountsWhileTheOldOneMayLive: its hello would end what the
// other one runs.
func TestNothingOfANewProcessCountsWhileTheOldOneMayLive(t *testing.T) {
	twins, admitted := witnessed([]sight{{born: "a", n: 1}, {at: 60, born: "b", n: 2},
		{at: 69.9, born: "a", n: 3}, {at: 79.8, born: "b", n: 4}})
	if !twins || len(admitted) != 1 || admitted[0] != "a" {
		t.Errorf("two machines: %t; admitted before: %v", twins, admitted)
	}
}

// TestTwoMachinesAreFoundWithinAMinute whatever both links' first back-off is.
func TestTwoMachinesAreFoundWithinAMinute(t *testing.T) {
	for a := 0.0; a <= 10; a++ {
		for b := 0.0; b <= 10; b++ {
			w, now := NewWitness(DefaultTiming()), int64(0)
			back := map[string]int64{} // when an instance connects again
			n, found := uint64(1), int64(0)
			connect := func(instance string) {
				n++
				if w.Born(Sighting{Instance: instance, Session: topics.Session{Epoch: 1, N: n}}, now) == Twins {
					found = now
				}
			}
			connect("a")
			began := int64(100_000)
			for now = 0; now < began+60_000 && found == 0; now += 50 {
				if now == began {
					connect("b")
				}
				if cut, _ := w.Look(now); cut != nil {
					back[cut.Instance] = now + int64(map[string]float64{"a": a, "b": b}[cut.Instance]*1000)
				}
				for i, at := range back {
					if now >= at {
						delete(back, i)
						connect(i)
					}
				}
			}
			if found == 0 || found > began+25_000 {
				t.Errorf("with %v and %v s of back-off: found after %d ms", a, b, found-began)
			}
		}
	}
}
