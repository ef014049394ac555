package succession

import (
	"errors"
	"testing"
	"time"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func plan(t *testing.T) Plan {
	t.Helper()
	p, err := Begin(3, 4, began, Overlap)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBothAreAcceptedUntilTheEnd(t *testing.T) {
	p := plan(t)
	if p.From != 3 || p.To != 5 {
		t.Errorf("it leads from %d to %d, want 5, which no plan that was called off has used", p.From, p.To)
	}
	for _, c := range []struct {
		day  float64
		over bool
	}{{0, false}, {29, false}, {29.999, false}, {30, true}, {31, true}} {
		if got := p.Over(began.Add(time.Duration(c.day * 24 * float64(time.Hour)))); got != c.over {
			t.Errorf("on day %g it is over: %t", c.day, got)
		}
	}
	for overlap, want := range map[time.Duration]error{0: ErrTime, time.Minute: ErrTime, time.Hour: nil, Longest: nil, Longest + 1: ErrTime} {
		if _, err := Begin(0, 0, began, overlap); !errors.Is(err, want) {
			t.Errorf("a plan of %v: %v", overlap, err)
		}
	}
}

// TestWhoSignsTheNextCertificate has a host of each generation there may be.
func TestWhoSignsTheNextCertificate(t *testing.T) {
	for _, c := range []struct {
		what  string
		back  bool
		uses  Generation
		asks  bool
		signs Generation
	}{
		{"a host that has not moved", false, 3, false, 3},
		{"it asks to move", false, 3, true, 5},
		{"a host that has moved", false, 5, false, 5},
		{"it asks once more", false, 5, true, 5},
		{"called off, a host that never moved", true, 3, false, 3},
		{"called off, a host that has moved", true, 5, false, 5},
		{"called off, it asks to come back", true, 5, true, 3},
		{"a host that was left behind earlier", false, 1, false, 5},
	} {
		p := plan(t)
		if c.back {
			p = p.CallOff()
		}
		if got := p.Signs(c.uses, c.asks); got != c.signs {
			t.Errorf("%s: %d signs, want %d", c.what, got, c.signs)
		}
		if p.Serves() != 3 {
			t.Errorf("%s: %d is shown, which hosts that have not moved do not know", c.what, p.Serves())
		}
	}
	if p := plan(t).CallOff().CallOff(); p != plan(t) {
		t.Errorf("called off twice it is %+v", p)
	}
}

func TestTheEndCanBePutOff(t *testing.T) {
	now := began.Add(29 * 24 * time.Hour)
	for left, want := range map[time.Duration]error{-time.Hour: ErrTime, time.Minute: ErrTime, 24 * time.Hour: nil,
		367 * 24 * time.Hour: ErrTime} {
		p, err := plan(t).PutOff(now.Add(left), now)
		if !errors.Is(err, want) {
			t.Errorf("put off to %v from now: %v", left, err)
		}
		if err == nil && p.Over(now.Add(left-1)) || err != nil && p != plan(t) {
			t.Errorf("put off to %v from now it ends at %v", left, time.UnixMilli(p.Until))
		}
	}
}

func TestStragglersAreListedThoseThatAreConnectedFirst(t *testing.T) {
	hosts := []Host{{Name: "d", Generation: 3}, {Name: "b", Generation: 3, Online: true}, {Name: "a", Generation: 5, Online: true}, {Name: "c",
		Generation: 3}, {Name: "e", Generation: 1}}
	got := plan(t).Progress(hosts)
	names := ""
	for _, h := range got.Left {
		names += h.Name
	}
	if got.Moved != 1 || got.All != 5 || names != "bcde" {
		t.Errorf("%d of %d moved, left are %s", got.Moved, got.All, names)
	}
	if got := plan(t).CallOff().Progress(hosts); got.Moved != 3 {
		t.Errorf("called off, %d have moved back", got.Moved)
	}
}
