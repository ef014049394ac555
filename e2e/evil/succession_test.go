package evil

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/succession"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func init() { roles["succeed"] = runSucceed }

// runSucceed is the command line beside a control plane, or without one: DATA STEP.
func runSucceed(ctx context.Context, args []string) error {
	s, err := store.Open(ctx, args[0], "")
	if err != nil {
		return err
	}
	ca, err := enroll.OpenCA(ctx, s, time.Now)
	if err != nil {
		return err
	}
	d := &enroll.Desk{Store: s, CA: ca}
	step := map[string]func() error{
		"begin":    func() error { return d.Succeed(ctx, "test", succession.Overlap) },
		"call off": func() error { return d.CallOff(ctx, "test") },
		"go on":    func() error { return d.GoOn(ctx, "test") },
		"put off":  func() error { return d.PutOff(ctx, "test", time.Now().Add(48*time.Hour)) },
		"finish":   func() error { return d.Finish(ctx, "test") },
		"replace":  func() error { return d.Replace(ctx, "test") },
	}[args[1]]
	return errors.Join(step(), s.Close())
}

func (p *plane) awaitMoved(generation int64, all ...*machine) {
	p.t.Helper()
	for _, m := range all {
		e2e.Await(p.t, fmt.Sprintf("%s to move to identity %d", m.id, generation), func() error {
			if h := p.host(m.id); h.Generation != generation || !p.engine.Presence.Reachable(m.id) {
				return fmt.Errorf("it uses %d, reachable: %t", h.Generation, p.engine.Presence.Reachable(m.id))
			}
			return nil
		})
	}
}

func (m *machine) awaitSays(what string) {
	m.t.Helper()
	e2e.Await(m.t, "the agent to say "+what, func() error {
		if !strings.Contains(m.log.String(), what) {
			return errors.New("it has not")
		}
		return nil
	})
}

func (m *machine) backsUp(when string) {
	m.t.Helper()
	if j := m.backup(); j.State != topics.Succeeded {
		m.t.Fatalf("a backup %s %s: %s", when, j.State, j.Message)
	}
}

