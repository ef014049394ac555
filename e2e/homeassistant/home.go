package homeassistant

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Status is where Home Assistant says that it is there, unless it is told otherwise.
const Status = "homeassistant/status"

// Unknown and Unavailable are states of entities that have none.
const (
	Unknown     = "unknown"
	Unavailable = "unavailable"
)

// An Entity is one that Home Assistant formed.
type Entity struct {
	ID       string // as sensor.backup_attic_status
	Unique   string
	Device   string // the device's identifier
	Platform string
	Key      string
	config   map[string]any
	topic    string // of the discovery message

	value string            // as the template rendered it last; "" is never
	there map[string]string // what availability topics said last
}

// State is the entity's state as a dashboard shows it.
func (e *Entity) State() string {
	if !e.available() {
		return Unavailable
	}
	if e.value == "" || e.value == "None" {
		return Unknown
	}
	return e.value
}

func (e *Entity) available() bool {
	list, _ := e.config["availability"].([]any)
	last := true
	for _, a := range list {
		topic := a.(map[string]any)["topic"].(string)
		said := e.there[topic]
		if said != "online" && e.config["availability_mode"] == "all" {
			return false
		}
		last = said == "online"
	}
	return last
}

// A Home is a Home Assistant. What it knows by discovery is lost when it is stopped; the IDs
// of its entities are kept until it loses its store.
type Home struct {
	Broker         string // tcp://HOST:PORT
	User, Password string
	Prefix         string // of discovery; "" is homeassistant

	mu       sync.Mutex
	client   mqtt.Client
	sessions int
	devices  map[string]map[string]any // by identifier
	entities map[string]*Entity        // by unique ID
	registry map[string]string         // entity IDs by unique ID
	topics   map[string]bool           // subscribed to
	last     map[string][]byte         // what topics said last
	offline  []string                  // topics that said offline, in order
	wrong    []string
	found    int // discovery messages that were taken
}

// Start connects as Home Assistant does unless told otherwise: with its will, it looks for
// devices at QoS 0, and says that it is there.
func (h *Home) Start() error {
	h.mu.Lock()
	h.sessions++
	h.devices, h.entities, h.topics, h.last = map[string]map[string]any{}, map[string]*Entity{}, map[string]bool{}, map[string][]byte{}
	if h.registry == nil {
		h.registry = map[string]string{}
	}
	if h.Prefix == "" {
		h.Prefix = "homeassistant"
	}
	id := fmt.Sprintf("home-%d-%d", time.Now().UnixNano()%1e6, h.sessions)
	h.mu.Unlock()
	o := mqtt.NewClientOptions().AddBroker(h.Broker).SetClientID(id).SetUsername(h.User).SetPassword(h.Password).
		SetCleanSession(true).SetKeepAlive(60*time.Second).SetWill(Status, "offline", 0, false).SetOrderMatters(true).
		SetConnectTimeout(30 * time.Second).SetAutoReconnect(true).SetConnectRetry(true).SetConnectRetryInterval(200 * time.Millisecond).
		SetMaxReconnectInterval(500 * time.Millisecond)
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { h.received(m) })
	o.SetOnConnectHandler(func(c mqtt.Client) { go h.connected(c) })
	c := mqtt.NewClient(o)
	h.mu.Lock()
	h.client = c
	h.mu.Unlock()
	return wait(c.Connect())
}

// connected subscribes, again after each connection, and says that it is there.
func (h *Home) connected(c mqtt.Client) {
	h.mu.Lock()
	filters := map[string]byte{h.Prefix + "/+/+/config": 0, h.Prefix + "/+/+/+/config": 0}
	for t := range h.topics {
		filters[t] = 1
	}
	h.mu.Unlock()
	err := wait(c.SubscribeMultiple(filters, nil))
	if err == nil {
		err = wait(c.Publish(Status, 0, false, "online"))
	}
	if err != nil && c.IsConnectionOpen() {
		h.complain("after it was connected: %v", err)
	}
}

// Stop ends it as a restart does: it says so itself.
func (h *Home) Stop() {
	h.mu.Lock()
	c := h.client
	h.mu.Unlock()
	_ = wait(c.Publish(Status, 0, false, "offline"))
	c.Disconnect(250)
}

// Lose has it forget the IDs of its entities, as one that is set up anew.
func (h *Home) Lose() {
	h.mu.Lock()
	h.registry = map[string]string{}
	h.mu.Unlock()
}

