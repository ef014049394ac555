package uplink

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/restored"
	"github.com/restic-manager/restic-manager/store/uplinks"
	"github.com/restic-manager/restic-manager/topics"
)

func TestWhatIsPublicIsAtTheUsersBroker(t *testing.T) {
	t.Parallel()
	m, w := startMosquitto(t, "", nil), newWorld(t)
	w.say("pub/host/attic-0001/state", "protected", "pub/fleet/state", "one host", "/homeassistant/device/rm_attic/config", "{}")
	w.put(Input{URL: ptr(m.url())})
	w.up()
	want := []string{"homeassistant/device/rm_attic/config {}", "rm/v1/pub/fleet/state one host", "rm/v1/pub/host/attic-0001/state protected",
		"rm/v1/pub/plane/availability online"}
	got := m.retained("#")
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Fatalf("retained there: %q, want %q", got, want)
	}

	// What changes follows, what ends is cleared, and what is not retained is said.
	watch := m.watch("rm/v1/#")
	w.say("pub/host/attic-0001/state", "overdue", "pub/fleet/state", "")
	w.box.Put(t.Context(), outbox.Message{Topic: "pub/do/anna", Payload: []byte("done"), QoS: 1})
	await(t, "a change follows", func() bool {
		return watch.has("rm/v1/pub/host/attic-0001/state overdue") && watch.has("rm/v1/pub/do/anna done") &&
			watch.has("rm/v1/pub/fleet/state (null)")
	})
	if n := w.service.Status().Topics; n != 4 {
		t.Errorf("status counts %d topics; a cleared one is known until it is confirmed everywhere", n)
	}

	// The broker loses everything: it is all there again.
	m.stop()
	await(t, "it is noticed", func() bool { return !w.service.Status().Connected && w.service.Status().Error != "" })
	w.say("pub/host/attic-0001/state", "protected again")
	m.start()
	w.up()
	got = m.retained("#")
	want = []string{"homeassistant/device/rm_attic/config {}", "rm/v1/pub/host/attic-0001/state protected again",
		"rm/v1/pub/plane/availability online"}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Fatalf("after the broker lost all: %q, want %q", got, want)
	}

	// A control plane that stops says so, and clears nothing.
	w.stop()
	if got := m.retained("rm/v1/pub/plane/availability"); !slices.Equal(got, []string{"rm/v1/pub/plane/availability offline"}) {
		t.Errorf("after a stop: %q", got)
	}
	if got := m.retained("#"); len(got) != 3 {
		t.Errorf("after a stop there is %q", got)
	}
}

func TestNothingStaysWhereItWasLeft(t *testing.T) {
	t.Parallel()
	first := startMosquitto(t, "listener %PORT% 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %DIR%/\n", nil)
	second, w := startMosquitto(t, "", nil), newWorld(t)
	w.say("pub/host/attic-0001/state", "protected", "/homeassistant/device/rm_attic/config", "{}")
	w.put(Input{URL: ptr(first.url())})
	w.up()
	first.say("somebody/else", "stays", "-r")

	// Another root: nothing is left below the old one, and discovery is never cleared.
	watch := first.watch("homeassistant/#")
	w.put(Input{Root: ptr("site/rm/v1")})
	await(t, "the new root is there", func() bool {
		return slices.Contains(first.retained("#"), "site/rm/v1/pub/host/attic-0001/state protected")
	})
	w.up()
	if got := first.retained("rm/v1/#"); len(got) != 0 {
		t.Fatalf("below the old root there is %q", got)
	}
	if watch.has("homeassistant/device/rm_attic/config (null)") {
		t.Error("the discovery was cleared though it stays the same")
	}

	// Another broker, and the old one is out of reach at that moment.
	first.stopGently() // so that it writes what is retained
	w.put(Input{URL: ptr(second.url())})
	w.up()
	st := w.service.Status()
	if len(st.Leaving) != 1 || st.Leaving[0].URL != first.url() || st.Leaving[0].Topics != 3 ||
		!strings.Contains(st.Leaving[0].Error, "Nothing listens") {
		t.Fatalf("the status says of what was left: %+v", st.Leaving)
	}
	first.start()
	await(t, "the old broker is cleared", func() bool { return len(w.service.Status().Leaving) == 0 })
	if got := first.retained("#"); !slices.Equal(got, []string{"somebody/else stays"}) {
		t.Errorf("at the old broker there is %q", got)
	}
	w.up()
	if got := second.retained("#"); len(got) != 3 {
		t.Errorf("at the new broker there is %q", got)
	}

	// Off.
	w.put(Input{URL: ptr("")})
	await(t, "it is off and clear", func() bool { return len(second.retained("#")) == 0 && !w.service.Status().On })
	await(t, "nothing is left", func() bool { return len(w.service.Status().Leaving) == 0 })
	if places := must(w.store.UplinkPlaces(t.Context())); len(places) != 0 {
		t.Errorf("places are still known: %+v", places)
	}
}

