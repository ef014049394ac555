package restores

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestWhereAFreshDirectoryIs(t *testing.T) {
	permits := func(p topics.Permits) store.JSON[topics.Permits] { return store.JSON[topics.Permits]{V: &p} }
	for _, c := range []struct {
		want, name, os string
		permits        store.JSON[topics.Permits]
	}{
		{"/var/lib/restic-manager-agent/restored/a-aaaaaaaa-t-m", "a", "", store.JSON[topics.Permits]{}},
		{"/back/a-aaaaaaaa-t-m", "a", "", permits(topics.Permits{RestoreRoots: []string{"/back", "/x"}})},
		{"/own/restored/a-aaaaaaaa-t-m", "a", "", permits(topics.Permits{Anywhere: true, RestoreTo: "/own/restored"})},
		{`C:\ProgramData\restic-manager-agent\restored\pc-aaaaaaaa-t-m`, "pc", "windows", permits(topics.Permits{Anywhere: true})},
		{`D:\back\pc_1-aaaaaaaa-t-m`, "pc 1", "windows", permits(topics.Permits{RestoreTo: `D:\back\`})},
		{"/back/m_ller_.._x-aaaaaaaa-t-m", "müller/../x", "", permits(topics.Permits{RestoreTo: "/back"})},
		{"/back/host-aaaaaaaa-t-m", "..", "", permits(topics.Permits{RestoreTo: "/back"})},
	} {
		h, want := store.Host{Name: c.name, OS: c.os, Permits: c.permits}, c.want
		got := FreshTarget(h, strings.Repeat("a", 64), "t", "m")
		if got != want {
			t.Errorf("%q: %s, want %s", h.Name, got, want)
		}
		if err := (topics.Operation{Snapshot: "aaaaaaaa", Target: got, Fresh: true}).Check(topics.RestoreJob); err != nil {
			t.Error(err)
		}
		if p := h.Permits.V; p != nil && p.RestoreTo == "" && !p.Restores(got) {
			t.Errorf("%s is where the policy does not allow it", got)
		}
	}
}
