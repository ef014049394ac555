package evil

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/failpoint"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestOfEnrolmentsThatRaceForATokenExactlyOneWins(t *testing.T) {
	t.Parallel()
	p := newPlane(t, 0)
	for round := range 3 {
		_, token, err := p.desk.Issue(t.Context(), "test", "", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			state := filepath.Join(t.TempDir(), "state")
			wg.Go(func() { _, errs[i] = agent.Enroll(t.Context(), p.agents, token.Reveal(), state, "backup") })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			var no *agent.Rejection
			switch {
			case err == nil:
				won++
			case !errors.As(err, &no) || no.Status != 403:
				t.Errorf("a loser was told %v", err)
			}
		}
		if n := len(e2e.Must(p.store.Hosts(t.Context()))); won != 1 || n != round+1 {
			t.Errorf("%d enrolled, and there are %d hosts after %d rounds", won, n, round+1)
		}
	}
}

// refused reports whether the port turns a certificate away in the handshake; nil is that it does.
func refused(address string, i agent.Identity) error {
	c, err := dialAs(address, i)
	if err != nil {
		return nil
	}
	defer c.Close()
	if _, err = c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) || strings.Contains(err.Error(), "timeout") {
		return fmt.Errorf("it was let in: %v", err)
	}
	if !strings.Contains(err.Error(), "remote error: tls") {
		return fmt.Errorf("it ended with %w", err)
	}
	return nil
}

func TestACertificateIsRenewedAndTheOldOneIsThenWorthNothing(t *testing.T) {
	t.Parallel()
	p := newPlane(t, 24*time.Second)
	m := p.enrol("attic", agent.Policy{})
	first := m.identity()
	// Asked before the agent runs: it renews at half the time, which the first backup may take.
	serial := p.host(m.id).Serial
	if err := refused(p.agents, first); err == nil {
		t.Error("the certificate in use is refused")
	}
	m.start()
	m.group()
	if j := m.backup(); j.State != topics.Succeeded {
		t.Fatalf("the backup %s: %s", j.State, j.Message)
	}
	e2e.AwaitWithin(t, 2*time.Minute, "the certificate to be renewed and used", func() error {
		if h := p.host(m.id); h.Serial == serial || h.NextSerial != "" || p.audited("host.certificate_renewed", string(m.id)) == 0 {
			return fmt.Errorf("the host has %q, then %q", h.Serial, h.NextSerial)
		}
		return nil
	})
	if now := m.identity(); bytes.Equal(now.Certificate, first.Certificate) || bytes.Equal(now.TLSKey, first.TLSKey) ||
		!bytes.Equal(now.SealKey, first.SealKey) {
		t.Error("the identity on disk is not the new one")
	}
	if err := refused(p.agents, first); err != nil {
		t.Errorf("the old certificate: %v", err)
	}
	m.awaitOnline()
	if j := m.backup(); j.State != topics.Succeeded {
		t.Errorf("a backup after it: %s: %s", j.State, j.Message)
	}
}

func TestAConnectionEndsWithItsCertificate(t *testing.T) {
	t.Parallel()
	p := newPlane(t, 20*time.Second) // time enough to enrol and connect, on a busy machine
	m := p.enrol("attic", agent.Policy{})
	i := m.identity()
	until := time.UnixMilli(p.host(m.id).CertifiedUntil)
	c := e2e.Must(m.dial(i))
	defer c.Close()
	if code, err := connect(c, hello{id: string(m.id) + "_1", user: string(m.id)}); err != nil || code != 0 {
		t.Fatalf("CONNACK %d, %v", code, err)
	}
	_ = c.SetDeadline(until.Add(time.Minute))
	_, err := c.Read(make([]byte, 1))
	if now := time.Now(); now.Before(until.Add(-time.Second)) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it ended %v after the certificate did, with %v", now.Sub(until), err)
	}
	if err := refused(p.agents, i); err != nil {
		t.Errorf("a certificate that ran out: %v", err)
	}
}

