package jobs

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// defaultRestores is where hosts restore to of which it is not known: whose agent is
// older, and whose policy sets no limit.
const (
	defaultRestores        = "/var/lib/restic-manager-agent/restored"
	defaultWindowsRestores = `C:\ProgramData\restic-manager-agent\restored`
)

// RestoreRoot returns the directory of a host below which a restore makes one of its
// own, if nobody says where to.
func RestoreRoot(h store.Host) string {
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

// FreshTarget names a directory for one restore alone, below [RestoreRoot]: by the
// host, the snapshot and the moment, in UTC. mark tells those of one second apart.
func FreshTarget(h store.Host, snapshot, at, mark string) string {
	root, slash := RestoreRoot(h), "/"
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

// fresh gives a restore that says no target a directory of its own. If the same was
// asked for and has not ended, it is that one's.
func (e *Engine) fresh(ctx context.Context, r Request) (Request, error) {
	r.Operation.Fresh = false // that is ours to say
	if r.Kind != topics.RestoreJob || r.Operation.Target != "" {
		return r, nil
	}
	h, err := e.Store.Host(ctx, r.Host)
	if errors.Is(err, store.ErrNotFound) {
		return r, ErrNoHost
	} else if err != nil {
		return r, err
	}
	open, err := e.Store.OpenJobs(ctx, r.Host)
	if err != nil {
		return r, err
	}
	now := e.Now()
	id := topics.NewID(now)
	target := FreshTarget(h, r.Operation.Snapshot, now.UTC().Format("20060102-150405"), id[len(id)-4:])
	for _, j := range open {
		if o := j.Operation.V; o != nil && j.Kind == r.Kind && j.Repository == r.Repository && !j.CancelAsked && o.Fresh &&
			o.Snapshot == r.Operation.Snapshot && o.Overwrite == r.Operation.Overwrite && o.DryRun == r.Operation.DryRun &&
			slices.Equal(o.Paths, r.Operation.Paths) {
			target = o.Target
			break
		}
	}
	r.Operation.Target, r.Operation.Fresh = target, true
	return r, nil
}
