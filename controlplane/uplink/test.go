package uplink

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/topics"
)

// Test tries, within 15 s, what settings with this input would be good for: it writes, reads
// back, looks whether the broker retains, takes messages of our size, and lets us write and
// read what we need. With the account of a consumer it also looks whether that one can write
// for others; only after that commands of consumers may be heard. [field.Errors] says what is
// wrong with the input. Everything that it writes has a random name and is cleared again.
func (s *Service) Test(ctx context.Context, actor string, in Input, second *Account) (TestResult, error) {
	s.begin()
	u, err := s.Store.Uplink(ctx)
	if err != nil {
		return TestResult{}, err
	}
	commands := in.Commands
	in.Commands = nil // what a test is to show first does not have to be shown before it
	was := settingsOf(u)
	asked := Commands(u.Commands)
	was.Commands = Off
	set, err := s.changed(was, in)
	if err == nil {
		set, err = s.over(set)
	}
	if err != nil {
		return TestResult{}, err
	}
	if commands != nil {
		asked = *commands
	}
	if set.URL == "" {
		return TestResult{}, field.Errors{"url": "Say which broker: mqtts://HOST:PORT."}
	}
	if second != nil && (second.User == "" || second.User == set.User) {
		return TestResult{}, field.Errors{"second_user": "Another account than ours: that of a consumer, such as Home Assistant's."}
	}
	if second != nil && strings.ContainsAny(second.User, "/+#") {
		return TestResult{}, field.Errors{"second_user": "A consumer's name is without + # and /, which mean something in topics."}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timing.Test)
	defer cancel()
	timing := s.timing
	timing.Connect, timing.Answer = min(timing.Connect, s.timing.Step), min(timing.Answer, s.timing.Step)
	prefix := set.Prefix
	if prefix == "" {
		prefix = s.usual()
	}
	t := &trial{set: set, timing: timing, prefix: prefix, asked: asked, second: second, came: make(chan message, 256), id: randomID()}
	t.run(ctx)
	result := TestResult{OK: true, Steps: t.steps, Proven: t.proven}
	for _, step := range t.steps {
		result.OK = result.OK && (step.OK || step.Warn)
	}
	tested, detail := u.Tested, "it works"
	if !result.OK {
		detail = "it does not work"
	}
	switch {
	case t.proven:
		tested, detail = set.proof(), detail+"; consumers cannot write for one another"
	case t.disproven && u.Tested == set.proof():
		tested, detail = "", detail+"; consumers can write for one another"
	}
	if err := s.Store.UplinkTested(context.WithoutCancel(ctx), actor, set.URL, tested, detail); err != nil {
		return result, err
	}
	if tested != u.Tested {
		s.stir()
	}
	return result, nil
}

func randomID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// A trial is one test at work.
type trial struct {
	set    Settings
	timing Timing
	prefix string
	asked  Commands
	second *Account
	came   chan message
	id     string

	conn      *conn
	steps     []Step
	proven    bool
	disproven bool
}

func (t *trial) say(step Step) { t.steps = append(t.steps, step) }

// broken says that a step ended the connection or got no answer.
func (t *trial) broken(name, doing string, err error) {
	w := wordsOf(err, addressOnly(t.set.URL))
	t.say(Step{Name: name, Text: doing + ": " + w.say, Remedy: w.remedy})
}

func addressOnly(url string) address {
	a, _, _ := addressOf(url)
	return a
}

func (t *trial) run(ctx context.Context) {
	var err error
	t.conn, err = dial(ctx, t.set.access, nil, t.timing, func(m message) {
		select {
		case t.came <- m:
		default:
		}
	})
	if err != nil {
		w := wordsOf(err, addressOnly(t.set.URL))
		t.say(Step{Name: "connect", Text: w.say, Remedy: w.remedy})
		return
	}
	defer func() { t.conn.leave() }()
	how := "in clear"
	if addressOnly(t.set.URL).tls() {
		how = "over TLS"
	}
	t.say(Step{Name: "connect", OK: true, Text: "Connected " + how + ", and let in."})
	for _, step := range []func(context.Context) bool{t.writes, t.retains, t.sizes, t.discovers, t.wills, t.commands, t.consumers} {
		if ctx.Err() != nil {
			t.say(Step{Name: "time", Text: "There was no time for the rest: the broker answers slowly.",
				Remedy: "Look at the network between, and at the broker's load."})
			return
		}
		if !step(ctx) {
			return
		}
	}
}

