// Package explorer knows what consumers can read at the broker that we publish to: which
// topics there are, level by level, and what was published last. It is told of each
// message as it goes out, keeps little of it in memory, and never sees what agents and
// the control plane say to each other.
package explorer

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Limits bound what an explorer keeps.
type Limits struct {
	Recent    int // messages
	Payload   int // bytes of each of them
	Fleeting  int // topics at which nothing is retained
	PerSecond int // messages that one listener is shown
}

// DefaultLimits is what runs unless a test says otherwise.
func DefaultLimits() Limits {
	return Limits{Recent: 200, Payload: 8 << 10, Fleeting: 200, PerSecond: 10}
}

// Config holds what an explorer needs.
type Config struct {
	// Last returns what is retained at a topic, by its full name; nil for nothing. Without
	// it the beginnings of payloads are kept in memory.
	Last   func(ctx context.Context, topic string) ([]byte, error)
	Limits Limits
	Now    func() time.Time
}

// A Message is something that was published. A long payload is cut.
type Message struct {
	N       uint64 // rises with each
	Topic   string
	Payload string
	Size    int // of the payload, in bytes, whole
	QoS     byte
	Retain  bool
	At      time.Time
}

// A topic is what is known of one.
type topic struct {
	n        uint64
	at       time.Time
	size     int
	qos      byte
	retained bool
	payload  string // of one at which nothing is retained
}

// A node is a level of the tree.
type node struct {
	below map[string]*node
	topic *topic // nil if nothing was published at it
	count int    // topics at it and below
}

// An Explorer is safe for concurrent use.
type Explorer struct {
	Config

	mu       sync.Mutex
	n        uint64
	root     node
	fleeting []string // topics at which nothing is retained, the one heard of longest ago first
	recent   []Message
	ears     map[*Ear]bool
	retained Retained
	pace     pace
}

// Retained is how much is retained.
type Retained struct {
	Topics int
	Bytes  int64 // of payloads
}

// New returns an explorer of a broker at which nothing was published yet.
func New(c Config) *Explorer {
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Explorer{Config: c, ears: map[*Ear]bool{}}
}

// Said tells the explorer of a message that was published. It never waits for anybody.
func (e *Explorer) Said(name string, payload []byte, qos byte, retain bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.n++
	now := e.Now()
	m := Message{N: e.n, Topic: name, Size: len(payload), QoS: qos, Retain: retain, At: now,
		Payload: cut(payload, e.Limits.Payload)}
	e.pace.note(now, len(name)+len(payload))
	e.keep(m)
	if e.recent = append(e.recent, m); len(e.recent) > 2*e.Limits.Recent {
		e.recent = append([]Message(nil), e.recent[len(e.recent)-e.Limits.Recent:]...)
	}
	for ear := range e.ears {
		ear.hear(m)
	}
}

// cut is a payload's beginning, whole characters of it.
func cut(payload []byte, most int) string {
	if len(payload) <= most {
		return string(payload)
	}
	for most > 0 && !utf8.RuneStart(payload[most]) {
		most--
	}
	return string(payload[:most])
}

// keep notes a message in the tree.
func (e *Explorer) keep(m Message) {
	t := e.at(m.Topic)
	if t == nil && m.Retain && m.Size == 0 {
		return
	}
	switch {
	case m.Retain && m.Size == 0: // it is cleared
		e.drop(m.Topic)
		return
	case t == nil:
		t = e.add(m.Topic)
	}
	switch {
	case m.Retain:
		if !t.retained {
			e.retained.Topics++
			e.passed(m.Topic)
		} else {
			e.retained.Bytes -= int64(t.size)
		}
		e.retained.Bytes += int64(m.Size)
		if t.retained, t.payload = true, ""; e.Last == nil {
			t.payload = m.Payload
		}
	case t.retained: // what is retained stays
		return
	default:
		t.payload = m.Payload
		e.passes(m.Topic)
	}
	t.n, t.at, t.size, t.qos = m.N, m.At, m.Size, m.QoS
}

// passes notes that something went by at a topic where nothing is retained, and forgets
// the one where that is longest ago if there are too many.
func (e *Explorer) passes(name string) {
	e.passed(name)
	if e.fleeting = append(e.fleeting, name); len(e.fleeting) > e.Limits.Fleeting {
		first := e.fleeting[0]
		e.fleeting = e.fleeting[1:]
		e.drop(first)
	}
}

// passed takes a topic from those where nothing is retained.
func (e *Explorer) passed(name string) {
	if i := slices.Index(e.fleeting, name); i >= 0 {
		e.fleeting = slices.Delete(e.fleeting, i, i+1)
	}
}

// at is what is known of a topic, nil if nothing is.
func (e *Explorer) at(name string) *topic {
	if n := e.node(name); n != nil {
		return n.topic
	}
	return nil
}

func (e *Explorer) node(name string) *node {
	n := &e.root
	for level := range strings.SplitSeq(name, "/") {
		if n = n.below[level]; n == nil {
			return nil
		}
	}
	return n
}

func (e *Explorer) add(name string) *topic {
	n := &e.root
	n.count++
	for level := range strings.SplitSeq(name, "/") {
		next := n.below[level]
		if next == nil {
			next = &node{}
			if n.below == nil {
				n.below = map[string]*node{}
			}
			n.below[level] = next
		}
		n = next
		n.count++
	}
	n.topic = &topic{}
	return n.topic
}

