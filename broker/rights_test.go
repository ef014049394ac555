package broker

import (
	"strings"
	"testing"
)

func TestAFilterIsWithinARight(t *testing.T) {
	for _, c := range []struct {
		why, right, filter string
		want               bool
	}{
		{"a topic is within itself", "a/b", "a/b", true},
		{"another topic is not", "a/b", "a/c", false},
		{"a longer topic is not", "a/b", "a/b/c", false},
		{"a shorter topic is not", "a/b", "a", false},
		{"a prefix of a level is not the level", "ctl/host1/#", "ctl/host10/x", false},
		{"plus is any one level", "a/+/c", "a/b/c", true},
		{"plus is within plus", "a/+/c", "a/+/c", true},
		{"plus is wider than a name", "a/b/c", "a/+/c", false},
		{"plus is an empty level too", "a/+", "a/", true},
		{"plus is not two levels", "a/+", "a/b/c", false},
		{"hash is wider than plus", "a/+", "a/#", false},
		{"hash is everything beneath", "a/#", "a/b/c", true},
		{"hash is its parent as well", "a/#", "a", true},
		{"hash is not its parent's sibling", "a/#", "ab", false},
		{"hash is within hash", "a/#", "a/#", true},
		{"a deeper hash is within", "a/#", "a/b/#", true},
		{"a shallower hash is not", "a/b/#", "a/#", false},
		{"plus then hash is within hash", "a/#", "a/+/#", true},
		{"everything is not within something", "a/#", "#", false},
		{"any first level is not within one", "a/#", "+/b", false},
		{"everything is within everything", "#", "#", true},
		{"wildcards do not reach the broker's topics", "#", "$SYS/broker/version", false},
		{"nor does a plus", "+/x", "$SYS/x", false},
		{"nor to shared subscriptions", "#", "$share/g/a", false},
		{"an empty level is a level", "/a", "a", false},
	} {
		if got := contains(c.right, c.filter); got != c.want {
			t.Errorf("%s: contains(%q, %q) = %v", c.why, c.right, c.filter, got)
		}
	}
}

func TestAFilterIsValid(t *testing.T) {
	for filter, want := range map[string]bool{
		"a": true, "a/b": true, "/": true, "+": true, "#": true, "a/+/b/#": true, "+/+": true, "a/b/c/d": true,
		"": false, "a#": false, "a+": false, "#/a": false, "a/#/b": false, "a/+b": false, "a\x00": false, "\xff": false,
		"a/b/c/d/e": false, strings.Repeat("a", 65536): false,
	} {
		if got := valid(filter, 4); got != want {
			t.Errorf("valid(%.20q) = %v", filter, got)
		}
	}
}

// matches is MQTT's own rule, written apart from contains to hold it to.
func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	if strings.HasPrefix(topic, "$") != strings.HasPrefix(filter, "$") {
		return false
	}
	for i, level := range f {
		if level == "#" {
			return true
		}
		if i >= len(t) || level != "+" && level != t[i] {
			return false
		}
	}
	return len(f) == len(t)
}

// FuzzContains: what a contained filter matches, the right matches; for a topic
// containing and matching are the same; and nothing panics.
func FuzzContains(f *testing.F) {
	f.Add("a/#", "a/+/b", "a/x/b")
	f.Add("+/+", "a/+", "a/b")
	f.Add("#", "$SYS/#", "$SYS/x")
	f.Add("a/b/#", "a/#", "a/c")
	f.Add("/+/", "//", "//")
	f.Fuzz(func(t *testing.T, right, filter, topic string) {
		in := contains(right, filter)
		if !valid(right, 0) || !valid(filter, 0) || !valid(topic, 0) || strings.ContainsAny(topic, "+#") {
			return
		}
		if in && matches(filter, topic) && !matches(right, topic) {
			t.Errorf("contains(%q, %q), but %q is matched only by the filter", right, filter, topic)
		}
		if got := contains(right, topic); got != matches(right, topic) {
			t.Errorf("contains(%q, topic %q) = %v", right, topic, got)
		}
		if !contains(filter, filter) {
			t.Errorf("%q does not contain itself", filter)
		}
	})
}
