package evil

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

// names puts a host's ID, a job's and an action into every topic there is.
func names(host topics.HostID, job topics.JobID) (all []topics.Topic) {
	for _, e := range topics.Catalogue {
		all = append(all, topics.Topic{Kind: e.Kind, Host: host, Job: job, Query: topics.QueryID(job), Action: topics.ActionBackup})
	}
	return all
}

// TestAStolenAgentSpeaksForItselfAlone has everything that lies on one host, and
// tries every message there is in the name of another.
func TestAStolenAgentSpeaksForItselfAlone(t *testing.T) {
	t.Parallel()
	p := newPlane(t, 0)
	victim, stolen := p.enrol("attic", agent.Policy{}), p.enrol("cellar", agent.Policy{})
	victim.start()
	victim.group()
	if j := victim.backup(); j.State != topics.Succeeded {
		t.Fatalf("the backup %s: %s", j.State, j.Message)
	}
	// A job of the victim's that the thief would like to have a word in.
	job := e2e.Must(p.store.JobsOf(t.Context(), victim.id, 1))[0]
	i := stolen.identity()
	channel := e2e.Must(seal.NewChannel(e2e.Must(seal.ParseKey(i.SealKey)), i.PlaneKey, seal.Agent, string(stolen.id)))
	before := p.host(victim.id)
	session := 0
	// in is a connection that was let in, under the thief's own name.
	in := func(t *testing.T) net.Conn {
		t.Helper()
		session++
		c := e2e.Must(stolen.dial(i))
		t.Cleanup(func() { c.Close() })
		if code, err := connect(c, hello{id: fmt.Sprintf("%s_%d", stolen.id, session), user: string(stolen.id)}); err != nil || code != 0 {
			t.Fatalf("CONNACK %d, %v", code, err)
		}
		return c
	}

	t.Run("client ID, user name and will", func(t *testing.T) {
		own, other := string(stolen.id), string(victim.id)
		ownDeath := topics.Topic{Kind: topics.KindDeath, Host: stolen.id}.String()
		tries := map[string]hello{
			"another's client ID":             {id: other + "_1", user: own},
			"another's user name":             {id: own + "_1", user: other},
			"both":                            {id: other + "_1", user: other},
			"no user name":                    {id: own + "_1"},
			"no client ID":                    {user: own},
			"a client ID that begins alike":   {id: own + "x_1", user: own},
			"one that has another in it":      {id: own + "_" + other, user: own},
			"a number that is none":           {id: own + "_-1", user: own},
			"a will for everybody":            {id: own + "_1", user: own, will: "#"},
			"a will in the broker's own name": {id: own + "_1", user: own, will: "$SYS/x"},
			"a will that is not its death":    {id: own + "_1", user: own, will: topics.Topic{Kind: topics.KindEvent, Host: stolen.id}.String()},
		}
		for _, n := range names(victim.id, job.ID) {
			for _, retain := range []bool{false, true} {
				tries[fmt.Sprintf("a will on %s, retained %t", n, retain)] = hello{id: own + "_1", user: own, will: n.String(), retain: retain}
			}
		}
		for what, h := range tries {
			c := e2e.Must(stolen.dial(i))
			if code, err := connect(c, h); err == nil && code == 0 {
				t.Errorf("%s: let in", what)
			}
			c.Close()
		}
		c := e2e.Must(stolen.dial(i))
		defer c.Close()
		if code, err := connect(c, hello{id: own + "_1", user: own, will: ownDeath, retain: true}); err != nil || code != 0 {
			t.Errorf("its own name and will: CONNACK %d, %v", code, err)
		}
	})

	t.Run("publish", func(t *testing.T) {
		for _, n := range names(victim.id, job.ID) {
			for _, retain := range []bool{false, true} {
				topic := n.String()
				if acked, err := publish(in(t), topic, channel.Seal(topic, topics.Encode(topics.Heartbeat{})), retain); acked || err != nil {
					t.Errorf("to %s, retained %t: acknowledged %t, %v", topic, retain, acked, err)
				}
			}
		}
		root := topics.Root + "/agent/"
		for _, topic := range []string{"", "#", root + "+/event", root + string(victim.id), root + string(stolen.id) + "x/event",
			"$SYS/broker/uptime", "$share/g/" + root + string(victim.id) + "/event", strings.ToUpper(root) + string(stolen.id) + "/event",
			root + string(stolen.id) + "/event\x00"} {
			if acked, err := publish(in(t), topic, []byte("{}"), false); acked || err != nil {
				t.Errorf("to %q: acknowledged %t, %v", topic, acked, err)
			}
		}
	})

	t.Run("subscribe", func(t *testing.T) {
		root := topics.Root
		filters := []string{"#", "+/#", "+/+/#", root + "/#", root + "/ctl/#", root + "/ctl/+/#", root + "/ctl/+/welcome",
			root + "/+/" + string(victim.id) + "/#", "$SYS/#", "$SYS/broker/clients/total",
			root + "/agent/#", root + "/agent/" + string(stolen.id) + "/#", "$share/g/" + root + "/ctl/" + string(victim.id) + "/#",
			"$share/g/" + root + "/ctl/" + string(stolen.id) + "/#", root + "/pub/#", root + "/do/#", "homeassistant/#"}
		for _, n := range names(victim.id, job.ID) {
			filters = append(filters, n.String())
		}
		for _, f := range filters {
			if strings.HasPrefix(f, strings.TrimSuffix(topics.AllAgentsRead, "#")) {
				continue // which every agent reads, and none writes
			}
			if code, err := subscribe(in(t), f); code != 0x80 || err != nil {
				t.Errorf("to %s: SUBACK %#x, %v", f, code, err)
			}
		}
		if code, err := subscribe(in(t), topics.AgentReads(stolen.id)); code != 1 || err != nil {
			t.Errorf("to its own: SUBACK %#x, %v", code, err)
		}
		if code, err := subscribe(in(t), topics.AllAgentsRead); code != 1 || err != nil {
			t.Errorf("to what the control plane tells all agents: SUBACK %#x, %v", code, err)
		}
	})

	// In its own topics it may say what it likes: there another's name counts
	// for nothing.
	t.Run("payload", func(t *testing.T) {
		c := in(t)
		s := topics.Session{Epoch: time.Now().UnixMilli(), N: 1}
		say := func(k topics.Kind, id topics.JobID, payload any, sealed bool) {
			topic := topics.Topic{Kind: k, Host: stolen.id, Job: id}.String()
			b := topics.Encode(payload)
			if sealed {
				b = channel.Seal(topic, b)
			}
			if acked, err := publish(c, topic, b, topics.Topic{Kind: k}.Entry().Retained); !acked || err != nil {
				t.Fatalf("on its own topic %s: acknowledged %t, %v", topic, acked, err)
			}
		}
		birth := topics.Topic{Kind: topics.KindBirth, Host: stolen.id}.String()
		say(topics.KindBirth, "", topics.Birth{Session: s, Protocol: topics.Protocol, MAC: channel.Sign(birth, s.Signed(topics.Born))}, false)
		say(topics.KindHeartbeat, "", topics.Heartbeat{Stamp: topics.Stamp{Session: s, N: 1}}, true)
		say(topics.KindProgress, job.ID, topics.Progress{Stamp: topics.Stamp{Session: s, N: 2}, Percent: 66}, true)
		evil := strings.Repeat("e", 64)
		say(topics.KindEvent, "", topics.Events{Epoch: s.Epoch, First: 1, Events: []topics.Event{
			{Hello: &topics.Hello{Session: s, Jobs: []topics.JobID{job.ID}}},
			{Accepted: &topics.Accepted{Job: job.ID}},
			{Started: &topics.Started{Job: job.ID, Restic: "9.9"}},
			{Log: &topics.Log{Job: job.ID, First: 1, Lines: []topics.Line{{Text: "not mine"}}}},
			{Report: &topics.Report{Job: job.ID, Part: 1, Snapshots: []topics.Snapshot{{ID: evil}}}},
			{Finished: &topics.Finished{Job: job.ID, State: topics.Failed, Snapshot: &topics.Snapshot{ID: evil}}},
		}}, true)
		e2e.Await(t, "what it said to be taken", func() error {
			if got := p.host(stolen.id).ReceivedSeq; got != 6 {
				return fmt.Errorf("%d events", got)
			}
			return nil
		})
	})

	after := p.host(victim.id)
	if j := e2e.Must(p.store.Job(t.Context(), job.ID)); j.State != topics.Succeeded || j.Lines != job.Lines ||
		j.ResticVersion != job.ResticVersion || j.SnapshotID != job.SnapshotID {
		t.Errorf("the victim's job is now %+v", j)
	}
	if after.Birth() != before.Birth() || after.Death() != before.Death() || after.Refused != before.Refused ||
		!p.engine.Presence.Reachable(victim.id) {
		t.Errorf("the victim's session was touched: %+v", after)
	}
	for _, id := range []topics.HostID{victim.id, stolen.id} {
		if snapshots := e2e.Must(p.store.Snapshots(context.Background(), id, 100)); len(snapshots) > 0 &&
			strings.HasPrefix(snapshots[0].ID, "eeee") {
			t.Errorf("a snapshot nobody made is in the list of %s", id)
		}
	}
	e2e.Await(t, "the refusals to be counted and audited", func() error {
		if h := p.host(stolen.id); h.Refused < 60 || p.audited("message.refused", string(stolen.id)) != 1 {
			return fmt.Errorf("%d refused, %d entries in the audit log", h.Refused, p.audited("message.refused", string(stolen.id)))
		}
		return nil
	})
	t.Logf("%d attempts refused, and one entry in the audit log", p.host(stolen.id).Refused)
	// Of many at once the log has the first few, which may have been deeds of another kind.
	e2e.Await(t, "the log to name agent and deed", func() error {
		topic := topics.Topic{Kind: topics.KindEvent, Host: victim.id}.String()
		if acked, err := publish(in(t), topic, []byte("{}"), false); acked || err != nil {
			return e2e.Stop(fmt.Errorf("to %s: acknowledged %t, %w", topic, acked, err))
		}
		if log := p.log.String(); !strings.Contains(log, "a publish beyond its rights") || !strings.Contains(log, string(stolen.id)) {
			return errors.New("it does not")
		}
		return nil
	})
}
