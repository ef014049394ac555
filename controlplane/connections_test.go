package controlplane

import "testing"

func TestDescriptorsAreDividedSoThatNoPortTakesAll(t *testing.T) {
	none := Connections{}
	for _, c := range []struct {
		what        string
		asked       Connections
		descriptors int
		whole       bool // everything that was asked for
	}{
		{"no bound", none, 0, true},
		{"many", none, 65536, true},
		{"as many as systemd gives by default", none, 1024, false},
		{"very few", none, 100, false},
		{"next to none", none, 16, false},
		{"more agents than descriptors", Connections{Agents: 100_000}, 65536, false},
		{"fewer agents", Connections{Agents: 50, Pages: 50}, 4096, true},
	} {
		a, m, p, enough := c.asked.shares(c.descriptors)
		sum := a.waiting + a.proven + m.waiting + m.proven + p.waiting + p.proven
		if c.descriptors > 0 && sum >= c.descriptors {
			t.Errorf("%s: %d connections may take all of %d descriptors: %v %v %v", c.what, sum, c.descriptors, a, m, p)
		}
		if whole := a.waiting == agentsWaiting && (c.asked.Agents == 0 || a.proven == c.asked.Agents); whole != c.whole {
			t.Errorf("%s: %v %v %v with %d descriptors, of which %d would do", c.what, a, m, p, c.descriptors, enough)
		}
		for _, s := range []share{a, m, p} {
			if s.waiting < 1 || s.proven < 1 {
				t.Errorf("%s: a port takes nobody: %v %v %v", c.what, a, m, p)
			}
		}
	}
}
