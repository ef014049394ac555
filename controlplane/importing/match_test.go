package importing

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store/imports"
	"github.com/restic-manager/restic-manager/topics"
)

func TestSnapshotsAreMatchedByHostNamePathsAndTags(t *testing.T) {
	list := func(text string) []string { return strings.Fields(text) }
	hosts := []Host{
		{"h-web1", "web1", "web1"},
		{"h-web2", "Shop", "web2.example.org"},
		{"h-db", "db.example.org", ""},
		{"h-win", "desk", "DESK-01"},
		{"h-twin", "twin", "old"}, {"h-other", "old", "other"}, // both are called old
		{"h-nas", "nas", "nas"},
		{"h-one", "apps.a.org", ""}, {"h-two", "apps.b.org", ""}, // one short name
		{"h-mail", "mail", "mail.a.org"}, {"h-box", "box", "localhost"},
	}
	groups := []Group{
		{"g-etc", "h-web1", "etc", list("/etc /home"), true},
		{"g-var", "h-web1", "var", list("/var"), true},
		{"g-web2", "h-web2", "all", list("/"), true},
		{"g-db", "h-db", "dumps", list("/srv/dumps/"), true},
		{"g-win", "h-win", "files", []string{`C:\Users`, `D:\Data`}, true},
		{"g-twin", "h-twin", "etc", list("/etc"), true},
		{"g-other", "h-other", "etc", list("/etc"), true},
		{"g-nas-1", "h-nas", "daily", list("/data"), true}, {"g-nas-2", "h-nas", "weekly", list("/data"), true},
		{"g-nas-3", "h-nas", "away", list("/photos"), false}, {"g-nas-4", "h-nas", "here", list("/photos"), true},
		{"g-nas-5", "h-nas", "elsewhere", list("/music"), false},
		{"g-mail", "h-mail", "etc", list("/etc"), true}, {"g-box", "h-box", "etc", list("/etc"), true},
		{"g-one", "h-one", "etc", list("/etc"), true}, {"g-two", "h-two", "etc", list("/etc"), true},
	}
	for _, c := range []struct {
		name                  string
		hostname, paths, tags string
		place                 topics.HostID
		host                  topics.HostID
		group                 topics.SourceGroupID
		why                   string // part of it
	}{
		{"the same", "web1", "/home /etc", "", "", "h-web1", "g-etc", "are the same"},
		{"case does not count", "WEB1", "/var", "", "", "h-web1", "g-var", ""},
		{"a slash at the end", "db.example.org", "/srv/dumps", "", "", "h-db", "g-db", ""},
		{"the root", "web2.example.org", "/", "", "", "h-web2", "g-web2", ""},
		{"the machine's own name", "web2.example.org.", "/", "", "", "h-web2", "g-web2", ""},
		{"the long name of a short one", "web1.example.org", "/var", "", "", "h-web1", "g-var", ""},
		{"the short name of a long one", "web2", "/", "", "", "h-web2", "g-web2", ""},
		{"a name that only begins alike", "web10", "/var", "", "", "", "", "No host"},
		{"a name that only ends alike", "myweb1", "/var", "", "", "", "", "No host"},
		{"another domain of a long name", "db.example.com", "/srv/dumps", "", "", "", "", "No host"},
		{"no name at all", "", "/var", "", "", "", "", "No host"},
		{"a name of two hosts", "old", "/etc", "", "", "", "", "Several hosts"},
		{"the short name of two hosts", "apps", "/etc", "", "", "", "", "Several hosts"},
		{"the long name of the machine", "mail.a.org", "/etc", "", "", "h-mail", "g-mail", ""},
		{"another long name than the machine's", "mail.b.org", "/etc", "", "", "", "", "No host"},
		{"the name of a machine that nobody named", "localhost", "/etc", "", "", "", "", "Any machine"},
		{"and its long form", "LOCALHOST.localdomain", "/etc", "", "", "", "", "Any machine"},
		{"paths that are only some of them", "web1", "/etc", "", "", "h-web1", "", "partly the same"},
		{"more paths", "web1", "/etc /home /srv", "", "", "h-web1", "", "partly the same"},
		{"a path below", "web1", "/var/lib", "", "", "h-web1", "", "No source group"},
		{"a path above", "web1", "/", "", "", "h-web1", "", "No source group"},
		{"paths in other case", "web1", "/VAR", "", "", "h-web1", "", "No source group"},
		{"no paths", "web1", "", "", "", "h-web1", "", "No source group"},
		{"another host's group", "web2", "/var", "", "", "h-web2", "", "No source group"},
		{"two groups with these paths", "nas", "/data", "", "", "h-nas", "", "Several source groups"},
		{"two groups, and a tag says which", "nas", "/data", "weekly", "", "h-nas", "g-nas-2", ""},
		{"two groups, and Backrest's tag", "nas", "/data", "plan:daily created-by:nas", "", "h-nas", "g-nas-1", ""},
		{"two groups, and a tag of neither", "nas", "/data", "monthly", "", "h-nas", "", "Several source groups"},
		{"two groups, and tags of both", "nas", "/data", "daily weekly", "", "h-nas", "", "Several source groups"},
		{"the group that backs up here", "nas", "/photos", "", "", "h-nas", "g-nas-4", ""},
		{"a group that backs up elsewhere, if it alone fits", "nas", "/music", "", "", "h-nas", "g-nas-5", ""},
		{"our tag", "web1", "/var", "plan=g-var", "", "h-web1", "", "as if they were"},
		{"its own place", "web1", "/var", "", "h-web1", "h-web1", "g-var", ""},
		{"another host's place", "web1", "/var", "", "h-nas", "", "", "place of another host"},
	} {
		k := imports.Kin{Key: c.name, Hostname: c.hostname, Paths: list(c.paths), Tags: list(c.tags), Place: c.place}
		f := Fits([]imports.Kin{k}, hosts, groups)[0]
		if f.Host != c.host || f.Group != c.group || !strings.Contains(f.Why, c.why) || f.Why == "" {
			t.Errorf("%s: it is %+v, wanted host %q, group %q because %q", c.name, f, c.host, c.group, c.why)
		}
	}
	for _, c := range []struct {
		paths []string
		group topics.SourceGroupID
	}{{[]string{`d:\data\`, `C:/users`}, "g-win"}, {[]string{`D:\Data`}, ""}, {[]string{"/C/Users", "/D/Data"}, ""}} {
		if f := Fits([]imports.Kin{{Hostname: "desk-01", Paths: c.paths}}, hosts, groups)[0]; f.Group != c.group {
			t.Errorf("%v: it is %+v", c.paths, f)
		}
	}
}

// Snapshots have the name that the machine gives itself. Where only what people call a host
// here is the same, another machine may have made them, and both names are said.
func TestADisplayNameAloneIsADoubt(t *testing.T) {
	groups := []Group{{"g", "h", "var", []string{"/var"}, true}}
	for _, c := range []struct {
		name             string
		display, machine string
		hostname         string
		doubt, why       string // parts
	}{
		{"the machine's name", "web1", "web1", "web1", "", "are the same."},
		{"the machine's name, and another one here", "Shop", "web1", "web1", "", "The machine web1 is the host Shop here."},
		{"its long form", "Shop", "web1", "web1.example.org", "", "The machine web1 is the host Shop here."},
		{"the name here, and the short form of the machine's", "web1", "web1.example.org", "web1", "", "are the same."},
		{"the name here alone", "web2", "web1", "web2", "its machine calls itself web1", "web2 is only what people call the host here"},
		{"the name here alone, in its short form", "web2.example.org", "web1", "web2", "its machine calls itself web1",
			"web2.example.org is only"},
		{"a machine that never came", "web2", "", "web2", "is not known", "The paths are the same."},
	} {
		f := Fits([]imports.Kin{{Hostname: c.hostname, Paths: []string{"/var"}}}, []Host{{"h", c.display, c.machine}}, groups)[0]
		if f.Group != "g" || f.Name != c.display || f.Machine != c.machine || (f.Doubt == "") != (c.doubt == "") ||
			!strings.Contains(f.Doubt, c.doubt) || !strings.Contains(f.Why, c.why) || !strings.Contains(f.Why, f.Doubt) {
			t.Errorf("%s: it is %+v", c.name, f)
		}
	}
	hosts := []Host{{"h", "web2", "web1"}, {"other", "web1", "web3"}}
	if f := Fits([]imports.Kin{{Hostname: "web1", Paths: []string{"/var"}}}, hosts, groups)[0]; f.Host != "" || f.Group != "" ||
		!strings.Contains(f.Why, "web1 (its machine is web3), web2 (its machine is web1)") {
		t.Errorf("a machine's name that is another host's here: %+v", f)
	}
}

// Of two machines with long names, a host's short one can be either; the whole name is sure.
func TestAShortNameOfTwoLongOnesIsNoMatch(t *testing.T) {
	hosts := []Host{{"h", "web1", "web1"}}
	groups := []Group{{"g", "h", "var", []string{"/var"}, true}}
	kin := func(name string) imports.Kin { return imports.Kin{Hostname: name, Paths: []string{"/var"}} }
	fits := Fits([]imports.Kin{kin("web1.a.org"), kin("WEB1.b.org"), kin("web1"), kin("web2")}, hosts, groups)
	for i, want := range []topics.SourceGroupID{"", "", "g", ""} {
		if fits[i].Group != want {
			t.Errorf("%d is %+v", i, fits[i])
		}
	}
	if !strings.Contains(fits[0].Why, "web1.a.org, web1.b.org") || fits[0].Host != "" {
		t.Errorf("it says %q", fits[0].Why)
	}
	if f := Fits([]imports.Kin{kin("web1.a.org"), kin("web1.A.org")}, hosts, groups); f[0].Group != "g" || f[1].Group != "g" {
		t.Errorf("one machine in two spellings is %+v", f)
	}
}