// again enrols a machine once more, with a token made for it, and starts it.
func (m *machine) again() {
	m.t.Helper()
	token, _, err := tokenFor(m.plane, m.id)
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := (agent.Enrolment{Server: m.plane.agents, Token: token, State: m.state(), Again: true}).Run(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	m.start()
}

// TestTheIdentityOfTheControlPlaneIsReplacedUnderWay changes CA and sealing key while
// hosts work, sleep, or know nothing of it.
func TestTheIdentityOfTheControlPlaneIsReplacedUnderWay(t *testing.T) {
	t.Parallel()
	p := newPlane(t, 0)
	ctx := t.Context()
	m, late, away, old := p.enrol("attic", agent.Policy{}), p.enrol("late", agent.Policy{}), p.enrol("away", agent.Policy{}), p.enrol("old",
		agent.Policy{})
	m.start()
	m.group()
	m.backsUp("before")
	first := m.identity()
	// An agent of the last release: it passes over what it is told, and stays connected.
	classic := e2e.Must(old.dial(old.identity()))
	defer classic.Close()
	if code, err := connect(classic, hello{id: string(old.id) + "_1", user: string(old.id)}); err != nil || code != 0 {
		t.Fatalf("CONNACK %d, %v", code, err)
	}

	if err := p.desk.Succeed(ctx, "test", succession.Overlap); err != nil {
		t.Fatal(err)
	}
	if err := p.desk.Succeed(ctx, "test", succession.Overlap); !errors.Is(err, succession.ErrUnderWay) {
		t.Errorf("a second change beside the first: %v", err)
	}
	p.awaitMoved(1, m)
	moved := m.identity()
	if bytes.Equal(moved.CA, first.CA) || bytes.Equal(moved.PlaneKey, first.PlaneKey) || !bytes.Equal(moved.SealKey, first.SealKey) {
		t.Error("the host has moved, and its identity is not the new one")
	}
	leaf := e2e.Must(x509.ParseCertificate(moved.Certificate))
	if leaf.CheckSignatureFrom(e2e.Must(x509.ParseCertificate(moved.CA))) != nil {
		t.Error("its certificate is not of the new CA")
	}
	m.backsUp("after it has moved")
	during := p.enrol("during", agent.Policy{}) // by a token that names the CA which is shown
	during.start()
	late.start() // on day 29, so to speak
	p.awaitMoved(1, during, late)
	if err := refused(p.agents, old.identity()); err == nil {
		t.Error("a certificate of the CA before is refused while both are accepted")
	}
	s := e2e.Must(p.desk.Succession(ctx, p.engine.Presence.Reachable))
	if s.Moved != 3 || s.All != 5 || len(s.Left) != 2 {
		t.Errorf("%d of %d have moved, left are %+v", s.Moved, s.All, s.Left)
	}
	if n := p.host(m.id).Refused + p.host(m.id).RefusedThere; n != 0 {
		t.Errorf("%d messages were refused on the way", n)
	}

	if err := p.desk.Finish(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	_ = classic.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.Copy(io.Discard, classic); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("who did not move is still connected after the end")
	}
	if err := refused(p.agents, old.identity()); err != nil {
		t.Errorf("and may come again: %v", err)
	}
	for _, x := range []*machine{m, late} { // whose next connection is shown the new CA
		x.stop()
		x.start()
		e2e.Await(t, "the agent to trust the new identity alone", func() error {
			if i := x.identity(); i.Before != nil || i.Next != nil {
				return errors.New("it knows another one")
			}
			return nil
		})
	}
	m.backsUp("after the end")
	away.run() // on day 31
	away.awaitSays("has another identity since")
	away.stop()
	away.again()
	p.awaitMoved(1, away)

	// Another time, called off half way.
	if err := p.desk.Succeed(ctx, "test", succession.Overlap); err != nil {
		t.Fatal(err)
	}
	p.awaitMoved(2, m, late)
	late.stop()
	if err := p.desk.CallOff(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	p.awaitMoved(1, m)
	m.backsUp("after it has come back")
	late.start()
	p.awaitMoved(1, late, during)
	if err := p.desk.Finish(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	m.stop()
	m.start()
	m.backsUp("after what was called off is over")

	// Stolen keys.
	thief := m.identity()
	if err := p.desk.Replace(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	e2e.Await(t, "the keys before to be worth nothing", func() error { return refused(p.agents, thief) })
	m.awaitSays("--again")
	m.stop()
	m.again()
	p.awaitMoved(3, m)
	m.backsUp("after it was enrolled again")
	for action, want := range map[string]int{"identity.changing": 2, "identity.called_off": 1, "identity.changed": 2, "identity.replaced": 1} {
		if n := p.audited(action, ""); n != want {
			t.Errorf("%d entries %s, want %d", n, action, want)
		}
	}
}

// TestAChangeOfTheIdentityIsInterrupted kills the command line before and after each
// of its writes, and either side while a host moves.
func TestAChangeOfTheIdentityIsInterrupted(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	s := e2e.Must(store.Open(t.Context(), data, ""))
	defer s.Close()
	_ = e2e.Must(enroll.OpenSealKey(t.Context(), s))
	desk := &enroll.Desk{Store: s, CA: e2e.Must(enroll.OpenCA(t.Context(), s, time.Now))}
	for _, step := range []string{"begin", "put off", "call off", "go on", "finish", "begin", "finish", "replace"} {
		before := e2e.Must(desk.Load(t.Context()))
		gone, _ := spawn(t, "plane-identity-made", "succeed", data, step)
		<-gone
		if now := e2e.Must(desk.Load(t.Context())); now != before {
			t.Errorf("%s, killed before it was written, has changed something", step)
		}
		gone, _ = spawn(t, "plane-identity-written", "succeed", data, step)
		<-gone
		if now := e2e.Must(desk.Load(t.Context())); now == before {
			t.Errorf("%s, killed after it was written, has changed nothing", step)
		}
	}

	for _, point := range []string{"agent-certificate-came", "agent-certificate-saved", "plane-certificate-made", "plane-certificate-used:2"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			data, state, port := filepath.Join(dir, "data"), filepath.Join(dir, "state"), e2e.FreeAddress(t)
			s := e2e.Must(store.Open(t.Context(), data, ""))
			defer s.Close()
			_ = e2e.Must(enroll.OpenSealKey(t.Context(), s))
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
			plane, _ := spawn(t, arm("plane"), "plane", data, port)
			e2e.Await(t, "the control plane", func() error { return reach(port) })
			identity, err := agent.Enroll(t.Context(), port, token.Reveal(), state, "backup")
			if err != nil {
				t.Fatal(err)
			}
			if err := desk.Succeed(t.Context(), "test", succession.Overlap); err != nil {
				t.Fatal(err)
			}
			victim, _ := spawn(t, arm("agent"), "agent", state)
			side, args := "agent", []string{state}
			if arm("plane") != "" {
				victim, side, args = plane, "plane", []string{data, port}
			}
			select {
			case <-victim:
			case <-time.After(time.Minute):
				t.Fatal("it was never at that point")
			}
			spawn(t, "", side, args...)
			e2e.AwaitWithin(t, time.Minute, "the host to move", func() error {
				h := e2e.Must(s.Host(context.Background(), identity.Host))
				if h.Generation != 1 || h.Hello() != h.Birth() || !h.Birth().After(h.Death()) {
					return fmt.Errorf("it uses %d, or is away", h.Generation)
				}
				return nil
			})
		})
	}
}
