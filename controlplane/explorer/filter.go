package explorer

import (
	"strings"
	"unicode/utf8"
)

// A Filter is a topic filter of MQTT: + is any level, # at its end any below.
type Filter string

// MostFilter is how long a filter may be, in bytes.
const MostFilter = 512

// ParseFilter reads a filter. wrong is what is wrong with it, for people.
func ParseFilter(text string) (f Filter, wrong string) {
	switch {
	case text == "":
		return "", "A filter has at least one level; # is all topics."
	case len(text) > MostFilter:
		return "", "A filter has at most 512 bytes."
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return "", "A filter is text without a zero character."
	case strings.HasPrefix(text, "$"):
		return "", "Topics that begin with $ belong to the broker; nobody can read them here."
	}
	levels := strings.Split(text, "/")
	for i, level := range levels {
		switch {
		case strings.Contains(level, "#") && (level != "#" || i < len(levels)-1):
			return "", "# stands alone, and is the last level: rm/v1/pub/#."
		case strings.Contains(level, "+") && level != "+":
			return "", "+ stands alone between two slashes: rm/v1/pub/host/+/state."
		}
	}
	return Filter(text), ""
}

// Matches reports whether a filter matches a topic.
func (f Filter) Matches(topic string) bool {
	rest, more := string(f), true
	for {
		if !more {
			return false
		}
		var level, part string
		var deeper, below bool
		level, rest, more = strings.Cut(rest, "/")
		if level == "#" {
			return true
		}
		part, topic, below = strings.Cut(topic, "/")
		if level != "+" && level != part {
			return false
		}
		if deeper = below; !deeper {
			return !more || rest == "#" // a/# matches a, too
		}
	}
}
