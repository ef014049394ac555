package alerts

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A desk is a service that finds what a test says, by a clock that stands still.
type desk struct {
	*Service
	t testing.TB

	mu    sync.Mutex
	now   time.Time
	holds []conditions.Finding
	next  time.Time
	said  []string
	facts int   // how often they were read
	fails error // the answer to that
	met   map[alerts.Key]bool
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	return deskOn(t, storetest.Open(t, store.Open), time.Now().Truncate(time.Second))
}

func deskOn(t testing.TB, s *store.Store, now time.Time) *desk {
	t.Helper()
	d := &desk{t: t, now: now}
	d.Service = &Service{
		Store: s,
		Facts: func(context.Context) (conditions.Facts, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.facts++
			return d.there(), d.fails
		},
		Judge: func(conditions.Facts, conditions.Limits, time.Time) ([]conditions.Finding, time.Time) {
			d.mu.Lock()
			defer d.mu.Unlock()
			return slices.Clone(d.holds), d.next
		},
		Note: func(_ context.Context, _ alerts.Tx, changes []routing.Change) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			for _, c := range changes {
				d.said = append(d.said, string(c.Event)+" "+c.Alert.Subject)
			}
			return nil
		},
		Now: func() time.Time {
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.now
		},
		Log: slog.New(slog.DiscardHandler),
	}
	return d
}

// there is that everything exists that something was ever found of.
func (d *desk) there() (f conditions.Facts) {
	if d.met == nil {
		d.met = map[alerts.Key]bool{}
	}
	for _, one := range d.holds {
		d.met[alerts.Key{On: one.On, Subject: one.Subject}] = true
	}
	for k := range d.met {
		switch k.On {
		case alerts.OnHost:
			f.Hosts = append(f.Hosts, conditions.Host{ID: topics.HostID(k.Subject)})
		case alerts.OnGroup:
			f.Hosts = append(f.Hosts, conditions.Host{ID: "of-" + topics.HostID(k.Subject),
				Groups: []conditions.Group{{ID: topics.SourceGroupID(k.Subject)}}})
		case alerts.OnRepository:
			f.Repositories = append(f.Repositories, conditions.Repository{ID: topics.RepositoryID(k.Subject)})
		}
	}
	return f
}

// after lets time pass, and sweeps with what holds then.
func (d *desk) after(span time.Duration, holds ...conditions.Finding) {
	d.t.Helper()
	d.mu.Lock()
	d.now, d.holds = d.now.Add(span), holds
	d.mu.Unlock()
	if err := d.Sweep(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) told(want ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.said, want) {
		d.t.Fatalf("it told %q, want %q", d.said, want)
	}
	d.said = nil
}

func (d *desk) ids() (ids []string) {
	d.t.Helper()
	for _, a := range must(d.Live(d.t.Context())) {
		ids = append(ids, a.ID)
	}
	return ids
}

func (d *desk) audited(action string) int {
	d.t.Helper()
	return len(must(d.Store.AuditEntries(d.t.Context(), store.AuditFilter{Action: action}, 100)))
}

func of(name conditions.Name, on alerts.On, subject string, severity alerts.Severity) conditions.Finding {
	f := conditions.Finding{Key: alerts.Key{Condition: string(name), On: on, Subject: subject}, Severity: severity,
		Body: alerts.Body{Name: subject, Title: "is " + string(name), Cause: "The <cat> & dog."}}
	if on == alerts.OnHost {
		f.Host = topics.HostID(subject)
	}
	return f
}

func offline(host string) conditions.Finding {
	return of(conditions.HostOffline, alerts.OnHost, host, alerts.Warning)
}

func TestASweepThatFindsNothingNewWritesNothing(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	told := 0
	d.Changed = func() { told++ }
	d.after(0)
	if told != 0 {
		t.Error("somebody is told though nothing is there")
	}
	d.after(time.Minute, offline("attic"), offline("barn"))
	d.told("opened attic", "opened barn")
	mark := must(d.rows().Mark(ctx))
	for range 5 {
		d.after(time.Minute, offline("attic"), offline("barn"))
	}
	if now := must(d.rows().Mark(ctx)); now != mark || told != 1 {
		t.Errorf("the mark went from %d to %d, and it was told %d times", mark, now, told)
	}
	for _, a := range must(d.Live(ctx)) { // and yet it is known that they were seen
		if a.SeenAt != d.now.UnixMilli() || must(d.Get(ctx, a.ID)).SeenAt != a.SeenAt {
			t.Errorf("%s was seen %d, now is %d", a.Subject, a.SeenAt, d.now.UnixMilli())
		}
	}
	d.told()
	d.after(time.Minute)
	d.told("recovered attic", "recovered barn")
	for _, a := range must(d.List(ctx, Filter{State: alerts.Ended})).Alerts {
		if a.EndedBy != alerts.Plane || a.SeenAt != d.now.Add(-time.Minute).UnixMilli() {
			t.Errorf("it ended as %+v", a)
		}
	}
}

