package broker

import (
	"fmt"
	"strings"
	"testing"
)

// What the broker says of itself and of each client is what was sent and retained.
func TestWhatWentOverIsCounted(t *testing.T) {
	w := start(t, public(), nil, nil)
	const state = `{"status":"protected"}`
	for i := range 5 {
		if err := w.Publish(fmt.Sprintf("pub/host/%d", i), []byte(state), 1, true); err != nil {
			t.Fatal(err)
		}
	}
	r := w.join(hello{id: "ha", user: "home", pass: "open sesame"})
	r.send(subscribe(1, 0, "pub/#", "pub/x"))
	for range 6 { // the five that are retained, and the SUBACK
		if _, _, err := r.next(); err != nil {
			t.Fatal(err)
		}
	}
	r.send(publish("do/x", "y", 1, 1, false), publish("do/keep/x", "z", 1, 2, true))
	r.expect(0x40)
	r.expect(0x40)

	s := w.Stats()
	kept := int64(5*(len("pub/host/0")+len(state)) + len("do/keep/x") + 1)
	if s.In != 2 || s.Out != 5 || s.Retained != 6 || s.RetainedBytes != kept || s.Subscriptions != 2 || s.Connected != 1 || s.Waiting != 0 {
		t.Errorf("counted %+v; want 2 in, 5 out, 6 retained of %d bytes, 2 subscriptions of 1 client", s, kept)
	}
	least := int64(len(hello{id: "ha", user: "home", pass: "open sesame"}.packet()) + len(subscribe(1, 0, "pub/#", "pub/x")))
	if s.BytesIn <= least || s.BytesIn > least+100 || s.BytesOut < 5*int64(len(state)) || s.BytesOut > 500 {
		t.Errorf("%d bytes in and %d out", s.BytesIn, s.BytesOut)
	}
	all := w.Connections()
	if len(all) != 1 || all[0].In != 2 || all[0].Out != 5 || all[0].Subscriptions != 2 || all[0].Transport != TCP || all[0].Dropped != 0 {
		t.Errorf("connected is %+v", all)
	}

	// Another state in the place of the first, and one that is removed, twice.
	for _, p := range []struct{ topic, payload string }{{"pub/host/0", strings.Repeat("x", 100)}, {"pub/host/1", ""}, {"pub/host/1", ""}} {
		if err := w.Publish(p.topic, []byte(p.payload), 1, true); err != nil {
			t.Fatal(err)
		}
	}
	kept += 100 - int64(len(state)) - int64(len("pub/host/1")+len(state))
	if s := w.Stats(); s.Retained != 5 || s.RetainedBytes != kept {
		t.Errorf("retained are %d of %d bytes, want 5 of %d", s.Retained, s.RetainedBytes, kept)
	}
}