func wait(t mqtt.Token) error {
	if !t.WaitTimeout(60 * time.Second) {
		return errors.New("the broker did not answer within a minute")
	}
	return t.Error()
}

func (h *Home) complain(format string, args ...any) {
	h.mu.Lock()
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
	h.mu.Unlock()
}

// received takes a message. It runs on the client's own goroutine, in order.
func (h *Home) received(m mqtt.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	topic, payload := m.Topic(), m.Payload()
	if strings.HasPrefix(topic, h.Prefix+"/") && strings.HasSuffix(topic, "/config") {
		h.discover(topic, payload)
		return
	}
	h.last[topic] = slices.Clone(payload)
	if string(payload) == "offline" {
		h.offline = append(h.offline, topic)
	}
	for _, e := range h.entities {
		h.hear(e, topic, payload)
	}
}

// discover forms the entities of a device, and removes those that are gone.
func (h *Home) discover(topic string, payload []byte) {
	if len(payload) == 0 {
		for unique, e := range h.entities {
			if e.topic == topic {
				delete(h.devices, e.Device)
				delete(h.entities, unique)
				delete(h.registry, unique)
			}
		}
		return
	}
	h.found++
	d, wrong := Validate(h.Prefix, topic, payload)
	h.wrong = append(h.wrong, wrong...)
	h.devices[d.Identifier()] = d.Device
	var filters []string
	for _, c := range d.Components {
		if c.Config == nil {
			for unique, e := range h.entities {
				if e.topic == topic && e.Key == c.Key && e.Platform == c.Platform {
					delete(h.entities, unique)
					delete(h.registry, unique)
				}
			}
			continue
		}
		unique, _ := c.Config["unique_id"].(string)
		e := h.entities[unique]
		switch {
		case e == nil:
			e = &Entity{ID: h.name(unique, fmt.Sprint(c.Config["default_entity_id"])), Unique: unique, there: map[string]string{}}
			h.entities[unique] = e
		case e.topic != topic:
			h.wrong = append(h.wrong, fmt.Sprintf("%s: the unique_id %s is another device's, too: %s", topic, unique, e.topic))
			continue
		}
		e.Device, e.Platform, e.Key, e.config, e.topic = d.Identifier(), c.Platform, c.Key, c.Config, topic
		for _, t := range e.reads() {
			if said, known := h.last[t]; known {
				h.hear(e, t, said)
			}
			if !h.topics[t] {
				h.topics[t] = true
				filters = append(filters, t)
			}
		}
	}
	if c := h.client; len(filters) > 0 {
		go func() { // not on the client's own goroutine, which takes the answer
			all := map[string]byte{}
			for _, t := range filters {
				all[t] = 1
			}
			if err := wait(c.SubscribeMultiple(all, nil)); err != nil && c.IsConnectionOpen() {
				h.complain("subscribe to %v: %v", filters, err)
			}
		}()
	}
}

// name finds the ID of an entity: the one that it had, or the default one, or that with a number.
func (h *Home) name(unique, id string) string {
	if was := h.registry[unique]; was != "" {
		return was
	}
	taken, name := slices.Collect(maps.Values(h.registry)), id
	for n := 2; slices.Contains(taken, name); n++ {
		name = fmt.Sprintf("%s_%d", id, n)
	}
	h.registry[unique] = name
	return name
}

// reads are the topics that an entity listens to.
func (e *Entity) reads() (list []string) {
	if t, is := e.config["state_topic"].(string); is {
		list = append(list, t)
	}
	avail, _ := e.config["availability"].([]any)
	for _, a := range avail {
		list = append(list, a.(map[string]any)["topic"].(string))
	}
	return list
}

// hear has an entity take what a topic says.
func (h *Home) hear(e *Entity, topic string, payload []byte) {
	avail, _ := e.config["availability"].([]any)
	for _, a := range avail {
		if a.(map[string]any)["topic"] != topic {
			continue
		}
		if s := string(payload); s == "online" || s == "offline" {
			e.there[topic] = s
		}
	}
	if e.config["state_topic"] != topic || len(payload) == 0 || e.Platform == "button" {
		return
	}
	value := string(payload)
	if template, is := e.config["value_template"].(string); is {
		var err error
		if value, err = Render(template, payload); err != nil {
			h.wrong = append(h.wrong, fmt.Sprintf("%s: %v in %s", e.ID, err, payload))
			return
		}
	}
	value, err := e.take(value)
	if err != nil {
		h.wrong = append(h.wrong, fmt.Sprintf("%s: %v in %s", e.ID, err, payload))
		return
	}
	e.value = value
}