func TestARestartRepeatsNothing(t *testing.T) {
	d := newDesk(t)
	d.after(0, offline("attic"))
	d.told("opened attic")
	again := deskOn(t, d.Store, d.now)
	again.after(time.Minute, offline("attic"))
	again.told()
	again.after(time.Minute)
	again.told("recovered attic")
}

func TestWhatCameBackIsSoSinceThen(t *testing.T) {
	d := newDesk(t)
	since := func(want time.Time) {
		t.Helper()
		a := must(d.Live(t.Context()))[0]
		if s := Said(a, "", d.now); s.Since != want.UTC().Format(time.RFC3339Nano) {
			t.Errorf("it is so since %s, want %s", s.Since, want)
		}
	}
	silent := offline("attic")
	silent.Since = d.now.Add(-30 * time.Minute).UnixMilli()
	d.after(0, silent)
	opened := d.now
	since(d.now.Add(-30 * time.Minute))
	d.after(time.Hour)
	silent.Since = d.now.Add(30 * time.Minute).UnixMilli()
	d.after(time.Hour, silent)
	d.told("opened attic", "recovered attic", "opened attic")
	since(d.now.Add(-30 * time.Minute))
	d.after(time.Hour)
	silent.Since = 0
	d.after(time.Hour, silent) // it flaps
	since(opened)
}

func TestAWriteThatFailsLeavesAllAsItWas(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	broken := errors.New("the queue is broken")
	note := d.Note
	d.Note = func(context.Context, alerts.Tx, []routing.Change) error { return broken }
	d.holds = []conditions.Finding{offline("attic")}
	if err := d.Sweep(ctx); !errors.Is(err, broken) {
		t.Errorf("the sweep says %v", err)
	}
	if n := len(must(d.Live(ctx))); n != 0 {
		t.Errorf("%d alerts are there of which nobody will be told", n)
	}
	d.Note = note
	d.after(0, offline("attic"))
	d.told("opened attic")
}

func TestFactsAreReadAgainWhileNobodyWrites(t *testing.T) {
	d := newDesk(t)
	d.Facts = func(context.Context) (conditions.Facts, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.facts++; d.facts > 1 {
			d.holds = nil // it was over just then
		}
		return d.there(), nil
	}
	d.after(0, offline("attic"))
	d.told()
	if d.facts != 2 || len(d.ids()) != 0 {
		t.Errorf("facts were read %d times, and %d alerts opened", d.facts, len(d.ids()))
	}
}

func TestPeopleDoSomethingAboutAlerts(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	d.after(0, offline("attic"), offline("barn"), offline("cellar"))
	ids := d.ids()
	d.said = nil
	if c := d.Counts(ctx); c != (Counts{Open: 3, Worst: alerts.Warning}) {
		t.Errorf("there are %+v", c)
	}
	for _, a := range must(d.Acknowledge(ctx, "anna", ids[0], ids[1], ids[0])) {
		if a.AckedBy != "anna" || a.State(d.now.UnixMilli()) != alerts.Acknowledged {
			t.Errorf("it is %+v", a)
		}
	}
	must(d.Acknowledge(ctx, "ben", ids[0]))
	if a := must(d.Get(ctx, ids[0])); a.AckedBy != "anna" {
		t.Errorf("who was first is %s", a.AckedBy)
	}
	until := d.now.Add(2 * time.Hour).UnixMilli()
	must(d.Snooze(ctx, "anna", until, ids[2]))
	if c := d.Counts(ctx); c != (Counts{Acknowledged: 2, Snoozed: 1}) {
		t.Errorf("there are %+v", c)
	}
	if a := must(d.Wake(ctx, "anna", ids[2]))[0]; a.State(d.now.UnixMilli()) != alerts.Open {
		t.Errorf("it is %+v", a)
	}
	if a := must(d.End(ctx, "anna", " it was sold ", ids[2]))[0]; a.EndedBy != "anna" || a.EndedWhy != "it was sold" {
		t.Errorf("it is %+v", a)
	}
	d.told("recovered " + must(d.Get(ctx, ids[2])).Subject)
	for action, want := range map[string]int{"alert.acknowledged": 3, "alert.snoozed": 1, "alert.woken": 1, "alert.ended": 1} {
		if n := d.audited(action); n != want {
			t.Errorf("%d entries of %s, want %d", n, action, want)
		}
	}
	for range 3 { // it holds on
		d.after(24*time.Hour, offline("attic"), offline("barn"), offline("cellar"))
	}
	d.told()
	if len(d.ids()) != 2 {
		t.Error("one that was ended is open again though it was never over")
	}
}

