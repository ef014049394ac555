package fault

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"

	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/link"
	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

// raced says that the race detector runs, which makes everything many times slower.
var raced bool

// A puppet is an agent without a restic: the real connection, the real journal
// and the real step, and a job that says "word 1" to "word n".
type puppet struct {
	identity *agent.Identity
	journal  *spool.Spool
	words    int
	pause    time.Duration   // between two words
	begin    <-chan struct{} // closed when jobs may speak
}

func newPuppet(h *host, words int, pause time.Duration, begin <-chan struct{}) (*puppet, error) {
	identity, err := agent.LoadIdentity(h.state())
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, identity.SealKey, nil, "restic-manager/1 journal", 32)
	if err != nil {
		return nil, err
	}
	journal, err := spool.Open(h.state(), [32]byte(key), time.Now)
	return &puppet{identity, journal, words, pause, begin}, err
}

func (p *puppet) link() (c link.Config, err error) {
	own, err := seal.ParseKey(p.identity.SealKey)
	if err != nil {
		return c, err
	}
	channel, err := seal.NewChannel(own, p.identity.PlaneKey, seal.Agent, string(p.identity.Host))
	if err != nil {
		return c, err
	}
	ca, err := x509.ParseCertificate(p.identity.CA)
	if err != nil {
		return c, err
	}
	key, err := x509.ParsePKCS8PrivateKey(p.identity.TLSKey)
	if err != nil {
		return c, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	conf := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: topics.ServerName, NextProtos: []string{topics.ALPNMQTT},
		Certificates: []tls.Certificate{{Certificate: [][]byte{p.identity.Certificate}, PrivateKey: key}}}
	return link.Config{Server: p.identity.Server, Host: p.identity.Host, Version: "puppet",
		Credentials: func() (*tls.Config, *seal.Channel) { return conf, channel },
		Timing:      swiftLink(), Log: slog.New(slog.DiscardHandler), Next: p.journal.NextSession}, nil
}

// run obeys and reports until ctx ends. It is what agent.runner does, with one
// goroutine for the job instead of a restic.
func (p *puppet) run(ctx context.Context) error {
	config, err := p.link()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	events, wrote := make(chan link.Event), make(chan struct{}, 1)
	g.Go(func() error {
		link.Keep(ctx, config, events)
		return nil
	})
	step := func(in protocol.AgentInput) error {
		effects, err := p.journal.Step(in)
		for _, e := range effects {
			if s, ok := e.(protocol.Start); ok {
				g.Go(func() error { return p.job(ctx, s.Job, wrote) })
			}
		}
		return err
	}
	g.Go(func() error {
		var conn *link.Conn
		var outbox *protocol.Outbox
		resend := time.NewTicker(500 * time.Millisecond)
		defer resend.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-wrote:
			case <-resend.C:
			case e := <-events:
				switch e := e.(type) {
				case link.Up:
					conn, outbox = e.Conn, protocol.NewOutbox(swiftProtocol(), e.Conn.Session.Epoch, e.Welcome.Received, time.Now())
					err = step(protocol.Welcomed{Received: e.Welcome.Received, Session: e.Conn.Session})
				case link.Down:
					conn, outbox = nil, nil
				case link.Received:
					outbox.Receipt(e.Receipt.Received, time.Now())
					err = step(protocol.Receipted{Received: e.Receipt.Received})
				case link.Commanded:
					err = step(protocol.Commanded{Command: e.Command, At: time.Now().UnixMilli()})
				}
				if err != nil {
					return err
				}
			}
			for outbox != nil {
				after, ok := outbox.After(time.Now())
				if !ok {
					break
				}
				batch, err := p.journal.Batch(after)
				if err != nil {
					return err
				}
				n := len(batch.Events)
				if n == 0 || !conn.Send(topics.Topic{Kind: topics.KindEvent, Host: p.identity.Host}, batch) {
					break
				}
				outbox.Sent(batch.First+uint64(n)-1, time.Now())
			}
		}
	})
	return g.Wait()
}

