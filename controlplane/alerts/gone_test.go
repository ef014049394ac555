package alerts

import (
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

// Of what is retired or revoked nothing is heard any more: nobody waits for it to be said
// that a disk has room, and no alert swings on.
func TestWhatIsRetiredOrRevokedHasNoAlertsThatGoOn(t *testing.T) {
	gone := goneOf(conditions.Facts{Hosts: []conditions.Host{
		{ID: "old", Retired: true, Groups: []conditions.Group{{ID: "letters"}}},
		{ID: "thief", Revoked: true, Groups: []conditions.Group{{ID: "loot"}}},
		{ID: "attic", Tags: []string{"lab"}, Groups: []conditions.Group{{ID: "books"}}},
	}, Repositories: []conditions.Repository{{ID: "vault"}}}, conditions.Limits{{
		Condition: conditions.HostOffline, Scope: conditions.ScopeTag, Subject: "lab", Off: true},
		{Condition: conditions.PruneFailed, Scope: conditions.ScopeFleet, Off: true}})
	for _, c := range []struct {
		condition conditions.Name
		on        alerts.On
		subject   string
		want      string
	}{
		{conditions.HostDisk, alerts.OnHost, "old", "The host was retired."},
		{conditions.BackupFailed, alerts.OnGroup, "letters", "The host was retired."},
		{conditions.HostDisk, alerts.OnHost, "thief", "The host was revoked."},
		{conditions.RestoreFailures, alerts.OnHost, "thief", ""},
		{conditions.BackupFailed, alerts.OnGroup, "loot", ""},
		{conditions.HostDisk, alerts.OnHost, "attic", ""},
		{conditions.BackupFailed, alerts.OnGroup, "books", ""},
		{conditions.HostOffline, alerts.OnHost, "attic", "Nobody is to be told of it any more: it was switched off for the tag lab."},
		{conditions.PruneFailed, alerts.OnRepository, "vault", "Nobody is to be told of it any more: it was switched off for the fleet."},
		{conditions.HostDisk, alerts.OnHost, "removed", "The host was removed."},
	} {
		a := alerts.Alert{Host: topics.HostID(c.subject), Key: alerts.Key{Condition: string(c.condition), On: c.on, Subject: c.subject}}
		if got := gone(a); got != c.want {
			t.Errorf("%s of %s is over as %q, want %q", c.condition, c.subject, got, c.want)
		}
	}
}
