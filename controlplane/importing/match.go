package importing

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Host is what snapshots are matched by.
type Host struct {
	ID       topics.HostID
	Name     string // what it is called here
	Hostname string // what its machine calls itself, "" if not known
}

// A Group is a source group that snapshots may be given to.
type Group struct {
	ID    topics.SourceGroupID
	Host  topics.HostID
	Name  string
	Paths []string
	Here  bool // it is backed up into the repository that the snapshots are in
}

// A Fit says which of a host's source groups snapshots are of, if that is known.
type Fit struct {
	Host    topics.HostID        // "" if none, or several, may have made them
	Name    string               // what that one is called here
	Machine string               // what its machine calls itself, "" if not known
	Group   topics.SourceGroupID // what is proposed; "" is to leave them as they are
	Why     string               // one or more sentences
	// Doubt is what is to be known before it is confirmed: only what people call the host here
	// is the name that the snapshots have. "" is that its machine has that name.
	Doubt string
}

// Fits matches snapshots with hosts, by name, and with their source groups, by paths, and by
// tags where several have the same ones. What is in doubt is left as it is: whoever confirms
// may know better. The name that a machine gives itself is the one that snapshots have; where
// only what people call a host here is the same, that is said. kins are all of one repository,
// and each has its fit at the same place.
func Fits(kins []imports.Kin, hosts []Host, groups []Group) []Fit {
	fits := make([]Fit, len(kins))
	short := map[topics.HostID][]string{} // the long names that only the short one of a host fits
	found, known := make([]candidates, len(kins)), namesOf(hosts)
	for i, k := range kins {
		found[i] = known.named(k)
		several := found[i].list
		switch {
		case len(several) == 1:
			fits[i].Host, fits[i].Name, fits[i].Machine = several[0].ID, several[0].Name, several[0].Hostname
			if name := strings.ToLower(k.Hostname); !found[i].exact && !slices.Contains(short[several[0].ID], name) {
				short[several[0].ID] = append(short[several[0].ID], name)
			}
		case len(several) > 1:
			fits[i].Why = fmt.Sprintf("Several hosts may be %s: %s.", k.Hostname, hostNames(several))
		case nobodys(k.Hostname):
			fits[i].Why = fmt.Sprintf("Any machine may be %s.", k.Hostname)
		default:
			fits[i].Why = fmt.Sprintf("No host is called %s.", k.Hostname)
		}
	}
	for i, k := range kins {
		f := &fits[i]
		if f.Host == "" {
			continue
		}
		if others := short[f.Host]; !found[i].exact && len(others) > 1 {
			*f = Fit{}
			f.Why = fmt.Sprintf("One host may be any of %s.", strings.Join(others, ", "))
			continue
		}
		if k.Place != "" && k.Place != f.Host {
			*f = Fit{Why: "They are at the place of another host than the one of this name."}
			continue
		}
		fitGroup(f, k, groups)
		switch h := found[i].list[0]; {
		case !found[i].machine && f.Group != "":
			f.Doubt = fmt.Sprintf("%s is only what people call the host here; ", h.Name)
			if h.Hostname == "" {
				f.Doubt += "what its machine calls itself is not known."
			} else {
				f.Doubt += fmt.Sprintf("its machine calls itself %s.", h.Hostname)
			}
			f.Doubt += " Make sure that these are its own, and not of another machine of that name."
			f.Why = "The paths are the same. " + f.Doubt
		case found[i].machine && !same(h.Name, k.Hostname):
			f.Why += fmt.Sprintf(" The machine %s is the host %s here.", h.Hostname, h.Name)
		}
	}
	return fits
}

// fitGroup says which group of its host a kin fits.
func fitGroup(f *Fit, k imports.Kin, groups []Group) {
	var same, near []Group
	for _, g := range groups {
		switch {
		case g.Host != f.Host:
		case samePaths(k.Paths, g.Paths):
			same = append(same, g)
		case within(k.Paths, g.Paths), within(g.Paths, k.Paths):
			near = append(near, g)
		}
	}
	if here := slices.DeleteFunc(slices.Clone(same), func(g Group) bool { return !g.Here }); len(here) > 0 {
		same = here
	}
	if len(same) > 1 {
		if tagged := slices.DeleteFunc(slices.Clone(same), func(g Group) bool { return !tags(k.Tags, g.Name) }); len(tagged) == 1 {
			same = tagged
		}
	}
	ours := slices.IndexFunc(k.Tags, func(t string) bool { return strings.HasPrefix(t, "plan=") })
	switch {
	case ours >= 0:
		f.Why = fmt.Sprintf("They carry the tag %.60s, as if they were backups of ours: of another control plane, or forged.", k.Tags[ours])
	case len(same) == 1:
		f.Group, f.Why = same[0].ID, "Host name and paths are the same."
	case len(same) > 1:
		f.Why = "Several source groups have these paths: " + groupNames(same) + "."
	case len(near) > 0:
		f.Why = "Their paths are not those of " + groupNames(near) + ", and partly the same: " +
			"what is mixed in one source group is thinned together."
	default:
		f.Why = "No source group of the host has these paths."
	}
}

// candidates are the hosts that may have made snapshots, by name.
type candidates struct {
	list    []Host
	exact   bool // the whole name is theirs
	machine bool // it is what the machine of the first one calls itself, or a form of that
}

// names are hosts by the names that they have, as keyOf and firstOf write them.
type names struct {
	whole, first map[string][]Host // each host once under a name, in the order of all
}