// The same broker under another name: what is cleared under the old one is said again.
func TestTheSameBrokerUnderAnotherNameKeepsEverything(t *testing.T) {
	t.Parallel()
	m, w := startMosquitto(t, "", nil), newWorld(t)
	w.say("pub/fleet/state", "one host")
	w.put(Input{URL: ptr(m.url())})
	w.up()
	w.put(Input{URL: ptr(fmt.Sprintf("mqtt://localhost:%d", m.port))})
	await(t, "the old name is clear", func() bool {
		s := w.service.Status()
		return s.Connected && !s.Behind && len(s.Leaving) == 0 && strings.Contains(s.URL, "localhost")
	})
	if got := m.retained("rm/v1/pub/fleet/state"); !slices.Equal(got, []string{"rm/v1/pub/fleet/state one host"}) {
		t.Errorf("there is %q", got)
	}
}

// A place that is gone for good is given up by a person.
func TestAPlaceIsGivenUp(t *testing.T) {
	t.Parallel()
	m, w := startMosquitto(t, "", nil), newWorld(t)
	w.say("pub/fleet/state", "one host")
	w.put(Input{URL: ptr(m.url())})
	w.up()
	m.stop()
	w.put(Input{URL: ptr("")})
	await(t, "it is told", func() bool { return len(w.service.Status().Leaving) == 1 && w.service.Status().Leaving[0].TriedAt != 0 })
	if err := w.service.GiveUp(t.Context(), "anna", w.service.Status().Leaving[0].ID); err != nil {
		t.Fatal(err)
	}
	if l := w.service.Status().Leaving; len(l) != 0 {
		t.Errorf("still told: %+v", l)
	}
}

// What went while we were away for longer than the outbox remembers is cleared, too.
func TestWhatIsForgottenElsewhereIsClearedFromTheLedger(t *testing.T) {
	t.Parallel()
	m, w := startMosquitto(t, "", nil), newWorld(t)
	w.say("pub/fleet/state", "one host", "pub/host/attic-0001/state", "protected")
	w.put(Input{URL: ptr(m.url())})
	w.up()
	place := must(w.store.UplinkPlaces(t.Context()))[0]
	w.stop()
	m.say("rm/v1/pub/host/gone-0001/state", "old", "-r")
	if err := w.store.AddUplinkTopics(t.Context(), place.ID, []string{"rm/v1/pub/host/gone-0001/state"}); err != nil {
		t.Fatal(err)
	}
	w.start(quick(), Flags{})
	w.up()
	if got := m.retained("rm/v1/pub/host/gone-0001/#"); len(got) != 0 {
		t.Errorf("there is %q", got)
	}
}

// A will that the broker says late does not make us offline.
func TestALateWillIsContradicted(t *testing.T) {
	t.Parallel()
	m, w := startMosquitto(t, "", nil), newWorld(t)
	w.put(Input{URL: ptr(m.url())})
	w.up()
	watch := m.watch("rm/v1/pub/plane/availability")
	m.say("rm/v1/pub/plane/availability", topics.Offline, "-r")
	await(t, "it is contradicted", func() bool {
		l := watch.lines()
		return len(l) > 0 && l[len(l)-1] == "rm/v1/pub/plane/availability online" && slices.Contains(l, "rm/v1/pub/plane/availability offline")
	})
}