func TestADeedIsDoneAboutAllOrNone(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	d.after(0, offline("attic"), offline("barn"))
	ids := d.ids()
	must(d.End(ctx, "anna", "known", ids[1]))
	_, err := d.Acknowledge(ctx, "ben", ids[0], ids[1], "nobody")
	var refused *alerts.RefusedError
	if !errors.As(err, &refused) || !slices.Equal(refused.Ended, ids[1:]) || !slices.Equal(refused.Unknown, []string{"nobody"}) ||
		!errors.Is(err, alerts.ErrEnded) || !errors.Is(err, alerts.ErrNone) {
		t.Errorf("it says %v", err)
	}
	if a := must(d.Get(ctx, ids[0])); a.AckedAt != 0 || d.audited("alert.acknowledged") != 0 {
		t.Error("a part of it was done")
	}
	damage := of(conditions.RepositoryDamaged, alerts.OnRepository, "vault", alerts.Critical)
	d.after(time.Minute, damage)
	if _, err := d.Snooze(ctx, "ben", d.now.Add(time.Hour).UnixMilli(), d.ids()...); !errors.Is(err, ErrNotSnoozed) {
		t.Errorf("damage is snoozed: %v", err)
	}
	var wrong field.Errors
	for name, err := range map[string]error{
		"until":  second(d.Snooze(ctx, "ben", d.now.UnixMilli(), d.ids()...)),
		"reason": second(d.End(ctx, "ben", "  ", d.ids()...)),
		"alerts": second(d.Wake(ctx, "ben")),
	} {
		if !errors.As(err, &wrong) || wrong[name] == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestOfDeedsAtOnceOneIsFirst(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	d.after(0, offline("attic"))
	id := d.ids()[0]
	d.said = nil
	errs := make(chan error)
	for range 8 {
		go func() { errs <- second(d.End(ctx, "anna", "known", id)) }()
	}
	done := 0
	for range 8 {
		if err := <-errs; err == nil {
			done++
		} else if !errors.Is(err, alerts.ErrEnded) {
			t.Error(err)
		}
	}
	if done != 1 || d.audited("alert.ended") != 1 {
		t.Errorf("%d ended it", done)
	}
	d.told("recovered attic")
}

func TestASnoozeOutlivesARestart(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	d.after(0, offline("attic"))
	must(d.Snooze(ctx, "anna", d.now.Add(time.Hour).UnixMilli(), d.ids()...))
	again := deskOn(t, d.Store, d.now)
	again.after(59*time.Minute, offline("attic"))
	again.told()
	again.after(2*time.Minute, offline("attic"))
	again.told("reminded attic")
	again.after(2*time.Minute, offline("attic"))
	again.told()
}

func TestListsHaveTheWorstFirstAndPages(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	var holds []conditions.Finding
	for i := range 7 {
		holds = append(holds, offline("host-"+string(rune('a'+i))))
	}
	holds = append(holds, of(conditions.RepositoryDamaged, alerts.OnRepository, "vault", alerts.Critical))
	d.after(0, holds...)
	walk := func(f Filter) (subjects []string) {
		for {
			page := must(d.List(ctx, f))
			for _, a := range page.Alerts {
				subjects = append(subjects, a.Subject)
			}
			if f.After = page.Next; page.Next == "" {
				return subjects
			}
		}
	}
	for _, most := range []int{1, 3, 8, 100} {
		if got := walk(Filter{State: alerts.Open, Most: most}); len(got) != 8 || got[0] != "vault" || got[1] != "host-g" || got[7] != "host-a" {
			t.Errorf("by %d it lists %q", most, got)
		}
	}
	if got := walk(Filter{State: Standing, Text: "HOST-C", Most: 1}); !slices.Equal(got, []string{"host-c"}) {
		t.Errorf("it finds %q", got)
	}
	d.after(time.Minute, holds[:2]...)
	d.after(time.Minute)
	for _, most := range []int{1, 2, 5, 100} {
		got := walk(Filter{State: alerts.Ended, Most: most})
		if len(got) != 8 || !slices.Equal(slices.Sorted(slices.Values(got[:2])), []string{"host-a", "host-b"}) {
			t.Errorf("by %d it lists %q", most, got)
		}
	}
	if got := walk(Filter{Severity: alerts.Critical, Most: 1}); !slices.Equal(got, []string{"vault"}) {
		t.Errorf("it finds %q", got)
	}
	if got := walk(Filter{Text: "<cat> & DOG", Condition: "host-offline", Host: "host-d", Most: 1}); !slices.Equal(got, []string{"host-d"}) {
		t.Errorf("it finds %q", got)
	}
	if got := walk(Filter{Tag: "servers"}); len(got) != 0 {
		t.Errorf("it finds %q", got)
	}
	for _, f := range []Filter{{State: "gone"}, {After: "x"}, {After: "9-1"}, {After: "1"}, {After: "1--4"}} {
		if _, err := d.List(ctx, f); !errors.As(err, new(field.Errors)) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if _, err := d.Get(ctx, "nobody"); !errors.Is(err, alerts.ErrNone) {
		t.Errorf("it says %v", err)
	}
}

func TestWhatIsSetHasVersions(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	if r, version, err := d.Rules(ctx); len(r.Rules) != 0 || version != 0 || err != nil {
		t.Errorf("nothing was set, and it is %+v %d %v", r, version, err)
	}
	if err := d.Store.Channels().Add(ctx, "test", channels.Channel{ID: "c", Name: "ops", Kind: "ntfy", Enabled: true, Version: 1,
		Settings: column.JSON[map[string]string]{V: &map[string]string{}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.SetRules(ctx, "anna", routing.Rules{Rules: []routing.Rule{{Name: "x", Channels: []string{"none"}}}}, 0); err == nil {
		t.Error("a rule leads to a channel that is not there")
	}
	rules := routing.Rules{Digests: []routing.Digest{{Channels: []string{"c"}, Every: routing.Daily, At: "07:00", Zone: "UTC"}}}
	version := must(d.SetRules(ctx, "anna", rules, 0))
	if _, err := d.SetRules(ctx, "ben", routing.Rules{}, 0); !errors.Is(err, alerts.ErrMoved) {
		t.Errorf("ben's rules take the place of anna's: %v", err)
	}
	if r, now, _ := d.Rules(ctx); now != version || len(r.Digests) != 1 {
		t.Errorf("it is %+v %d", r, now)
	}
	if now := must(d.SetRules(ctx, "anna", rules, version)); now != version || d.audited("alerts.rules_changed") != 1 {
		t.Error("the same rules are a change")
	}
	limits := conditions.Limits{{Condition: conditions.HostOffline, Scope: conditions.ScopeFleet, Value: 3600}}
	must(d.SetLimits(ctx, "anna", limits, 0))
	if l, _, err := d.Limits(ctx); !slices.Equal(l, limits) || err != nil {
		t.Errorf("it is %+v %v", l, err)
	}
	if _, err := d.SetLimits(ctx, "anna", conditions.Limits{{Condition: "weather", Scope: "fleet", Value: 1}}, 1); err == nil {
		t.Error("weather has a threshold")
	}
	for address, want := range map[string]string{"https://backup.example.net/": "https://backup.example.net", "": "",
		" http://10.0.0.1:8080 ": "http://10.0.0.1:8080"} {
		if err := d.SetPublicURL(ctx, "anna", address); err != nil || d.PublicURL(ctx) != want {
			t.Errorf("%q is %q, %v", address, d.PublicURL(ctx), err)
		}
	}
	for _, address := range []string{"backup.example.net", "ftp://x", "https://a@b", "https://x?y", "https://x#y", "https://",
		"https://x\u202e", "https://" + strings.Repeat("x", 300)} {
		if err := d.SetPublicURL(ctx, "anna", address); !errors.As(err, new(field.Errors)) {
			t.Errorf("%q is taken: %v", address, err)
		}
	}
	d.PublicFlag = "https://flag.example.net"
	if d.PublicURL(ctx) != d.PublicFlag {
		t.Error("the flag does not win")
	}
}

func TestAPauseEnds(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	p := must(d.Pause(ctx, "anna", alerts.Pause{Kind: PauseAll, Reason: "the power is off", Until: d.now.Add(time.Hour).UnixMilli()}))
	if list := must(d.Pauses(ctx)); len(list) != 1 || list[0] != p || p.CreatedBy != "anna" || p.From != d.now.UnixMilli() {
		t.Errorf("there are %+v", list)
	}
	later := must(d.Pause(ctx, "anna", alerts.Pause{Kind: PauseTag, Subject: "servers", Reason: "works",
		From:  d.now.Add(time.Hour).UnixMilli(),
		Until: d.now.Add(2 * time.Hour).UnixMilli()}))
	must(d.Unpause(ctx, "ben", p.ID))
	must(d.Unpause(ctx, "ben", later.ID))
	if _, err := d.Unpause(ctx, "ben", p.ID); !errors.Is(err, alerts.ErrNone) {
		t.Errorf("it ends twice: %v", err)
	}
	if d.audited("alerts.paused") != 2 || d.audited("alerts.resumed") != 2 {
		t.Error("an entry is missing")
	}
	in := func(span time.Duration) int64 { return d.now.Add(span).UnixMilli() }
	for name, p := range map[string]alerts.Pause{
		"kind":    {Kind: "moon", Reason: "x", Until: in(time.Hour)},
		"subject": {Kind: PauseHost, Subject: "nobody", Reason: "x", Until: in(time.Hour)},
		"reason":  {Kind: PauseAll, Until: in(time.Hour)},
		"until":   {Kind: PauseAll, Reason: "x", From: in(2 * time.Hour), Until: in(time.Hour)},
	} {
		_, err := d.Pause(ctx, "anna", p)
		var wrong field.Errors
		if !errors.As(err, &wrong) || wrong[name] == "" || len(wrong) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAlertsThatAreOverGoAfterAYear(t *testing.T) {
	d, ctx := newDesk(t), t.Context()
	d.mu.Lock()
	d.now = d.now.AddDate(-1, 0, -2)
	d.mu.Unlock()
	d.after(0, offline("attic"), offline("barn"), offline("cellar"))
	must(d.End(ctx, "anna", "known", d.ids()[0])) // cellar, or whichever: it holds on
	held := must(d.List(ctx, Filter{State: alerts.Ended})).Alerts[0].Subject
	d.after(time.Minute, offline(held), offline("den"))
	d.after(3*24*time.Hour, offline(held))
	if n := len(must(d.List(ctx, Filter{State: alerts.Ended})).Alerts); n != 4 {
		t.Fatalf("%d are over", n)
	}
	if _, _, err := d.Store.SweepRecords(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, a := range must(d.List(ctx, Filter{})).Alerts {
		left = append(left, a.Subject)
	}
	slices.Sort(left)
	want := []string{held, "den"}
	if slices.Sort(want); !slices.Equal(left, want) {
		t.Errorf("%q are left, want %q", left, want)
	}
}

func TestAnAlertIsSaidAlikeEverywhere(t *testing.T) {
	at := time.Date(2026, 11, 29, 6, 30, 0, 250_000_000, time.UTC)
	a := alerts.Alert{ID: "a1", Key: alerts.Key{Condition: "backup-failed", On: alerts.OnGroup, Subject: "g1"}, Host: "h1", Repository: "r1",
		Severity: alerts.Critical, OpenedAt: at.UnixMilli(), SeenAt: at.UnixMilli(), Count: 2}
	a.Body.V = &alerts.Body{Name: "attic · letters", Title: "backups fail", Cause: "No.", Do: "Yes."}
	s := Said(a, "https://backup.example.net", at)
	if s.Title != "attic · letters: backups fail" || s.OpenedAt != "2026-11-29T06:30:00.25Z" || s.EndedAt != "" || s.State != "open" ||
		s.Link != "https://backup.example.net/alerts/a1" || s.Subject.Host != "h1" || s.Subject.Kind != "group" {
		t.Errorf("it is said as %+v", s)
	}
	over := a
	over.EndedAt, over.EndedBy = at.UnixMilli(), alerts.Plane
	byHand := over
	byHand.EndedBy = "anna"
	if over, byHand := Said(over, "", at), Said(byHand, "", at); over.EndedBy != "" || byHand.EndedBy != "anna" {
		t.Errorf("it was ended by %q and by %q", over.EndedBy, byHand.EndedBy)
	}
	a.SnoozedUntil = at.Add(time.Hour).UnixMilli()
	if s := Said(a, "", at); s.State != "snoozed" || s.Link != "/alerts/a1" {
		t.Errorf("it is said as %+v", s)
	}
}
