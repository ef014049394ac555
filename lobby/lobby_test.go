package lobby

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// at is a peer of an address such as "192.0.2.7" or "2001:db8::1".
func at(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }

// TestWhoHasToGo plays what comes to a lobby of four places, two per address. A word
// is NAME@ADDRESS who enters, +NAME who proves to be somebody, or -NAME who leaves.
func TestWhoHasToGo(t *testing.T) {
	limits := Limits{Waiting: 4, PerAddress: 2, Proven: 2, Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, c := range []struct{ what, plays, out, no string }{
		{"room for all", "a@192.0.2.1 b@192.0.2.2 c@192.0.2.3 d@192.0.2.4", "", ""},
		{"one address too often", "a@192.0.2.1 b@192.0.2.1 c@192.0.2.1 d@192.0.2.1", "a b", ""},
		{"an IPv4 address written as IPv6", "a@192.0.2.1 b@::ffff:192.0.2.1 c@192.0.2.1", "a", ""},
		{"one IPv6 network", "a@2001:db8::1 b@2001:db8::2 c@2001:db8::3", "a", ""},
		{"two IPv6 networks", "a@2001:db8::1 b@2001:db8::2 c@2001:db8:0:1::3", "", ""},
		{"many addresses", "a@192.0.2.1 b@192.0.2.2 c@192.0.2.3 d@192.0.2.4 e@192.0.2.5", "a", ""},
		{"the busiest goes first", "a@192.0.2.1 b@192.0.2.2 c@192.0.2.3 d@192.0.2.3 e@192.0.2.5", "c", ""},
		{"an exempt address", "a@10.0.0.1 b@10.0.0.1 c@10.0.0.1 d@10.0.0.1", "", ""},
		{"an exempt address fills the pool", "a@10.0.0.1 b@10.0.0.1 c@10.0.0.1 d@192.0.2.1 e@192.0.2.2", "a", ""},
		{"who is known makes room", "a@192.0.2.1 +a b@192.0.2.1 +b c@192.0.2.1 d@192.0.2.1", "", ""},
		{"who is known is never pushed out", "a@192.0.2.1 +a b@192.0.2.1 c@192.0.2.1 d@192.0.2.1", "b", ""},
		{"too many known", "a@192.0.2.1 +a b@192.0.2.2 +b c@192.0.2.3 +c", "", "c"},
		{"a known one leaves", "a@192.0.2.1 +a b@192.0.2.2 +b -a c@192.0.2.3 +c", "", ""},
		{"one that left makes room", "a@192.0.2.1 b@192.0.2.1 -a c@192.0.2.1", "", ""},
		{"it leaves twice", "a@192.0.2.1 b@192.0.2.1 -a -a c@192.0.2.1 d@192.0.2.1", "b", ""},
		{"too late", "a@192.0.2.1 b@192.0.2.1 c@192.0.2.1 +a", "a", "a"},
		{"who was pushed out leaves", "a@192.0.2.1 b@192.0.2.1 c@192.0.2.1 -a d@192.0.2.1", "a b", ""},
	} {
		l, places := New(limits), map[string]*Place{}
		var out, no []string
		for word := range strings.FieldsSeq(c.plays) {
			name, ip, enters := strings.Cut(word, "@")
			switch {
			case enters:
				places[name] = l.Enter(at(ip), func() { out = append(out, name) })
			case word[0] == '+' && !places[word[1:]].Prove():
				no = append(no, word[1:])
			case word[0] == '-':
				places[word[1:]].Leave()
			}
		}
		if got := strings.Join(out, " "); got != c.out {
			t.Errorf("%s: %q had to go, want %q", c.what, got, c.out)
		}
		if got := strings.Join(no, " "); got != c.no {
			t.Errorf("%s: %q found no place, want %q", c.what, got, c.no)
		}
		for _, p := range places {
			p.Leave()
		}
		if s := l.Stats(); s.Waiting != 0 || s.Proven != 0 || len(l.crowd) != 0 {
			t.Errorf("%s: when all have left there are %+v and %d addresses", c.what, s, len(l.crowd))
		}
	}
}

func TestAProxysConnectionCountsForWhomItNames(t *testing.T) {
	l := New(Limits{PerAddress: 1, Exempt: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	var out []string
	enter := func(name, from string) {
		l.Enter(at("127.0.0.1"), func() { out = append(out, name) }).From(at(from))
	}
	enter("a", "192.0.2.1")
	enter("b", "192.0.2.2")
	enter("c", "192.0.2.1")
	if !slices.Equal(out, []string{"a"}) {
		t.Errorf("%q had to go, want the one that came twice from one address", out)
	}
}

func TestHalfGoWhenThereAreNoDescriptors(t *testing.T) {
	l := New(Limits{})
	var out []string
	for i := range 5 {
		name := fmt.Sprint(i)
		p := l.Enter(at("192.0.2."+name), func() { out = append(out, name) })
		if i == 0 {
			p.Prove()
		}
	}
	if n := l.Thin(); n != 2 || !slices.Equal(out, []string{"1", "2"}) {
		t.Errorf("%d, %q had to go; want the older half of those that wait", n, out)
	}
	l.Close()
	if l.Enter(at("192.0.2.9"), nil) != nil {
		t.Error("a closed lobby let somebody in")
	}
}

func TestNeighbourhood(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7",
		"[2001:db8:1:2:3::4]:1": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64",
	} {
		tcp := &net.TCPAddr{}
		if a, err := net.ResolveTCPAddr("tcp", addr); err == nil {
			tcp = a
		}
		if got := neighbourhood(tcp); got != want {
			t.Errorf("neighbourhood(%s) = %s, want %s", addr, got, want)
		}
	}
	if got := neighbourhood(&net.UnixAddr{Name: "@", Net: "unix"}); got != "@" {
		t.Errorf("a path is its own neighbourhood, got %s", got)
	}
}