// job writes one, an event for every word.
func (p *puppet) job(ctx context.Context, id topics.JobID, wrote chan<- struct{}) error {
	select {
	case <-p.begin:
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(p.pause)
	defer tick.Stop()
	inputs := []protocol.AgentInput{protocol.Spawned{Job: id}}
	for i := range p.words {
		inputs = append(inputs, protocol.Printed{Job: id, Lines: []topics.Line{{Level: topics.Info, Text: fmt.Sprintf("word %d", i+1)}}})
	}
	for _, in := range append(inputs, protocol.Ended{Job: id, End: topics.Finished{State: topics.Succeeded}}) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if _, err := p.journal.Step(in); err != nil {
			return err
		}
		select {
		case wrote <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
	return nil
}

// received counts the events that are stored, of all hosts.
func (w *world) received() (n uint64) {
	w.t.Helper()
	hosts, err := w.store.Hosts(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range hosts {
		n += h.ReceivedSeq
	}
	return n
}

// A fleet reports while again and again a fifth of its connections is cut and the control
// plane with its broker is killed: at each so many events that are stored, so that a slow
// machine has the same storm as a fast one, and not a longer one.
func TestAFaultStormLosesNothingAndDoublesNothing(t *testing.T) {
	const (
		seed   = 4
		storms = 18 // cuts, and a kill at each third but the last
		still  = 3 * time.Minute
	)
	agents, events := 150, 30_000
	switch {
	case raced: // make soak does all of it, without the race detector
		agents, events = 40, 6_000
	case testing.Short():
		agents, events = 60, 12_000
	}
	each, begin := events/agents, make(chan struct{})
	w := newWorld(t, seed)
	var hosts []*host
	var puppets []*puppet
	for i := range agents {
		h := w.enrol(fmt.Sprintf("host%d", i))
		p, err := newPuppet(h, each-3, 15*time.Second/time.Duration(each), begin) // accepted, started, finished
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.journal.Close() })
		hosts, puppets = append(hosts, h), append(puppets, p)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var fleet errgroup.Group
	for _, p := range puppets {
		fleet.Go(func() error { return p.run(ctx) })
	}
	var jobs []topics.JobID
	for _, h := range hosts {
		jobs = append(jobs, h.ask())
	}

	for _, id := range jobs {
		await(t, "job "+string(id)+" to be accepted", func() error {
			if j := w.job(id); !j.Accepted {
				return fmt.Errorf("it is %s", j.State)
			}
			return nil
		})
	}

	close(begin)
	began, cuts, kills, storm := time.Now(), 0, 0, 1
	most, since := uint64(0), time.Now()
	for done := 0; done < agents; {
		time.Sleep(20 * time.Millisecond)
		now := w.received()
		if now > most {
			most, since = now, time.Now()
		}
		if storm < storms && now >= uint64(storm*events/storms) {
			cuts += w.proxy.cut(0.2)
			if storm%3 == 0 {
				kills++
				w.plane.Kill9()
				w.startPlane("")
			}
			storm++
		}
		done = 0
		for _, id := range jobs {
			if !w.job(id).State.Ended() {
				break
			}
			done++
		}
		if time.Since(since) > still {
			t.Fatalf("for %v no event has been stored; the first %d of %d jobs have ended, %d of %d events are stored, %d connections were cut",
				still, done, agents, now, events, cuts)
		}
	}
	took := time.Since(began)
	stored := 0
	for i, id := range jobs {
		if j := w.job(id); j.State != topics.Succeeded {
			t.Errorf("job %s ended as %s: %s", id, j.State, j.Message)
		}
		w.mustCount(id, each-3)
		stored += len(w.lines(id)) + 3
		h, err := w.store.Host(t.Context(), hosts[i].id)
		if err != nil {
			t.Fatal(err)
		}
		if epoch, err := puppets[i].journal.Epoch(); err != nil || h.ReceivedEpoch != epoch {
			t.Errorf("host %s: epoch %d was received, its own is %d (%v)", h.ID, h.ReceivedEpoch, epoch, err)
		}
	}
	t.Logf("%d agents, %d events in order, %v: %.0f per second, %d connections cut, the control plane killed %d times",
		agents, stored, took.Round(time.Millisecond), float64(stored)/took.Seconds(), cuts, kills)
	if stored != events || kills != 5 {
		t.Errorf("%d events are stored after %d kills, want %d after 5", stored, kills, events)
	}
	// What is received is forgotten: nothing is left to be sent.
	for _, p := range puppets {
		await(t, "receipts", func() error {
			if n, err := p.journal.Pending(); err != nil || n > 0 {
				return errors.Join(err, fmt.Errorf("%d events have none", n))
			}
			return nil
		})
	}
	stop()
	if err := fleet.Wait(); err != nil {
		t.Error(err)
	}
	w.plane.MustStop(time.Minute)
}
