package asking_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/asking"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/controlplane/pause"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// A world is a database with three hosts, and the service over it. No agent is there:
// what is asked for waits.
type world struct {
	*asking.Service
	t     *testing.T
	store *store.Store

	mu   sync.Mutex
	now  time.Time
	said []outbox.Message
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

const (
	attic  = topics.HostID("attic-0001")
	cellar = topics.HostID("cellar-001")
	keeper = topics.HostID("keeper-001")
)

func newWorld(t *testing.T) *world {
	s := storetest.Open(t, store.Open)
	w := &world{t: t, store: s, now: time.Now().Truncate(time.Second)}
	key := must(seal.NewKey())
	for i, id := range []topics.HostID{attic, cellar, keeper} {
		hash := sha256.Sum256([]byte{byte(i)})
		if err := s.AddEnrollToken(t.Context(), store.EnrollToken{ID: fmt.Sprintf("token-000%d", i), KeyHash: hash[:], CreatedBy: "test",
			ExpiresAt: s.Now() + 60_000}); err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(string(id), "-")
		must(s.Enroll(t.Context(), hash[:], store.Host{ID: id, SealKey: key.Public(), Hostname: name}))
	}
	for _, name := range []string{"vault", "barn"} {
		id := topics.RepositoryID(name + "-000001")
		if err := s.AddRepository(t.Context(), "test", store.Repository{ID: id, Name: name},
			store.RepositoryAccess{URL: topics.Secret("rest:http://" + name + "/"), Password: "correct horse"}); err != nil {
			t.Fatal(err)
		}
		if err := s.SlotStep(t.Context(), func(tx store.Slots) error {
			ctx, x := tx.Tx()
			return places.Found(ctx, x, id, attic, "", 1)
		}); err != nil {
			t.Fatal(err)
		}
	}
	for name, repository := range map[string]topics.RepositoryID{"letters": "vault-000001", "photos": "barn-000001"} {
		must(s.PutSourceGroup(t.Context(), "test", store.SourceGroup{ID: topics.SourceGroupID("group-" + name), Host: attic, Name: name,
			Repository: repository, Paths: store.List{"/" + name}}))
	}
	now := func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.now
	}
	engine := jobs.New(jobs.Config{Store: s, Key: key, Hub: jobs.NewHub(), Log: slog.New(slog.DiscardHandler), Timing: jobs.DefaultTiming(),
		Presence: hosts.NewPresence(hosts.DefaultTiming(), time.Now, must(s.Hosts(t.Context()))), Now: time.Now,
		Send: func(string, []byte) error { return nil }})
	w.Service = asking.New(asking.Config{Store: s, Jobs: engine, Pause: &pause.Service{Store: s, Now: now}, Now: now,
		Log: slog.New(slog.DiscardHandler),
		Say: func(_ context.Context, m outbox.Message) {
			w.mu.Lock()
			w.said = append(w.said, m)
			w.mu.Unlock()
		}})
	w.consumer("home", true)
	return w
}

func (w *world) consumer(name string, mayDo bool, tags ...string) {
	w.t.Helper()
	if err := w.store.AddMQTTUser(w.t.Context(), store.Maker{Name: "test"}, store.MQTTUser{Name: name, KeyHash: []byte(name), MayDo: mayDo,
		Tags: tags}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) tag(host topics.HostID, tags ...string) {
	w.t.Helper()
	must((&hosts.Settings{Store: w.store}).Put(w.t.Context(), "test", host, hosts.Input{Tags: &tags}))
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
}

// answers are what was said to a consumer since the last call.
func (w *world) answers(consumer string) (all []topics.DoAnswer) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.said {
		if m.Topic == "pub/do/"+consumer {
			if m.Retain || m.QoS != 1 {
				w.t.Errorf("an answer is sent as %+v", m)
			}
			all = append(all, must(topics.Decode[topics.DoAnswer](m.Payload)))
		}
	}
	w.said = nil
	return all
}

func (w *world) refusals() (out []store.AuditEntry) {
	w.t.Helper()
	for _, e := range must(w.store.AuditEntries(w.t.Context(), store.AuditFilter{}, 10_000)) {
		if e.Action == asking.Refused {
			out = append(out, e)
		}
	}
	return out
}

func (w *world) jobs(host topics.HostID) (all []string) {
	w.t.Helper()
	for _, j := range must(w.store.OpenJobs(w.t.Context(), host)) {
		all = append(all, string(j.Kind)+" "+string(j.Repository)+" "+j.RequestedBy)
	}
	slices.Sort(all)
	return all
}

