package uplink

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/store/uplinks"
	"github.com/restic-manager/restic-manager/topics"
)

// inboxSize is how many messages wait that came; what does not fit is dropped and counted.
const inboxSize = 64

// A session is one connection with the present broker.
type session struct {
	s     *Service
	set   Settings
	place uplinks.Place
	conn  *conn
	inbox chan message

	sweeping atomic.Pointer[sweep] // while the broker is looked at for what nobody knows of

	availability string          // full names of topics
	births       []string        // where a Home Assistant says that it is there
	devices      string          // below it are the devices that it is told of
	known        map[string]bool // what is retained there, or may be; written under the service's mu, by Follow's goroutine alone
	expected     int             // how many retained topics there are at the beginning
	said         int             // how many of what is retained were said
	bucket       bucket          // of commands
}

// session connects and says what there is to say until the connection ends, which is its
// error, the settings are others, or ctx ends.
func (s *Service) session(ctx context.Context, set Settings) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	s.cancel = cancel
	s.mu.Unlock()
	prefix := s.Prefix(ctx)
	changes, stop := context.WithCancel(ctx)
	defer stop()
	go s.changes(changes, set, prefix, cancel)

	place, err := s.place(ctx, set)
	if err != nil {
		return err
	}
	e := &session{s: s, set: set, place: place, inbox: make(chan message, inboxSize), bucket: newBucket(s.moment),
		availability: set.Root + "/" + topics.Topic{Kind: topics.KindPlaneAvailability}.Below(), births: births(prefix),
		devices: prefix + "/device/"}
	// What may be retained there is written down before the connection is made: the broker
	// may say the will at any moment.
	if err := e.reconcile(ctx); err != nil {
		return err
	}
	e.conn, err = dial(ctx, set.access, &will{e.availability, topics.Offline}, s.timing, e.received)
	if err != nil {
		return cause(ctx, err)
	}
	if place.Access != set.access {
		place.Access = set.access
		if err := s.Store.ReachUplinkPlace(ctx, place); err != nil && ctx.Err() == nil {
			s.Log.Warn("how the uplink is reached cannot be written down, for the day on which it is left", "err", err)
		}
	}
	err = cause(ctx, e.run(ctx))
	if ctx.Err() != nil {
		e.farewell(ctx)
		return err
	}
	e.conn.close()
	s.mu.Lock()
	if s.lost == nil {
		s.lost = map[string]time.Time{}
	}
	s.lost[place.Address] = s.moment()
	s.mu.Unlock()
	return err
}

// cause is why a context ended, if it did.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// changes ends a session when what it depends on is another. It takes the stirs meanwhile.
func (s *Service) changes(ctx context.Context, set Settings, prefix string, cancel context.CancelCauseFunc) {
	look := time.NewTicker(s.timing.Look)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C: // the usual prefix is said elsewhere
			if now := s.Prefix(ctx); now != prefix && ctx.Err() == nil {
				cancel(errChanged)
				return
			}
			continue
		case <-s.again:
		}
		now, err := s.Settings(ctx)
		if err != nil || same(now, set) {
			if err == nil {
				s.mu.Lock()
				s.set = now
				s.mu.Unlock()
			}
			continue
		}
		cancel(errChanged)
		return
	}
}

func same(x, y Settings) bool {
	a, b := x.access, y.access
	a.Unread, b.Unread = nil, nil
	return a == b && x.Prefix == y.Prefix && x.Root == y.Root && x.heard() == y.heard()
}

// reconcile writes down what is going to be retained there.
func (e *session) reconcile(ctx context.Context) error {
	names, err := e.s.Store.UplinkTopics(ctx, e.place.ID)
	if err != nil {
		return err
	}
	e.known = make(map[string]bool, len(names))
	for _, n := range names {
		e.known[n] = true
	}
	wanted := e.wanted()
	e.expected = len(wanted) - 1 // our availability is said by ourselves
	return e.note(ctx, wanted)
}

// wanted lists what is to be retained there, by full names.
func (e *session) wanted() []string {
	list := []string{e.availability}
	if e.s.Source == nil {
		return list
	}
	for _, below := range e.s.Source.Retained(outbox.Uplink, func(string) bool { return true }) {
		if name := (outbox.Message{Topic: below}).Name(e.set.Root); name != e.availability {
			list = append(list, name)
		}
	}
	return list
}

// note writes down that topics may be retained there from now on.
func (e *session) note(ctx context.Context, names []string) error {
	fresh := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return e.known[n] })
	if len(fresh) == 0 {
		return nil
	}
	slices.Sort(fresh)
	if err := e.s.Store.AddUplinkTopics(ctx, e.place.ID, fresh); err != nil {
		return err
	}
	e.know(true, fresh)
	return nil
}

