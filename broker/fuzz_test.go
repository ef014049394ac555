package broker

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// FuzzConnection says anything at all to a running broker and then leaves. The
// broker must be rid of the connection, have nobody in its tables, and still
// serve an honest client.
func FuzzConnection(f *testing.F) {
	home := hello{id: "ha", user: "home", pass: "open sesame", will: &Will{Topic: "do/will/ha", Payload: []byte("x"), QoS: 1}}
	five := home
	five.version = 5
	for _, packets := range [][]byte{
		nil,
		{0},
		[]byte("GET /mqtt HTTP/1.1\r\n\r\n"),
		[]byte("\x10\xff\xff\xff\x7f"),
		[]byte("\x10\x80\x80\x80\x80\x80\x80\x80\x00"),
		home.packet(),
		bytes.Join([][]byte{home.packet(), home.packet()}, nil),
		bytes.Join([][]byte{home.packet(), subscribe(1, 2, "pub/#", "#", "a#"), ping, bye}, nil),
		bytes.Join([][]byte{home.packet(), subscribe(0, 3, ""), packet(0x82, nil), packet(0xa2, []byte{0, 1})}, nil),
		bytes.Join([][]byte{home.packet(), publish("do/x", "y", 2, 1, true), packet(0x62, []byte{0, 1}), packet(0x62, []byte{0, 1})}, nil),
		bytes.Join([][]byte{home.packet(), publish("do/x", "y", 3, 0, true)}, nil),
		bytes.Join([][]byte{home.packet(), publish("", "y", 1, 0, true), publish("\x00", "", 0, 0, false)}, nil),
		bytes.Join([][]byte{home.packet(), packet(0x40, []byte{0, 9}), packet(0x50, []byte{0, 9}), packet(0x70, []byte{0, 9})}, nil),
		bytes.Join([][]byte{five.packet(), truncated}, nil),
		bytes.Join([][]byte{five.packet(), packet(0x82, []byte{0, 1, 2, 11, 1}, text("pub/#"), []byte{0x2d}), packet(0xe0, []byte{4, 0})}, nil),
		bytes.Join([][]byte{five.packet(), packet(0x32, text(""), []byte{0, 1, 3, 35, 0, 1}, []byte("alias"))}, nil),
		bytes.Join([][]byte{five.packet(), packet(0xf0, []byte{0x18, 0}), packet(0xe0, []byte{0, 5, 17, 0, 0, 0, 9})}, nil),
	} {
		f.Add(packets)
		for n := range min(len(packets), 40) { // and cut short at its end
			f.Add(packets[:len(packets)-n])
		}
	}

	cfg := public()
	cfg.Limits.Connect = 2 * time.Second
	cfg.Received = func(Message) error { return nil }
	w := start(f, cfg, nil, nil)
	w.cfg.Log = slog.New(slog.DiscardHandler)
	witness := w.join(hello{id: "witness", user: "witness", pass: "open sesame"})
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		ended := make(chan struct{})
		go func() { _ = w.Attach(theirs, WebSocket); close(ended) }()
		go func() { _, _ = io.Copy(io.Discard, ours) }()
		_, _ = ours.Write(b)
		ours.Close()
		<-ended
		if got := w.server.Clients.Len(); got != 2 { // the witness and Mochi's inline client
			t.Errorf("%d clients in the tables, want 2", got)
		}
		if got := len(w.server.Topics.Subscribers("pub/x").Subscriptions); got != 0 {
			t.Errorf("%d subscriptions in the tables, want none", got)
		}
		honest := &raw{witness.Conn, t}
		_ = honest.SetReadDeadline(time.Now().Add(time.Minute))
		honest.send(publish("do/x", "y", 1, 1, false))
		honest.expect(0x40)
	})
}

// BenchmarkReceived is how many QoS 1 messages of 200 bytes 50 clients, each
// with a window of 32, get through Received. The clients are in the figure.
func BenchmarkReceived(b *testing.B) {
	w := start(b, Config{Received: func(Message) error { return nil }}, nil, nil)
	w.cfg.Log = slog.New(slog.DiscardHandler)
	const clients, window = 50, 32
	payload := string(make([]byte, 200))
	message := publish("agent/host/event", payload, 1, 1, false)
	burst := bytes.Repeat(message, window)
	joined := make([]*raw, clients)
	for i := range joined {
		joined[i] = w.join(hello{id: "host_" + string(rune('A'+i))})
		_ = joined[i].SetReadDeadline(time.Time{})
	}
	rounds := b.N/(clients*window) + 1
	b.ResetTimer()
	done := make(chan struct{})
	for _, r := range joined {
		go func() {
			acks := make([]byte, 4*window)
			for range rounds {
				if _, err := r.Write(burst); err != nil {
					b.Error(err)
				}
				if _, err := io.ReadFull(r, acks); err != nil {
					b.Error(err)
				}
			}
			done <- struct{}{}
		}()
	}
	for range joined {
		<-done
	}
	b.ReportMetric(float64(rounds*clients*window)/b.Elapsed().Seconds(), "msg/s")
}
