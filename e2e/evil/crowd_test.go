package evil

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/password"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func init() { roles["crowded"] = runCrowded }

// runCrowded is the control plane: DATA DESCRIPTORS, of which 0 is as many as there are.
func runCrowded(ctx context.Context, args []string) error {
	if n, err := strconv.Atoi(args[1]); err == nil && n > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(n), Max: uint64(n)}); err != nil {
			return err
		}
	}
	p, err := controlplane.New(ctx, controlplane.Config{Data: args[0], HTTP: "127.0.0.1:0", Agents: "127.0.0.1:0", MQTT: "127.0.0.1:0",
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Timing: planeTiming(), Logs: controlplane.DefaultLogs(),
		Limits: protocol.DefaultLimits()})
	if err != nil {
		return err
	}
	return errors.Join(p.Run(ctx), p.Close())
}

// clientHello is the beginning of a TLS handshake, as long as a record may be.
var clientHello = func() []byte {
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(ours, &tls.Config{ServerName: topics.ServerName, NextProtos: []string{topics.ALPNMQTT}}).Handshake()
	}()
	b := make([]byte, 16<<10)
	n := e2e.Must(theirs.Read(b))
	ours.Close()
	return b[:n]
}()

// A mob is a crowd of strangers at one port who say only so much and then keep still.
// Who is shown out comes again.
type mob struct {
	port string
	says []byte
	rest []byte // a byte of it every 100 ms
}

// besiege has a mob at each port, of so many connections together, each from one of
// some addresses 127.0.1.x. They stay until the test ends.
func besiege(t *testing.T, mobs []mob, connections, addresses int) (came *atomic.Int64) {
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { stop(); all.Wait() })
	came = &atomic.Int64{}
	// A thousand a second between them; beside other tests, or where the detector makes
	// everything ten times as slow, a fifth, or who comes would be the oldest before its
	// handshake is done.
	again := time.NewTicker(time.Millisecond * map[bool]time.Duration{false: 5, true: 1}[soak && !raced])
	t.Cleanup(again.Stop)
	for i := range connections {
		m := mobs[i%len(mobs)]
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i/len(mobs)%addresses))}, Timeout: time.Second}
		all.Go(func() {
			for first := true; ctx.Err() == nil; first = false {
				if !first {
					select {
					case <-again.C:
					case <-ctx.Done():
						return
					}
				}
				nc, err := dialer.DialContext(ctx, "tcp", m.port)
				if err != nil {
					continue
				}
				came.Add(1)
				gone := context.AfterFunc(ctx, func() { nc.Close() })
				_, _ = nc.Write(m.says)
				for _, b := range m.rest {
					_ = nc.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
					if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
						break
					}
					_, _ = nc.Write([]byte{b})
				}
				_ = nc.SetReadDeadline(time.Time{})
				_, _ = io.Copy(io.Discard, nc)
				gone()
				nc.Close()
			}
		})
	}
	e2e.Await(t, "the mob to be there", func() error {
		if n := came.Load(); n < int64(connections) {
			return fmt.Errorf("%d of %d came", n, connections)
		}
		return nil
	})
	return came
}

// A siege is a control plane in a process of its own, and who wants in.
type siege struct {
	*e2e.Process
	http, agents, mqtt string
	desk               *enroll.Desk
	identity           agent.Identity
}

func newSiege(t *testing.T, descriptors int) *siege {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	storetest.Make(t, data, store.Open)
	s := &siege{Process: e2e.Start(t, "control plane", exec.Command(os.Args[0], "crowded", data, fmt.Sprint(descriptors)))}
	m := s.Await(`msg=serving http=(\S+) agents=(\S+) mqtt=(\S+)`)
	s.http, s.agents, s.mqtt = m[1], m[2], m[3]
	db := e2e.Must(store.Open(t.Context(), data, ""))
	t.Cleanup(func() { db.Close() })
	row := store.MQTTUser{Name: "home", KeyHash: password.HashKey("key")}
	if err := db.AddMQTTUser(t.Context(), store.Maker{Name: "test"}, row); err != nil {
		t.Fatal(err)
	}
	s.desk = &enroll.Desk{Store: db, CA: e2e.Must(enroll.OpenCA(t.Context(), db, time.Now)), Log: slog.New(slog.DiscardHandler)}
	if err := s.enrols(t); err != nil {
		t.Fatal(err)
	}
	return s
}

