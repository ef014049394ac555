package discovery

import (
	"maps"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
)

// Platforms of Home Assistant, as far as they are used.
const (
	binarySensor = "binary_sensor"
	sensor       = "sensor"
	button       = "button"
	toggle       = "switch"
	update       = "update"
)

// A component is one entity of a device.
type component struct {
	key, platform, name string
	state               topics.Kind // of the topic that says how it is; 0 is the device's own
	value               string      // the template that reads it from there
	action              topics.Action
	apart               bool // known while what the device stands for is away, and available then
	more                map[string]any
}

// Templates: a moment or a word, or nothing; a number; whether something is so.
func word(field string) string   { return "{{ value_json." + field + " | default(None, true) }}" }
func number(field string) string { return "{{ value_json." + field + " | default(0) }}" }
func holds(field string) string  { return "{{ 'ON' if value_json." + field + " else 'OFF' }}" }

var (
	diagnostic = map[string]any{"entity_category": "diagnostic"}
	bytesOf    = map[string]any{"device_class": "data_size", "unit_of_measurement": "B", "state_class": "measurement"}
	counted    = map[string]any{"state_class": "measurement"}
	timestamp  = map[string]any{"device_class": "timestamp"}
)

func class(name string) map[string]any { return map[string]any{"device_class": name} }

func icon(name string, more map[string]any) map[string]any { return with(more, "icon", "mdi:"+name) }

func with(more map[string]any, key string, value any) map[string]any {
	more = maps.Clone(more)
	if more == nil {
		more = map[string]any{}
	}
	more[key] = value
	return more
}

func oneOf[T ~string](words []T) map[string]any {
	return map[string]any{"device_class": "enum", "options": words}
}

// ofHost are the entities of a host. What the control plane knows by itself is available while the
// agent is away: a host that is off and overdue has a problem then.
func ofHost(commands bool) []component {
	list := []component{
		{key: "problem", platform: binarySensor, name: "Problem", apart: true, value: holds("problem"), more: class("problem")},
		{key: "overdue", platform: binarySensor, name: "Overdue", apart: true, value: holds("overdue"), more: class("problem")},
		{key: "status", platform: sensor, name: "Status", apart: true, value: word("status"),
			more: icon("shield-check-outline", oneOf(protection.Words))},
		{key: "connectivity", platform: binarySensor, name: "Connected", state: topics.KindHostAvailability, apart: true,
			more: with(with(with(diagnostic, "device_class", "connectivity"), "payload_on", topics.Online), "payload_off", topics.Offline)},
		{key: "last_good_backup", platform: sensor, name: "Last good backup", apart: true, value: word("last_good_backup"), more: timestamp},
		{key: "next_run", platform: sensor, name: "Next run", apart: true, value: word("next_run"), more: timestamp},
		{key: "running", platform: binarySensor, name: "Running", value: holds("running_job"), more: class("running")},
		{key: "percent", platform: sensor, name: "Progress", value: number("percent"),
			more: icon("progress-upload", with(with(counted, "unit_of_measurement", "%"), "suggested_display_precision", 0))},
		{key: "added", platform: sensor, name: "Added by the last backup", apart: true, value: number("added_bytes"), more: bytesOf},
		{key: "restorable", platform: sensor, name: "Restorable", apart: true, value: number("protected_bytes"), more: bytesOf},
		{key: "snapshots", platform: sensor, name: "Snapshots", apart: true, value: number("snapshots"), more: icon("camera-outline", counted)},
		{key: "alerts", platform: sensor, name: "Alerts", apart: true, value: number("alerts"), more: icon("alert-outline", counted)},
		{key: "drill", platform: sensor, name: "Drill", apart: true, value: word("proven"),
			more: icon("backup-restore", oneOf([]drills.Word{drills.Disproved, drills.Unproven, drills.Proven}))},
		{key: "update", platform: update, name: "Agent", state: topics.KindHostUpdate, more: diagnostic},
	}
	if commands {
		list = append(list,
			component{key: "backup", platform: button, name: "Back up now", action: topics.ActionBackup, more: icon("backup-restore", nil)},
			component{key: "check", platform: button, name: "Check", action: topics.ActionCheck, more: icon("clipboard-check-outline", nil)},
			component{key: "cancel", platform: button, name: "Cancel jobs", action: topics.ActionCancel, more: icon("cancel", nil)},
			component{key: "pause", platform: toggle, name: "Pause", action: topics.ActionPause, value: holds("paused_until"),
				more: icon("pause-circle-outline", nil)},
		)
	}
	return list
}