// back waits until a message with this payload comes at a topic, and returns it. nil is that
// it did not come within the time of a step; an error, that the connection is over.
func (t *trial) back(ctx context.Context, topic string, payload []byte) (*message, error) {
	limit := time.NewTimer(t.timing.Step)
	defer limit.Stop()
	for {
		select {
		case m := <-t.came:
			if m.topic == topic && bytes.Equal(m.payload, payload) {
				return &m, nil
			}
		case <-t.conn.lost:
			return nil, t.conn.failed(errLost)
		case <-ctx.Done():
			return nil, nil
		case <-limit.C:
			return nil, nil
		}
	}
}

// echo writes at a topic that is subscribed to, and reports whether it comes back.
func (t *trial) echo(ctx context.Context, topic string, payload []byte, retain bool) (back, refused bool, err error) {
	refused, err = t.conn.subscribe(ctx, topic, 1)
	if refused || err != nil {
		return false, refused, err
	}
	if err = t.conn.publish(ctx, topic, payload, 1, retain); err == nil {
		err = t.conn.flush(ctx)
	}
	if err != nil {
		return false, false, err
	}
	m, err := t.back(ctx, topic, payload)
	return m != nil, false, err
}

func (t *trial) topic(what string) string { return t.set.Root + "/pub/test/" + t.id + "/" + what }

// rights is the remedy for most of what is missing.
func (t *trial) rights(where string) string {
	return "Give our user at the broker the right to write and to read " + where + ". docs/UPLINK.md has the lines for mosquitto, " +
		"EMQX and NATS."
}

// writes looks whether what is written comes back: a broker confirms what it drops, too.
func (t *trial) writes(ctx context.Context) bool {
	back, refused, err := t.echo(ctx, t.topic("write"), []byte(t.id), false)
	switch {
	case err != nil:
		t.broken("write", "Writing below "+t.set.Root+"/pub/", err)
	case refused:
		t.say(Step{Name: "write", Text: "The broker does not let us read below " + t.set.Root + "/pub/, so nothing can be tested.",
			Remedy: t.rights(t.set.Root + "/#")})
	case !back:
		t.say(Step{Name: "write", Text: "The broker confirmed a message below " + t.set.Root + "/pub/ and did not pass it on: it " +
			"drops silently " +
			"what this user may not write, or what it may not read.", Remedy: t.rights(t.set.Root + "/#")})
	default:
		t.say(Step{Name: "write", OK: true, Text: "What is written below " + t.set.Root + "/pub/ comes back."})
		return true
	}
	return false
}

// noRetain is the remedy for a broker that keeps nothing.
const noRetain = "Switch retained messages on (retain_available in mosquitto, JetStream in NATS), or use another broker."

// retains looks whether the broker keeps what is retained and gives it to whoever comes later,
// also to one that asks for many topics at once.
func (t *trial) retains(ctx context.Context) bool {
	topic, payload := t.topic("retain"), []byte("retained "+t.id)
	err := t.conn.publish(ctx, topic, payload, 1, true)
	if err == nil {
		err = t.conn.flush(ctx)
	}
	if errors.Is(err, errLost) { // some confirm what they do not keep, others end the connection
		t.say(Step{Name: "retain", Text: "The broker ended the connection over a retained message: it does not keep any, or none of ours.",
			Remedy: noRetain})
		return false
	}
	if err != nil {
		t.broken("retain", "Writing a retained message", err)
		return false
	}
	defer func() { // cleared whatever was found
		if t.conn.publish(ctx, topic, nil, 1, true) == nil {
			_ = t.conn.flush(ctx)
		}
	}()
	kept := map[bool]bool{}
	for _, many := range []bool{true, false} {
		filter := topic
		if many {
			filter = t.topic("+")
		}
		if _, err := t.conn.subscribe(ctx, filter, 1); err != nil {
			t.broken("retain", "Reading a retained message", err)
			return false
		}
		m, err := t.back(ctx, topic, payload)
		if err != nil {
			t.broken("retain", "Reading a retained message", err)
			return false
		}
		kept[many] = m != nil && m.retained
		if err := t.conn.unsubscribe(ctx, filter); err != nil {
			t.broken("retain", "Reading a retained message", err)
			return false
		}
		if kept[true] {
			break
		}
	}
	switch {
	case kept[true]:
		t.say(Step{Name: "retain", OK: true, Text: "Retained messages are kept for whoever comes later."})
		return true
	case kept[false]:
		t.say(Step{Name: "retain", Text: "Retained messages come only to whoever names their topic exactly, not with + or #: so do RabbitMQ's. " +
			"Home Assistant would find no device.", Remedy: "Use another broker, such as mosquitto, EMQX or NATS, or a bridge from one."})
	default:
		t.say(Step{Name: "retain", Text: "The broker does not keep retained messages, so whoever comes later sees nothing.",
			Remedy: noRetain})
	}
	return false
}