// know notes in memory what is retained there, or is not any more.
func (e *session) know(there bool, names []string) {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	for _, n := range names {
		if there {
			e.known[n] = true
		} else {
			delete(e.known, n)
		}
	}
	e.s.now.Topics = len(e.known)
}

// run works on a connection that was made.
func (e *session) run(ctx context.Context) error {
	s := e.s
	s.mu.Lock()
	s.now.Connected, s.now.Since, s.now.Error, s.now.Remedy = true, s.moment().UnixMilli(), "", ""
	s.now.Behind, s.now.Heard, s.now.Warnings = true, false, nil
	s.now.Connects++
	s.known, s.now.Topics = e.known, len(e.known)
	s.mu.Unlock()
	s.Log.Info("connected with the uplink", "broker", e.set.URL, "root", e.set.Root)
	s.tell()

	if err := e.listen(ctx); err != nil {
		return err
	}
	if err := e.conn.publish(ctx, e.availability, []byte(topics.Online), 1, true); err != nil {
		return err
	}
	if err := e.clearStale(ctx); err != nil {
		return err
	}
	if err := e.sweepOnce(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.hear(gctx) })
	g.Go(func() error {
		if s.Source == nil {
			<-gctx.Done()
			return nil
		}
		if e.expected == 0 {
			e.caughtUp()
		}
		err := s.Source.Follow(gctx, outbox.Uplink, outbox.Link{Send: e.send, Flush: e.flush})
		if err == nil && gctx.Err() == nil || errors.Is(err, outbox.ErrShut) {
			err = errChanged
		}
		return err
	})
	g.Go(func() error { // a connection that is idle ends, too
		select {
		case <-gctx.Done():
			return nil
		case <-e.conn.lost:
			return e.conn.failed(errLost)
		}
	})
	return g.Wait()
}

// births are where a Home Assistant says that it is there: below the prefix of discovery, and
// where it does unless told otherwise, which another prefix does not change.
func births(prefix string) []string {
	return slices.Compact([]string{prefix + "/status", topics.HomeAssistantStatus})
}

// listen subscribes. What the broker refuses is a warning: what is said goes out without.
func (e *session) listen(ctx context.Context) error {
	filters := []struct{ filter, lacks string }{
		{e.availability, "so nobody knows whether it passes on what it takes"},
		{e.births[0], "so Home Assistant gets its devices only from what is retained there, and not when it starts"},
	}
	for _, usual := range e.births[1:] { // without that, too, it may be heard
		filters = append(filters, struct{ filter, lacks string }{filter: usual})
	}
	switch e.set.heard() {
	case External:
		filters = append(filters, struct{ filter, lacks string }{e.set.Root + "/do/+/+", "so no command is heard"})
	case ByConsumer:
		filters = append(filters, struct{ filter, lacks string }{e.set.Root + "/do/+/+/+", "so no command is heard"})
	case Off:
	}
	for _, f := range filters {
		refused, err := e.conn.subscribe(ctx, f.filter, 1)
		if err != nil {
			return err
		}
		if refused && f.lacks != "" {
			e.warn("The broker does not let us read " + f.filter + ", " + f.lacks + ". Give our user the right to read it there.")
		}
	}
	if e.set.Commands == ByConsumer && !e.set.Tested {
		e.warn("Commands of consumers are not heard: for this broker, user and root no test has shown that one consumer cannot write another's " +
			"topic. Run the test with a second account.")
	}
	return nil
}

func (e *session) warn(text string) {
	e.s.mu.Lock()
	if !slices.Contains(e.s.now.Warnings, text) {
		e.s.now.Warnings = append(e.s.now.Warnings, text)
	}
	e.s.mu.Unlock()
	e.s.Log.Warn("uplink: " + text)
	e.s.tell()
}

// clearStale clears what is retained there and is not to be: of another root or prefix, or
// of what went while we were away for long.
func (e *session) clearStale(ctx context.Context) error {
	wanted := map[string]bool{}
	for _, n := range e.wanted() {
		wanted[n] = true
	}
	stale := []string{}
	for n := range e.known {
		if !wanted[n] {
			stale = append(stale, n)
		}
	}
	if len(stale) == 0 {
		return nil
	}
	slices.Sort(stale)
	if err := clearAt(ctx, e.s.Store, e.conn, e.place.ID, stale); err != nil {
		return err
	}
	e.know(false, stale)
	return nil
}

