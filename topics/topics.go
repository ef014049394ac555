// Package topics is the whole conversation between the control plane, its
// agents and whoever else listens: every MQTT topic name, every payload, and
// what each side may assume.
//
// It imports only the standard library, so the broker's access rules, the agent
// and the control plane can all stand on it. Payloads only ever grow: a field
// may be added; none is renamed, re-used or required of an older agent.
//
// The second level of a topic says who may write it, which makes every access
// rule one line: agent/ belongs to that host, ctl/ and pub/ to the control
// plane, do/ to consumers that were given the right.
package topics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Root is the first part of every topic. The number is the version of the protocol;
// another version may run beside it.
const Root = "rm/v1"

// MaxPayload is the most bytes one message may carry, sealed. Engines differ
// (NATS 1 MiB, AWS IoT 128 KiB); 64 KiB passes everywhere.
const MaxPayload = 64 << 10

// Kind names a place in the tree; Catalogue says what each one carries.
type Kind int

// The kinds of topic, in the order of the catalogue.
const (
	KindBirth Kind = iota + 1
	KindDeath
	KindHeartbeat
	KindEvent
	KindProgress
	KindWelcome
	KindReceipt
	KindCommand
	KindConfig
	KindPlaneAvailability
	KindHostAvailability
	KindHostState
	KindHostJob
	KindRepositoryState
	KindFleetState
	KindAlert
	KindDo
	KindQuery
	KindAnswer
	KindPlaneBirth
	KindPlaneDeath
	KindHostUpdate
	KindDoAnswer
	KindConsumerDo
)

// Topic is a parsed topic name. Fields that a kind does not use are empty.
type Topic struct {
	Kind       Kind
	Host       HostID
	Job        JobID
	Query      QueryID
	Repository RepositoryID
	Alert      AlertID
	Action     Action
	Consumer   string // its name
}

// Action is what a consumer may ask for on a do/ topic. Restore, forget and
// prune are never among them.
type Action string

// The actions a consumer may be given.
const (
	ActionBackup Action = "backup" // all source groups of the host, or those that the payload names
	ActionCheck  Action = "check"  // the repositories that the host backs up into
	ActionCancel Action = "cancel" // what runs and waits there
	ActionPause  Action = "pause"  // the host's schedules, for a while
	ActionResume Action = "resume" // them again
)

// Actions lists all of them.
func Actions() []Action {
	return []Action{ActionBackup, ActionCheck, ActionCancel, ActionPause, ActionResume}
}

// ErrTopic is the error that a name is none of our topics.
var ErrTopic = errors.New("not a topic of this system")

// An Entry describes one kind of topic for the documentation, the access rules
// and the tests that keep both true.
type Entry struct {
	Kind     Kind
	Pattern  string // below Root, with {host}, {job}, {id}, {repo}, {alert}, {consumer} and {action}
	From, To string // "agent", "plane" or "consumer"
	QoS      byte
	Retained bool
	Sealed   bool
	Payload  string // the Go type of the payload
	Carries  string // one phrase for docs/TOPICS.md
}

// Catalogue lists every topic.
var Catalogue = []Entry{
	{KindBirth, "agent/{host}/birth", "agent", "plane", 1, true, false, "Birth", "a new session, with a MAC"},
	{KindDeath, "agent/{host}/death", "agent", "plane", 1, true, false, "Death", "the same session is over: the last will, or a clean stop"},
	{KindHeartbeat, "agent/{host}/heartbeat", "agent", "plane", 0, false, true, "Heartbeat",
		"every 30 s: clock, spool depth, the disk of its state, jobs that do nothing"},
	{KindEvent, "agent/{host}/event", "agent", "plane", 1, false, true, "Events",
		"the durable stream: hello, facts, configured, fired, accepted, started, log, report, finished"},
	{KindProgress, "agent/{host}/job/{job}/progress", "agent", "plane", 0, false, true, "Progress",
		"restic's latest status line, at most one a second"},
	{KindWelcome, "ctl/{host}/welcome", "plane", "agent", 1, false, true, "Welcome", "answers a birth: what has been received so far"},
	{KindReceipt, "ctl/{host}/receipt", "plane", "agent", 1, false, true, "Receipt",
		"the highest event that is committed; the agent may forget up to it"},
	{KindCommand, "ctl/{host}/job/{job}/command", "plane", "agent", 1, false, true, "Command",
		"run a job, or cancel it; re-sent until an event answers"},
	{KindConfig, "ctl/{host}/config", "plane", "agent", 1, false, true, "ConfigPart",
		"a part of what the host does by itself: schedules, source groups, repositories"},
	{KindQuery, "ctl/{host}/query/{id}", "plane", "agent", 1, false, true, "Query",
		"asks for what a person waits for, beside the jobs; or says that nobody waits any more"},
	{KindAnswer, "agent/{host}/answer/{id}", "agent", "plane", 1, false, true, "Answer",
		"a part of the answer to a query; never stored"},
	{KindPlaneAvailability, "pub/plane/availability", "plane", "consumer", 1, true, false, "online or offline",
		"whether the control plane runs"},
	{KindHostAvailability, "pub/host/{host}/availability", "plane", "consumer", 1, true, false, "online or offline",
		"whether the host's agent is connected"},
	{KindHostState, "pub/host/{host}/state", "plane", "consumer", 1, true, false, "HostState", "one flat JSON about the host, on change"},
	{KindHostJob, "pub/host/{host}/job/{job}", "plane", "consumer", 1, false, false, "JobPublic",
		"one job as it goes by; QoS 0 but for the last one"},
	{KindRepositoryState, "pub/repository/{repo}/state", "plane", "consumer", 1, true, false, "RepositoryState",
		"how a repository is, on change"},
	{KindFleetState, "pub/fleet/state", "plane", "consumer", 1, true, false, "FleetState", "counts by status"},
	{KindAlert, "pub/alert/{alert}", "plane", "consumer", 1, true, false, "Alert",
		"an alert, on change; removed when it has ended"},
	{KindDo, "do/{host}/{action}", "consumer", "plane", 1, false, false, "Do",
		"asks for a backup or a check, cancels what runs and waits there, pauses schedules and resumes them; audited"},
	{KindPlaneBirth, "bcast/plane/birth", "plane", "agent", 1, true, false, "PlaneBirth", "the control plane is there"},
	{KindPlaneDeath, "bcast/plane/death", "plane", "agent", 1, true, false, "PlaneDeath", "that control plane is gone, or about to go"},
	{KindHostUpdate, "pub/host/{host}/update", "plane", "consumer", 1, true, false, "HostUpdate",
		"the agent's version and the newest there is, in the keys that Home Assistant allows"},
	{KindDoAnswer, "pub/do/{consumer}", "plane", "consumer", 1, false, false, "DoAnswer", "what became of what that consumer asked for"},
	{KindConsumerDo, "do/{consumer}/{host}/{action}", "consumer", "plane", 1, false, false, "Do",
		"the same as `do/{host}/{action}` on a broker of yours that lets each consumer write only its own"},
}