// ofRepository are the entities of a repository.
var ofRepository = []component{
	{key: "problem", platform: binarySensor, name: "Problem", value: holds("problem"), more: class("problem")},
	{key: "health", platform: sensor, name: "Health", value: word("health"), more: icon("database-check-outline", oneOf(health.Words))},
	{key: "size", platform: sensor, name: "Size", value: number("stored_bytes"), more: bytesOf},
	{key: "snapshots", platform: sensor, name: "Snapshots", value: number("snapshots"), more: icon("camera-outline", counted)},
	{key: "last_check", platform: sensor, name: "Last check", value: word("last_check"), more: timestamp},
	{key: "locks", platform: sensor, name: "Locks", value: number("locks"), more: icon("lock-outline", counted)},
}

// ofFleet are the entities of all hosts together.
var ofFleet = []component{
	{key: "connectivity", platform: binarySensor, name: "Control plane", state: topics.KindPlaneAvailability, apart: true,
		more: with(with(with(diagnostic, "device_class", "connectivity"), "payload_on", topics.Online), "payload_off", topics.Offline)},
	{key: "problem", platform: binarySensor, name: "Problem", value: holds("problems"), more: class("problem")},
	{key: "hosts", platform: sensor, name: "Hosts", value: number("hosts"), more: icon("server", counted)},
	{key: "online", platform: sensor, name: "Hosts connected", value: number("online"), more: icon("server-network", counted)},
	{key: "problems", platform: sensor, name: "Hosts with a problem", value: number("problems"), more: icon("alert-outline", counted)},
	{key: "failed", platform: sensor, name: "Hosts whose backup failed", value: number("by_status.failed"),
		more: icon("alert-circle-outline", counted)},
	{key: "overdue", platform: sensor, name: "Hosts overdue", value: number("by_status.overdue"), more: icon("clock-alert-outline", counted)},
	{key: "plane_disk", platform: binarySensor, name: "Control plane's disk short of space", value: holds("plane_disk"),
		more: with(diagnostic, "device_class", "problem")},
	{key: "plane_free", platform: sensor, name: "Control plane's disk free", value: number("plane_free"),
		more: with(bytesOf, "entity_category", "diagnostic")},
}

// A device is what Home Assistant is told of: a host, a repository, or all hosts together.
type device struct {
	key   string // host:ID, repository:ID, fleet
	id    string // by which Home Assistant knows it, among the devices of all programs
	slug  string // how the IDs of its entities begin
	name  string
	model string
	page  string // below the public address
	agent string // the version

	host       topics.HostID
	repository topics.RepositoryID
}

func (d device) topic(kind topics.Kind) topics.Topic {
	return topics.Topic{Kind: kind, Host: d.host, Repository: d.repository}
}

// components are the entities of a device.
func (d device) components(commands bool) []component {
	switch {
	case d.host != "":
		return ofHost(commands)
	case d.repository != "":
		return ofRepository
	}
	return ofFleet
}

func (d device) state() topics.Kind {
	switch {
	case d.host != "":
		return topics.KindHostState
	case d.repository != "":
		return topics.KindRepositoryState
	}
	return topics.KindFleetState
}

// A voice is what is the same in all that one broker is told.
type voice struct {
	outbox.Dialect
	prefix  string
	buttons bool
	public  string // where the pages are, "" if that is not known
	version string // of the control plane
	hub     string // the id of the device that stands for all; "" leaves it out
}

