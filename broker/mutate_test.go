package broker

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestMutatedPacketsEndNothingButTheirConnection sends a running broker packets
// that were honest once: bits flipped, cut short, spliced, with lengths that lie.
// A few thousand; a million when make soak says so.
func TestMutatedPacketsEndNothingButTheirConnection(t *testing.T) {
	packets := 20_000
	if n, err := strconv.Atoi(os.Getenv("RESTIC_MANAGER_SOAK")); err == nil && n > 0 {
		packets = 1_000_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	cfg := public()
	cfg.Limits.Connect, cfg.Limits.Write = 2*time.Second, 10*time.Second
	cfg.Received = func(Message) error { return nil }
	w := start(t, cfg, nil, nil)
	w.cfg.Log = slog.New(slog.DiscardHandler)
	home := hello{user: "home", pass: "open sesame", will: &Will{Topic: "do/will/ha", Payload: []byte("x"), QoS: 1}}
	witness := w.join(hello{id: "witness", user: "witness", pass: "open sesame"})
	_ = witness.SetReadDeadline(time.Time{})

	var sent, connections atomic.Int64
	var wg sync.WaitGroup
	for worker := range 4 {
		chance := rand.New(rand.NewPCG(seed, uint64(worker)))
		wg.Go(func() {
			for sent.Load() < int64(packets) {
				h := home
				h.id, h.version = fmt.Sprintf("m%d", worker), []byte{4, 5}[chance.IntN(2)]
				sent.Add(mutate(t, w.addr, chance, h))
				connections.Add(1)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	// Meanwhile an honest client has its answers.
	worst := time.Duration(0)
	for n := uint16(1); ; n = n%60_000 + 1 {
		began := time.Now()
		witness.send(publish("do/x", "y", 1, n, false))
		witness.expect(0x40)
		worst = max(worst, time.Since(began))
		select {
		case <-done:
			await(t, func() error {
				if got := w.server.Clients.Len(); got != 2 { // the witness and Mochi's inline client
					return fmt.Errorf("%d clients in the tables, want 2", got)
				}
				return nil
			})
			t.Logf("%d packets over %d connections, %d panics recovered, the honest client waited %v at most", sent.Load(), connections.Load(),
				w.Stats().Panics, worst.Round(time.Millisecond))
			if worst > 20*time.Second {
				t.Errorf("an honest client waited %v", worst)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// mutate says one connection's worth of packets, most of them damaged, and how
// many that were.
func mutate(t *testing.T, addr string, chance *rand.Rand, h hello) int64 {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return 1
	}
	defer nc.Close()
	go func() { _, _ = io.Copy(io.Discard, nc) }()
	corpus := [][]byte{
		h.packet(), subscribe(1, 2, "pub/#", "pub/x"), publish("do/x", "y", 1, 3, false), publish("do/x", "y", 2, 4, false),
		publish("do/x", string(make([]byte, 300)), 0, 0, false),
		packet(0x40, []byte{0, 9}), packet(0x50, []byte{0, 9}), packet(0x62, []byte{0, 4}), packet(0x70, []byte{0, 9}),
		packet(0xa2, []byte{0, 1}, text("pub/#")), ping, bye, truncated,
		packet(0x82, []byte{0, 1, 2, 11, 1}, text("pub/#"), []byte{0x2d}), packet(0xe0, []byte{4, 0}), packet(0xf0, []byte{0x18, 0}),
		packet(0x32, text("do/x"), []byte{0, 1, 3, 35, 0, 1}, []byte("alias")),
	}
	var out []byte
	if chance.IntN(8) > 0 { // most are let in first
		out = h.packet()
	}
	n := 1 + chance.IntN(12)
	for range n {
		p := slices.Clone(corpus[chance.IntN(len(corpus))])
		for range chance.IntN(4) {
			switch i := chance.IntN(len(p)); chance.IntN(5) {
			case 0:
				p[i] ^= 1 << chance.IntN(8)
			case 1:
				p[i] = byte(chance.Uint32())
			case 2:
				p = p[:i+1]
			case 3:
				p = slices.Insert(p, i, byte(chance.Uint32()), 0xff)
			case 4:
				q := corpus[chance.IntN(len(corpus))]
				p = append(p[:i:i], q[chance.IntN(len(q)):]...)
			}
			if len(p) == 0 {
				p = []byte{0}
			}
		}
		out = append(out, p...)
	}
	_ = nc.SetWriteDeadline(time.Now().Add(2 * time.Second))
	_, _ = nc.Write(out)
	return int64(n)
}
