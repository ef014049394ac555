package uplink

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/outbox"
)

// BenchmarkSayingEverything is 10,000 hosts with four topics each at a mosquitto that knows
// none of them: written down, said and confirmed. Again is the same after a restart of ours.
func BenchmarkSayingEverything(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		m, w := startMosquitto(b, "", nil), newWorld(b)
		list := []outbox.Message{}
		for i := range 10_000 {
			for _, what := range []string{"availability", "state", "update"} {
				list = append(list, outbox.Message{Topic: fmt.Sprintf("pub/host/host-%05d/%s", i, what), QoS: 1, Retain: true,
					Payload: []byte(strings.Repeat("x", 800))})
			}
			list = append(list, outbox.Message{Topic: fmt.Sprintf("/homeassistant/device/rm_%05d/config", i), QoS: 1, Retain: true,
				Payload: []byte(strings.Repeat("x", 5000))})
		}
		w.box.Put(b.Context(), list...)
		b.StartTimer()
		began := time.Now()
		w.put(Input{URL: ptr(m.url())})
		w.up()
		b.ReportMetric(time.Since(began).Seconds(), "s/first")
		w.stop()
		w.start(quick(), Flags{})
		began = time.Now()
		w.up()
		b.ReportMetric(time.Since(began).Seconds(), "s/again")
		b.StopTimer()
		w.stop()
		m.stop()
		b.StartTimer()
	}
}
