package broker

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Rights are all a client may do; the zero value allows nothing. They are fixed
// for as long as the connection lasts.
//
// Topics that begin with "$" belong to the broker: no right reaches them, nor
// shared subscriptions ("$share/…").
type Rights struct {
	// Name is whose connection this is, for logs, messages and Kick. Several
	// connections may share it, under different client ids. A client id that is
	// in use can be taken over only under the same name.
	Name string

	Publish   []string // filters: it may publish to any topic one of them matches
	Subscribe []string // filters: it may subscribe to any filter no wider than one of them
	Retain    []string // filters: of what it may publish, where the message may be retained

	// Aside are topics it may publish to and name in its will, though nobody hears of it:
	// what it says there is acknowledged and kept from others, and from Received.
	Aside []string

	// Visible, if set, says of each topic within Subscribe whether the client hears of it.
	// It is asked for every message that is delivered, on the publisher's goroutine: it takes
	// no lock, and may answer differently at another time. A subscription is granted all the
	// same: the topic may become visible.
	Visible func(topic string) bool

	// Will is the one topic its will may name, retained or not, whatever Publish
	// says; "" for none.
	Will string

	// Until is when the connection is closed whatever happens, as a kicked one is;
	// the zero time is never.
	Until time.Time
}

// rights are Rights nobody else can change.
type rights struct {
	Name                       string
	publish, subscribe, retain []string
	aside                      []string
	visible                    func(topic string) bool
	will                       string
	until                      time.Time
}

func (r Rights) seal() (*rights, error) {
	for _, filter := range slices.Concat(r.Publish, r.Subscribe, r.Retain) {
		if !valid(filter, 0) || filter[0] == '$' {
			return nil, fmt.Errorf("%q is not a filter one can have a right to", filter)
		}
	}
	return &rights{Name: r.Name, publish: slices.Clone(r.Publish), subscribe: slices.Clone(r.Subscribe), retain: slices.Clone(r.Retain),
		aside: slices.Clone(r.Aside), visible: r.Visible, will: r.Will, until: r.Until}, nil
}

func within(filter string, rights []string) bool {
	for _, right := range rights {
		if contains(right, filter) {
			return true
		}
	}
	return false
}

// contains reports whether every topic that filter matches is also matched by
// right. A topic is a filter that matches itself. Wildcards do not reach into
// "$" topics. For "#" within "+/#", which is true, it says no: it compares level
// by level.
//
// Both must be valid filters.
func contains(right, filter string) bool {
	if strings.HasPrefix(filter, "$") && !strings.HasPrefix(right, "$") {
		return false
	}
	more := true
	for {
		level, rest, deeper := strings.Cut(right, "/")
		if level == "#" {
			return true // it also matches its parent, where the filter may have ended
		}
		if !more {
			return false
		}
		var part string
		part, filter, more = strings.Cut(filter, "/")
		if part == "#" || part != level && level != "+" {
			return false
		}
		if !deeper {
			return !more
		}
		right = rest
	}
}

// valid reports whether filter is a topic filter by the letter of MQTT, of at
// most so many levels; 0 is any number.
func valid(filter string, levels int) bool {
	if filter == "" || len(filter) > 65535 || strings.ContainsRune(filter, 0) || !utf8.ValidString(filter) {
		return false
	}
	if levels > 0 && strings.Count(filter, "/") >= levels {
		return false
	}
	for more := true; more; {
		var level string
		level, filter, more = strings.Cut(filter, "/")
		if strings.ContainsAny(level, "+#") && len(level) > 1 || level == "#" && more {
			return false
		}
	}
	return true
}