// sizes looks whether the broker takes the largest message that we write.
func (t *trial) sizes(ctx context.Context) bool {
	payload := bytes.Repeat([]byte("x"), topics.MaxPayload)
	back, _, err := t.echo(ctx, t.topic("size"), payload, false)
	remedy := "Raise its limit to 64 KiB and some more: message_size_limit or max_packet_size in mosquitto, mqtt.max_packet_size in " +
		"EMQX, max_payload in NATS."
	switch {
	case err != nil:
		t.say(Step{Name: "size", Text: "The broker ended the connection over a message of 64 KiB, which is as large as ours are.",
			Remedy: remedy})
		return false
	case !back:
		t.say(Step{Name: "size", Text: "The broker confirmed a message of 64 KiB and did not pass it on.", Remedy: remedy})
	default:
		t.say(Step{Name: "size", OK: true, Text: "Messages of 64 KiB, as large as ours are, come back whole."})
	}
	return true
}

// discovers looks whether we may write where Home Assistant looks for devices. An empty message
// about a device that does not exist is nothing to it.
func (t *trial) discovers(ctx context.Context) bool {
	where := t.prefix + "/device/"
	back, refused, err := t.echo(ctx, where+"rm_test_"+t.id+"/config", nil, true)
	if err != nil {
		t.broken("discovery", "Writing below "+where, err)
		return false
	}
	status, err := t.conn.subscribe(ctx, t.prefix+"/status", 0)
	if err != nil {
		t.broken("discovery", "Reading "+t.prefix+"/status", err)
		return false
	}
	switch {
	case refused || !back:
		t.say(Step{Name: "discovery", Warn: true, Text: "We cannot write below " + where + ", so Home Assistant is told of no device.",
			Remedy: t.rights(where+"#") + " Without Home Assistant it is not needed."})
	case status:
		t.say(Step{Name: "discovery", Warn: true, Text: "We may not read " + t.prefix + "/status, so devices are not announced " +
			"again when Home Assistant starts.",
			Remedy: t.rights(t.prefix + "/status")})
	default:
		t.say(Step{Name: "discovery", OK: true, Text: "Devices can be announced below " + where + "."})
	}
	return true
}

// wills looks whether the broker says our last will when a connection is lost.
func (t *trial) wills(ctx context.Context) bool {
	topic, payload := t.topic("will"), "will "+t.id
	if _, err := t.conn.subscribe(ctx, topic, 1); err != nil {
		t.broken("will", "Reading a last will", err)
		return false
	}
	c, err := dial(ctx, t.set.access, &will{topic, payload}, t.timing, func(message) {})
	if err != nil {
		w := wordsOf(err, addressOnly(t.set.URL))
		t.say(Step{Name: "will", Warn: true, Text: "A connection with a last will is not let in: " + w.say, Remedy: w.remedy})
		return true
	}
	c.close()
	m, err := t.back(ctx, topic, []byte(payload))
	if err != nil {
		t.broken("will", "Reading a last will", err)
		return false
	}
	if t.conn.publish(ctx, topic, nil, 1, true) == nil {
		_ = t.conn.flush(ctx)
	}
	if m == nil {
		t.say(Step{Name: "will", Warn: true, Text: "The broker does not say our last will, so nobody there learns that this server is gone.",
			Remedy: t.rights(t.set.Root + "/pub/plane/availability")})
		return true
	}
	t.say(Step{Name: "will", OK: true, Text: "Should this server be lost, the broker says so."})
	return true
}
