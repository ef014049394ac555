package restores

import (
	"strings"

	"github.com/restic-manager/restic-manager/store"
)

// defaultRestores is where hosts restore to of which it is not known: whose agent is
// older, and whose policy sets no limit.
const (
	defaultRestores        = "/var/lib/restic-manager-agent/restored"
	defaultWindowsRestores = `C:\ProgramData\restic-manager-agent\restored`
)

// Root returns the directory of a host below which a restore makes one of its
// own, if nobody says where to.
func Root(h store.Host) string {
	switch p := h.Permits.V; {
	case p != nil && p.RestoreTo != "":
		return p.RestoreTo
	case p != nil && !p.Anywhere && len(p.RestoreRoots) > 0:
		return p.RestoreRoots[0]
	case h.OS == "windows":
		return defaultWindowsRestores
	}
	return defaultRestores
}

// FreshTarget names a directory for one restore alone, below [Root]: by the
// host, the snapshot and the moment, in UTC. mark tells those of one second apart.
func FreshTarget(h store.Host, snapshot, at, mark string) string {
	root, slash := Root(h), "/"
	if !strings.HasPrefix(root, "/") {
		slash = `\`
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, h.Name)
	name = strings.Trim(name[:min(len(name), 60)], ".")
	if name == "" {
		name = "host"
	}
	return strings.TrimRight(root, `/\`) + slash + name + "-" + snapshot[:min(len(snapshot), 8)] + "-" + at + "-" + mark
}
