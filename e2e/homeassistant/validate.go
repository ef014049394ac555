// Package homeassistant behaves like Home Assistant, as far as its documentation says how:
// it is a consumer for tests. It knows nothing of how discovery messages are composed here.
package homeassistant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// What Home Assistant documents for MQTT device discovery, and for the platforms that are
// used: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload and the
// pages of binary_sensor, button, sensor, switch and update for MQTT.
type platform struct {
	required, allowed []string
	classes           []string
}

// Of all entities.
var common = []string{"platform", "unique_id", "default_entity_id", "name", "icon", "entity_category", "entity_picture",
	"enabled_by_default", "availability", "availability_mode", "availability_topic", "availability_template", "payload_available",
	"payload_not_available", "json_attributes_topic", "json_attributes_template", "qos", "encoding"}

var platforms = map[string]platform{
	"binary_sensor": {
		required: []string{"state_topic"},
		allowed: []string{"state_topic", "value_template", "payload_on", "payload_off", "device_class", "expire_after", "off_delay",
			"force_update"},
		classes: strings.Fields(`battery battery_charging carbon_monoxide cold connectivity door garage_door gas heat light lock moisture
			motion moving occupancy opening plug power presence problem running safety smoke sound tamper update vibration window`),
	},
	"sensor": {
		required: []string{"state_topic"},
		allowed: []string{"state_topic", "value_template", "device_class", "state_class", "unit_of_measurement", "options", "expire_after",
			"force_update", "last_reset_value_template", "suggested_display_precision"},
		classes: strings.Fields(`absolute_humidity apparent_power aqi area atmospheric_pressure battery blood_glucose_concentration carbon_dioxide
			carbon_monoxide conductivity current data_rate data_size date distance duration energy energy_distance energy_storage enum
			frequency gas humidity illuminance irradiance moisture monetary nitrogen_dioxide nitrogen_monoxide nitrous_oxide ozone ph
			pm1 pm25 pm4 pm10 power power_factor precipitation precipitation_intensity pressure reactive_energy reactive_power
			signal_strength sound_pressure speed sulphur_dioxide temperature temperature_delta timestamp volatile_organic_compounds
			volatile_organic_compounds_parts voltage volume volume_flow_rate volume_storage water weight wind_direction wind_speed`),
	},
	"button": {
		required: []string{"command_topic"},
		allowed:  []string{"command_topic", "command_template", "payload_press", "device_class", "retain"},
		classes:  []string{"identify", "restart", "update"},
	},
	"switch": {
		required: []string{"command_topic"},
		allowed: []string{"command_topic", "command_template", "state_topic", "value_template", "payload_on", "payload_off", "state_on",
			"state_off", "optimistic", "device_class", "retain"},
		classes: []string{"outlet", "switch"},
	},
	"update": {
		allowed: []string{"command_topic", "device_class", "display_precision", "latest_version_template", "latest_version_topic",
			"payload_install", "release_summary", "release_url", "retain", "state_topic", "title", "value_template"},
		classes: []string{"firmware"},
	},
}

var (
	rootKeys = []string{"device", "origin", "components", "availability", "availability_mode", "availability_topic",
		"availability_template", "payload_available", "payload_not_available", "command_topic", "state_topic", "qos", "encoding"}
	deviceKeys = []string{"identifiers", "connections", "manufacturer", "model", "model_id", "name", "hw_version", "sw_version",
		"serial_number", "suggested_area", "configuration_url", "via_device"}
	originKeys = []string{"name", "sw_version", "support_url"}
	// Options of the root that a component has unless it has its own. qos and encoding are taken
	// there, too, and do not count for components.
	shared = []string{"availability", "availability_mode", "availability_topic", "availability_template", "payload_available",
		"payload_not_available", "command_topic", "state_topic"}
	stateClasses = []string{"measurement", "measurement_angle", "total", "total_increasing"}
	// Units of the classes of sensors that are used. A class that is not here takes none.
	units = map[string][]string{
		"data_size": strings.Fields("bit kbit Mbit Gbit B kB MB GB TB PB EB ZB YB KiB MiB GiB TiB PiB EiB ZiB YiB"),
		"duration":  strings.Fields("d h min s ms µs"),
	}
	// UpdateKeys are all that the state of an update may have; with another one Home
	// Assistant discards the whole message.
	UpdateKeys = strings.Fields(`installed_version latest_version title release_summary release_url entity_picture in_progress
		update_percentage`)

	topicOfDevice = regexp.MustCompile(`^device/(?:[a-zA-Z0-9_-]+/)?[a-zA-Z0-9_-]+/config$`)
	entityID      = regexp.MustCompile(`^([a-z_]+)\.[a-z0-9]+(?:_[a-z0-9]+)*$`)
	iconName      = regexp.MustCompile(`^mdi:[a-z0-9]+(?:-[a-z0-9]+)*$`)
)