// TestARevokedHostIsOutWithinSeconds revokes as the command line beside a
// running control plane does: in the database, with nobody told.
func TestARevokedHostIsOutWithinSeconds(t *testing.T) {
	t.Parallel()
	p := newPlane(t, 0)
	m, other := p.enrol("attic", agent.Policy{}), p.enrol("cellar", agent.Policy{})
	m.start()
	other.start()
	m.group()
	kept := m.backup()
	stale, _, err := tokenFor(p, m.id)
	if err != nil {
		t.Fatal(err)
	}
	thief := e2e.Must(m.dial(m.identity())) // a second connection, that only listens
	defer thief.Close()
	if code, err := connect(thief, hello{id: string(m.id) + "_9999", user: string(m.id)}); err != nil || code != 0 {
		t.Fatalf("CONNACK %d, %v", code, err)
	}

	beside := e2e.Must(store.Open(t.Context(), filepath.Join(p.dir, "data"), ""))
	began := time.Now()
	if _, err := beside.Revoke(t.Context(), "cli", m.id); err != nil {
		t.Fatal(err)
	}
	if err := beside.Close(); err != nil {
		t.Error(err)
	}
	_ = thief.SetDeadline(began.Add(time.Minute)) // its certificate is good for days
	if _, err := io.Copy(io.Discard, thief); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("after a minute the connection is still there")
	}
	e2e.Await(t, "the host to be offline", func() error {
		if c, _ := p.engine.Presence.Connection(m.id); c == hosts.Online {
			return errors.New("it is online")
		}
		return nil
	})
	t.Logf("out after %v", time.Since(began).Round(time.Millisecond))
	if err := refused(p.agents, m.identity()); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	e2e.Await(t, "the agent to say why", func() error {
		if !strings.Contains(m.log.String(), "--again") {
			return errors.New("it does not")
		}
		return nil
	})
	if n := p.audited("host.revoked", string(m.id)); n != 1 {
		t.Errorf("%d entries in the audit log", n)
	}
	if !p.engine.Presence.Reachable(other.id) {
		t.Error("another host is gone with it")
	}

	// Only a token made since, for this very host, brings it back.
	again := agent.Enrolment{Server: p.agents, Token: stale, State: m.state(), Again: true}
	if _, err := again.Run(t.Context()); err == nil || strings.Contains(err.Error(), "runs") == false {
		t.Errorf("while its agent runs it enrols again: %v", err)
	}
	m.stop()
	if _, err := again.Run(t.Context()); err == nil {
		t.Error("a token from before the revocation lets it in")
	}
	fresh, _, err := tokenFor(p, m.id)
	if err != nil {
		t.Fatal(err)
	}
	again.Token = fresh
	old := m.identity()
	if i, err := again.Run(t.Context()); err != nil || i.Host != m.id {
		t.Fatalf("enrolled again: %v, %v", i, err)
	}
	m.start()
	if err := refused(p.agents, old); err != nil {
		t.Errorf("the old keys: %v", err)
	}
	if groups := e2e.Must(p.store.SourceGroups(t.Context(), m.id)); len(groups) != 1 ||
		e2e.Must(p.store.Job(t.Context(), kept.ID)).State != topics.Succeeded {
		t.Error("what the host had is gone")
	}
	if j := m.backup(); j.State != topics.Succeeded {
		t.Errorf("the backup after it: %s: %s", j.State, j.Message)
	}
	if n := len(e2e.Must(p.store.Hosts(t.Context()))); n != 2 {
		t.Errorf("there are %d hosts", n)
	}
	if left, _ := filepath.Glob(filepath.Join(m.state(), "journal.db.*.retired")); len(left) != 1 {
		t.Errorf("retired journals: %v", left)
	}
}

func tokenFor(p *plane, id topics.HostID) (string, string, error) {
	tid, token, err := p.desk.Reissue(context.Background(), "test", id, time.Minute)
	return token.Reveal(), tid, err
}

// TestACrashInTheMiddleOfARenewalLosesNobody kills either side at each point of
// a renewal, starts it again, and waits for the host to be back with a new
// certificate.
func TestACrashInTheMiddleOfARenewalLosesNobody(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"agent-certificate-came", "agent-certificate-saved", "plane-certificate-made", "plane-certificate-used:2"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			data, state := filepath.Join(dir, "data"), filepath.Join(dir, "state")
			port := e2e.FreeAddress(t)
			s := e2e.Must(store.Open(t.Context(), data, ""))
			defer s.Close()
			desk := &enroll.Desk{Store: s, CA: e2e.Must(enroll.OpenCA(t.Context(), s, time.Now))}
			_, token, err := desk.Issue(t.Context(), "test", "", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			arm := func(side string) string {
				if strings.HasPrefix(point, side) {
					return point
				}
				return ""
			}
			stop, _ := spawn(t, arm("plane"), "plane", data, port)
			e2e.Await(t, "the control plane", func() error { return reach(port) })
			identity, err := agent.Enroll(t.Context(), port, token.Reveal(), state, "backup")
			if err != nil {
				t.Fatal(err)
			}
			first := e2e.Must(s.Host(t.Context(), identity.Host)).Serial
			dead, _ := spawn(t, arm("agent"), "agent", state)
			victim, side, args := dead, "agent", []string{state}
			if arm("plane") != "" {
				victim, side, args = stop, "plane", []string{data, port}
			}
			select {
			case <-victim:
			case <-time.After(2 * time.Minute):
				t.Fatal("it was never at that point")
			}
			spawn(t, "", side, args...)
			e2e.AwaitWithin(t, 2*time.Minute, "the host to use a new certificate", func() error {
				h := e2e.Must(s.Host(context.Background(), identity.Host))
				if h.Serial == first {
					return fmt.Errorf("it has %s, then %q", h.Serial, h.NextSerial)
				}
				if h.Hello() != h.Birth() || !h.Birth().After(h.Death()) {
					return errors.New("it is away")
				}
				return nil
			})
		})
	}
}

func reach(address string) error {
	c, err := net.Dial("tcp", address)
	if err == nil {
		c.Close()
	}
	return err
}

// spawn starts one of the roles, to die at a failpoint unless that is "". The
// channel is closed when it is gone.
func spawn(t testing.TB, point, role string, args ...string) (<-chan struct{}, *e2e.Text) {
	t.Helper()
	cmd := exec.Command(e2e.Must(os.Executable()), append([]string{role}, args...)...)
	cmd.Env = append(os.Environ(), failpoint.Variable+"="+point)
	out := &e2e.Text{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
		if t.Failed() {
			t.Logf("%s:\n%.4000s", role, out.String())
		}
	})
	return gone, out
}

// runPlane is the control plane: DATA AGENTS. Certificates last half a minute.
func runPlane(ctx context.Context, args []string) error {
	timing := planeTiming()
	timing.HostLife = 30 * time.Second
	p, err := controlplane.New(ctx, controlplane.Config{Data: args[0], HTTP: "127.0.0.1:0", Agents: args[1], MQTT: "127.0.0.1:0",
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Timing: timing, Logs: controlplane.DefaultLogs(), Limits: protocol.DefaultLimits()})
	if err != nil {
		return err
	}
	return errors.Join(p.Run(ctx), p.Close())
}

// runAgent is a host's: STATE.
func runAgent(ctx context.Context, args []string) error {
	a := agent.Agent{State: args[0], Timing: agentTiming(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	return a.Run(ctx)
}