// String builds the topic's name. No other code does.
func (t Topic) String() string {
	if below := t.Below(); below != "" {
		return Root + "/" + below
	}
	return ""
}

// Below is the topic's name below its root, which is another one on a broker where
// somebody chose it.
func (t Topic) Below() string {
	for _, e := range Catalogue {
		if e.Kind != t.Kind {
			continue
		}
		parts := strings.Split(e.Pattern, "/")
		for i, p := range parts {
			switch p {
			case "{host}":
				parts[i] = string(t.Host)
			case "{job}":
				parts[i] = string(t.Job)
			case "{id}":
				parts[i] = string(t.Query)
			case "{repo}":
				parts[i] = string(t.Repository)
			case "{alert}":
				parts[i] = string(t.Alert)
			case "{action}":
				parts[i] = string(t.Action)
			case "{consumer}":
				parts[i] = t.Consumer
			}
		}
		return strings.Join(parts, "/")
	}
	return ""
}

// Parse parses a topic name. String rebuilds every accepted name byte for byte.
func Parse(name string) (Topic, error) {
	rest, ok := strings.CutPrefix(name, Root+"/")
	if !ok {
		return Topic{}, ErrTopic
	}
	return ParseBelow(rest)
}

// ParseBelow parses what [Topic.Below] built.
func ParseBelow(rest string) (Topic, error) {
	levels := strings.Split(rest, "/")
	for _, e := range Catalogue {
		if t, ok := match(e, levels); ok {
			return t, nil
		}
	}
	return Topic{}, ErrTopic
}

func match(e Entry, levels []string) (Topic, bool) {
	parts := strings.Split(e.Pattern, "/")
	if len(parts) != len(levels) {
		return Topic{}, false
	}
	t := Topic{Kind: e.Kind}
	for i, p := range parts {
		l := levels[i]
		switch p {
		case "{host}":
			t.Host = HostID(l)
			if !validID(l) {
				return Topic{}, false
			}
		case "{job}":
			t.Job = JobID(l)
			if !validID(l) {
				return Topic{}, false
			}
		case "{id}":
			t.Query = QueryID(l)
			if !validID(l) {
				return Topic{}, false
			}
		case "{repo}":
			t.Repository = RepositoryID(l)
			if !validID(l) {
				return Topic{}, false
			}
		case "{alert}":
			t.Alert = AlertID(l)
			if !validID(l) {
				return Topic{}, false
			}
		case "{action}":
			t.Action = Action(l)
			if !slices.Contains(Actions(), t.Action) {
				return Topic{}, false
			}
		case "{consumer}":
			t.Consumer = l
			if l == "" || len(l) > 256 || strings.ContainsAny(l, "+#\x00") {
				return Topic{}, false
			}
		default:
			if p != l {
				return Topic{}, false
			}
		}
	}
	return t, true
}

// Entry returns the topic's entry in the catalogue.
func (t Topic) Entry() Entry {
	for _, e := range Catalogue {
		if e.Kind == t.Kind {
			return e
		}
	}
	panic(fmt.Sprintf("topic of kind %d is not in the catalogue", t.Kind))
}

// AgentWrites returns the filter that an agent may publish to, including its will.
func AgentWrites(host HostID) string { return Root + "/agent/" + string(host) + "/#" }

// AgentReads returns the only filter that an agent may subscribe to.
func AgentReads(host HostID) string { return Root + "/ctl/" + string(host) + "/#" }

// AllAgentsRead is what every agent may read beside its own.
const AllAgentsRead = Root + "/bcast/#"

// AllAgents is the filter of everything agents send.
const AllAgents = Root + "/agent/#"

// ConsumersRead and ConsumersDo are what consumers may read, and what those
// with the right may write.
const (
	ConsumersRead = Root + "/pub/#"
	ConsumersDo   = Root + "/do/#"
)

// HomeAssistantRead is where Home Assistant looks for devices; consumers may
// read it, and only the control plane may write it.
const HomeAssistantRead = "homeassistant/#"

// HomeAssistantStatus is where Home Assistant says, unless told otherwise, that it is
// there (Online) and, by its will, that it is gone (Offline).
const HomeAssistantStatus = "homeassistant/status"
