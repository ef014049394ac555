package discovery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/e2e/homeassistant"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/removal"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// box is the outbox's place: what each topic retains, and what was said once.
type box struct {
	mu       sync.Mutex
	retained map[outbox.Outlet]map[string]string
	puts     int
	said     []outbox.Message
}

func (b *box) Put(_ context.Context, messages ...outbox.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range messages {
		if m.QoS != 1 || !m.Retain {
			panic("it is not retained")
		}
		b.puts++
		if b.retained[m.Outlet] == nil {
			b.retained[m.Outlet] = map[string]string{}
		}
		b.retained[m.Outlet][m.Name("rm/v1")] = string(m.Payload)
		if len(m.Payload) == 0 {
			delete(b.retained[m.Outlet], m.Name("rm/v1"))
		}
	}
}

func (b *box) Say(m outbox.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, m)
}

func dialect(o outbox.Outlet, root string, commands bool) outbox.Dialect {
	d := outbox.Dialect{Outlet: o, Root: root}
	if commands {
		d.Command = func(h topics.HostID, a topics.Action) string { return root + "/do/" + string(h) + "/" + string(a) }
	}
	return d
}

// A desk is a service with two brokers, at a clock of its own.
type desk struct {
	*Service
	t        *testing.T
	box      *box
	at       time.Time
	dialects []outbox.Dialect
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, box: &box{retained: map[outbox.Outlet]map[string]string{}}, at: time.Now(),
		dialects: []outbox.Dialect{dialect(outbox.Public, "rm/v1", true), dialect(outbox.Uplink, "house/backup", false)}}
	d.restart(storetest.Open(t, store.Open))
	return d
}

// restart is what a start of the control plane makes of the same database.
func (d *desk) restart(s *store.Store) {
	now := func() time.Time { return d.at }
	board := fleet.NewBoard(s, hosts.NewPresence(hosts.DefaultTiming(), now, nil), now)
	d.Service = &Service{Store: s, Fleet: board, Box: d.box, Dialects: func() []outbox.Dialect { return d.dialects }, Version: "1.2.3",
		Public: func(context.Context) string { return "https://backup.example.net/x" }, Log: slog.New(slog.DiscardHandler),
		Now: now, Chance: func() float64 { return 0.5 }}
	d.begin()
}

func (d *desk) host(id topics.HostID, name string) {
	d.t.Helper()
	key := []byte("key of " + id)
	if err := d.Store.AddEnrollToken(d.t.Context(), store.EnrollToken{ID: "token-" + string(id), KeyHash: key, CreatedBy: "test",
		ExpiresAt: d.Store.Now() + 60_000}); err != nil {
		d.t.Fatal(err)
	}
	must(d.Store.Enroll(d.t.Context(), key, store.Host{ID: id, SealKey: []byte("k"), Hostname: "machine"}))
	d.rename(id, name)
}

func (d *desk) rename(id topics.HostID, name string) {
	d.t.Helper()
	d.settings(id, removal.HostSettings{Name: &name})
}

func (d *desk) settings(id topics.HostID, set removal.HostSettings) {
	d.t.Helper()
	must(d.Store.PutHostSettings(d.t.Context(), "test", id, set))
}