func TestABrokerThatDropsSilentlyIsNoticed(t *testing.T) {
	t.Parallel()
	m := startMosquitto(t, "listener %PORT% 127.0.0.1\nallow_anonymous false\npassword_file %DIR%/passwords\nacl_file %DIR%/acl\n",
		map[string]string{"passwords": passwords, "acl": "user plane\ntopic read rm/v1/#\nuser other\ntopic readwrite #\n"})
	m.say("rm/v1/pub/plane/availability", topics.Online, "-r", "-u", "other", "-P", "third") // of before
	w := newWorld(t)
	w.stop()
	timing := quick()
	timing.Heard = 300 * time.Millisecond
	w.start(timing, Flags{})
	w.put(Input{URL: ptr(m.url()), User: ptr("plane"), Password: secret("secret")})
	await(t, "it is noticed", func() bool {
		s := w.service.Status()
		return s.Connected && !s.Heard && len(s.Warnings) == 1 && strings.Contains(s.Warnings[0], "drop it silently")
	})
}

func TestHomeAssistantIsHeard(t *testing.T) {
	t.Parallel()
	m, w := startMosquitto(t, "", nil), newWorld(t)
	births := make(chan bool, 16)
	w.service.OnBirth(func() { births <- true })
	w.put(Input{URL: ptr(m.url()), Prefix: ptr("ha")})
	w.up()
	for _, topic := range []string{"ha/status", "homeassistant/status"} { // it keeps its usual one with another prefix
		m.say(topic, "offline")
		m.say("other/status", "online")
		m.say(topic, "online")
		select {
		case <-births:
		case <-time.After(long):
			t.Fatalf("the birth on %s was not heard", topic)
		}
		select {
		case <-births:
			t.Error("something else was taken for a birth")
		default:
		}
	}
}

// Secrets stay while others change, and are told to no other host.
func TestSecretsStayWithTheirHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	password := func() string { return must(w.store.Uplink(t.Context())).Password.Reveal() }
	w.put(Input{URL: ptr("mqtts://127.0.0.1:9"), User: ptr("plane"), Password: secret("secret")})
	w.put(Input{Root: ptr("site/rm"), URL: ptr("mqtts://127.0.0.1:9")})
	if password() != "secret" {
		t.Error("the password is gone with another root")
	}
	if u := must(w.store.Uplink(t.Context())); strings.Contains(fmt.Sprintf("%+v", must(w.service.Settings(t.Context()))),
		"secret") || u.Account != "plane" {
		t.Error("settings tell the password")
	}
	for _, other := range []string{"mqtts://127.0.0.2:9", "mqtts://127.0.0.1:10", "mqtts://localhost:9"} {
		w.put(Input{URL: &other})
		if password() != "" {
			t.Errorf("%s is told the password of another", other)
		}
		w.put(Input{URL: ptr("mqtts://127.0.0.1:9"), Password: secret("secret")})
	}
	w.put(Input{URL: ptr("")})
	if u := must(w.store.Uplink(t.Context())); u.Password != "" || u.Account != "" {
		t.Error("what is off keeps a password")
	}
}

// What the command line says is above what was set, and shows as fixed.
func TestFlagsOutrankSettings(t *testing.T) {
	t.Parallel()
	m := startMosquitto(t, acl, map[string]string{"passwords": passwords, "acl": "user plane\ntopic readwrite #\n", "flag": "secret\n"})
	set, w := startMosquitto(t, "", nil), newWorld(t)
	w.say("pub/fleet/state", "one host")
	w.put(Input{URL: ptr(set.url()), Root: ptr("site/rm")})
	w.up()
	w.stop()
	w.start(quick(), Flags{URL: "mqtt://plane@" + m.address(), PasswordFile: m.dir + "/flag"})
	w.up()
	s := must(w.service.Settings(t.Context()))
	if !s.Fixed || s.URL != m.url() || s.User != "plane" || !s.HasPassword || s.Root != "site/rm" {
		t.Errorf("%+v", s)
	}
	if err := w.service.Put(t.Context(), "anna", Input{URL: ptr(set.url())}); err == nil {
		t.Error("what the command line says was changed")
	}
	w.put(Input{Root: ptr("other/rm")})
	as := []string{"-u", "plane", "-P", "secret"}
	await(t, "the root follows", func() bool {
		return slices.Contains(m.retained("other/rm/pub/fleet/state", as...), "other/rm/pub/fleet/state one host")
	})
	await(t, "the broker that was set is clear", func() bool { return len(set.retained("#")) == 0 })
	w.stop()
	w.start(quick(), Flags{}) // without them, what was set holds again
	w.up()
	await(t, "that of the flags is clear", func() bool {
		return len(m.retained("#", as...)) == 0
	})
	if got := set.retained("other/rm/pub/fleet/state"); len(got) != 1 {
		t.Errorf("where it was set there is %q", got)
	}
}

