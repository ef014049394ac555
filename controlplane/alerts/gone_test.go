package alerts

import (
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store/alerts"
)

// Of what is retired or revoked nothing is heard any more: nobody waits for it to be said
// that a disk has room, and no alert swings on.
func TestWhatIsRetiredOrRevokedHasNoAlertsThatGoOn(t *testing.T) {
	gone := goneOf(conditions.Facts{Hosts: []conditions.Host{
		{ID: "old", Retired: true, Groups: []conditions.Group{{ID: "letters"}}},
		{ID: "thief", Revoked: true, Groups: []conditions.Group{{ID: "loot"}}},
		{ID: "attic", Groups: []conditions.Group{{ID: "books"}}},
	}})
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
		{conditions.HostDisk, alerts.OnHost, "removed", "The host was removed."},
	} {
		a := alerts.Alert{Key: alerts.Key{Condition: string(c.condition), On: c.on, Subject: c.subject}}
		if got := gone(a); got != c.want {
			t.Errorf("%s of %s is over as %q, want %q", c.condition, c.subject, got, c.want)
		}
	}
}
