package agent

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// TestKeysThatOthersCouldReadAreReplaced has an agent come back that was moved.
func TestKeysThatOthersCouldReadAreReplaced(t *testing.T) {
	if was := moved(t.TempDir()); was != nil || was.pending() || was.told() != nil {
		t.Errorf("one that was always there: %+v", was)
	}
	state, now := t.TempDir(), time.Now().UTC()
	for _, c := range []struct {
		is            string
		keys          time.Time
		pending, told bool
	}{
		{"at first", time.Time{}, true, true}, {"with new keys", now, false, true}, {"long after", now.Add(-31 * 24 * time.Hour), false, false},
	} {
		if err := remember(state, removal{From: `C:\\var\\lib\\restic-manager-agent`, At: now, Keys: c.keys}); err != nil {
			t.Fatal(err)
		}
		was := moved(state)
		if was.pending() != c.pending || (was.told() != nil) != c.told {
			t.Errorf("%s: pending %t, told %+v", c.is, was.pending(), was.told())
		}
	}
}

// TestAnAgentThatWasMovedGetsNewKeys has its state come from where others could read it.
func TestAnAgentThatWasMovedGetsNewKeys(t *testing.T) {
	w := newWorld(t)
	w.enroll()
	before, err := LoadIdentity(w.state)
	if err != nil {
		t.Fatal(err)
	}
	if err := remember(w.state, removal{From: `C:\var\lib\restic-manager-agent`, At: time.Now().UTC()}); err != nil {
		t.Fatal(err)
	}
	w.run()
	await(t, "the keys to be replaced", func() error {
		if moved(w.state).pending() {
			return errors.New("not yet")
		}
		return nil
	})
	after, err := LoadIdentity(w.state)
	if err != nil || bytes.Equal(after.TLSKey, before.TLSKey) || bytes.Equal(after.Certificate, before.Certificate) ||
		after.Host != before.Host {
		t.Errorf("it has the same keys, or is another host: %v", err)
	}
	w.seen("the control plane to be told", func() bool {
		for _, h := range w.hellos {
			if m := h.Facts.Permits.Moved; m != nil && m.Keys > 0 {
				return true
			}
		}
		return false
	})
}