func TestABackupIsOfAllGroupsOrOfThoseNamed(t *testing.T) {
	all := []string{"backup barn-000001 mqtt:home", "backup vault-000001 mqtt:home"}
	for payload, want := range map[string][]string{
		"":                             all,
		"PRESS":                        all,
		"{}":                           all,
		`{"groups":[]}`:                all,
		`{"groups":["photos"]}`:        all[:1],
		`{"groups":["group-letters"]}`: all[1:],
		`{"groups":["letters","photos","group-letters"]}`: all,
		` {"groups":["letters"]} `:                        all[1:],
		`{"groups":["nothing"]}`:                          nil,
		`{"groups":["photos","nothing"]}`:                 nil,
		`{"groups":[""]}`:                                 nil,
		`{"group":["photos"]}`:                            nil,
		`{"groups":"photos"}`:                             nil,
		`{"groups":["photos"]} x`:                         nil,
		`{"until":"2099-01-01T00:00:00Z"}`:                nil,
		"now":                                             nil,
		"ON":                                              nil,
		"null":                                            nil,
		`["photos"]`:                                      nil,
		"{\"groups\":[\"\xff\"]}":                         nil,
		`{"groups":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`: nil,
	} {
		w := newWorld(t)
		a, err := w.Ask(t.Context(), asking.Wish{Consumer: "home", Outlet: outbox.Public, Below: "do/attic-0001/backup",
			Payload: []byte(payload)})
		if got := w.jobs(attic); !slices.Equal(got, want) {
			t.Errorf("%q asks for %q, want %q", payload, got, want)
		}
		if (err == nil) != (want != nil) || a.OK != (err == nil) || len(a.Jobs) != len(want) || a.Text == "" || (a.Cause == "") != a.OK {
			t.Errorf("%q: %+v, %v", payload, a, err)
		}
		if said := w.answers("home"); len(said) != 1 || fmt.Sprint(said[0]) != fmt.Sprint(a) {
			t.Errorf("%q: it is answered %+v, want %+v", payload, said, a)
		}
		if entries := w.refusals(); len(entries) != map[bool]int{true: 0, false: 1}[a.OK] {
			t.Errorf("%q: in the audit log are %+v", payload, entries)
		}
	}
}

func TestTheSameBackupIsNotAskedForTwice(t *testing.T) {
	w := newWorld(t)
	ask := func(again bool) topics.DoAnswer {
		t.Helper()
		return must(w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: "do/attic-0001/backup", Again: again}))
	}
	first := ask(false)
	second := ask(false)
	if !slices.Equal(first.Jobs, second.Jobs) || len(second.Jobs) != 2 || !strings.Contains(second.Text, "already") {
		t.Errorf("first %+v, then %+v", first, second)
	}
	// It ran meanwhile; the message comes once more because its acknowledgement was lost.
	must(w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: "do/attic-0001/cancel"}))
	if again := ask(true); !slices.Equal(again.Jobs, first.Jobs) || len(w.jobs(attic)) != 0 {
		t.Errorf("again: %+v, and there are %q", again, w.jobs(attic))
	}
	w.pass(2 * time.Minute)
	if late := ask(true); slices.Equal(late.Jobs, first.Jobs) || len(w.jobs(attic)) != 2 {
		t.Errorf("long after: %+v, and there are %q", late, w.jobs(attic))
	}
}

func TestCancelEndsWhatWaits(t *testing.T) {
	w := newWorld(t)
	asked := must(w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: "do/attic-0001/backup"}))
	a := must(w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: "do/attic-0001/cancel"}))
	if !slices.Equal(a.Jobs, asked.Jobs) || len(w.jobs(attic)) != 0 {
		t.Errorf("asked for %v, cancelled %+v, left %q", asked.Jobs, a, w.jobs(attic))
	}
	if a := must(w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: "do/attic-0001/cancel"})); !a.OK || len(a.Jobs) != 0 {
		t.Errorf("nothing to cancel: %+v", a)
	}
}