// A broker that is out of reach for long is a notice.
func TestABrokerOutOfReachIsANotice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	timing := quick()
	timing.Away = 200 * time.Millisecond
	w.start(timing, Flags{})
	if n := w.service.Notices(t.Context()); len(n) != 0 {
		t.Errorf("without a broker: %+v", n)
	}
	w.put(Input{URL: ptr(fmt.Sprintf("mqtt://127.0.0.1:%d", freePort()))})
	await(t, "people are told", func() bool {
		n := w.service.Notices(t.Context())
		return len(n) == 1 && n[0].ID == "uplink-away" && strings.Contains(n[0].Say, "Nothing listens") && n[0].Remedy != ""
	})
}

// What is at a broker that is left is cleared the way it was reached, not one that was only
// entered since: a wrong scheme, a wrong password.
func TestABrokerIsClearedTheWayItWasReached(t *testing.T) {
	t.Parallel()
	m := startMosquitto(t, acl, map[string]string{"passwords": passwords, "acl": "user plane\ntopic readwrite #\n"})
	second, w := startMosquitto(t, "", nil), newWorld(t)
	w.say("pub/fleet/state", "one host")
	w.put(Input{URL: ptr(m.url()), User: ptr("plane"), Password: secret("secret")})
	w.up()
	for _, in := range []Input{{Password: secret("a wrong one")}, {Password: secret("secret"), URL: ptr("mqtts://" + m.address())}} {
		w.put(in)
		await(t, "it does not work any more", func() bool { s := w.service.Status(); return !s.Connected && s.Error != "" })
	}
	w.put(Input{URL: ptr(second.url()), User: ptr("")})
	w.up()
	await(t, "the one that was left is clear", func() bool { return len(w.service.Status().Leaving) == 0 })
	if got := m.retained("#", "-u", "plane", "-P", "secret"); len(got) != 0 {
		t.Errorf("there is %q", got)
	}
}

// What is too much is not carried out, and whoever asked is told.
func TestMoreCommandsThanAreCarriedOutAreAnswered(t *testing.T) {
	t.Parallel()
	m, w := startMosquitto(t, "", nil), newWorld(t)
	var done, excess atomic.Int64
	w.service.Do = func(_ context.Context, wish Wish) error {
		if wish.Excess {
			excess.Add(1)
		} else {
			done.Add(1)
		}
		return nil
	}
	w.put(Input{URL: ptr(m.url()), Commands: ptr(External)})
	w.up()
	for range burst + 10 {
		m.say("rm/v1/do/attic-0001/cancel", "PRESS")
	}
	await(t, "all were heard", func() bool { return done.Load()+excess.Load() == burst+10 })
	if s := w.service.Status(); excess.Load() == 0 || done.Load() < burst || s.Refused != uint64(excess.Load()) || len(s.Warnings) != 1 {
		t.Errorf("%d carried out, %d not; %+v", done.Load(), excess.Load(), s)
	}
}

