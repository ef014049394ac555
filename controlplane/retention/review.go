package retention

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Limits for a plan that needs no approval. It is unusual if it removes more than Few
// snapshots of a source group and more than a Fifth of them, beyond what the plan
// before removed; if it leaves only the newest of the last Month; or if it removes
// any while the newest backup is far smaller than those before.
const (
	Few   = 10
	Fifth = 5
	Month = 30 * day
)

// PlanOf returns the plan of a forget, with what is unusual about it. before is how
// many snapshots of each group the last completed plan removed.
func PlanOf(v Verdicts, before map[topics.SourceGroupID]int) store.Plan {
	p := store.Plan{Remove: []string{}, Groups: map[topics.SourceGroupID]int{}}
	for _, s := range v.Remove {
		p.Remove = append(p.Remove, s.ID)
		p.Groups[s.SourceGroup]++
	}
	slices.Sort(p.Remove)
	p.Hash = hash(p.Remove)
	for _, g := range slices.Sorted(maps.Keys(p.Groups)) {
		p.Unusual = append(p.Unusual, unusual(v, g, p.Groups[g], before[g])...)
	}
	return p
}

func hash(ids []string) string {
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	return hex.EncodeToString(sum[:16])
}

func unusual(v Verdicts, group topics.SourceGroupID, removes, before int) (why []string) {
	kept, gone := ofGroup(v.Keep, group), ofGroup(v.Remove, group)
	name := nameOf(append(kept, gone...))
	say := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if all := len(kept) + removes; removes > before+max(Few, all/Fifth) {
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
	if text := shrunk(v, group); text != "" {
		say("%s What goes now may be all there is of the rest.", text)
	}
	return why
}

func ofGroup(list []Verdict, group topics.SourceGroupID) (out []Verdict) {
	for _, s := range list {
		if s.SourceGroup == group {
			out = append(out, s)
		}
	}
	return out
}

func nameOf(list []Verdict) string {
	for _, s := range list {
		if s.Group != "" {
			return fmt.Sprintf("%q on %s", s.Group, s.HostName)
		}
	}
	return "a source group"
}

// shrunk returns a sentence if the newest snapshot of a group holds less than half of
// what is usual, "" if not, or if there are too few to compare.
func shrunk(v Verdicts, group topics.SourceGroupID) string {
	list := append(ofGroup(v.Keep, group), ofGroup(v.Remove, group)...)
	slices.SortFunc(list, func(a, b Verdict) int { return newestFirst(a.Planned, b.Planned) })
	if len(list) < 4 {
		return ""
	}
	newest, older := list[0], list[1:min(len(list), 11)]
	middle := func(of func(Verdict) uint64) uint64 {
		var sizes []uint64
		for _, s := range older {
			sizes = append(sizes, of(s))
		}
		slices.Sort(sizes)
		return sizes[len(sizes)/2]
	}
	if files := middle(func(v Verdict) uint64 { return v.Files }); newest.Files < files/2 {
		return fmt.Sprintf("The newest snapshot of %s holds %s, those before it about %s.", nameOf(list),
			words.Count(newest.Files, "file", "files"), words.Number(files))
	}
	if bytes := middle(func(v Verdict) uint64 { return v.Bytes }); newest.Bytes < bytes/2 {
		return fmt.Sprintf("The newest snapshot of %s holds %s, those before it about %s.", nameOf(list), words.Bytes(newest.Bytes),
			words.Bytes(bytes))
	}
	return ""
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
	groups := map[topics.SourceGroupID]bool{}
	for _, s := range append(slices.Clone(v.Keep), v.Remove...) {
		groups[s.SourceGroup] = true
	}
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		if text := shrunk(v, g); text != "" {
			list = append(list, Oddity{"source_group", string(g), 0, []string{text}})
		}
	}
	for _, s := range v.Flagged {
		list = append(list, Oddity{"snapshot", s.ID, s.Time, s.Reasons})
	}
	return list
}