func TestACheckIsOfTheHostsRepositoriesByWhoMay(t *testing.T) {
	w := newWorld(t)
	check := func(consumer string, host topics.HostID) (topics.DoAnswer, string) {
		a, err := w.Ask(t.Context(), asking.Wish{Consumer: consumer, Below: "do/" + string(host) + "/check"})
		var r *asking.Refusal
		if errors.As(err, &r) {
			return a, r.Cause
		}
		return a, ""
	}
	if _, cause := check("home", cellar); cause != asking.CauseNothing {
		t.Errorf("a host without repositories: %q", cause)
	}
	if a, cause := check("home", attic); cause != "" || len(a.Jobs) != 2 {
		t.Errorf("%+v %q", a, cause)
	}
	if got, want := w.jobs(attic), []string{"check barn-000001 mqtt:home", "check vault-000001 mqtt:home"}; !slices.Equal(got, want) {
		t.Errorf("asked for %q", got)
	}
	must(w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: "do/attic-0001/cancel"}))
	w.keeper("vault-000001", keeper)
	if a, cause := check("home", attic); cause != "" || len(a.Jobs) != 2 {
		t.Errorf("with a keeper: %+v %q", a, cause)
	}
	if got, want := w.jobs(keeper), []string{"check vault-000001 mqtt:home"}; !slices.Equal(got, want) {
		t.Errorf("the keeper is asked for %q", got)
	}
	if a, cause := check("home", keeper); cause != "" || len(a.Jobs) != 1 {
		t.Errorf("by the keeper's own topic: %+v %q", a, cause)
	}
	w.keeper("barn-000001", keeper)
	w.tag(attic, "home")
	w.consumer("tagged", true, "home")
	if a, cause := check("tagged", attic); cause != asking.CauseKeeper || strings.Contains(a.Text, "keeper") {
		t.Errorf("whose keeper is not among its hosts: %+v %q", a, cause)
	}
}

func (w *world) keeper(id topics.RepositoryID, host topics.HostID) {
	w.t.Helper()
	ctx := w.t.Context()
	r, a := must(w.store.Repository(ctx, id)), must(w.store.RepositoryAccess(ctx, id))
	r.Keeper = host
	if err := w.store.ChangeRepository(ctx, "test", r, a); err != nil {
		w.t.Fatal(err)
	}
}

func TestAPauseEndsWhenItIsSaid(t *testing.T) {
	w := newWorld(t)
	soon, day := w.now.Add(time.Hour).UTC(), w.now.Add(24*time.Hour)
	for _, c := range []struct {
		action, payload, cause string
		paused                 bool
		until                  time.Time
	}{
		{"pause", "ON", "", true, day},
		{"pause", "OFF", "", false, time.Time{}},
		{"pause", "", "", true, day},
		{"resume", "", "", false, time.Time{}},
		{"resume", "", "", false, time.Time{}},
		{"pause", `{"until":"` + soon.Format(time.RFC3339) + `"}`, "", true, soon},
		{"pause", `{"until":"` + w.now.Add(8*24*time.Hour).Format(time.RFC3339) + `"}`, asking.CauseBadPayload, true, soon},
		{"pause", `{"until":"2001-01-01T00:00:00Z"}`, asking.CauseBadPayload, true, soon},
		{"pause", `{"until":"tomorrow"}`, asking.CauseBadPayload, true, soon},
		{"pause", `{"groups":["letters"]}`, asking.CauseBadPayload, true, soon},
		{"pause", "on", asking.CauseBadPayload, true, soon},
		{"resume", "ON", asking.CauseBadPayload, true, soon},
		{"resume", "PRESS", "", false, time.Time{}},
	} {
		a, err := w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: "do/attic-0001/" + c.action, Payload: []byte(c.payload)})
		at, paused := time.Time{}, false
		if p, ok := must(w.store.Host(t.Context(), attic)).Paused(w.now.UnixMilli()); ok {
			at, paused = time.UnixMilli(p.Until), true
		}
		if a.Cause != c.cause || (err == nil) != (c.cause == "") || paused != c.paused || !at.Equal(c.until) {
			t.Errorf("%s %q: %+v, %v; paused: %t until %v", c.action, c.payload, a, err, paused, at)
		}
	}
}

func TestWhatIsNotCarriedOutSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.tag(attic, "home")
	w.consumer("reader", false)
	w.consumer("tagged", true, "home", "nowhere")
	w.consumer("other", true, "nowhere")
	for _, c := range []struct {
		why   string
		wish  asking.Wish
		cause string
		class error
	}{
		{"who may not", asking.Wish{Consumer: "reader", Below: "do/attic-0001/backup"}, asking.CauseNotAllowed, asking.ErrNotAllowed},
		{"what a broker refused", asking.Wish{Consumer: "home", Below: "do/attic-0001/backup", Denied: true}, asking.CauseNotAllowed,
			asking.ErrNotAllowed},
		{"one that was kept", asking.Wish{Consumer: "home", Below: "do/attic-0001/backup", Retained: true}, asking.CauseRetained,
			asking.ErrNotAllowed},
		{"an action that is none", asking.Wish{Consumer: "home", Below: "do/attic-0001/restore"}, asking.CauseNoTopic, asking.ErrNoTopic},
		{"a name for an ID", asking.Wish{Consumer: "home", Below: "do/attic/backup"}, asking.CauseNoTopic, asking.ErrNoTopic},
		{"another tree", asking.Wish{Consumer: "home", Below: "pub/fleet/state"}, asking.CauseNoTopic, asking.ErrNoTopic},
		{"nothing", asking.Wish{Consumer: "home", Below: ""}, asking.CauseNoTopic, asking.ErrNoTopic},
		{"a consumer's own topic here", asking.Wish{Consumer: "home", Outlet: outbox.Public, Below: "do/home/attic-0001/backup"},
			asking.CauseNoTopic, asking.ErrNoTopic},
		{"somebody else's topic", asking.Wish{Consumer: "home", Outlet: outbox.Uplink, Below: "do/tagged/attic-0001/backup"},
			asking.CauseNoTopic, asking.ErrNoTopic},
		{"a host that is not there", asking.Wish{Consumer: "home", Below: "do/nowhere-001/backup"}, asking.CauseNoHost, asking.ErrNoTopic},
		{"one without groups", asking.Wish{Consumer: "home", Below: "do/cellar-001/backup"}, asking.CauseNoGroup, nil},
		{"a group that is not there", asking.Wish{Consumer: "home", Below: "do/attic-0001/backup", Payload: []byte(`{"groups":["x"]}`)},
			asking.CauseNoGroup, nil},
		{"a host of other tags", asking.Wish{Consumer: "tagged", Below: "do/cellar-001/cancel"}, asking.CauseNoHost, asking.ErrNotAllowed},
		{"a host of no tag of its", asking.Wish{Consumer: "other", Below: "do/attic-0001/cancel"}, asking.CauseNoHost, asking.ErrNotAllowed},
	} {
		a, err := w.Ask(t.Context(), c.wish)
		if a.OK || a.Cause != c.cause || a.Text == "" || err == nil || c.class != nil && !errors.Is(err, c.class) {
			t.Errorf("%s: %+v, %v", c.why, a, err)
		}
		if c.class == nil && (errors.Is(err, asking.ErrNotAllowed) || errors.Is(err, asking.ErrNoTopic) || errors.Is(err, asking.ErrTooMany)) {
			t.Errorf("%s: %v", c.why, err)
		}
		if said := w.answers(c.wish.Consumer); len(said) != 1 || said[0].Cause != c.cause {
			t.Errorf("%s: it is told %+v", c.why, said)
		}
		w.pass(time.Minute)
	}
	if n := len(w.refusals()); n != 14 {
		t.Errorf("in the audit log are %d entries", n)
	}
	if got := w.jobs(attic); len(got) > 0 {
		t.Errorf("asked for all the same: %q", got)
	}
	if a, err := w.Ask(t.Context(), asking.Wish{Consumer: "tagged", Outlet: outbox.Uplink, Below: "do/tagged/attic-0001/backup"}); err != nil {
		t.Errorf("its own topic on another's broker: %+v, %v", a, err)
	}
	if a, err := w.Ask(t.Context(), asking.Wish{Consumer: "tagged", Outlet: outbox.Uplink, Below: "do/tagged/attic-0001/prune"}); err == nil ||
		a.Cause != asking.CauseNoTopic || a.Host != "attic-0001" || a.Action != "prune" {
		t.Errorf("an action that is none, over a broker of the user's own: %+v, %v", a, err)
	}
	if a, err := w.Ask(t.Context(), asking.Wish{Consumer: asking.External, Outlet: outbox.Uplink, Below: "do/attic-0001/cancel"}); err != nil {
		t.Errorf("everybody on another's broker: %+v, %v", a, err)
	}
	if said := w.answers(asking.External); len(said) != 1 || !said[0].OK {
		t.Errorf("it is answered %+v", said)
	}
	a, err := w.Ask(t.Context(), asking.Wish{Consumer: "nobody", Outlet: outbox.Uplink, Below: "do/nobody/attic-0001/backup"})
	if !errors.Is(err, asking.ErrNotAllowed) || len(w.answers("nobody")) > 0 {
		t.Errorf("a consumer that is not there: %+v, %v", a, err)
	}
}