// A Component is one entity as a discovery message has it, with what it takes from the root.
type Component struct {
	Key, Platform string
	Config        map[string]any // nil is that it is to be removed
}

// A Discovery is a discovery message that was read.
type Discovery struct {
	Device     map[string]any
	Components []Component
}

// Identifier is the first of the device's.
func (d Discovery) Identifier() string {
	ids := texts(d.Device["identifiers"])
	return append(ids, "")[0]
}

// Validate reads a discovery message of a device, and says all that is wrong with it. topic is
// its whole name, and prefix that of Home Assistant.
func Validate(prefix, topic string, payload []byte) (d Discovery, wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, topic+": "+fmt.Sprintf(format, args...)) }
	below, ok := strings.CutPrefix(topic, prefix+"/")
	if !ok || !topicOfDevice.MatchString(below) {
		say("it is not where Home Assistant looks for devices")
	}
	var root map[string]any
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.UseNumber()
	if err := decoder.Decode(&root); err != nil {
		say("%v", err)
		return d, wrong
	}
	only(root, rootKeys, "the root", say)
	d.Device, _ = root["device"].(map[string]any)
	origin, _ := root["origin"].(map[string]any)
	components, _ := root["components"].(map[string]any)
	only(d.Device, deviceKeys, "device", say)
	only(origin, originKeys, "origin", say)
	switch {
	case d.Device == nil || len(texts(d.Device["identifiers"]))+len(texts(d.Device["connections"])) == 0:
		say("the device has nothing to be known by")
	case origin == nil || origin["name"] == "" || origin["name"] == nil:
		say("the origin has no name")
	case len(components) == 0:
		say("it has no components")
	}
	for _, u := range []any{d.Device["configuration_url"], origin["support_url"]} {
		if u == nil {
			continue
		}
		if a, err := url.Parse(fmt.Sprint(u)); err != nil || a.Host == "" || a.Scheme != "http" && a.Scheme != "https" {
			say("%v is no address", u)
		}
	}
	for key, v := range d.Device {
		if s, is := v.(string); is && (s == "" || key == "via_device" && s == d.Identifier()) {
			say("device.%s is %q", key, s)
		}
	}
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(components)) {
		c, _ := components[key].(map[string]any)
		kind, _ := c["platform"].(string)
		if _, known := platforms[kind]; !known {
			say("%s is of the platform %q", key, kind)
			continue
		}
		if len(c) == 1 {
			d.Components = append(d.Components, Component{Key: key, Platform: kind})
			continue
		}
		whole := maps.Clone(c)
		for _, option := range shared {
			takes := slices.Contains(common, option) || slices.Contains(platforms[kind].allowed, option)
			if _, own := c[option]; !own && takes && root[option] != nil {
				whole[option] = root[option]
			}
		}
		d.Components = append(d.Components, Component{Key: key, Platform: kind, Config: whole})
		for _, w := range component(kind, c, whole) {
			say("%s: %s", key, w)
		}
		for _, id := range []string{"unique_id", "default_entity_id"} {
			v, _ := c[id].(string)
			if other := seen[id+v]; other != "" {
				say("%s and %s both have the %s %s", other, key, id, v)
			}
			seen[id+v] = key
		}
	}
	return d, wrong
}

