package jobs

import (
	"bytes"
	"sync/atomic"
	"testing"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// Identities change while hosts connect. Who was welcomed with the one before, and could
// not be told yet, hears of the other one with the first sign of life, and once.
func TestAHostHearsOfAnIdentityThatChangesWhileItConnects(t *testing.T) {
	w := newWorld(t)
	var next atomic.Pointer[topics.Succession]
	w.engine.Follows = next.Load
	there := func(ca string) *topics.Succession {
		return &topics.Succession{CA: []byte(ca), SealKey: []byte("key"), Until: 1}
	}
	heard := func(ca string) {
		t.Helper()
		received(w, topics.KindWelcome, func(v topics.Welcome) bool {
			return v.Session == w.session && v.Next != nil && bytes.Equal(v.Next.CA, []byte(ca))
		})
	}
	next.Store(there("second"))
	w.session.N++
	name := topics.Topic{Kind: topics.KindBirth, Host: w.host.ID}.String()
	w.publish(topics.KindBirth, "", topics.Encode(topics.Birth{Session: w.session, Protocol: topics.Protocol,
		MAC: w.channel.Sign(name, w.session.Signed(topics.Born))}), false)
	heard("second")

	next.Store(there("first")) // called off, between welcome and hello
	if err := w.engine.Succeed(t.Context()); err != nil {
		t.Fatal(err)
	}
	welcome := received(w, topics.KindWelcome, func(v topics.Welcome) bool { return v.Session == w.session })
	w.step(protocol.Welcomed{Received: welcome.Received, Session: w.session, Facts: topics.Facts{Hostname: "attic", Restic: "0.14.0"}})
	heard("first")

	next.Store(there("third")) // and one that nobody was told of, with the next heartbeat
	beat := func(d *topics.Disk) {
		w.publish(topics.KindHeartbeat, "", topics.Encode(topics.Heartbeat{Stamp: w.stamp(), Clock: w.engine.Now().UnixMilli(), Disk: d}), true)
	}
	beat(nil)
	heard("third")
	told := w.count(topics.KindWelcome)
	for range 3 {
		beat(nil)
	}
	beat(&topics.Disk{Total: 1, Since: 1})
	w.await("the heartbeats to be read", func() bool { return w.engine.Presence.Full(w.host.ID) })
	if n := w.count(topics.KindWelcome); n != told {
		t.Errorf("it is told what it knows: %d messages more", n-told)
	}
}
