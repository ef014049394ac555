package replace

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
)

func TestTheCommandGivesTheNewMachineThePolicyOfTheOldOne(t *testing.T) {
	quarantine := "/var/lib/restic-manager-agent/restored"
	for _, c := range []struct {
		name string
		old  replacing.Machine
		want string
	}{
		{"nothing was told", replacing.Machine{}, "--state /var/lib/restic-manager-agent --repository rest:https://nas/attic/"},
		{"a policy that restores into its own folder",
			replacing.Machine{OS: "linux", Policy: "backup", Permits: &topics.Permits{RestoreRoots: []string{quarantine},
				BackupRoots: []string{"/"}, Quarantine: quarantine}},
			"--state /var/lib/restic-manager-agent --policy backup --repository rest:https://nas/attic/"},
		{"a policy that restores elsewhere, too",
			replacing.Machine{OS: "linux", Policy: "restore", Permits: &topics.Permits{RestoreRoots: []string{"/srv/my files"},
				BackupRoots: []string{"/home"}, RepositoryRoots: []string{"/mnt"}, Quarantine: quarantine}},
			"--state /var/lib/restic-manager-agent --policy restore --repository rest:https://nas/attic/ --repository-root /mnt " +
				"--backup-root /home --restore-root '/srv/my files'"},
		{"whatever is asked", replacing.Machine{OS: "linux", Policy: "managed", Permits: &topics.Permits{Anywhere: true}},
			"--state /var/lib/restic-manager-agent --policy managed"},
		{"another shell", replacing.Machine{OS: "windows", Policy: "restore", Permits: &topics.Permits{RestoreRoots: []string{`D:\Back up`}}},
			`--state "C:\ProgramData\restic-manager-agent" --policy "restore" --repository "rest:https://nas/attic/" --restore-root "D:\Back up"`},
	} {
		st := Status{Machine: c.old}
		got := Command(st, "plane:8883", "T", []string{"rest:https://nas/attic/"})
		got = strings.Replace(got, `"plane:8883"`, "plane:8883", 1)
		if want := "restic-manager-agent enroll --server plane:8883 --token T " + c.want; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
		}
	}
}

func TestWhatWillNotComeBackIsSaidBefore(t *testing.T) {
	remote := Group{Name: "letters", Repository: store.Repository{Name: "nas"}, Group: replacing.Group{Snapshot: "aa"}}
	local, empty := remote, remote
	local.Local = true
	empty.Snapshot = ""
	st := func(enrolled int64, old, now string, groups ...Group) Status {
		return Status{Replacement: replacing.Replacement{EnrolledAt: enrolled}, Machine: replacing.Machine{OS: old}, New: store.Host{OS: now},
			Groups: groups}
	}
	for _, c := range []struct {
		name  string
		st    Status
		keeps []string
		want  []string // a part of each sentence
	}{
		{"nothing", st(1, "linux", "linux", remote), nil, nil},
		{"another system", st(1, "linux", "windows", remote), nil, []string{"ran Linux, the new one runs Windows"}},
		{"another system that is not here yet", st(0, "linux", "windows", remote), nil, nil},
		{"a directory of the lost machine", st(0, "linux", "linux", local, remote), nil, []string{"it was on the lost machine"}},
		{"no snapshot at all", st(0, "linux", "linux", empty), nil, []string{"Nothing was ever saved of letters"}},
		{"a keeper", st(0, "linux", "linux", remote), []string{"vault"}, []string{"keeper of vault"}},
	} {
		got := c.st.Warnings(c.keeps)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %d", c.name, got, len(c.want))
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) {
				t.Errorf("%s: %q, want %q in it", c.name, got[i], c.want[i])
			}
		}
	}
}

func TestPeopleAreToldAfterFourteenDays(t *testing.T) {
	now := int64(100 * 24 * 3600 * 1000)
	ago := func(days int64) int64 { return now - days*24*3600*1000 }
	for _, c := range []struct {
		name string
		r    replacing.Replacement
		want bool
	}{
		{"after 14 days", replacing.Replacement{BegunAt: ago(20), EnrolledAt: ago(14)}, true},
		{"after 13 days", replacing.Replacement{BegunAt: ago(20), EnrolledAt: ago(13)}, false},
		{"without a new machine", replacing.Replacement{BegunAt: ago(20)}, false},
		{"decided", replacing.Replacement{BegunAt: ago(20), EnrolledAt: ago(14), EndedAt: ago(1)}, false},
	} {
		if got := Late(c.r, now); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
