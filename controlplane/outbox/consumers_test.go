package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
)

// A stage is a box, the embedded broker that follows it, and its consumers.
type stage struct {
	box  *Box
	addr string
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := storetest.Open(t, store.Open)
	limits := broker.DefaultPublic()
	limits.Connections, limits.PerName, limits.Waiting, limits.PerAddress = 400, 400, 400, 400
	br, err := broker.New(broker.Config{Name: "public", Limits: limits, Versions: []byte{broker.MQTT311, broker.MQTT5},
		Authorise: func(broker.Connect) (broker.Rights, error) {
			return broker.Rights{Name: "c", Subscribe: []string{"rm/v1/pub/#"}}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	timing := DefaultTiming()
	timing.Look = 10 * time.Millisecond
	b, err := New(t.Context(), Config{Rows: s.Outbox(), Log: slog.New(slog.DiscardHandler), Timing: timing, Now: time.Now})
	if err == nil {
		err = b.Open(t.Context(), Dialect{Outlet: Public, Root: "rm/v1"})
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var all sync.WaitGroup
	for _, run := range []func(context.Context) error{
		br.Run,
		func(ctx context.Context) error { return br.Serve(ctx, ln, nil, nil) },
		func(ctx context.Context) error {
			return b.Follow(ctx, Public, Link{Send: func(_ context.Context, topic string, payload []byte, qos byte, retain bool) error {
				return br.Publish(topic, payload, qos, retain)
			}})
		},
	} {
		all.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { stop(); all.Wait() })
	return &stage{b, ln.Addr().String()}
}

// reader subscribes to everything public and counts what it has of the last round.
func (s *stage) reader(t testing.TB, name, last string) *atomic.Int64 {
	t.Helper()
	has := &atomic.Int64{}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.addr).SetClientID(name).SetUsername("c").SetPassword("c").
		SetAutoReconnect(false).SetKeepAlive(10 * time.Minute).SetProtocolVersion(4).SetConnectTimeout(time.Minute))
	if k := c.Connect(); !k.WaitTimeout(time.Minute) || k.Error() != nil {
		t.Fatalf("connect %s: %v", name, k.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	k := c.Subscribe("rm/v1/pub/#", 1, func(_ mqtt.Client, m mqtt.Message) {
		if strings.Contains(string(m.Payload()), last) {
			has.Add(1)
		}
	})
	if !k.WaitTimeout(time.Minute) || k.Error() != nil {
		t.Fatalf("subscribe %s: %v", name, k.Error())
	}
	return has
}

// deaf subscribes to everything public and never reads again.
func (s *stage) deaf(t testing.TB, name string) {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4096) // what the system makes of it is small enough
	text := func(s string) []byte { return append([]byte{0, byte(len(s))}, s...) }
	body := append(text("MQTT"), 4, 0xC2, 0, 0)
	body = append(append(append(body, text(name)...), text("c")...), text("c")...)
	sub := append([]byte{0, 1}, append(text("rm/v1/pub/#"), 1)...)
	for _, p := range [][]byte{append([]byte{0x10, byte(len(body))}, body...), append([]byte{0x82, byte(len(sub))}, sub...)} {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	answer := make([]byte, 4) // CONNACK
	if _, err := c.Read(answer); err != nil || answer[3] != 0 {
		t.Fatalf("%s was not let in: %v %v", name, answer, err)
	}
}

// changes puts so many topics so many times, and returns how long Put took at most.
func (s *stage) changes(t testing.TB, topics, rounds int) (longest time.Duration) {
	t.Helper()
	filler := strings.Repeat("x", 1000)
	for r := 1; r <= rounds; r++ {
		list := make([]Message, topics)
		for i := range list {
			payload, err := json.Marshal(map[string]any{"round": r, "filler": filler})
			if err != nil {
				t.Fatal(err)
			}
			list[i] = retained(fmt.Sprintf("pub/host/host-%06d/state", i), string(payload))
		}
		began := time.Now()
		s.box.Put(t.Context(), list...)
		longest = max(longest, time.Since(began))
	}
	return longest
}

// TestConsumersThatReadNothingHoldUpNobody: whoever else subscribes to everything has all
// of it in the end.
func TestConsumersThatReadNothingHoldUpNobody(t *testing.T) {
	const topics, rounds, readers, deaf = 250, 6, 20, 4
	s := newStage(t)
	for i := range deaf {
		s.deaf(t, fmt.Sprintf("deaf-%d", i))
	}
	var has []*atomic.Int64
	for i := range readers {
		has = append(has, s.reader(t, fmt.Sprintf("reader-%d", i), fmt.Sprintf(`"round":%d`, rounds)))
	}
	longest := s.changes(t, topics, rounds)
	limit, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	s.box.Settle(limit)
	if limit.Err() != nil {
		t.Fatal("consumers that read nothing hold up what is said")
	}
	for i, n := range has {
		await(t, fmt.Sprintf("reader %d to have all", i), func() bool { return n.Load() >= topics })
	}
	t.Logf("putting %d topics took %s at most", topics, longest)
}

// BenchmarkConsumers is how long it takes until each of 200 consumers of everything has what
// changed of 10,000 hosts, while 20 more never read.
func BenchmarkConsumers(b *testing.B) {
	for _, topics := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("hosts=%d", topics), func(b *testing.B) { consumersHear(b, topics) })
	}
}

func consumersHear(b *testing.B, topics int) {
	b.Helper()
	const readers, deaf = 200, 20
	s := newStage(b)
	for i := range deaf {
		s.deaf(b, fmt.Sprintf("deaf-%d", i))
	}
	var has []*atomic.Int64
	for i := range readers {
		has = append(has, s.reader(b, fmt.Sprintf("reader-%d", i), `"round":1`))
	}
	b.ResetTimer()
	began := time.Now()
	longest := s.changes(b, topics, 1)
	s.box.Settle(b.Context())
	published := time.Since(began)
	for _, n := range has {
		for n.Load() < int64(topics) {
			if time.Since(began) > 10*time.Minute {
				b.Fatalf("a consumer has %d of %d", n.Load(), topics)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(longest.Seconds(), "s-written")
	b.ReportMetric(published.Seconds(), "s-published")
	b.ReportMetric(time.Since(began).Seconds(), "s-heard-by-all")
}