// drop forgets a topic.
func (e *Explorer) drop(name string) {
	t := e.at(name)
	if t == nil {
		return
	}
	if t.retained {
		e.retained.Topics--
		e.retained.Bytes -= int64(t.size)
	} else {
		e.passed(name)
	}
	n := &e.root
	n.count--
	for level := range strings.SplitSeq(name, "/") {
		next := n.below[level]
		if next.count--; next.count == 0 {
			delete(n.below, level)
			return
		}
		n = next
	}
	n.topic = nil
}

// A Branch is one entry of a level: a topic, levels below it, or both. Levels with a
// single one below, and no topic of their own, are one entry together.
type Branch struct {
	Name  string // of the level, "rm/v1" of levels together
	Path  string // from the root
	Topic bool   // something was published at Path itself
	Live  bool   // and nothing is retained there
	Below bool   // there are topics below it
	Count int    // topics at it and below
}

// Level lists what is below a path, "" for the top, by name: so many after the one named
// after. It says how many more there are.
func (e *Explorer) Level(path, after string, most int, may func(topic string) bool) (list []Branch, more int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, prefix := &e.root, ""
	if path != "" {
		if n = e.node(path); n == nil {
			return nil, 0
		}
		prefix = path + "/"
	}
	names := make([]string, 0, len(n.below))
	for name := range n.below {
		if name > after || after == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if may != nil && !may(prefix+name) {
			continue
		}
		if len(list) == most {
			more++
			continue
		}
		list = append(list, branch(prefix, name, n.below[name], may))
	}
	return list, more
}

func branch(prefix, name string, n *node, may func(string) bool) Branch {
	b := Branch{Name: name, Path: prefix + name}
	for n.topic == nil && len(n.below) == 1 {
		var only string
		for level := range n.below {
			only = level
		}
		if may != nil && !may(b.Path+"/"+only) {
			break
		}
		b.Name, b.Path, n = b.Name+"/"+only, b.Path+"/"+only, n.below[only]
	}
	b.Topic, b.Below, b.Count = n.topic != nil, len(n.below) > 0, n.count
	b.Live = b.Topic && !n.topic.retained
	return b
}

// Topic returns what was published at a topic last, and whether anything was.
func (e *Explorer) Topic(ctx context.Context, name string) (Message, bool, error) {
	e.mu.Lock()
	t := e.at(name)
	if t == nil {
		e.mu.Unlock()
		return Message{}, false, nil
	}
	m := Message{N: t.n, Topic: name, Payload: t.payload, Size: t.size, QoS: t.qos, Retain: t.retained, At: t.at}
	e.mu.Unlock()
	if !m.Retain || e.Last == nil {
		return m, true, nil
	}
	payload, err := e.Last(ctx, name)
	m.Payload = string(payload)
	return m, payload != nil || err != nil, err
}

// Heard is the number of the last message at a topic, 0 for none.
func (e *Explorer) Heard(name string) uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.at(name); t != nil {
		return t.n
	}
	return 0
}

// Recent lists the last messages that f matches and that may be seen, the newest first, and
// the number of the last message of all.
func (e *Explorer) Recent(f Filter, most int, may func(topic string) bool) (list []Message, last uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.recent) - 1; i >= 0 && len(list) < most; i-- {
		if m := e.recent[i]; f.Matches(m.Topic) && (may == nil || may(m.Topic)) {
			list = append(list, m)
		}
	}
	return list, e.n
}

// Retained is how much is retained now.
func (e *Explorer) Retained() Retained {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.retained
}

// An Ear hears of messages as they go by: so many a second, the newest of them.
type Ear struct {
	e      *Explorer
	filter Filter
	may    func(topic string) bool

	// The rest is under the explorer's mu.
	waits   []Message
	left    int // that went by and are not among them
	allowed float64
	looked  time.Time
}

// Listen returns an ear for what f matches and may be seen, from the message after the one
// with this number on, as far as it is remembered. It is closed by its owner.
func (e *Explorer) Listen(f Filter, after uint64, may func(topic string) bool) *Ear {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &Ear{e: e, filter: f, may: may, allowed: float64(e.Limits.PerSecond), looked: e.Now()}
	for i := range e.recent {
		if e.recent[i].N > after {
			x.hear(e.recent[i])
		}
	}
	e.ears[x] = true
	return x
}

func (x *Ear) hear(m Message) {
	if !x.filter.Matches(m.Topic) || x.may != nil && !x.may(m.Topic) {
		return
	}
	if x.waits = append(x.waits, m); len(x.waits) > x.e.Limits.PerSecond {
		x.waits = x.waits[1:]
		x.left++
	}
}

// Take returns what went by since it was asked last, the oldest first, and how many
// messages are left out: those before the first of these.
func (x *Ear) Take() (list []Message, left int) {
	e := x.e
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	most := float64(e.Limits.PerSecond)
	x.allowed = min(most, x.allowed+max(0, now.Sub(x.looked).Seconds())*most)
	x.looked = now
	n := min(len(x.waits), int(x.allowed))
	if n == 0 && len(x.waits) > 0 {
		return nil, 0 // they may be shown a moment later
	}
	x.allowed -= float64(n)
	left = x.left + len(x.waits) - n
	list = slices.Clone(x.waits[len(x.waits)-n:])
	x.waits, x.left = x.waits[:0:0], 0
	return list, left
}

// Close ends it.
func (x *Ear) Close() {
	x.e.mu.Lock()
	defer x.e.mu.Unlock()
	delete(x.e.ears, x)
}
