package audience_test

import (
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/audience"
	"github.com/restic-manager/restic-manager/store/access"
	"github.com/restic-manager/restic-manager/topics"
)

const (
	attic, cellar = topics.HostID("attic-0001"), topics.HostID("cellar-001")
	ours, theirs  = topics.AlertID("alert-0001"), topics.AlertID("alert-0002")
	planes        = topics.AlertID("alert-0003")
)

var start = time.Unix(1_800_000_000, 0)

func facts() *audience.Facts {
	return (*audience.Facts)(nil).Next(map[topics.HostID][]string{attic: {"home", "linux"}, cellar: {"office"}},
		map[topics.AlertID]topics.HostID{ours: attic, theirs: cellar, planes: ""}, start)
}

func TestAConsumerHearsOfTheHostsOfItsTags(t *testing.T) {
	all, tagged := access.Consumer{Name: "all"}, access.Consumer{Name: "tagged", Tags: []string{"home", "nobody"}}
	f := facts()
	for topic, want := range map[string][2]bool{ // what the one of all hosts hears, and what the other does
		"rm/v1/pub/plane/availability":              {true, true},
		"rm/v1/pub/fleet/state":                     {true, false},
		"rm/v1/pub/repository/vault-0001/state":     {true, false},
		"rm/v1/pub/host/attic-0001/state":           {true, true},
		"rm/v1/pub/host/attic-0001/availability":    {true, true},
		"rm/v1/pub/host/attic-0001/update":          {true, true},
		"rm/v1/pub/host/attic-0001/job/job-000001":  {true, true},
		"rm/v1/pub/host/attic-0001/unheard-of":      {true, false},
		"rm/v1/pub/host/cellar-001/state":           {true, false},
		"rm/v1/pub/host/nowhere-01/state":           {true, false},
		"rm/v1/pub/alert/alert-0001":                {true, true},
		"rm/v1/pub/alert/alert-0002":                {true, false},
		"rm/v1/pub/alert/alert-0003":                {true, false},
		"rm/v1/pub/alert/alert-0004":                {true, false},
		"rm/v1/pub/do/all":                          {true, false},
		"rm/v1/pub/do/tagged":                       {false, true},
		"rm/v1/pub/do/somebody":                     {false, false},
		"homeassistant/device/rm_attic-0001/config": {true, true},
		"homeassistant/device/rm_cellar-001/config": {true, false},
		"homeassistant/device/rm_vault-0001/config": {true, false},
		"homeassistant/device/rm_/config":           {true, false},
		"homeassistant/status":                      {true, false},
		"homeassistant":                             {true, false},
	} {
		if got := [2]bool{f.Hears(all, topic), f.Hears(tagged, topic)}; got != want {
			t.Errorf("%s is heard %v, want %v", topic, got, want)
		}
	}
	if (*audience.Facts)(nil).Hears(tagged, "rm/v1/pub/host/attic-0001/state") {
		t.Error("somebody hears before anything is known")
	}
}

// That a host was removed, or that an alert has ended, is said to who heard of it.
func TestWhatIsGoneIsHeardOfByWhoHeardOfIt(t *testing.T) {
	c := access.Consumer{Name: "tagged", Tags: []string{"home"}}
	gone := facts().Next(map[topics.HostID][]string{cellar: {"office"}}, nil, start.Add(24*time.Hour))
	for _, topic := range []string{"rm/v1/pub/host/attic-0001/state", "rm/v1/pub/alert/alert-0001"} {
		if !gone.Hears(c, topic) {
			t.Errorf("it does not hear that %s is cleared", topic)
		}
	}
	if later := gone.Next(nil, nil, start.Add(8*24*time.Hour)); later.Hears(c, "rm/v1/pub/alert/alert-0001") {
		t.Error("an alert of long ago is still known")
	}
	for what, tags := range map[string][]string{"another tag": {"linux"}, "no tag": nil} {
		changed := facts().Next(map[topics.HostID][]string{attic: tags}, nil, start)
		if changed.Hears(c, "rm/v1/pub/host/attic-0001/state") || changed.Hears(c, "rm/v1/pub/alert/alert-0001") {
			t.Errorf("with %s it hears of the host", what)
		}
		if changed.Same(facts()) {
			t.Errorf("with %s nothing seems to be different", what)
		}
	}
	if !facts().Same(facts().Next(nil, nil, start.Add(time.Hour))) {
		t.Error("what nobody changed seems to be different")
	}
}