func (d *desk) repository(id topics.RepositoryID, name string) {
	d.t.Helper()
	if err := d.Store.AddRepository(d.t.Context(), "test", store.Repository{ID: id, Name: name}, store.RepositoryAccess{}); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) set(set Settings) {
	d.t.Helper()
	_, version, err := d.Get(d.t.Context())
	if err == nil {
		err = d.Put(d.t.Context(), "anna", set, version)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// step looks once, and checks every message that is retained then.
func (d *desk) step() {
	d.t.Helper()
	if err := d.Service.step(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	for outlet, retained := range d.box.retained {
		unique := map[string]string{}
		for topic, payload := range retained {
			found, wrong := homeassistant.Validate("homeassistant", topic, []byte(payload))
			if strings.HasPrefix(topic, "house/") {
				found, wrong = homeassistant.Validate("house", topic, []byte(payload))
			}
			if len(wrong) > 0 {
				d.t.Errorf("%s: %s", outlet, strings.Join(wrong, "\n"))
			}
			for _, c := range found.Components {
				if qos, _ := c.Config["qos"].(json.Number); c.Config != nil && qos != "1" {
					d.t.Errorf("%s: %s of %s is read and asked for at QoS %s", outlet, c.Key, topic, qos)
				}
				for _, id := range []string{"unique_id", "default_entity_id"} {
					v, _ := c.Config[id].(string)
					if v != "" && unique[id+v] != "" {
						d.t.Errorf("%s: %s and %s both have %s", outlet, topic, unique[id+v], v)
					}
					unique[id+v] = topic
				}
			}
		}
	}
}

// config is what a broker retains of a device, nil for nothing.
func (d *desk) config(outlet outbox.Outlet, id string) map[string]any {
	d.t.Helper()
	payload := d.box.retained[outlet]["homeassistant/device/rm_"+id+"/config"]
	if payload == "" {
		return nil
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(payload), &v); err != nil {
		d.t.Fatal(err)
	}
	return v
}

func components(v map[string]any) map[string]any {
	c, _ := v["components"].(map[string]any)
	return c
}

const attic, cellar, vault = "attic-0001", "cellar-0001", "vault-0001"

func TestADeviceOfEachHostAndRepository(t *testing.T) {
	d := newDesk(t)
	d.host(attic, "attic")
	d.host(cellar, "cellar")
	d.repository(vault, "vault")
	d.step()
	if d.box.puts > 0 {
		t.Error("something is said before anybody switched it on")
	}
	set := Settings{Enabled: true, Buttons: true}
	if p := must(d.Preview(t.Context(), set)); p.Devices != 4 || p.Hosts != 2 || p.Repositories != 1 {
		t.Errorf("this would make %+v", p)
	}
	d.set(set)
	d.step()
	for outlet, root := range map[outbox.Outlet]string{outbox.Public: "rm/v1", outbox.Uplink: "house/backup"} {
		if n := len(d.box.retained[outlet]); n != 4 {
			t.Errorf("%s: %d devices", outlet, n)
		}
		c := d.config(outlet, attic)
		device, _ := c["device"].(map[string]any)
		if device["name"] != "attic" || device["via_device"] == nil ||
			device["configuration_url"] != "https://backup.example.net/x/hosts/attic-0001" {
			t.Errorf("%s: the device is %v", outlet, device)
		}
		want := []any{map[string]any{"topic": root + "/pub/plane/availability"},
			map[string]any{"topic": root + "/pub/host/attic-0001/availability"}}
		if c["availability_mode"] != "all" || !reflect.DeepEqual(c["availability"], want) {
			t.Errorf("%s: it is available by %v, %v", outlet, c["availability_mode"], c["availability"])
		}
		for key, e := range components(c) {
			e, _ := e.(map[string]any)
			var alone any // of what is of use with the agent alone, nothing but what holds for the device
			if !slices.Contains(strings.Fields("running percent update backup check cancel pause"), key) {
				alone = want[:1]
			}
			if !reflect.DeepEqual(e["availability"], alone) {
				t.Errorf("%s: %s is available by %v, want %v", outlet, key, e["availability"], alone)
			}
		}
		pause, _ := components(c)["pause"].(map[string]any)
		if (pause["command_topic"] == root+"/do/attic-0001/pause") != (outlet == outbox.Public) || (pause != nil) != (outlet == outbox.Public) {
			t.Errorf("%s: the switch is %v", outlet, pause)
		}
		for _, key := range strings.Fields(`problem overdue status connectivity last_good_backup next_run running percent added restorable
			snapshots alerts drill update`) {
			if components(c)[key] == nil {
				t.Errorf("%s: a host has no %s", outlet, key)
			}
		}
		for _, key := range strings.Fields(`problem health size snapshots last_check locks`) {
			if components(d.config(outlet, vault))[key] == nil {
				t.Errorf("%s: a repository has no %s", outlet, key)
			}
		}
	}
	for key, c := range components(d.config(outbox.Public, strings.TrimPrefix(d.hub(), "rm_"))) {
		c, _ := c.(map[string]any)
		if plane := c["availability"] == nil; plane != (key == "connectivity") {
			t.Errorf("of all hosts, %s is available by %v", key, c["availability"])
		}
	}
	status := must(d.Status(t.Context()))
	if p := must(d.Preview(t.Context(), set)); status.Devices != p.Devices || status.Entities != p.Entities {
		t.Errorf("it is told %+v, and %+v was said before", status, p)
	}
	puts := d.box.puts
	d.step()
	d.restart(d.Store) // a control plane that is started again has the box look whether it is told
	d.step()
	if d.box.puts != puts+8 {
		t.Errorf("%d messages of what did not change", d.box.puts-puts)
	}
}

// Every template reads fields that the payload really has, and its states are such as Home
// Assistant takes.
func TestTemplatesReadWhatIsPublished(t *testing.T) {
	payloads := map[topics.Kind][]any{
		topics.KindHostState: {topics.HostState{Status: "protected", Proven: "proven"},
			topics.HostState{Status: "overdue", Proven: "not-proven", LastGoodBackup: "2026-11-29T21:00:00Z", NextRun: "2026-11-30T21:00:00Z",
				RunningJob: "job-0000001", Percent: 12.5, ProtectedBytes: 1 << 40, Alerts: 3}},
		topics.KindRepositoryState: {topics.RepositoryState{Health: "healthy"}, topics.RepositoryState{Health: "damaged"}},
		topics.KindFleetState: {topics.FleetState{ByStatus: map[string]int{}},
			topics.FleetState{PlaneDisk: "low", ByStatus: map[string]int{"overdue": 2}}},
	}
	for _, dev := range []device{{host: attic}, {repository: vault}, {key: fleetKey}} {
		for _, c := range dev.components(true) {
			if c.value == "" {
				continue
			}
			for _, p := range payloads[dev.state()] {
				got, err := homeassistant.Render(c.value, topics.Encode(p))
				if err != nil {
					t.Errorf("%s: %v", c.key, err)
				}
				if class := c.more["device_class"]; class == "enum" && got != "None" && !strings.Contains(fmt.Sprint(c.more["options"]), got) {
					t.Errorf("%s is %q, and may be %v", c.key, got, c.more["options"])
				}
			}
		}
	}
}

// Whatever a host is called, what is told of it is what Home Assistant takes, and no text of
// a person is read as a template.
func TestNamesAreSafe(t *testing.T) {
	d := newDesk(t)
	names := []string{`{{ states('x') }}`, `a "quoted" 'name'`, "🦊", "🐻", strings.Repeat("n", 64), "Käse & Brot", "käse brot", "-",
		`back\slash`, "<b>", "ünïcödé ñ", "{% raw %}", "#+/$"}
	for i, name := range names {
		d.host(topics.HostID(fmt.Sprintf("host-%08d", i)), name)
	}
	d.set(Settings{Enabled: true, Buttons: true})
	d.step() // it checks every message
	for i, name := range names {
		c := d.config(outbox.Public, fmt.Sprintf("host-%08d", i))
		if device, _ := c["device"].(map[string]any); device["name"] != name {
			t.Errorf("%q is called %v", name, device["name"])
		}
	}
}

// A host that gets another name keeps the IDs of its entities, and another host that gets
// the old name has others.
func TestIDsStayWithTheirHost(t *testing.T) {
	d := newDesk(t)
	d.host(attic, "attic")
	d.set(Settings{Enabled: true})
	d.step()
	id := func(host string) any {
		status, _ := components(d.config(outbox.Public, host))["status"].(map[string]any)
		return status["default_entity_id"]
	}
	if got := id(attic); got != "sensor.backup_attic_status" {
		t.Errorf("it is %v", got)
	}
	d.rename(attic, "loft")
	d.host(cellar, "attic")
	d.step()
	if id(attic) != "sensor.backup_attic_status" || id(cellar) != "sensor.backup_attic_2_status" {
		t.Errorf("they are %v and %v", id(attic), id(cellar))
	}
	if device, _ := d.config(outbox.Public, attic)["device"].(map[string]any); device["name"] != "loft" {
		t.Errorf("the device is still called %v", device["name"])
	}
	if err := d.Store.RemoveHost(t.Context(), "test", attic, removal.Keep); err != nil {
		t.Fatal(err)
	}
	d.step()
	if d.config(outbox.Public, attic) != nil || d.config(outbox.Uplink, attic) != nil {
		t.Error("a host that was removed is still told of")
	}
	d.host("shed-0001", "Attic!")
	d.step()
	if got := id("shed-0001"); got != "sensor.backup_attic_status" {
		t.Errorf("a new host of that name is %v", got)
	}
}

// What is switched off, or has another prefix, is taken back; a control plane that stops
// takes nothing back.
func TestNothingIsLeft(t *testing.T) {
	d := newDesk(t)
	d.host(attic, "attic")
	d.host(cellar, "cellar")
	d.repository(vault, "vault")
	d.settings(attic, removal.HostSettings{Tags: &[]string{"web"}})
	d.set(Settings{Enabled: true, Buttons: true})
	d.step()
	run, stop := context.WithCancel(t.Context())
	stop()
	if err := d.Run(run); err != nil || len(d.box.retained[outbox.Public]) != 4 {
		t.Errorf("a stop leaves %d devices, %v", len(d.box.retained[outbox.Public]), err)
	}
	d.restart(d.Store)
	d.set(Settings{Enabled: true, Prefix: "house"})
	d.step()
	for outlet, retained := range d.box.retained {
		for topic := range retained {
			if !strings.HasPrefix(topic, "house/device/") {
				t.Errorf("%s: %s is left of another prefix", outlet, topic)
			}
		}
	}
	d.set(Settings{Enabled: true, Tags: []string{"web"}})
	d.step()
	if d.config(outbox.Public, attic) == nil || d.config(outbox.Public, cellar) != nil || d.config(outbox.Public, vault) != nil {
		t.Errorf("of hosts with a tag, it is told of %v", d.box.retained[outbox.Public])
	}
	retired := true
	d.settings(attic, removal.HostSettings{Retired: &retired})
	d.step()
	if d.config(outbox.Public, attic) != nil {
		t.Error("a host that is retired is still told of")
	}
	d.dialects = d.dialects[:1] // the user's own broker is given up
	d.step()
	if len(d.box.retained[outbox.Uplink]) > 0 {
		t.Errorf("the uplink is left with %v", d.box.retained[outbox.Uplink])
	}
	d.set(Settings{})
	d.restart(d.Store)
	d.step()
	if len(d.box.retained[outbox.Public]) > 0 {
		t.Errorf("it is switched off, and %v is left", d.box.retained[outbox.Public])
	}
	if told, _, err := d.Store.Discovered(t.Context()); err != nil || len(told) > 0 {
		t.Errorf("it is remembered that %v was told, %v", told, err)
	}
}

// What did not change is neither read nor compared again, and each change is seen.
func TestEachChangeIsSeen(t *testing.T) {
	d := newDesk(t)
	d.host(attic, "attic")
	d.host(cellar, "cellar")
	d.repository(vault, "vault")
	d.set(Settings{Enabled: true, Buttons: true})
	d.step()
	name := func(id string) any {
		device, _ := d.config(outbox.Public, id)["device"].(map[string]any)
		return device["name"]
	}
	round, puts := d.view.round, d.box.puts
	for range 3 {
		d.step()
	}
	if d.view.round != round || d.box.puts != puts {
		t.Errorf("nothing changed, and there were %d lists and %d messages", d.view.round-round, d.box.puts-puts)
	}
	d.rename(attic, "loft")
	d.step()
	if name(attic) != "loft" {
		t.Errorf("a host that got another name is %v", name(attic))
	}
	if err := d.Store.ChangeRepository(t.Context(), "test", store.Repository{ID: vault, Name: "safe"}, store.RepositoryAccess{}); err != nil {
		t.Fatal(err)
	}
	d.step()
	if name(vault) != "safe" {
		t.Errorf("a repository that got another name is %v", name(vault))
	}
	d.repository("chest-0001", "chest")
	d.step()
	if name("chest-0001") != "chest" {
		t.Errorf("a new repository is %v", name("chest-0001"))
	}
	// One that is told of no more is out of the list before it is removed: its name is free all the same.
	retired := true
	d.settings(cellar, removal.HostSettings{Retired: &retired})
	d.step()
	if err := d.Store.RemoveHost(t.Context(), "test", cellar, removal.Keep); err != nil {
		t.Fatal(err)
	}
	d.step()
	if d.names[hostKey(cellar)] != "" {
		t.Errorf("a host that was removed is still called %s", d.names[hostKey(cellar)])
	}
	for _, change := range []func(){
		func() { d.set(Settings{Enabled: true}) },
		func() { d.dialects = d.dialects[:1] },
		func() { d.dialects[0].Root = "site/rm" },
		func() { d.Public = nil },
		func() {
			d.Reach = func(context.Context, outbox.Outlet) (Reach, error) { return Reach{Commands: true}, nil }
		},
	} {
		puts := d.box.puts
		change()
		d.step()
		if d.box.puts == puts {
			t.Error("a change is not told")
		}
	}
}

// A component that goes is named with its platform alone first, and then no more.
func TestAComponentGoesByItsPlatform(t *testing.T) {
	d := newDesk(t)
	d.host(attic, "attic")
	d.set(Settings{Enabled: true, Buttons: true})
	d.step()
	d.set(Settings{Enabled: true})
	d.step()
	button := func() any { return components(d.config(outbox.Public, attic))["backup"] }
	alone := map[string]any{"platform": "button"}
	if !reflect.DeepEqual(button(), alone) {
		t.Errorf("the button is %v", button())
	}
	d.restart(d.Store)
	d.at = d.at.Add(d.Timing.Settle - time.Second)
	d.step()
	if !reflect.DeepEqual(button(), alone) {
		t.Errorf("after a start it is %v", button())
	}
	d.at = d.at.Add(2 * time.Second)
	d.step()
	if button() != nil {
		t.Errorf("it is still named: %v", button())
	}
	d.set(Settings{Enabled: true, Buttons: true})
	d.step()
	if b, _ := button().(map[string]any); b["command_topic"] != "rm/v1/do/attic-0001/backup" {
		t.Errorf("it came back as %v", b)
	}
}

// Where somebody is told of some hosts alone, no device is behind one that is not told there.
func TestNoDeviceIsBehindOneThatIsNotTold(t *testing.T) {
	d := newDesk(t)
	d.host(attic, "attic")
	d.set(Settings{Enabled: true})
	d.Reach = func(_ context.Context, o outbox.Outlet) (Reach, error) { return Reach{All: o != outbox.Public}, nil }
	d.step()
	for outlet, want := range map[outbox.Outlet]any{outbox.Public: nil, outbox.Uplink: d.hub()} {
		if device, _ := d.config(outlet, attic)["device"].(map[string]any); device["via_device"] != want {
			t.Errorf("%s: it is behind %v", outlet, device["via_device"])
		}
	}
}

// Where nobody may ask for anything there are no buttons, until somebody may.
func TestThereAreNoButtonsThatDoNothing(t *testing.T) {
	d := newDesk(t)
	d.host(attic, "attic")
	reach := Reach{All: true}
	d.Reach = func(context.Context, outbox.Outlet) (Reach, error) { return reach, nil }
	set := Settings{Enabled: true, Buttons: true}
	d.set(set)
	for _, may := range []bool{false, true, false} {
		reach.Commands = may
		d.step()
		c := components(d.config(outbox.Public, attic))
		for _, key := range []string{"backup", "check", "cancel", "pause"} {
			one, _ := c[key].(map[string]any)
			if (one["command_topic"] != nil) != may {
				t.Errorf("while somebody may ask is %t, %s is %v", may, key, one)
			}
		}
		if p, s := must(d.Preview(t.Context(), set)), must(d.Status(t.Context())); p.Entities != s.Entities {
			t.Errorf("it is told of %d entities, and %d were said", s.Entities, p.Entities)
		}
	}
}

// Who was started is told everything again after a while, all devices once, and nothing of
// what went meanwhile.
func TestABirthIsAnswered(t *testing.T) {
	d := newDesk(t)
	d.host(attic, "attic")
	d.host(cellar, "cellar")
	d.set(Settings{Enabled: true})
	d.step()
	for range 3 {
		d.Born(outbox.Public, "home")
	}
	d.step()
	if len(d.repeat) > 0 {
		t.Error("it is told at once")
	}
	d.at = d.at.Add(d.Timing.Again/2 + time.Millisecond)
	d.step()
	if err := d.Store.RemoveHost(t.Context(), "test", cellar, removal.Keep); err != nil {
		t.Fatal(err)
	}
	d.step()
	for len(d.repeat) > 0 {
		d.sayNext()
	}
	var said []string
	for _, m := range d.box.said {
		if m.Retain || m.Outlet != outbox.Public || string(m.Payload) != d.box.retained[outbox.Public][m.Name("")] {
			t.Errorf("it is said again: %+v", m)
		}
		said = append(said, m.Name(""))
	}
	want := []string{"homeassistant/device/" + d.hub() + "/config", "homeassistant/device/rm_attic-0001/config"}
	if !slices.Equal(said, want) {
		t.Errorf("it is told %v, want %v", said, want)
	}
	if s := must(d.Status(t.Context())); len(s.Births) != 1 || s.Births[0].Name != "home" || s.BornAt() == 0 {
		t.Errorf("the births are %+v", s.Births)
	}
}

// A device has room in a message, whatever its host is called.
func TestAMessageIsSmallEnough(t *testing.T) {
	v := voice{Dialect: dialect(outbox.Public, strings.Repeat("r", 100), true), prefix: strings.Repeat("p", MaxPrefix), buttons: true,
		public: "https://" + strings.Repeat("x", 250), version: "1.2.3", hub: "rm_" + strings.Repeat("h", 40)}
	id := strings.Repeat("i", 40)
	payload := compose(v, device{key: "host:" + id, id: "rm_" + id, host: topics.HostID(id), name: strings.Repeat("🦊", 64),
		slug: "backup_" + strings.Repeat("x", longestSlug), model: "Host, linux"}, nil)
	if len(payload) > 16<<10 {
		t.Errorf("it has %d bytes", len(payload))
	}
	t.Logf("%d bytes", len(payload))
}

func BenchmarkTenThousandHosts(b *testing.B) {
	s := &Service{plane: "x"}
	w := world{}
	for i := range 10_000 {
		w.hosts = append(w.hosts, store.Host{ID: topics.HostID(fmt.Sprintf("host-%08d", i)), Name: fmt.Sprint("host ", i)})
	}
	list := s.devices(w)
	v := voice{Dialect: dialect(outbox.Public, "rm/v1", true), prefix: Prefix, buttons: true, hub: "rm_x"}
	for b.Loop() {
		for _, d := range list {
			compose(v, d, nil)
		}
	}
}
