package evil

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func init() { roles["broker"], roles["abuse"] = runBroker, runAbuse }

// runBroker is the agents' port with its real TLS, limits and gate: DATA ADDRESS
// DESCRIPTORS. What an agent says on its event topic comes back as a command, so
// that the way of a command can be measured with nothing else in it.
func runBroker(ctx context.Context, args []string) error {
	limit := e2e.Must(strconv.ParseUint(args[2], 10, 64))
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	s, err := store.Open(ctx, args[0], "")
	if err != nil {
		return err
	}
	defer s.Close()
	desk := &enroll.Desk{Store: s, CA: e2e.Must(enroll.OpenCA(ctx, s, time.Now)), Log: slog.New(slog.DiscardHandler)}
	var b *broker.Broker
	b = e2e.Must(broker.New(broker.Config{
		Name:   "agents",
		Log:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Limits: broker.DefaultAgents(),
		Authorise: func(c broker.Connect) (broker.Rights, error) {
			h, err := desk.Trusted(ctx, c.Certificate)
			return broker.Rights{Name: string(h.ID), Publish: []string{topics.AgentWrites(h.ID)}, Subscribe: []string{topics.AgentReads(h.ID)}}, err
		},
		Received: func(m broker.Message) error {
			_ = b.Publish(topics.Topic{Kind: topics.KindCommand, Host: topics.HostID(m.Name), Job: "job-00000001"}.String(), m.Payload, 1, false)
			return nil
		},
	}))
	ln, err := net.Listen("tcp", args[1])
	if err != nil {
		return err
	}
	conf, err := desk.ServerTLS()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	door := newDoor(ln.Addr(), desk.Handler())
	ended := make(chan error, 3)
	go func() { ended <- b.Run(ctx) }()
	go func() { ended <- door.run(ctx) }()
	go func() { ended <- b.Serve(ctx, ln, conf, map[string]func(net.Conn){topics.ALPNHTTP: door.give}) }()
	return errors.Join(<-ended, <-ended, <-ended)
}

// identities enrols so many hosts without a port.
func identities(t *testing.T, s *store.Store, n int) (all []agent.Identity) {
	desk := &enroll.Desk{
		Store:   s,
		CA:      e2e.Must(enroll.OpenCA(t.Context(), s, time.Now)),
		Log:     slog.New(slog.DiscardHandler),
		SealKey: e2e.Must(seal.NewKey()).Public(),
	}
	for i := range n {
		_, token, err := desk.Issue(t.Context(), "test", fmt.Sprintf("host-%03d", i), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		key := e2e.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		request := topics.EnrollRequest{
			Key:      token.Key,
			CSR:      e2e.Must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)),
			SealKey:  e2e.Must(seal.NewKey()).Public(),
			Protocol: topics.Protocol,
		}
		w := httptest.NewRecorder()
		desk.Handler().ServeHTTP(w, httptest.NewRequest("POST", topics.EnrollPath, bytes.NewReader(topics.Encode(request))))
		var answer topics.EnrollResponse
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		all = append(all, agent.Identity{
			Host:        answer.Host,
			Certificate: answer.Certificate,
			CA:          answer.CA,
			TLSKey:      e2e.Must(x509.MarshalPKCS8PrivateKey(key)),
		})
	}
	return all
}

// healthy is an agent that measures how long its commands take.
func healthy(address string, i agent.Identity) (*tls.Conn, error) {
	c, err := dialAs(address, i)
	if err != nil {
		return nil, err
	}
	if code, err := connect(c, hello{id: string(i.Host) + "_1", user: string(i.Host)}); err != nil || code != 0 {
		c.Close()
		return nil, fmt.Errorf("CONNACK %d, %w", code, err)
	}
	if code, err := subscribe(c, topics.AgentReads(i.Host)); err != nil || code != 1 {
		c.Close()
		return nil, fmt.Errorf("SUBACK %d, %w", code, err)
	}
	return c, nil
}

// command is one round: what it says comes back as a command.
func command(c net.Conn, i agent.Identity, n uint16) (time.Duration, error) {
	began := time.Now()
	_ = c.SetDeadline(began.Add(30 * time.Second))
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Qos, p.MessageID, p.Payload = topics.Topic{Kind: topics.KindEvent, Host: i.Host}.String(), 1, n, []byte{byte(n)}
	if err := p.Write(c); err != nil {
		return 0, err
	}
	for {
		got, err := packets.ReadPacket(c)
		if err != nil {
			return 0, err
		}
		if m, ok := got.(*packets.PublishPacket); ok && m.Payload[0] == byte(n) {
			took := time.Since(began)
			ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
			ack.MessageID = m.MessageID
			return took, ack.Write(c)
		}
	}
}