func namesOf(hosts []Host) names {
	n := names{map[string][]Host{}, map[string][]Host{}}
	for _, h := range hosts {
		for _, by := range []struct {
			of  map[string][]Host
			key func(string) string
		}{{n.whole, keyOf}, {n.first, firstOf}} {
			a, b := by.key(h.Name), by.key(h.Hostname)
			if a != "" {
				by.of[a] = append(by.of[a], h)
			}
			if b != "" && b != a {
				by.of[b] = append(by.of[b], h)
			}
		}
	}
	return n
}

// keyOf is the same for names that are the same, "" for none.
func keyOf(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// firstOf is the same for names of which one may be the short form of the other.
func firstOf(name string) string {
	first, _, _ := strings.Cut(name, ".")
	return strings.ToLower(first)
}

// named are the hosts that may have made snapshots, by name: those of the whole name, else
// those of which one name is the short form of the other, unless the machine is known by
// another long name.
func (n names) named(k imports.Kin) (c candidates) {
	if nobodys(k.Hostname) {
		return c
	}
	c.list = n.whole[keyOf(k.Hostname)]
	if c.exact = len(c.list) > 0; !c.exact {
		for _, h := range n.first[firstOf(k.Hostname)] {
			fits := shortOf(k.Hostname, h.Name) || shortOf(k.Hostname, h.Hostname)
			if fits && !apart(k.Hostname, h.Name) && !apart(k.Hostname, h.Hostname) {
				c.list = append(c.list, h)
			}
		}
	}
	if len(c.list) > 0 {
		h := c.list[0].Hostname
		c.machine = same(k.Hostname, h) || shortOf(k.Hostname, h)
	}
	return c
}

// nobodys reports whether a host name is what machines are called that nobody has named: it
// says nothing of which one it was.
func nobodys(name string) bool {
	first, _, _ := strings.Cut(name, ".")
	return strings.EqualFold(first, "localhost")
}

// apart reports whether two names are long ones of two machines.
func apart(a, b string) bool { return dotted(a) && dotted(b) && !same(a, b) }

func dotted(name string) bool { return strings.Contains(strings.TrimSuffix(name, "."), ".") }

func same(a, b string) bool {
	a, b = strings.TrimSuffix(a, "."), strings.TrimSuffix(b, ".")
	return a != "" && strings.EqualFold(a, b)
}

// shortOf reports whether one of two names is the first part of the other, as web1 is of
// web1.example.org. Two long names are never the same machine.
func shortOf(a, b string) bool {
	first, rest, long := strings.Cut(a, ".")
	other, more, longer := strings.Cut(b, ".")
	return first != "" && long != longer && rest+more != "" && strings.EqualFold(first, other)
}

// samePaths reports whether two lists of paths are the same, in any order.
func samePaths(a, b []string) bool { return len(a)+len(b) > 0 && within(a, b) && within(b, a) }

// within reports whether each path of a is one of b.
func within(a, b []string) bool {
	return len(a) > 0 && !slices.ContainsFunc(a, func(p string) bool {
		return !slices.ContainsFunc(b, func(q string) bool { return samePath(p, q) })
	})
}

// samePath compares two paths: on Windows case and the direction of slashes do not count.
func samePath(a, b string) bool {
	if drive(a) && drive(b) {
		return strings.EqualFold(clean(strings.ReplaceAll(a, `\`, "/")), clean(strings.ReplaceAll(b, `\`, "/")))
	}
	return clean(a) == clean(b)
}

// drive reports whether a path begins with a drive of Windows, or is a share.
func drive(p string) bool {
	return len(p) > 2 && p[1] == ':' && (p[2] == '\\' || p[2] == '/') || strings.HasPrefix(p, `\\`)
}

// clean takes slashes off the end, if anything is left then.
func clean(p string) string {
	if short := strings.TrimRight(p, "/"); short != "" {
		return short
	}
	return p
}

// tags reports whether a tag is a group's name, as resticprofile writes it, or names it as a
// plan, as Backrest does.
func tags(list []string, name string) bool {
	return slices.ContainsFunc(list, func(t string) bool {
		for _, before := range []string{"plan:", "profile:", "group:"} {
			t = strings.TrimPrefix(t, before)
		}
		return strings.EqualFold(t, name)
	})
}

func hostNames(list []Host) string {
	said := make([]string, len(list))
	for i, h := range list {
		if said[i] = h.Name; h.Hostname != "" && !same(h.Name, h.Hostname) {
			said[i] += " (its machine is " + h.Hostname + ")"
		}
	}
	slices.Sort(said)
	return few(said)
}

func groupNames(list []Group) string {
	said := make([]string, len(list))
	for i, g := range list {
		said[i] = g.Name
	}
	slices.Sort(said)
	return few(said)
}

// few are the first of some names.
func few(said []string) string {
	const most = 4
	if n := len(said) - most; n > 0 {
		said = append(slices.Clone(said[:most]), words.Count(uint64(n), "more", "more"))
	}
	return strings.Join(said, ", ")
}

// inOrder sorts what is proposed first, and then by host name and paths.
func inOrder(a, b Proposal) int {
	rank := func(p Proposal) int {
		switch {
		case p.Group != "":
			return 0
		case p.Host != "":
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Hostname, b.Hostname), slices.Compare(a.Paths, b.Paths),
		slices.Compare(a.Tags, b.Tags), cmp.Compare(a.Key, b.Key))
}
