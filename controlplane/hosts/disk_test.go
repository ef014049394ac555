package hosts

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

func TestWhatIsWrongWithADisk(t *testing.T) {
	c := &clock{time.UnixMilli(1_000_000_000)}
	p := NewPresence(DefaultTiming(), c.now, nil)
	p.Born(attic, session(1))
	p.Greeted(attic, session(1))
	const mi, gi = uint64(1) << 20, uint64(1) << 30
	for _, s := range []struct {
		what    string
		said    *topics.Disk
		want    Disk
		changed bool
	}{
		{"nothing is known", nil, Disk{}, false},
		{"there is room", &topics.Disk{Free: 50 * gi, Total: 100 * gi}, Disk{}, false},
		{"little of much", &topics.Disk{Free: 2 * gi, Total: 1000 * gi}, Disk{}, false},
		{"little of little", &topics.Disk{Free: 65 * mi, Total: gi}, Disk{}, false},
		{"too little of little", &topics.Disk{Free: 63 * mi, Total: gi}, Disk{Low: true, Since: 1_000_004_000}, true},
		{"the same later", &topics.Disk{Free: 62 * mi, Total: gi}, Disk{Low: true, Since: 1_000_004_000}, false},
		{"a hundredth", &topics.Disk{Free: gi - 1, Total: 200 * gi}, Disk{Low: true, Since: 1_000_004_000}, false},
		{"full, by a clock that is a minute ahead", &topics.Disk{Total: gi, Since: 1_000_055_000, Error: "no space"},
			Disk{Full: true, Since: 999_995_000, Error: "no space"}, true},
		{"full of something else", &topics.Disk{Free: 50 * gi, Total: 100 * gi, Since: 1_000_055_000, Error: "read-only"},
			Disk{Full: true, Since: 999_995_000, Error: "no space"}, false},
		{"room again", &topics.Disk{Free: 50 * gi, Total: 100 * gi}, Disk{}, true},
	} {
		changed := p.Disk(attic, s.said, time.Minute)
		if room, got := p.Room(attic); changed != s.changed || got != s.want || room != s.said || p.Look(attic).Disk != s.want ||
			p.Full(attic) != s.want.Full {
			t.Errorf("%s: %+v, changed %t", s.what, got, changed)
		}
		c.t = c.t.Add(time.Second)
		p.Heard(attic, topics.Stamp{Session: session(1), N: uint64(c.t.UnixMilli())})
	}
	p.Disk(attic, &topics.Disk{Total: gi, Since: 1_000_000_000}, 0)
	p.Died(attic, session(1))
	if room, got := p.Room(attic); room != nil || got != (Disk{}) || p.Full(attic) {
		t.Errorf("of a host that is gone: %+v, %+v", room, got)
	}
}