// runAbuse abuses the port in every way at once: ADDRESS IDENTITY DURATION. How
// often it tried, it writes beside the identity.
func runAbuse(ctx context.Context, args []string) error {
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10); err != nil {
		return err
	}
	address := args[0]
	var thief agent.Identity
	if err := json.Unmarshal(e2e.Must(os.ReadFile(args[1])), &thief); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, e2e.Must(time.ParseDuration(args[2])))
	defer stop()
	var abusers sync.WaitGroup
	var tried atomic.Int64
	abuse := func(with func() []io.Closer) {
		abusers.Go(func() {
			var held []io.Closer
			for ctx.Err() == nil {
				tried.Add(1)
				if held = append(held, with()...); len(held) > 1000 {
					for _, c := range held[:500] {
						c.Close()
					}
					held = held[500:]
				}
			}
			for _, c := range held {
				c.Close()
			}
		})
	}
	dial := func(say []byte) []io.Closer {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return nil
		}
		_, _ = c.Write(say)
		return []io.Closer{c}
	}
	stolen := func(say ...[]byte) []io.Closer {
		c, err := dialAs(address, thief)
		if err != nil {
			return nil
		}
		if code, err := connect(c, hello{id: fmt.Sprintf("%s_%d", thief.Host, tried.Load()), user: string(thief.Host)}); err == nil && code == 0 {
			for _, b := range say {
				_, _ = c.Write(b)
			}
		}
		return []io.Closer{c}
	}
	abuse(func() []io.Closer { return dial(nil) })                                                          // silent
	abuse(func() []io.Closer { return dial([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}) })                  // half a handshake
	abuse(func() []io.Closer { return dial([]byte("\x10\xff\xff\xff\x7f")) })                               // no TLS at all
	abuse(func() []io.Closer { return stolen([]byte{0x82, 3, 0, 1, 0}) })                                   // truncated SUBSCRIBE
	abuse(func() []io.Closer { return stolen([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, make([]byte, 64<<10)) }) // 256 MiB, it says
	abuse(func() []io.Closer { return stolen(bytes.Repeat([]byte{0xc0, 0}, 20_000)) })                      // pings, and never reads
	abuse(func() (held []io.Closer) {                                                                       // a thousand at once
		var mu sync.Mutex
		var burst sync.WaitGroup
		for range 1000 {
			burst.Go(func() {
				c := dial(nil)
				mu.Lock()
				held = append(held, c...)
				mu.Unlock()
			})
		}
		burst.Wait()
		return held
	})
	abusers.Wait()
	return os.WriteFile(args[1]+".tried", fmt.Append(nil, tried.Load()), 0o600)
}

// TestTheHealthyGoOnWhileOthersDoTheirWorst has strangers and a stolen agent
// abuse the port in every way at once, in a process that may open few files.
func TestTheHealthyGoOnWhileOthersDoTheirWorst(t *testing.T) {
	agents, lasts := 20, 6*time.Second
	if soak {
		agents, lasts = 100, 2*time.Minute
	}
	dir := t.TempDir()
	s := e2e.Must(store.Open(t.Context(), filepath.Join(dir, "data"), ""))
	all := identities(t, s, agents+1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	address := e2e.FreeAddress(t)
	gone, said := spawn(t, "", "broker", filepath.Join(dir, "data"), address, "256")
	e2e.Await(t, "the broker", func() error { return reach(address) })
	var good []*tls.Conn
	for _, i := range all[:agents] {
		c := e2e.Must(healthy(address, i))
		defer c.Close()
		good = append(good, c)
	}
	ctx, stop := context.WithTimeout(t.Context(), lasts)
	defer stop()
	// The abusers are a process of their own, which leaves the processor to others
	// where it can: theirs would be another machine's.
	thief := all[agents]
	file := filepath.Join(dir, "stolen.json")
	if err := os.WriteFile(file, e2e.Must(json.Marshal(thief)), 0o600); err != nil {
		t.Fatal(err)
	}
	done, _ := spawn(t, "", "abuse", address, file, lasts.String())

	var measured sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for k, c := range good {
		measured.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for n := uint16(1); ctx.Err() == nil; n = n%60_000 + 1 {
				d, err := command(c, all[k], n)
				if err != nil {
					t.Errorf("a healthy agent lost its connection: %v", err)
					return
				}
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
				<-tick.C
			}
		})
	}
	measured.Wait()
	<-done
	tried := e2e.Must(strconv.Atoi(string(e2e.Must(os.ReadFile(file + ".tried")))))
	select {
	case <-gone:
		t.Fatal("the process did not survive")
	default:
	}
	// Connections that prove nothing are few now, so that it need not come to this; that
	// accepting outlives it is TestAcceptingSurvivesDescriptorExhaustion's.
	t.Logf("it was out of descriptors: %t", strings.Contains(said.String(), "too many open files"))
	slices.Sort(took)
	// Each has had an answer, else it had an error. How many there are, and how long the slowest
	// took, is the machine's.
	p99 := took[len(took)*99/100]
	t.Logf("%d agents, %d commands beside %d acts of abuse: median %v, p99 %v, worst %v",
		agents, len(took), tried, took[len(took)/2], p99, took[len(took)-1])
	if usual := took[len(took)/2]; usual > 10*time.Second { // without anybody going on it is half a minute
		t.Errorf("it usually takes %v", usual)
	}
	e2e.Await(t, "somebody new to be let in again", func() error {
		c, err := healthy(address, thief)
		if err == nil {
			_, err = command(c, thief, 1)
			c.Close()
		}
		return err
	})
}