// enrols lets a new host in, and takes its identity for the visits that follow.
func (s *siege) enrols(t *testing.T) error {
	_, token, err := s.desk.Issue(context.Background(), "test", "", time.Hour)
	if err != nil {
		return err
	}
	i, err := agent.Enroll(context.Background(), s.agents, token.Reveal(), filepath.Join(t.TempDir(), "state"), "backup")
	if err == nil {
		s.identity = *i
	}
	return err
}

func (s *siege) agentConnects(from net.IP) error {
	nc, err := (&net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: from}}).Dial("tcp", s.agents)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	host := string(s.identity.Host)
	return enters(tls.Client(nc, clientTLS(s.identity)), hello{id: host + "_1", user: host})
}

func (s *siege) consumerConnects() error {
	nc, err := net.DialTimeout("tcp", s.mqtt, 20*time.Second)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	return enters(nc, hello{id: "home", user: "home", password: "key"})
}

func enters(c net.Conn, h hello) error {
	code, err := connect(c, h)
	if err == nil && code != 0 {
		err = fmt.Errorf("CONNACK %d", code)
	}
	return err
}

func (s *siege) pageOpens() error {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + s.http + "/healthz")
	if err == nil {
		answer.Body.Close()
	}
	return err
}

// open is how many descriptors the control plane has open.
func (s *siege) open(t *testing.T) int {
	return len(e2e.Must(os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Cmd.Process.Pid))))
}

// TestWhoKeepsSilentKeepsNobodyOut has 5,000 connections at the three ports that prove
// nothing, and others that come and want to work.
func TestWhoKeepsSilentKeepsNobodyOut(t *testing.T) {
	for _, c := range []struct {
		what        string
		addresses   int
		descriptors int
		always      bool // and not only in soak
	}{
		{"from one address", 1, 0, false},
		{"from many addresses", 250, 0, true},
		{"with few descriptors", 250, 400, true},
	} {
		if !c.always && !soak {
			continue
		}
		t.Run(c.what, func(t *testing.T) {
			s := newSiege(t, c.descriptors)
			before := s.Peak()
			mobs := []mob{
				{port: s.agents},
				{port: s.agents, says: clientHello[:50], rest: clientHello[50:]}, // a slow handshake
				{port: s.agents, says: clientHello},                              // one that does not go on
				{port: s.mqtt},
				{port: s.mqtt, says: []byte{0x10, 60, 0, 4, 'M', 'Q', 'T'}}, // half a CONNECT
				{port: s.http},
				{port: s.http, says: []byte("GET / HTTP/1.1\r\nHost: "), rest: make([]byte, 500)},
			}
			came := besiege(t, mobs, 5000, c.addresses)
			slowest := map[string]time.Duration{}
			// On a machine that stands still for a moment, one of them may be the oldest by
			// then: everybody who comes here tries again.
			const rounds, most = 10, 2
			again := 0
			for range rounds {
				for what, visit := range map[string]func() error{
					"an agent":     func() error { return s.agentConnects(net.IPv4(127, 0, 0, 1)) },
					"a consumer":   s.consumerConnects,
					"a page":       s.pageOpens,
					"an enrolment": func() error { return s.enrols(t) },
				} {
					began := time.Now()
					if err := visit(); err != nil {
						t.Logf("%s did not get in at the first attempt: %v", what, err)
						if again++; again > most {
							t.Errorf("that was number %d of %d", again, 4*rounds)
						} else if err := visit(); err != nil {
							t.Errorf("%s did not get in at the second attempt: %v", what, err)
						}
					}
					slowest[what] = max(slowest[what], time.Since(began))
				}
			}
			// Behind the mob's own address it may take some attempts.
			began := time.Now()
			e2e.AwaitWithin(t, time.Minute, "an agent to get in from the mob's own address", func() error {
				return s.agentConnects(net.IPv4(127, 0, 1, 0))
			})
			slowest["an agent among the mob"] = time.Since(began)
			for what, took := range slowest {
				if took > 30*time.Second {
					t.Errorf("%s took %v", what, took)
				}
			}
			open, grown := s.open(t), s.Peak()-before
			if open > 3000 || c.descriptors > 0 && open >= c.descriptors {
				t.Errorf("%d descriptors are open", open)
			}
			if grown > 200 && !raced { // the detector's own memory is several times that
				t.Errorf("it needed %d MiB more", grown)
			}
			t.Logf("%d connections came; %d descriptors are open, %d MiB more than before; the slowest of %d: %v",
				came.Load(), open, grown, rounds, slowest)
		})
	}
}
