// Package asking carries out what MQTT consumers ask for on do/ topics: backups, checks,
// their end, and pauses of schedules. It is one deed whatever broker the message came by.
//
// Who asks is looked up at that moment, and so are their role and their hosts: a message
// may come by a connection that is about to end. What is not carried out gets an entry in
// the audit log and an answer like what is; both are bounded, since a program in a loop
// asks for the same thing for ever.
package asking

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// External is the name under which everybody asks who may write to do/ on a broker of the
// user's own, where that was chosen. No consumer is called so.
const External = "external"

// Actor is a consumer's name in the audit log and as who asked for a job.
func Actor(consumer string) string { return "mqtt:" + consumer }

// A Wish is a message on a do/ topic.
type Wish struct {
	// Consumer is whose message it is, by the broker that let it in: the name of a
	// credential, or [External].
	Consumer string
	Outlet   outbox.Outlet // where the answer goes
	Below    string        // the topic's name below the root, as it was sent
	Payload  []byte
	Retained bool // it lay in a broker for nobody knows how long: ignored
	Again    bool // the sender does not know whether it was heard before: MQTT's DUP
	// Denied is that the broker refused it already: the consumer may not write there.
	Denied bool
	// Excess is that whoever gave it here holds back what is too much at once.
	Excess bool
}

// Config holds what a service needs.
type Config struct {
	Store *store.Store
	Jobs  *jobs.Engine
	Pause *pause.Service
	// Say gives an answer to the broker that the message came by; it does not wait for it.
	Say    func(context.Context, outbox.Message)
	Log    *slog.Logger
	Now    func() time.Time
	Limits Limits // DefaultLimits when zero
}

// A Service carries out what consumers ask for. Its methods may be called from any
// goroutine.
type Service struct {
	Config
	places chan struct{} // of those that are carried out at this moment

	mu       sync.Mutex
	of       map[string]*bucket // by consumer
	all      bucket
	answered map[string]time.Time // when a consumer was told last that it asks too much
	done     map[string]remembered
	noted    map[string]*minute // by actor
}

// New returns a service.
func New(c Config) *Service {
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{Config: c, places: make(chan struct{}, c.Limits.AtOnce), of: map[string]*bucket{}, answered: map[string]time.Time{},
		done: map[string]remembered{}, noted: map[string]*minute{}}
}

// Ask carries out a wish, answers on pub/do/{consumer}, and returns that answer. The error
// is a *[Refusal] if it was not carried out.
func (s *Service) Ask(ctx context.Context, w Wish) (topics.DoAnswer, error) {
	t, parsed := topics.ParseBelow(w.Below)
	a := topics.DoAnswer{Host: t.Host, Action: string(t.Action), Jobs: []topics.JobID{}, At: s.Now().UTC().Format(time.RFC3339)}
	if parsed != nil {
		a.Host, a.Action = named(w.Below)
	}
	key := w.Consumer + "\x00" + w.Below + "\x00" + string(w.Payload)
	if was, ok := s.before(w, key); ok {
		s.answer(ctx, w, was)
		return was, nil
	}
	var did deed
	var err error
	if !w.Excess {
		did, err = s.carry(ctx, w, t, parsed)
	} else if _, err = s.who(ctx, w); err != nil {
		return a, err // whoever makes up a name in a loop leaves nothing behind
	} else {
		err = tooMany()
	}
	a.OK, a.Text, a.Jobs = err == nil, did.text, append(a.Jobs, did.jobs...)
	if err == nil {
		s.remember(key, a)
		s.answer(ctx, w, a)
		return a, nil
	}
	r := refusalOf(err)
	a.Cause, a.Text = r.Cause, r.Text
	if n := len(a.Jobs); n > 0 {
		a.Text = fmt.Sprintf("%d of the jobs were asked for, the others not. %s", n, r.Text)
	}
	s.refused(ctx, w, a, r)
	if !r.unknown && (r.Cause != CauseTooMany || s.maySay(w.Consumer)) {
		s.answer(ctx, w, a)
	}
	return a, r
}

// A deed is what was done, in words, and the jobs it is about.
type deed struct {
	text string
	jobs []topics.JobID
}

// named is what a topic that is none of ours seems to be about.
func named(below string) (topics.HostID, string) {
	parts := strings.Split(below, "/")
	n := len(parts)
	if n != 3 && n != 4 { // with the consumer's name before the host
		return "", ""
	}
	short := func(s string) string {
		r := []rune(words.Visible(s))
		return string(r[:min(len(r), 40)])
	}
	return topics.HostID(short(parts[n-2])), short(parts[n-1])
}

// A caller is who asks, as they are at this moment.
type caller struct {
	actor jobs.Actor
	tags  []string // of the hosts it reaches; none is all
	reach func(hostTags []string) bool
}

