package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store"
	rows "github.com/restic-manager/restic-manager/store/outbox"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// A clock is set by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// An ear is a broker: what it was told, and what it retains.
type ear struct {
	mu       sync.Mutex
	said     []string // topic=payload, with the QoS before it
	retained map[string]string
	broken   error
	deaf     chan struct{} // until it is closed, nothing is taken
}

func (e *ear) link() Link { return Link{Send: e.send} }

func (e *ear) send(ctx context.Context, topic string, payload []byte, qos byte, retain bool) error {
	e.mu.Lock()
	deaf := e.deaf
	e.mu.Unlock()
	if deaf != nil {
		select {
		case <-deaf:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken != nil {
		return e.broken
	}
	e.said = append(e.said, fmt.Sprintf("%d %s=%s", qos, topic, payload))
	if e.retained == nil {
		e.retained = map[string]string{}
	}
	if retain && len(payload) == 0 {
		delete(e.retained, topic)
	} else if retain {
		e.retained[topic] = string(payload)
	}
	return nil
}

func (e *ear) heard() []string { e.mu.Lock(); defer e.mu.Unlock(); return slices.Clone(e.said) }

func (e *ear) last() string {
	list := e.heard()
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1]
}

func (e *ear) count(text string) (n int) {
	for _, s := range e.heard() {
		if strings.Contains(s, text) {
			n++
		}
	}
	return n
}

func (e *ear) retains(topic string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.retained[topic]
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func quick() Timing {
	t := DefaultTiming()
	t.Look = 5 * time.Millisecond
	return t
}

type ending = func(context.Context, topics.JobID) (Message, bool, error)

func boxOf(t *testing.T, r rows.Rows, c *clock, ended ending) *Box {
	t.Helper()
	if ended == nil {
		ended = func(context.Context, topics.JobID) (Message, bool, error) { return Message{}, false, nil }
	}
	b, err := New(t.Context(), Config{Rows: r, Log: slog.New(slog.DiscardHandler), Timing: quick(), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	b.OnEnded(ended)
	if err := b.Open(t.Context(), Dialect{Outlet: Public, Root: "rm/v1"}); err != nil {
		t.Fatal(err)
	}
	return b
}

// following runs a function until the test, or the one that is returned, ends it.
func following(t *testing.T, run func(context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func follow(t *testing.T, b *Box, name Outlet, l Link) (stop func() error) {
	t.Helper()
	return following(t, func(ctx context.Context) error { return b.Follow(ctx, name, l) })
}

func retained(topic, payload string) Message {
	return Message{Topic: topic, Payload: []byte(payload), QoS: 1, Retain: true}
}

// TestAnOutletGetsEverythingAndThenWhatChanges: after each connection, at most what it was
// put last, and nothing of another outlet.
func TestAnOutletGetsEverythingAndThenWhatChanges(t *testing.T) {
	s := storetest.Open(t, store.Open)
	c := &clock{t: time.Now()}
	b := boxOf(t, s.Outbox(), c, nil)
	ctx := t.Context()
	b.Put(ctx, retained("pub/a", "1"), retained("pub/b", "1"),
		Message{Outlet: Uplink, Topic: "pub/c", Payload: []byte("no"), QoS: 1, Retain: true},
		Message{Outlet: Public, Topic: "/homeassistant/x/config", Payload: []byte("{}"), QoS: 1, Retain: true})
	b.Put(ctx, retained("pub/a", "2"), retained("pub/b", "1"))
	e := &ear{}
	stop := follow(t, b, Public, e.link())
	await(t, "the last of it", func() bool { return e.count("pub/a=2") == 1 })
	b.Put(ctx, retained("pub/b", "2"))
	await(t, "the change", func() bool { return e.count("pub/b=2") == 1 })
	want := []string{"1 rm/v1/pub/b=1", "1 homeassistant/x/config={}", "1 rm/v1/pub/a=2", "1 rm/v1/pub/b=2"}
	if got := e.heard(); !slices.Equal(got, want) {
		t.Errorf("it was told\n%q, want\n%q", got, want)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	b.Put(ctx, retained("pub/a", "3"))
	b2 := boxOf(t, s.Outbox(), c, nil) // the control plane was started again
	b2.Put(ctx, retained("pub/a", "3"), retained("pub/b", "2"))
	later := &ear{}
	follow(t, b2, Public, later.link())
	await(t, "all of it", func() bool { return later.count("pub/a=3") == 1 })
	if got := later.heard(); len(got) != 3 {
		t.Errorf("after a restart it was told %q", got)
	}
	if got, err := b2.Last(ctx, Both, "pub/a"); err != nil || string(got) != "3" {
		t.Errorf("the last of pub/a is %q, %v", got, err)
	}
}

// TestWhatIsWrittenCameFirst: nothing retained is sent that is not in the database.
func TestWhatIsWrittenCameFirst(t *testing.T) {
	s := storetest.Open(t, store.Open)
	b := boxOf(t, s.Outbox(), &clock{t: time.Now()}, nil)
	bad := make(chan string, 1)
	follow(t, b, Public, Link{Send: func(ctx context.Context, topic string, payload []byte, _ byte, _ bool) error {
		r, is, err := s.Outbox().At(ctx, "", strings.TrimPrefix(topic, "rm/v1/"))
		if err != nil || !is || r.Payload < string(payload) { // a later one may be there by now
			select {
			case bad <- fmt.Sprintf("%s=%s was sent; the database has %q, %v", topic, payload, r.Payload, err):
			default:
			}
		}
		return nil
	}})
	for i := range 300 {
		b.Put(t.Context(), retained("pub/a", fmt.Sprintf("%04d", i)))
	}
	limit, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	b.Settle(limit)
	select {
	case text := <-bad:
		t.Error(text)
	default:
	}
}

// TestWhatCannotBeWrittenIsSaidAllTheSame: the disk of the database is full.
func TestWhatCannotBeWrittenIsSaidAllTheSame(t *testing.T) {
	s := storetest.Open(t, store.Open)
	r := s.Outbox()
	var mu sync.Mutex
	full := true
	write := r.Tx
	r.Tx = func(ctx context.Context, f func(*sqlx.Tx) error) error {
		mu.Lock()
		defer mu.Unlock()
		if full {
			return errors.New("database or disk is full")
		}
		return write(ctx, f)
	}
	c := &clock{t: time.Now()}
	full = false
	b := boxOf(t, r, c, nil)
	b.Put(t.Context(), retained("pub/a", "1"), retained("pub/b", "1"))
	mu.Lock()
	full = true
	mu.Unlock()
	e := &ear{}
	follow(t, b, Public, e.link())
	await(t, "what was written", func() bool { return e.retains("rm/v1/pub/b") == "1" })
	b.Put(t.Context(), retained("pub/a", "2"), Message{Topic: "pub/do/me", Payload: []byte("done"), QoS: 1})
	await(t, "what was not", func() bool { return e.retains("rm/v1/pub/a") == "2" })
	await(t, "what is said once", func() bool { return e.count("1 rm/v1/pub/do/me=done") == 1 })
	late := &ear{}
	follow(t, b, Public, late.link()) // another connection has it, too
	await(t, "both", func() bool { return late.retains("rm/v1/pub/a") == "2" && late.retains("rm/v1/pub/b") == "1" })
	if got, err := b.Last(t.Context(), Both, "pub/a"); err != nil || string(got) != "2" {
		t.Errorf("the last of pub/a is %q, %v", got, err)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	following(t, b.Run)
	await(t, "it to be written", func() bool {
		row, _, err := s.Outbox().At(t.Context(), "", "pub/a")
		return err == nil && row.Payload == "2"
	})
}

// TestWhatIsClearedIsClearedAtAnOutletThatWasAway, and forgotten once nobody needs it.
func TestWhatIsClearedIsClearedAtAnOutletThatWasAway(t *testing.T) {
	s := storetest.Open(t, store.Open)
	c := &clock{t: time.Now()}
	b := boxOf(t, s.Outbox(), c, nil)
	ctx := t.Context()
	if err := b.Open(ctx, Dialect{Outlet: Uplink, Root: "mine"}); err != nil {
		t.Fatal(err)
	}
	up, public := &ear{}, &ear{}
	stop := follow(t, b, Uplink, up.link())
	follow(t, b, Public, public.link())
	b.Put(ctx, retained("pub/a", "1"), retained("pub/b", "1"))
	await(t, "it to be there", func() bool { return up.retains("mine/pub/b") == "1" && public.retains("rm/v1/pub/b") == "1" })
	if err := stop(); err != nil {
		t.Error(err)
	}
	b.Put(ctx, Cleared(Both, "pub/a"))
	await(t, "it to be cleared where somebody is", func() bool { return public.retains("rm/v1/pub/a") == "" })
	known := func() bool {
		row, is, err := s.Outbox().At(ctx, "", "pub/a")
		return err == nil && is && row.Cleared()
	}
	for _, later := range []time.Duration{time.Minute, 25 * time.Hour, 48 * time.Hour} {
		c.add(later)
		b.tidy(ctx)
		if !known() {
			t.Fatalf("%s later it is forgotten that a topic is to be cleared at a broker that is away", later)
		}
	}
	if b.Has(Public, "pub/a") || !b.Has(Public, "pub/b") || len(b.Retained(Public, func(string) bool { return true })) != 1 {
		t.Error("a topic that was cleared counts as retained")
	}
	follow(t, b, Uplink, up.link())
	await(t, "it to be cleared there", func() bool { return up.retains("mine/pub/a") == "" })
	await(t, "it to be forgotten", func() bool { b.tidy(ctx); return !known() })

	if err := stop(); err != nil {
		t.Error(err)
	}
	b.Put(ctx, Cleared(Both, "pub/b"))
	c.add(-365 * 24 * time.Hour) // the clock was set back
	b.tidy(ctx)
	c.add(8 * 24 * time.Hour)
	b.tidy(ctx)
	if _, is, err := s.Outbox().At(ctx, "", "pub/b"); err != nil || is {
		t.Errorf("after eight days of a clock that was set back it is still there, %v", err)
	}
}

// TestWhatWasClearedIsClearedAgainAfterAStart: who was connected to the public broker before
// it is back after it.
func TestWhatWasClearedIsClearedAgainAfterAStart(t *testing.T) {
	s := storetest.Open(t, store.Open)
	c := &clock{t: time.Now()}
	first := boxOf(t, s.Outbox(), c, nil)
	first.Put(t.Context(), retained("pub/a", "1"))
	first.Put(t.Context(), Cleared(Both, "pub/a"))
	b, e := boxOf(t, s.Outbox(), c, nil), &ear{}
	l := e.link()
	l.Heard = func() bool { return true }
	follow(t, b, Public, l)
	for n := 1; n <= 5; n++ {
		await(t, fmt.Sprint("time ", n), func() bool { c.add(time.Second); return e.count("pub/a=") >= n })
	}
	if since := c.now().Sub(b.began); since > quick().Again {
		t.Errorf("it was cleared five times within %s", since)
	}
	c.add(quick().Again)
	n := e.count("pub/a=")
	c.add(time.Hour)
	b.Put(t.Context(), retained("pub/z", "1"))
	await(t, "the end", func() bool { return e.retains("rm/v1/pub/z") == "1" })
	if m := e.count("pub/a="); m != n {
		t.Errorf("an hour after the start it was cleared again: %d times, and %d", n, m)
	}
}

// TestWhatIsSaidOnceIsSaidToEachOutletOnce, whenever that comes, and an outlet that is used
// later hears nothing of before.
func TestWhatIsSaidOnceIsSaidToEachOutletOnce(t *testing.T) {
	s := storetest.Open(t, store.Open)
	c := &clock{t: time.Now()}
	ctx := t.Context()
	b := boxOf(t, s.Outbox(), c, nil)
	once := func(what string) Message { return Message{Topic: "pub/once", Payload: []byte(what), QoS: 1} }
	b.Put(ctx, once("one"))
	if err := b.Open(ctx, Dialect{Outlet: Uplink, Root: "mine"}); err != nil {
		t.Fatal(err)
	}
	b.Put(ctx, once("two"))
	public, up := &ear{}, &ear{}
	follow(t, b, Public, public.link())
	await(t, "both", func() bool { return public.last() == "1 rm/v1/pub/once=two" })
	if got := public.heard(); len(got) != 2 {
		t.Errorf("it was told %q", got)
	}
	waiting := func() int {
		n, err := s.Outbox().Count(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	await(t, "what is left for the other", func() bool { return waiting() == 1 })

	again := boxOf(t, s.Outbox(), c, nil) // started again, and told of the uplink only then
	if err := again.Open(ctx, Dialect{Outlet: Uplink, Root: "mine"}); err != nil {
		t.Fatal(err)
	}
	follow(t, again, Uplink, up.link())
	await(t, "the other to hear it", func() bool { return up.last() == "1 mine/pub/once=two" })
	await(t, "nothing to be left", func() bool { return waiting() == 0 })
	if got := up.heard(); len(got) != 1 {
		t.Errorf("the outlet that was used later was told %q", got)
	}
}

// TestAnEndIsTheLastThatIsSaidOfAJob: no progress comes after it.
func TestAnEndIsTheLastThatIsSaidOfAJob(t *testing.T) {
	s := storetest.Open(t, store.Open)
	ctx := t.Context()
	topic := "pub/host/attic-0001/job/job-000001"
	b := boxOf(t, s.Outbox(), &clock{t: time.Now()}, func(_ context.Context, id topics.JobID) (Message, bool, error) {
		return Message{Topic: topic, Payload: []byte("end of " + id), QoS: 1}, id != "job-000002", nil
	})
	e := &ear{deaf: make(chan struct{})}
	follow(t, b, Public, e.link())
	await(t, "it to follow", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.followers) == 1 })
	for i := range 3 {
		b.Say(Message{Topic: topic, Payload: fmt.Append(nil, i)})
	}
	for _, id := range []topics.JobID{"job-000002", "job-000001"} {
		if err := s.Outbox().Tx(ctx, func(tx *sqlx.Tx) error { return rows.Ended(ctx, tx, id, s.Now()) }); err != nil {
			t.Fatal(err)
		}
	}
	close(e.deaf)
	await(t, "the end", func() bool { return e.last() == "1 "+"rm/v1/"+topic+"=end of job-000001" })
	b.Say(Message{Topic: topic, Payload: []byte("late")})
	b.Put(ctx, retained("pub/z", "1"))
	await(t, "what follows", func() bool { return e.retains("rm/v1/pub/z") == "1" })
	if got := e.heard(); len(got) != 5 || got[0] != "0 rm/v1/"+topic+"=0" {
		t.Errorf("it was told %q", got)
	}
}

// TestAnOutletThatTakesNothingHoldsUpNobody: what does not fit of progress is dropped, and
// what is retained comes later.
func TestAnOutletThatTakesNothingHoldsUpNobody(t *testing.T) {
	s := storetest.Open(t, store.Open)
	ctx := t.Context()
	b := boxOf(t, s.Outbox(), &clock{t: time.Now()}, nil)
	if err := b.Open(ctx, Dialect{Outlet: Uplink, Root: "mine"}); err != nil {
		t.Fatal(err)
	}
	dead, e := &ear{deaf: make(chan struct{})}, &ear{}
	follow(t, b, Uplink, dead.link())
	follow(t, b, Public, e.link())
	for i := range 50 {
		b.Put(ctx, retained("pub/a", fmt.Sprint(i)))
		for range 100 {
			b.Say(Message{Topic: "pub/p", Payload: []byte("x")})
		}
	}
	await(t, "the others to have it", func() bool { return e.retains("rm/v1/pub/a") == "49" })
	close(dead.deaf)
	await(t, "it to have the last", func() bool { return dead.retains("mine/pub/a") == "49" })
	if n := dead.count("pub/a="); n > 2 {
		t.Errorf("of 50 changes it was told %d", n)
	}
}

// TestALinkThatBreaksEndsFollowing, and an outlet that is spoken to in another way is
// followed anew.
func TestALinkThatBreaksEndsFollowing(t *testing.T) {
	s := storetest.Open(t, store.Open)
	b := boxOf(t, s.Outbox(), &clock{t: time.Now()}, nil)
	broken := errors.New("the connection is over")
	b.Put(t.Context(), retained("pub/a", "1"))
	if err := b.Follow(t.Context(), Public, (&ear{broken: broken}).link()); !errors.Is(err, broken) {
		t.Errorf("of a link that breaks: %v", err)
	}
	if err := b.Follow(t.Context(), Uplink, (&ear{}).link()); !errors.Is(err, ErrShut) {
		t.Errorf("of an outlet that is not used: %v", err)
	}
	ended, e := make(chan error, 1), &ear{}
	go func() { ended <- b.Follow(t.Context(), Public, e.link()) }()
	await(t, "it to follow", func() bool { return e.retains("rm/v1/pub/a") == "1" })
	rang := 0
	b.OnDialects(func() { rang++ })
	if err := b.Open(t.Context(), Dialect{Outlet: Public, Root: "other"}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrShut) || rang != 1 || b.Dialects()[0].Root != "other" {
		t.Errorf("after another root: %v, told %d times, %v", err, rang, b.Dialects())
	}
	follow(t, b, Public, e.link())
	await(t, "all below the other root", func() bool { return e.retains("other/pub/a") == "1" })
}

// TestWhatWaitedIsSaidOnceSomebodyListens: after a start those who were connected before
// are given time to come back.
func TestWhatWaitedIsSaidOnceSomebodyListens(t *testing.T) {
	s := storetest.Open(t, store.Open)
	c := &clock{t: time.Now()}
	boxOf(t, s.Outbox(), c, nil).Put(t.Context(), Message{Topic: "pub/once", Payload: []byte("one"), QoS: 1})
	b, e := boxOf(t, s.Outbox(), c, nil), &ear{}
	var mu sync.Mutex
	listens := false
	l := e.link()
	l.Heard = func() bool { mu.Lock(); defer mu.Unlock(); return listens }
	follow(t, b, Public, l)
	b.Put(t.Context(), retained("pub/a", "1"))
	await(t, "what is retained", func() bool { return e.retains("rm/v1/pub/a") == "1" })
	if e.count("once") > 0 {
		t.Error("it was said though nobody listens")
	}
	mu.Lock()
	listens = true
	mu.Unlock()
	await(t, "it to be said", func() bool { c.add(100 * time.Millisecond); return e.count("once=one") == 1 })
	if since := c.now().Sub(b.began); since < quick().Return || since >= quick().Nobody {
		t.Errorf("it was said %s after the start", since)
	}
}

// TestWhoIsKilledRepeatsTheLastAtMost: of what is said once. It is noted after each that it
// was said, so a control plane that dies between the two says that one again, and no other.
func TestWhoIsKilledRepeatsTheLastAtMost(t *testing.T) {
	s := storetest.Open(t, store.Open)
	c, ctx := &clock{t: time.Now()}, t.Context()
	const all = 9
	for i := range all {
		boxOf(t, s.Outbox(), c, nil).Put(ctx, Message{Topic: "pub/once", Payload: fmt.Append(nil, i), QoS: 1})
	}
	heard, killed := map[string]int{}, errors.New("killed")
	for range 4 {
		n := 0
		l := Link{
			Send: func(_ context.Context, _ string, payload []byte, _ byte, _ bool) error {
				n++
				heard[string(payload)]++
				return nil
			},
			Flush: func(context.Context) error { // it was sent, and is not noted yet
				if n == 3 {
					return killed
				}
				return nil
			},
		}
		if err := boxOf(t, s.Outbox(), c, nil).Follow(ctx, Public, l); !errors.Is(err, killed) {
			t.Fatal(err)
		}
	}
	e := &ear{}
	follow(t, boxOf(t, s.Outbox(), c, nil), Public, e.link())
	await(t, "the rest", func() bool { n, err := s.Outbox().Count(ctx); return err == nil && n == 0 })
	if got := e.heard(); !slices.Equal(got, []string{"1 rm/v1/pub/once=8"}) {
		t.Errorf("in the end it was told %q", got)
	}
	for i := range all {
		want := 1
		if i > 0 && i < 8 && i%2 == 0 {
			want = 2
		}
		if n := heard[fmt.Sprint(i)]; n != want {
			t.Errorf("%d was said %d times by those that were killed, want %d", i, n, want)
		}
	}
}
