package retention

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/reviews"
	"github.com/restic-manager/restic-manager/topics"
)

// Limits for a plan that needs no approval. Nothing of a source group is removed by
// itself if that were more than Few snapshots and more than a Fifth of them, beyond what
// the plan before removed; if it left only the newest of the last Month; or if what
// stays holds far less than what goes, or went since a person approved it.
const (
	Few   = 10
	Fifth = 5
	Month = 30 * day
)

// PlanOf returns the plan of a forget at a moment, with what a person must look at
// first. The verdicts of those source groups move to Held.
func PlanOf(v *Verdicts, past Past, now time.Time) store.Plan {
	p := planOf(v, nil)
	if p.Held = v.holds(past, now); len(p.Held) > 0 {
		p = planOf(v, p.Held)
	}
	p.Largest = largest(v.Remove, past)
	return p
}

// largest returns the most that a snapshot of each group holds which is removed, of those
// that were witnessed since a person approved that there is less.
func largest(remove []Verdict, past Past) (of map[topics.SourceGroupID]reviews.Size) {
	for _, s := range remove {
		if says(s.Planned) && !s.late && s.Time >= past.Measures[s.SourceGroup].Since {
			if of == nil {
				of = map[topics.SourceGroupID]reviews.Size{}
			}
			of[s.SourceGroup] = of[s.SourceGroup].Max(sizeOf(s.Planned))
		}
	}
	return of
}

func planOf(v *Verdicts, held []reviews.Hold) store.Plan {
	p := store.Plan{Remove: []string{}, Groups: map[topics.SourceGroupID]int{}, Held: held}
	for _, s := range v.Remove {
		p.Remove = append(p.Remove, s.ID)
		p.Groups[s.SourceGroup]++
	}
	slices.Sort(p.Remove)
	p.Hash = hash(p.Remove)
	for _, h := range held {
		p.Unusual = append(p.Unusual, h.Reasons...)
	}
	return p
}

// HeldPlan returns the plan that waits for a person: what is held of all groups. It has
// no snapshots if none is.
func HeldPlan(p store.Plan) store.Plan {
	h := store.Plan{Remove: []string{}, Groups: map[topics.SourceGroupID]int{}, Held: p.Held, Unusual: p.Unusual}
	for _, g := range p.Held {
		h.Remove = append(h.Remove, g.Remove...)
		h.Groups[g.Group] = len(g.Remove)
	}
	slices.Sort(h.Remove)
	h.Hash = hash(h.Remove)
	return h
}

func hash(ids []string) string {
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	return hex.EncodeToString(sum[:16])
}

// unusual says in how far a plan removes more of a source group than plans do, whatever
// its snapshots hold.
func unusual(kept, gone []Verdict, name string, before int) (why []string) {
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if removes, all := len(gone), len(kept)+len(gone); removes > before+max(Few, all/Fifth) {
		say("It would remove %d of the %d snapshots of %s; the plan before removed %d.", removes, all, name, before)
	}
	if len(kept) > 0 {
		since := kept[0].Time - Month.Milliseconds()
		recent := func(list []Verdict) (n int) {
			for _, s := range list {
				if s.Time > since {
					n++
				}
			}
			return n
		}
		if lost := recent(gone); recent(kept) == 1 && lost >= Few {
			say("It would leave only the newest of the %d snapshots of %s from the last 30 days.", lost+1, name)
		}
	}
	return why
}

// byGroup divides snapshots by their source group, in their order.
func byGroup(list []Verdict) map[topics.SourceGroupID][]Verdict {
	of := map[topics.SourceGroupID][]Verdict{}
	for _, s := range list {
		of[s.SourceGroup] = append(of[s.SourceGroup], s)
	}
	return of
}

func sorted[T any](of map[topics.SourceGroupID]T) []topics.SourceGroupID {
	return slices.Sorted(maps.Keys(of))
}

func nameOf(list []Verdict) string {
	for _, s := range list {
		if s.Group != "" {
			return fmt.Sprintf("%q on %s", s.Group, s.HostName)
		}
	}
	return "a source group"
}

// An Oddity is something in a repository that was not ordered here, or is unusual.
type Oddity struct {
	Kind    string // "snapshot", "key" or "source_group"
	ID      string
	Time    int64 // of a snapshot or key, Unix milliseconds
	Reasons []string
}

// Oddities returns a plan's flagged snapshots, untrusted keys, and groups whose
// newest backup is unlike those before.
func Oddities(v Verdicts, keys []store.Key) (list []Oddity) {
	for _, k := range keys {
		if !k.Ours() {
			list = append(list, Oddity{"key", k.ID, k.Created,
				[]string{fmt.Sprintf("nobody here made or trusts it; it says it was made by %s on %s", k.Username, k.Hostname)}})
		}
	}
	groups := byGroup(slices.Concat(v.Keep, v.Remove, v.Held))
	for _, g := range sorted(v.falls) {
		if f := v.falls[g]; f.low > 0 {
			of := groups[g]
			slices.SortFunc(of, func(a, b Verdict) int { return newestFirst(a.Planned, b.Planned) })
			if i := slices.IndexFunc(of, func(s Verdict) bool { return says(s.Planned) }); i >= 0 {
				list = append(list, Oddity{"source_group", string(g), 0, []string{shrunk(nameOf(of), sizeOf(of[i].Planned), f.usual)}})
			}
		}
	}
	for _, s := range v.Flagged {
		list = append(list, Oddity{"snapshot", s.ID, s.Time, s.Reasons})
	}
	return list
}
