package permits

import (
	"errors"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func host(os string, p *topics.Permits) store.Host {
	return store.Host{Name: "attic", Policy: "backup", OS: os, Permits: store.JSON[topics.Permits]{V: p}}
}

// Each refusal has the command that ends it, for the shell of the host, with the directory
// where its agent keeps its state, without which the agent's program refuses it.
func TestARefusalNamesTheCommandThatEndsIt(t *testing.T) {
	narrow := &topics.Permits{Kinds: []topics.JobKind{topics.BackupJob}, RestoreRoots: []string{"/srv/back"}, BackupPins: true,
		Repositories: []string{"rest:https://nas/attic"}}
	elsewhere := &topics.Permits{Quarantine: "/opt/rm/restored", RestoreRoots: []string{"/opt/rm/restored"}}
	other := topics.Repository{URL: "rest:https://other/attic/"}
	fresh := &topics.Permits{Kinds: []topics.JobKind{topics.RestoreJob}, BackupPins: true}
	for _, c := range []struct {
		what    string
		err     error
		command string // "" is no refusal
	}{
		{"a kind", Kind(host("linux", narrow), topics.RestoreJob),
			"restic-manager-agent policy allow-operation restore --state /var/lib/restic-manager-agent"},
		{"a kind it runs", Kind(host("linux", narrow), topics.BackupJob), ""},
		{"a kind, of an agent that tells no policy", Kind(host("linux", nil), topics.RestoreJob), ""},
		{"a place", Restore(host("linux", narrow), topics.Operation{Target: "/etc"}),
			"restic-manager-agent policy allow-restore /etc --state /var/lib/restic-manager-agent"},
		{"a place with a blank", Restore(host("linux", elsewhere), topics.Operation{Target: "/srv/a b"}),
			"restic-manager-agent policy allow-restore '/srv/a b' --state /opt/rm"},
		{"a place of Windows", Restore(host("windows", narrow), topics.Operation{Target: `C:\Data`}),
			`restic-manager-agent policy allow-restore "C:\Data" --state "C:\ProgramData\restic-manager-agent"`},
		{"a place beside it", Restore(host("linux", narrow), topics.Operation{Target: "/srv/backup"}),
			"restic-manager-agent policy allow-restore /srv/backup --state /var/lib/restic-manager-agent"},
		{"a place below it", Restore(host("linux", narrow), topics.Operation{Target: "/srv/back/x"}), ""},
		{"another repository", Repository(host("linux", narrow), narrow, topics.RestoreJob, other),
			"restic-manager-agent policy allow-repository rest:https://other/attic/ --state /var/lib/restic-manager-agent"},
		{"its own", Repository(host("linux", narrow), narrow, topics.RestoreJob, topics.Repository{URL: "rest:https://nas/attic/"}), ""},
		{"any, before it has backed up", Repository(host("linux", fresh), fresh, topics.RestoreJob, other),
			"restic-manager-agent policy allow-repository rest:https://other/attic/ --state /var/lib/restic-manager-agent"},
		{"any, where nothing is certain", Repository(host("linux", narrow), nil, topics.RestoreJob, other), ""},
	} {
		var r *Refusal
		if !errors.As(c.err, &r) {
			if c.command != "" || c.err != nil {
				t.Errorf("%s: %v", c.what, c.err)
			}
			continue
		}
		if r.Command != c.command || !errors.Is(c.err, ErrForbidden) || errors.Is(c.err, ErrNotPinned) != r.Pinned {
			t.Errorf("%s: %q %v, want %q", c.what, r.Command, c.err, c.command)
		}
		if w := r.Words(); !strings.HasSuffix(w, ".") || strings.HasSuffix(w, "..") || strings.Contains(w, "If it shall") ||
			strings.Contains(w, "restic-manager-agent") || strings.Contains(w, "Back up") {
			t.Errorf("%s: in words it is %q", c.what, w)
		}
		if do := r.Do(); strings.HasSuffix(do, ":") != (r.Command != "") ||
			strings.Contains(do, "back up") != (c.what == "any, before it has backed up") {
			t.Errorf("%s: what to do is %q", c.what, do)
		}
	}
	if err := Restore(host("linux", narrow), topics.Operation{Target: "/srv/back/x", Overwrite: "always"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("over files: %v", err)
	}
	nameless := host("linux", narrow)
	nameless.Policy = ""
	if text := Kind(nameless, topics.PruneJob).Error(); strings.Contains(text, "  ") {
		t.Errorf("a policy without a name: %q", text)
	}
}