func (s *Service) who(ctx context.Context, w Wish) (caller, error) {
	if w.Consumer == External {
		return caller{actor: jobs.Actor{Name: Actor(External), Role: rights.Consumer}, reach: func([]string) bool { return true }}, nil
	}
	u, err := s.Store.MQTTUser(ctx, w.Consumer)
	if errors.Is(err, store.ErrNotFound) {
		return caller{}, &Refusal{Cause: CauseNotAllowed, Class: ErrNotAllowed, unknown: true, Text: "There is no such consumer."}
	}
	return caller{actor: jobs.Actor{Name: Actor(u.Name), Role: u.Acts()}, tags: u.Tags, reach: u.Reaches}, err
}

// needs are the rights that actions take.
var needs = map[topics.Action]rights.Right{
	topics.ActionBackup: rights.Backup,
	topics.ActionCheck:  rights.Check,
	topics.ActionCancel: rights.Cancel,
	topics.ActionPause:  rights.Run,
	topics.ActionResume: rights.Run,
}

// carry carries a wish out. With an error, a deed is what was done all the same.
func (s *Service) carry(ctx context.Context, w Wish, t topics.Topic, parsed error) (deed, error) {
	leave, err := s.admit(ctx, w.Consumer)
	if err != nil {
		return deed{}, err
	}
	defer leave()
	c, err := s.who(ctx, w)
	switch {
	case err != nil:
		return deed{}, err
	case w.Denied || !rights.May(c.actor.Role, rights.Run):
		return deed{}, notAllowed()
	case w.Retained:
		return deed{}, &Refusal{Cause: CauseRetained, Class: ErrNotAllowed, Text: "It was sent with the retain flag. " +
			"A command that a broker keeps would be carried out again and again, so none is. Send it without."}
	case parsed != nil || !w.commands(t):
		return deed{}, &Refusal{Cause: CauseNoTopic, Class: ErrNoTopic, Text: "Nothing is asked for on this topic. " +
			"They are do/HOST/ACTION, with the host's ID and one of " + actions() + "."}
	case !rights.May(c.actor.Role, needs[t.Action]):
		return deed{}, notAllowed()
	}
	h, err := s.Store.Host(ctx, t.Host)
	if errors.Is(err, store.ErrNotFound) || err == nil && !c.reach(h.Tags) {
		return deed{}, noHost(c)
	} else if err != nil {
		return deed{}, err
	}
	o, err := parse(t.Action, w.Payload, s.Now())
	if err != nil {
		return deed{}, err
	}
	switch o.action {
	case topics.ActionBackup:
		return s.backup(ctx, c, h, o.groups)
	case topics.ActionCheck:
		return s.check(ctx, c, h)
	case topics.ActionCancel:
		return s.cancel(ctx, c, h)
	case topics.ActionPause:
		return s.pause(ctx, c, h, o.until)
	}
	return s.resume(ctx, c, h)
}

// commands reports whether a topic asks for something, of this consumer at this broker.
func (w Wish) commands(t topics.Topic) bool {
	return t.Kind == topics.KindDo || t.Kind == topics.KindConsumerDo && w.Outlet == outbox.Uplink && t.Consumer == w.Consumer
}

func actions() string {
	var all string
	list := topics.Actions()
	for i, a := range list {
		switch {
		case i == len(list)-1:
			all += " and "
		case i > 0:
			all += ", "
		}
		all += string(a)
	}
	return all
}

func (s *Service) answer(ctx context.Context, w Wish, a topics.DoAnswer) {
	if s.Say == nil {
		return
	}
	m := outbox.Of(topics.Topic{Kind: topics.KindDoAnswer, Consumer: w.Consumer}, topics.Encode(a), 1, false)
	m.Outlet = w.Outlet
	s.Say(ctx, m)
}

// A remembered is an answer to something that was carried out.
type remembered struct {
	a  topics.DoAnswer
	at time.Time
}

// redelivered is for how long a message that says it may have been heard before is taken
// for one that was; kept is how many are remembered.
const (
	redelivered = time.Minute
	kept        = 1000
)

// before returns the answer to a wish that was carried out already: the same message
// comes again because its acknowledgement was lost.
func (s *Service) before(w Wish, key string) (topics.DoAnswer, bool) {
	if !w.Again {
		return topics.DoAnswer{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.done[key]
	return was.a, ok && s.Now().Sub(was.at) < redelivered
}

func (s *Service) remember(key string, a topics.DoAnswer) {
	a.Jobs = slices.Clone(a.Jobs)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	if len(s.done) >= kept {
		for k, was := range s.done {
			if now.Sub(was.at) >= redelivered {
				delete(s.done, k)
			}
		}
	}
	if len(s.done) >= kept {
		clear(s.done)
	}
	s.done[key] = remembered{a, now}
}