func component(kind string, c, whole map[string]any) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	p := platforms[kind]
	only(c, append(slices.Clone(common), p.allowed...), kind, say)
	for _, key := range append([]string{"unique_id", "default_entity_id"}, p.required...) {
		if v, _ := whole[key].(string); v == "" {
			say("it has no %s", key)
		}
	}
	if m := entityID.FindStringSubmatch(fmt.Sprint(c["default_entity_id"])); m == nil || m[1] != kind || strings.Contains(m[0], "__") {
		say("%v is no ID of a %s", c["default_entity_id"], kind)
	}
	for key, v := range whole {
		s, text := v.(string)
		switch {
		case strings.HasSuffix(key, "_topic"):
			if !text || s == "" || strings.ContainsAny(s, "+#\x00~") || strings.HasPrefix(s, "/") || len(s) > 65535 {
				say("%s is %q, which is no topic", key, s)
			}
		case strings.HasSuffix(key, "_template"):
			if !plainForm.MatchString(s) && !defaultForm.MatchString(s) && !conditionForm.MatchString(s) {
				say("%s is %q", key, s)
			}
		case key == "icon" && !iconName.MatchString(s):
			say("the icon is %q", s)
		case key == "entity_category" && !(s == "diagnostic" || s == "config" && kind != "sensor" && kind != "binary_sensor"):
			say("the category of a %s is %q", kind, s)
		case key == "device_class" && !slices.Contains(p.classes, s):
			say("there is no device_class %q of a %s", s, kind)
		case key == "qos":
			if q := fmt.Sprint(v); q != "0" && q != "1" && q != "2" {
				say("qos is %s", q)
			}
		}
	}
	wrong = append(wrong, available(whole)...)
	class, _ := c["device_class"].(string)
	unit, hasUnit := c["unit_of_measurement"].(string)
	state, hasState := c["state_class"].(string)
	switch kind {
	case "sensor":
		options := texts(c["options"])
		switch {
		case c["options"] != nil && (len(options) == 0 || class != "enum" || hasUnit || hasState):
			say("options stand for a device_class of enum alone, without unit and state_class, and are not empty")
		case class == "enum" && len(options) == 0:
			say("an enum has options")
		case hasState && !slices.Contains(stateClasses, state):
			say("there is no state_class %q", state)
		case units[class] != nil && !slices.Contains(units[class], unit):
			say("a %s has no unit %q", class, unit)
		case units[class] == nil && class != "" && hasUnit:
			say("nobody looked up the units of a %s", class)
		case (class == "timestamp" || class == "date") && (hasUnit || hasState):
			say("a moment has neither unit nor state_class")
		}
		slices.Sort(options)
		if len(slices.Compact(options)) != len(texts(c["options"])) {
			say("an option is there twice")
		}
	case "update":
		if c["command_topic"] != nil && c["payload_install"] == nil {
			say("an update that can be asked for says with which payload")
		}
	}
	return wrong
}

// available says what is wrong with how an entity is available.
func available(c map[string]any) (wrong []string) {
	list, _ := c["availability"].([]any)
	if len(list) > 0 && c["availability_topic"] != nil {
		wrong = append(wrong, "availability and availability_topic exclude each other")
	}
	if mode := c["availability_mode"]; mode != nil && mode != "all" && mode != "any" && mode != "latest" {
		wrong = append(wrong, fmt.Sprintf("availability_mode is %v", mode))
	}
	for _, a := range list {
		one, _ := a.(map[string]any)
		if s, _ := one["topic"].(string); s == "" || strings.ContainsAny(s, "+#") {
			wrong = append(wrong, fmt.Sprintf("it is available by %v", a))
		}
		for key := range one {
			if !slices.Contains([]string{"topic", "payload_available", "payload_not_available", "value_template"}, key) {
				wrong = append(wrong, "availability has a "+key)
			}
		}
	}
	return wrong
}

func only(m map[string]any, allowed []string, where string, say func(string, ...any)) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(allowed, key) {
			say("%s has a %s, which is not documented", where, key)
		}
	}
}

// texts are the texts of a list, or the one that stands in its place.
func texts(v any) (list []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			if s, is := one.(string); is {
				list = append(list, s)
			}
		}
	}
	return list
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