// send is the outbox's way to the broker.
func (e *session) send(ctx context.Context, topic string, payload []byte, qos byte, retain bool) error {
	if topic == e.availability {
		return nil // it is ours: online as long as the connection, and its will after that
	}
	if retain && len(payload) > 0 && !e.known[topic] {
		// One that is new is mostly one of many: all of them are written at once.
		if err := e.note(ctx, append(e.wanted(), topic)); err != nil {
			e.s.Log.Warn("what is retained at the uplink cannot be written down", "err", err)
		}
	}
	if err := e.conn.publish(ctx, topic, payload, qos, retain); err != nil {
		return err
	}
	if retain {
		e.said++
	}
	e.s.mu.Lock()
	e.s.now.Published++
	e.s.mu.Unlock()
	return nil
}

func (e *session) flush(ctx context.Context) error {
	if err := e.conn.flush(ctx); err != nil {
		return err
	}
	if e.said >= e.expected {
		e.caughtUp()
	}
	return nil
}

// caughtUp notes that everything was said once over this connection.
func (e *session) caughtUp() {
	e.s.mu.Lock()
	behind := e.s.now.Behind
	e.s.now.Behind = false
	e.s.mu.Unlock()
	if behind {
		e.s.tell()
	}
}

// received runs on the connection's reader.
func (e *session) received(m message) {
	if e.sees(m) {
		return
	}
	select {
	case e.inbox <- m:
	default:
		e.s.refused()
	}
}

func (s *Service) refused() {
	s.mu.Lock()
	s.now.Refused++
	s.mu.Unlock()
}

// hear does what messages ask for, and notices when our own do not come back.
func (e *session) hear(ctx context.Context) error {
	heard := time.NewTimer(e.s.timing.Heard)
	defer heard.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-heard.C:
			if !e.s.Status().Heard {
				e.warn("The broker confirms what it is given, and does not give it back: it may drop it silently. Give our user the right to " +
					"write and to read below " + e.set.Root + "/, and run the test.")
			}
		case m := <-e.inbox:
			switch {
			case m.topic == e.availability:
				if err := e.available(ctx, m); err != nil {
					return err
				}
			case slices.Contains(e.births, m.topic):
				if !m.retained && string(bytes.TrimSpace(m.payload)) == topics.Online {
					e.s.births.tell()
				}
			default:
				e.command(ctx, m)
			}
		}
	}
}

// available hears what the broker says of ourselves: that it passes on what it takes, or the
// will of a connection before this one, which it took for alive until now.
func (e *session) available(ctx context.Context, m message) error {
	if m.retained { // of before this connection: ours follows
		return nil
	}
	if string(m.payload) == topics.Online {
		e.s.mu.Lock()
		was := e.s.now.Heard
		e.s.now.Heard = true
		e.s.now.Warnings = slices.DeleteFunc(e.s.now.Warnings, func(w string) bool { return strings.HasPrefix(w, "The broker confirms what") })
		e.s.mu.Unlock()
		if !was {
			e.s.tell()
		}
		return nil
	}
	return e.conn.publish(ctx, e.availability, []byte(topics.Online), 1, true)
}

// command has a command carried out, or answered: what it cannot be is for whoever does it.
func (e *session) command(ctx context.Context, m message) {
	below, ours := strings.CutPrefix(m.topic, e.set.Root+"/")
	parts := strings.Split(below, "/")
	level := map[Commands]int{External: 3, ByConsumer: 4}[e.set.heard()]
	if !ours || parts[0] != "do" || len(parts) != level || e.s.Do == nil || tried(parts) {
		return
	}
	w := Wish{Below: below, Payload: m.payload, Retained: m.retained, Again: m.again}
	if level == 4 {
		w.Consumer = parts[1]
	}
	if !e.bucket.take() {
		e.s.refused()
		e.warn("More commands came than are carried out, one every two seconds and twenty at once; the others were dropped.")
		w.Excess = true
		_ = e.s.Do(ctx, w) // it says itself that it is too much
		return
	}
	e.s.mu.Lock()
	e.s.now.Received++
	e.s.mu.Unlock()
	if err := e.s.Do(ctx, w); err != nil {
		e.s.refused()
		e.s.Log.Warn("a command that came over the uplink was not carried out", "topic", m.topic, "err", err)
	}
}

// farewell says that we are gone, and leaves.
func (e *session) farewell(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.s.timing.Farewell)
	defer cancel()
	err := e.conn.publish(last, e.availability, []byte(topics.Offline), 1, true)
	if err == nil {
		err = e.conn.flush(last)
	}
	if err != nil {
		e.conn.close()
		return
	}
	e.conn.leave()
	e.s.mu.Lock()
	e.s.now.Connected, e.s.now.Since, e.s.now.Heard = false, e.s.moment().UnixMilli(), false
	e.s.mu.Unlock()
}
