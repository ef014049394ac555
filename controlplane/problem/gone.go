package problem

import (
	"net/url"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// ofGone words a request for a snapshot that is gone: it names those that could be
// asked for in its place, the likeliest first.
func ofGone(e *jobs.GoneError) *Problem {
	at := func(ms int64) string { return words.At(ms).UTC().Format("2 Jan 2006 15:04") + " UTC" }
	p := &Problem{Kind: Gone, Title: "This snapshot is gone", Err: e,
		Say: "Snapshot " + e.Snapshot.ID[:8] + ", taken " + at(e.Snapshot.Time) + ", is in the repository no more: that was found " +
			at(e.Snapshot.GoneAt) + ". Nothing was begun.",
	}
	offer := func(n *store.Snapshot, text string) {
		if n == nil {
			return
		}
		host := n.Host
		if host == "" {
			host = e.Host
		}
		p.Snapshots = append(p.Snapshots, n.ID)
		p.Do += "Snapshot " + n.ID[:8] + ", taken " + at(n.Time) + ", " + text + " "
		what := "Restore "
		if e.Kind != topics.RestoreJob {
			what = "Use "
		}
		p.Links = append(p.Links, Link{Text: what + n.ID[:8] + ", " + at(n.Time),
			URL: "/hosts/" + url.PathEscape(string(host)) + "/operations?snapshot=" + url.QueryEscape(string(n.Repository)+"/"+n.ID)})
	}
	offer(e.Near.Instead, "was made of it and holds the same.")
	if near := e.Near.Instead; near == nil || e.Near.Before == nil || near.ID != e.Near.Before.ID {
		offer(e.Near.Before, "is the nearest before it.")
	}
	if near := e.Near.Instead; near == nil || e.Near.After == nil || near.ID != e.Near.After.ID {
		offer(e.Near.After, "is the nearest after it.")
	}
	if p.Do == "" {
		p.Do = "No other of its source group is known there. Have the repository's snapshots listed, in case that is not up to date."
	}
	return p
}