// A consumer must not learn from an answer which hosts there are beside its own.
func TestAHostOfOtherTagsIsAsIfItWereNotThere(t *testing.T) {
	w := newWorld(t)
	w.consumer("tagged", true, "home")
	var texts []string
	for _, host := range []string{"cellar-001", "nowhere-01"} {
		a, err := w.Ask(t.Context(), asking.Wish{Consumer: "tagged", Below: "do/" + host + "/backup"})
		var r *asking.Refusal
		if !errors.As(err, &r) {
			t.Fatal(err)
		}
		texts = append(texts, fmt.Sprint(a.Cause, a.Text, a.Jobs, a.Action, r.Class, r.Err))
	}
	if texts[0] != texts[1] {
		t.Errorf("of one it hears %q, of the other %q", texts[0], texts[1])
	}
}

// The role and the tags are those of the moment of the deed.
func TestWhatAConsumerMayIsLookedUpEachTime(t *testing.T) {
	w := newWorld(t)
	ask := func() string {
		a, _ := w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: "do/attic-0001/cancel"})
		return a.Cause
	}
	change := func(c store.MQTTUserChange) {
		t.Helper()
		must(w.store.ChangeMQTTUser(t.Context(), store.Maker{Name: "test"}, "home", c))
	}
	if cause := ask(); cause != "" {
		t.Error(cause)
	}
	change(store.MQTTUserChange{Tags: &[]string{"home"}})
	if cause := ask(); cause != asking.CauseNoHost {
		t.Error(cause)
	}
	w.tag(attic, "home")
	if cause := ask(); cause != "" {
		t.Error(cause)
	}
	change(store.MQTTUserChange{MayDo: new(bool)})
	if cause := ask(); cause != asking.CauseNotAllowed {
		t.Error(cause)
	}
}

// A program in a loop gets nothing, takes nobody's share, and fills neither the audit log
// nor the broker.
func TestWhoeverAsksTooMuchIsHeldBack(t *testing.T) {
	w := newWorld(t)
	w.consumer("other", true)
	limits := asking.DefaultLimits()
	causes := map[string]int{}
	for i := range limits.Burst + 500 {
		a, _ := w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: fmt.Sprintf("do/nowhere-%04d/backup", i)})
		causes[a.Cause]++
	}
	if causes[asking.CauseNoHost] != limits.Burst || causes[asking.CauseTooMany] != 500 {
		t.Errorf("it hears %v", causes)
	}
	if n := len(w.answers("home")); n != limits.Burst+1 {
		t.Errorf("it gets %d answers", n)
	}
	if n := len(w.refusals()); n != 2 {
		t.Errorf("in the audit log are %d entries", n)
	}
	if _, err := w.Ask(t.Context(), asking.Wish{Consumer: "other", Below: "do/attic-0001/backup"}); err != nil {
		t.Errorf("another one: %v", err)
	}
	for range 100 { // a broker of the user's own has bounds of its own
		for _, who := range []string{"other", "nobody"} {
			a, err := w.Ask(t.Context(), asking.Wish{Consumer: who, Below: "do/attic-0001/cancel", Excess: true})
			if err == nil || who == "other" && a.Cause != asking.CauseTooMany {
				t.Fatalf("what is in excess: %+v, %v", a, err)
			}
		}
	}
	if n, m := len(w.answers("other")), len(w.answers("nobody")); n != 2 || m != 0 {
		t.Errorf("of what is in excess it gets %d answers, and who is nobody %d", n-1, m)
	}
	if n := len(w.refusals()); n != 3 {
		t.Errorf("in the audit log are %d entries", n)
	}
	w.pass(2 * time.Minute)
	w.said = nil
	if _, err := w.Ask(t.Context(), asking.Wish{Consumer: "home", Below: "do/attic-0001/restore"}); errors.Is(err, asking.ErrTooMany) {
		t.Errorf("minutes later: %v", err)
	}
	last := w.refusals()[0]
	if want := "499 more"; !strings.Contains(last.Detail, want) {
		t.Errorf("the entry says %q, not %q", last.Detail, want)
	}
}