// Home Assistant's topics and ours are kept apart, whether the prefix was said or is the usual.
func TestRootAndPrefixAreApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		in    Input
		wrong string
	}{
		{Input{Root: ptr("homeassistant")}, "root"},
		{Input{Root: ptr("homeassistant/rm")}, "root"},
		{Input{Root: ptr("homeassistant"), Prefix: ptr("ha")}, ""},
		{Input{Root: ptr("site/rm"), Prefix: ptr("site")}, "prefix"},
		{Input{Root: ptr("site"), Prefix: ptr("site/ha")}, "prefix"},
		{Input{Root: ptr("site/rm"), Prefix: ptr("site/rm")}, "prefix"},
		{Input{Root: ptr("site/rm"), Prefix: ptr("site/ha")}, ""},
	} {
		err := w.service.Put(t.Context(), "test", c.in)
		var wrong field.Errors
		if errors.As(err, &wrong) != (c.wrong != "") || c.wrong != "" && wrong[c.wrong] == "" {
			t.Errorf("root %q, prefix %v: %v", *c.in.Root, c.in.Prefix, err)
		}
		w.put(Input{Root: ptr(""), Prefix: ptr("")})
	}
}

// What the command line says wrongly has words, and a file that is there again is used.
func TestWrongFlagsHaveWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	w.service.Flags = Flags{URL: "mqtt://plane@127.0.0.1:1", PasswordFile: filepath.Join(t.TempDir(), "none")}
	var flags *uplinks.FlagsError
	if _, err := w.service.Settings(t.Context()); !errors.As(err, &flags) || !strings.Contains(flags.Say, "cannot be read") {
		t.Errorf("a file that is not there: %v", err)
	}
	w.service.Flags = Flags{URL: "mqtt://broker.example.net"}
	if _, err := w.service.Settings(t.Context()); !errors.As(err, &flags) || !strings.Contains(flags.Say, "in clear") {
		t.Errorf("in clear: %v", err)
	}
}

// A control plane that was restored from an older copy does not know what it said since: of a
// host that was enrolled after the copy was made nothing stays, and of others nothing goes.
func TestWhatWasSaidSinceTheCopyIsCleared(t *testing.T) {
	t.Parallel()
	m, w := startMosquitto(t, "", nil), newWorld(t)
	w.say("pub/fleet/state", "one host", "pub/host/attic-0001/state", "protected", "/homeassistant/device/rm_attic/config",
		`{"availability":[{"topic":"rm/v1/pub/plane/availability"}]}`)
	w.put(Input{URL: ptr(m.url())})
	w.up()
	w.stop()
	ours := []string{"rm/v1/pub/host/newer-0001/state", "rm/v1/pub/alert/newer-0001", "homeassistant/device/rm_newer/config"}
	foreign := []string{"homeassistant/device/another/config", "homeassistant/sensor/rm_newer/config", "site/rm/v1/pub/fleet/state"}
	for _, topic := range append(ours, foreign...) {
		payload := `{"availability":[{"topic":"rm/v1/pub/plane/availability"}]}`
		if strings.Contains(topic, "another") {
			payload = `{"availability":[{"topic":"site/rm/v1/pub/plane/availability"}]}`
		}
		m.say(topic, payload, "-r")
	}
	left := func() (list []string) {
		for _, line := range m.retained("#") {
			topic, _, _ := strings.Cut(line, " ")
			list = append(list, topic)
		}
		slices.Sort(list)
		return list
	}
	want := left()
	w.start(quick(), Flags{})
	w.up()
	if got := left(); !slices.Equal(got, want) {
		t.Errorf("of an ordinary start there is left\n%q, want\n%q", got, want)
	}
	w.stop()
	if err := w.store.SlotStep(t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		_, err := restored.Begin(ctx, x.(*sqlx.Tx), time.Now().UnixMilli(), 1)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(topic string) bool { return slices.Contains(ours, topic) })
	watch := m.watch("#")
	w.start(quick(), Flags{})
	w.up()
	if got := left(); !slices.Equal(got, want) {
		t.Errorf("there is left\n%q, want\n%q", got, want)
	}
	for _, line := range watch.lines() {
		topic, payload, _ := strings.Cut(line, " ")
		if slices.Contains(want, topic) && payload == "(null)" {
			t.Errorf("%s was cleared meanwhile", topic)
		}
	}
	m.say("rm/v1/pub/plane/availability", topics.Offline, "-r") // it still hears of itself
	await(t, "it is contradicted", func() bool {
		return slices.Contains(m.retained("rm/v1/pub/plane/availability"), "rm/v1/pub/plane/availability online")
	})
}