// take is the state that a rendered value means, or why Home Assistant would not take it.
func (e *Entity) take(value string) (string, error) {
	text := func(key, usual string) string {
		if s, is := e.config[key].(string); is {
			return s
		}
		return usual
	}
	switch e.Platform {
	case "binary_sensor", "switch":
		on, off := text("payload_on", "ON"), text("payload_off", "OFF")
		if e.Platform == "switch" {
			on, off = text("state_on", on), text("state_off", off)
		}
		switch value {
		case on:
			return "on", nil
		case off:
			return "off", nil
		case "None":
			return Unknown, nil
		}
		return "", fmt.Errorf("%q is neither %q nor %q", value, on, off)
	case "update":
		var v map[string]any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			return "", fmt.Errorf("an update says %w", err)
		}
		for key := range v {
			if !slices.Contains(UpdateKeys, key) {
				return "", fmt.Errorf("an update has the key %q, and is discarded", key)
			}
		}
		if p := v["in_progress"]; p != nil && p != true && p != false {
			return "", fmt.Errorf("in_progress is %v", p)
		}
		if v["installed_version"] != v["latest_version"] {
			return "on", nil
		}
		return "off", nil
	}
	class := text("device_class", "")
	_, unit := e.config["unit_of_measurement"]
	_, counts := e.config["state_class"]
	switch {
	case value == "None":
	case class == "timestamp":
		if _, err := time.Parse(time.RFC3339, value); err != nil {
			return "", fmt.Errorf("%q is no moment with a time zone", value)
		}
	case class == "enum" && !slices.Contains(texts(e.config["options"]), value):
		return "", fmt.Errorf("%q is none of %v", value, e.config["options"])
	case class != "enum" && (unit || counts):
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return "", fmt.Errorf("%q is no number", value)
		}
	}
	if len(value) > 255 {
		return "", fmt.Errorf("a state has at most 255 characters, %q more", value)
	}
	return value, nil
}

// Press presses a button; on and off switch a switch.
func (h *Home) Press(entity string) error { return h.command(entity, "payload_press", "PRESS") }

// Switch turns a switch on or off.
func (h *Home) Switch(entity string, on bool) error {
	if on {
		return h.command(entity, "payload_on", "ON")
	}
	return h.command(entity, "payload_off", "OFF")
}

func (h *Home) command(entity, key, usual string) error {
	h.mu.Lock()
	var found *Entity
	for _, e := range h.entities {
		if e.ID == entity {
			found = e
		}
	}
	if found == nil || !found.available() {
		h.mu.Unlock()
		return fmt.Errorf("%s is not there, or not available", entity)
	}
	payload, is := found.config[key].(string)
	if !is {
		payload = usual
	}
	topic, _ := found.config["command_topic"].(string)
	qos, _ := found.config["qos"].(json.Number)
	q, _ := qos.Int64()
	c := h.client
	h.mu.Unlock()
	return wait(c.Publish(topic, byte(q), false, payload))
}

// Picture is every entity's state, by its ID.
func (h *Home) Picture() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := make(map[string]string, len(h.entities))
	for _, e := range h.entities {
		p[e.ID] = e.State()
	}
	return p
}

// Of are the states of a device's entities by the keys of its components; nil if there is no
// such device.
func (h *Home) Of(identifier string) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.devices[identifier] == nil {
		return nil
	}
	p := map[string]string{}
	for _, e := range h.entities {
		if e.Device == identifier {
			p[e.Key] = e.State()
		}
	}
	return p
}

// IDs are the IDs of a device's entities by the keys of its components.
func (h *Home) IDs(identifier string) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := map[string]string{}
	for _, e := range h.entities {
		if e.Device == identifier {
			ids[e.Key] = e.ID
		}
	}
	return ids
}

// Devices are the names of all devices by their identifiers.
func (h *Home) Devices() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := make(map[string]string, len(h.devices))
	for id, d := range h.devices {
		names[id], _ = d["name"].(string)
	}
	return names
}

// Wrong is all that was not as it is documented.
func (h *Home) Wrong() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.wrong)
	for id, d := range h.devices {
		if via, is := d["via_device"].(string); is && h.devices[via] == nil {
			all = append(all, fmt.Sprintf("%s is behind %s, which is not there", id, via))
		}
	}
	return all
}

// Offline are the topics that said offline since the last call, in order.
func (h *Home) Offline() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.offline
	h.offline = nil
	return list
}

// Found counts the discovery messages that were taken since the start.
func (h *Home) Found() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.found
}