func (v voice) topic(d device) string { return v.prefix + "/device/" + d.id + "/config" }

func (v voice) commands() bool { return v.buttons && v.Command != nil }

type availability struct {
	Topic string `json:"topic"`
}

type origin struct {
	Name      string `json:"name"`
	SWVersion string `json:"sw_version,omitempty"`
}

type about struct {
	Identifiers      []string `json:"identifiers"`
	Name             string   `json:"name"`
	Manufacturer     string   `json:"manufacturer"`
	Model            string   `json:"model"`
	SWVersion        string   `json:"sw_version,omitempty"`
	ViaDevice        string   `json:"via_device,omitempty"`
	ConfigurationURL string   `json:"configuration_url,omitempty"`
}

// A config is a discovery message of a whole device.
type config struct {
	Device           about                     `json:"device"`
	Origin           origin                    `json:"origin"`
	Availability     []availability            `json:"availability,omitempty"`
	AvailabilityMode string                    `json:"availability_mode,omitempty"`
	StateTopic       string                    `json:"state_topic"`
	Components       map[string]map[string]any `json:"components"`
}

// platforms are those of a device's components, by their keys.
func (d device) platforms(commands bool) map[string]string {
	list := map[string]string{}
	for _, one := range d.components(commands) {
		list[one.key] = one.platform
	}
	return list
}

// compose writes the discovery message of a device for one broker. Components that are gone are
// named with their platform alone, which has Home Assistant remove them.
func compose(v voice, d device, gone map[string]string) []byte {
	name := func(t topics.Topic) string { return outbox.Message{Topic: t.Below()}.Name(v.Root) }
	plane := availability{Topic: name(topics.Topic{Kind: topics.KindPlaneAvailability})}
	c := config{
		Device: about{Identifiers: []string{d.id}, Name: d.name, Manufacturer: product, Model: d.model, SWVersion: d.agent,
			ViaDevice: v.hub},
		Origin:           origin{Name: product, SWVersion: v.version},
		Availability:     []availability{plane},
		AvailabilityMode: "all",
		StateTopic:       name(d.topic(d.state())),
		Components:       map[string]map[string]any{},
	}
	if d.host != "" {
		c.Availability = append(c.Availability, availability{Topic: name(d.topic(topics.KindHostAvailability))})
	}
	if d.key == fleetKey { // one of its entities says whether the control plane is there: it has no availability to take
		c.Device.ViaDevice, c.Device.SWVersion = "", v.version
		c.Availability, c.AvailabilityMode = nil, ""
	}
	if v.public != "" {
		c.Device.ConfigurationURL = v.public + d.page
	}
	for _, one := range d.components(v.commands()) {
		if _, first := gone[one.key]; first {
			continue // another platform's entity goes before it comes
		}
		e := maps.Clone(one.more)
		if e == nil {
			e = map[string]any{}
		}
		e["platform"], e["name"] = one.platform, one.name
		e["qos"] = 1 // each for itself: Home Assistant takes one of the root, and does not pass it on
		e["unique_id"] = d.id + "_" + one.key
		e["default_entity_id"] = one.platform + "." + d.slug + "_" + one.key
		if one.value != "" {
			e["value_template"] = one.value
		}
		if one.state != 0 {
			e["state_topic"] = name(d.topic(one.state))
		}
		if one.apart != (d.key == fleetKey) {
			e["availability"] = []availability{plane}
		}
		if one.action != "" {
			e["command_topic"] = v.Command(d.host, one.action)
			if one.platform == button {
				e["payload_press"] = "{}"
			}
		}
		c.Components[one.key] = e
	}
	for _, key := range slices.Sorted(maps.Keys(gone)) {
		c.Components[key] = map[string]any{"platform": gone[key]}
	}
	return topics.Encode(c)
}

const product = "restic-manager"
