package restics

import (
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func entry(name, os, restic string, online bool) *fleet.Entry {
	e := &fleet.Entry{Host: store.Host{ID: topics.HostID(name + "-0001"), Name: name, OS: os, AgentVersion: "1.0.0", ResticVersion: restic}}
	e.Connection = hosts.Offline
	if online {
		e.Connection = hosts.Online
	}
	return e
}

func TestWhichResticRunsWhere(t *testing.T) {
	gone := entry("gone", "linux", "0.14.0", false)
	gone.RetiredAt = 1
	never := entry("never", "linux", "", false)
	never.AgentVersion = ""
	o := of([]*fleet.Entry{entry("attic", "linux", "0.14.0", true), entry("barn", "windows", "0.14.0", false),
		entry("cellar", "linux", "0.20.0", true),
		entry("den", "linux", "0.9.1-odd", true), entry("eaves", "linux", "what?", true), entry("flat", "linux", "", true),
		entry("garage", "linux", "0.19.1", true), gone, never})
	if o.Hosts != 7 || o.Lacking != 4 || o.Faulty != 4 || o.Newest != "0.20.0" || len(o.None) != 1 || o.None[0].Name != "flat" {
		t.Errorf("%+v", o)
	}
	var order []string
	for _, v := range o.Versions {
		order = append(order, v.Version)
	}
	if len(order) != 5 || order[0] != "0.20.0" || order[1] != "0.19.1" || order[2] != "0.14.0" || order[4] != "what?" {
		t.Errorf("the order is %v", order)
	}
	old := o.Versions[2]
	if len(old.Hosts) != 2 || old.Online != 1 || len(old.Lacks) != len(since.Lacks(since.Oldest, true)) {
		t.Errorf("%+v", old)
	}
	if n := len(o.Versions[0].Lacks) + len(o.Versions[4].Lacks); n != 0 {
		t.Errorf("what is new, or not known, lacks %d things", n)
	}
	if _, known := Lacks(store.Host{ResticVersion: "what?"}); known {
		t.Error("what is not understood is known")
	}
}
