package imports

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// Slack is how far ahead of now a snapshot's time may be, in milliseconds, for it to be
// taken in: what lies further says nothing about when it was made. It may also be so far
// before the moment at which a listing had it not, as clocks differ.
const Slack = 2 * 60 * 60 * 1000

// A Foreign is one snapshot that no job of ours made. Moments are Unix milliseconds.
type Foreign struct {
	ID   string
	Time int64 // by the clock of whoever made it
	// Backdated is that it says it is older than a listing that had it not: it was copied or
	// planted, or it took that long to make.
	Backdated bool
	CopyOf    topics.RepositoryID // the repository of ours that it was copied from, "" if from none
	seen      int64               // when a listing first had it; 0 if that is not known
}

// A Kin are the snapshots of a repository that no job of ours made and that have the same
// host name, paths and tags, in any order; where hosts have places of their own, at the same
// place.
type Kin struct {
	Key      string        // names these, whatever else is there
	Hostname string        // as the snapshots have it
	Paths    []string      // sorted
	Tags     []string      // sorted
	Varied   int           // how many other tags they have besides, of which one tells nothing: they vary from one to the next
	Place    topics.HostID // at whose place they are, "" where all share one
	List     []Foreign     // the newest first
	Ahead    int           // of others that are alike, which say that they were made in the future
	// Counted are others that are alike: copies of snapshots that count in another repository
	// of ours. The next listing gives one of each to the same source groups.
	Counted int
	From    []topics.RepositoryID // the repositories that these, and copies among List, were copied from, sorted
}

// Copies counts those that were copied from another repository of ours.
func (k Kin) Copies() (n int) {
	for _, f := range k.List {
		if f.CopyOf != "" {
			n++
		}
	}
	return n
}

// Backdated counts those that came later than they say.
func (k Kin) Backdated() (n int) {
	for _, f := range k.List {
		if f.Backdated {
			n++
		}
	}
	return n
}

// Later counts those that are taken in only if a person says so, where the first backup of
// ours of a source group was made at a moment; 0 is that there was none.
func (k Kin) Later(first int64) int { return len(k.List) - len(Choice{}.Given(k, first)) }

// A Choice gives the snapshots of one kin to a source group.
type Choice struct {
	Kin   string
	Group topics.SourceGroupID
	Newer bool   // those too that are newer than the group's first backup of ours, or backdated
	Shown *int   // how many were shown to whoever chose; nil is any
	Seen  string // the digest of what was shown, see Digest; "" is any
}

// Given returns those of a kin that a choice takes, when the first backup of ours was made
// at a moment; 0 is that there was none.
func (c Choice) Given(k Kin, first int64) []Foreign {
	if c.Newer {
		return k.List
	}
	list := make([]Foreign, 0, len(k.List))
	for _, f := range k.List {
		if !f.Backdated && (first == 0 || f.Time < first) {
			list = append(list, f)
		}
	}
	return list
}

// MadeOf is what a snapshot of a source group's host has of an import. Nobody saw it being made, so
// what counts is its own time, and none later than now.
func MadeOf(id string, host topics.HostID, group topics.SourceGroupID, f Foreign, now int64) snapshots.Made {
	at := max(min(f.Time, now), 1)
	return snapshots.Made{Host: host, Job: topics.JobID(id), SourceGroup: group, QueuedAt: at, BegunAt: at, EndedAt: at,
		State: topics.Succeeded, Imported: id}
}

// KeyOf is the key of snapshots that are alike.
func KeyOf(hostname string, paths, tags []string, place topics.HostID) string {
	return keyOf(hostname, sorted(paths), sorted(tags), place)
}

func keyOf(parts ...any) string {
	body, err := json.Marshal(parts)
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

// sorted are the words in order, each once.
func sorted(list []string) []string {
	out := append([]string{}, list...)
	slices.Sort(out)
	return slices.Compact(out)
}

// A foreignRow is a snapshot that is nobody's.
type foreignRow struct {
	ID       string        `db:"id"`
	Time     int64         `db:"time"`
	Hostname string        `db:"hostname"`
	Paths    column.List   `db:"paths"`
	Tags     column.List   `db:"tags"`
	Place    topics.HostID `db:"place"`
	Original string        `db:"original"`
	Seen     int64         `db:"first_seen_at"`
	Unseen   int64         `db:"unseen_at"`

	varied  int
	of      topics.RepositoryID // what it was copied from
	counted bool                // and that one is somebody's
}

// Kins lists what is in a repository that nobody has taken in and no job of ours made, by
// host name and paths, and by tags as far as those are few.
func Kins(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, now int64) ([]Kin, error) {
	var address string
	if err := sqlx.GetContext(ctx, q, &address, `SELECT location FROM repositories WHERE id = $1`, repository); err != nil {
		return nil, err
	}
	var rows []foreignRow
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT id, time, hostname, paths, tags, place, original, first_seen_at, unseen_at
		FROM snapshots WHERE repository = $1 AND gone_at = 0 AND job = '' ORDER BY time DESC, id`, repository); err != nil {
		return nil, fmt.Errorf("snapshots that no job made: %w", err)
	}
	if err := pair(ctx, q, repository, rows); err != nil {
		return nil, err
	}
	same := map[string][]*foreignRow{} // but for their tags
	for i := range rows {
		r := &rows[i]
		if places.Shared(address) {
			r.Place = ""
		}
		r.Paths, r.Tags = sorted(r.Paths), sorted(r.Tags)
		key := keyOf(r.Hostname, r.Paths, r.Place)
		same[key] = append(same[key], r)
	}
	for _, list := range same {
		fold(list)
	}
	of := map[string]int{}
	kins := []Kin{}
	for _, r := range rows {
		key := KeyOf(r.Hostname, r.Paths, r.Tags, r.Place)
		if r.varied > 0 {
			key = keyOf(r.Hostname, r.Paths, r.Tags, r.Place, "varied")
		}
		i, known := of[key]
		if !known {
			i = len(kins)
			of[key], kins = i, append(kins, Kin{Key: key, Hostname: r.Hostname, Paths: r.Paths, Tags: r.Tags, Place: r.Place, Varied: r.varied})
		}
		k := &kins[i]
		if r.of != "" && !slices.Contains(k.From, r.of) {
			k.From = append(k.From, r.of)
		}
		switch {
		case r.Time > now+Slack:
			k.Ahead++
		case r.counted:
			k.Counted++
		default:
			k.List = append(k.List, Foreign{ID: r.ID, Time: r.Time, Backdated: r.Unseen > 0 && r.Time < r.Unseen-Slack, CopyOf: r.of, seen: r.Seen})
		}
	}
	for _, k := range kins {
		slices.Sort(k.From)
	}
	slices.SortFunc(kins, func(a, b Kin) int {
		return cmp.Or(cmp.Compare(a.Hostname, b.Hostname), slices.Compare(a.Paths, b.Paths), slices.Compare(a.Tags, b.Tags),
			cmp.Compare(a.Place, b.Place), cmp.Compare(a.Varied, b.Varied))
	})
	return kins, nil
}

// What is alike but for its tags is told apart by them up to so many sets. Where there are
// more, at most so many tags still count, those that most snapshots have: such as a plan's name.
const mostSets, mostTags = 12, 6

// Marked stands for tags that make snapshots look as if they were backups of ours, where
// those vary, too: they are never mixed with others.
const Marked = "plan=…"

// fold takes the tags out of snapshots that vary from one to the next, as a date or the number
// of a build does: by all of them each snapshot would be a row of its own.
func fold(list []*foreignRow) {
	sets, often := map[string]bool{}, map[string]int{}
	for _, r := range list {
		sets[strings.Join(r.Tags, "\x00")] = true
		for _, t := range r.Tags {
			if !strings.HasPrefix(t, "plan=") {
				often[t]++
			}
		}
	}
	if len(sets) <= mostSets {
		return
	}
	telling := []string{}
	for t, n := range often {
		if n > 1 && n*50 >= len(list) {
			telling = append(telling, t)
		}
	}
	slices.SortFunc(telling, func(a, b string) int { return cmp.Or(cmp.Compare(often[b], often[a]), cmp.Compare(a, b)) })
	telling = telling[:min(len(telling), mostTags)]
	short := func(r *foreignRow) (left []string) {
		for _, t := range r.Tags {
			if slices.Contains(telling, t) {
				left = append(left, t)
			}
		}
		if slices.ContainsFunc(r.Tags, func(t string) bool { return strings.HasPrefix(t, "plan=") }) {
			left = append(left, Marked)
		}
		return sorted(left)
	}
	for ; ; telling = telling[:len(telling)-1] {
		sets = map[string]bool{}
		for _, r := range list {
			sets[strings.Join(short(r), "\x00")] = true
		}
		if len(sets) <= mostSets || len(telling) == 0 {
			break
		}
	}
	others := map[string]map[string]bool{} // the tags that are left out, by those that are not
	for _, r := range list {
		left := short(r)
		key := strings.Join(left, "\x00")
		if others[key] == nil {
			others[key] = map[string]bool{}
		}
		for _, t := range r.Tags {
			if !slices.Contains(left, t) {
				others[key][t] = true
			}
		}
		r.Tags = left
	}
	for _, r := range list {
		r.varied = len(others[strings.Join(r.Tags, "\x00")])
	}
}

// alike is the condition that c is a copy of o. restic writes into a copy of which snapshot it
// is; whoever can write to a repository can do so, too, so all else that a copy has in common
// with that one must be the same. Two that were made of a third one are a copy of each other
// only where one is mirrored to the other, or the other one counts.
const alike = `o.copied_from = '' AND ` + snapshots.SameAs + ` AND (o.id = c.original OR o.job <> ''
	OR EXISTS (SELECT 1 FROM mirrors m WHERE m.repository = o.repository AND m.target = c.repository))`

// copies is the query for the copies of the snapshots $7 of the repository $6, in the
// repositories $8, that are nobody's or were taken in by themselves. Both lists are JSON. Of
// several copies of one in a repository it is the first: the others do not count along, see
// adopt in package snapshots.
const copies = `SELECT min(c.rowid) FROM json_each($7) i CROSS JOIN snapshots o ON o.repository = $6 AND o.id = i.value AND o.imported = $2
	CROSS JOIN json_each($8) t CROSS JOIN snapshots c ON c.repository = t.value AND c.original <> '' AND c.original IN (o.id, o.original)
	WHERE c.gone_at = 0 AND (c.job = '' OR c.imported <> '' AND c.copied_from = '') AND ` + alike + `
	GROUP BY o.rowid, c.repository`

// pair says of snapshots of a repository what they were copied from.
func pair(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID, rows []foreignRow) error {
	var originals []string
	for _, r := range rows {
		if r.Original != "" {
			originals = append(originals, r.Original)
		}
	}
	if len(originals) == 0 {
		return nil
	}
	from, err := snapshots.Sources(ctx, q, repository, originals)
	if err != nil || len(from) == 0 {
		return err
	}
	type original struct {
		Copy    string              `db:"copy_id"`
		Of      topics.RepositoryID `db:"repository"`
		Counted bool                `db:"counted"`
		Unseen  int64               `db:"unseen_at"`
	}
	var pairs []original
	for _, which := range []string{`o.id = c.original`, `o.original = c.original AND o.original <> ''`} { // an index each
		var more []original
		if err := sqlx.SelectContext(ctx, q, &more, `SELECT c.id AS copy_id, o.repository, o.job <> '' AS counted, o.unseen_at
			FROM snapshots c CROSS JOIN json_each($1) r CROSS JOIN snapshots o ON o.repository = r.value AND `+which+`
			WHERE c.repository = $2 AND c.gone_at = 0 AND c.job = '' AND c.original <> '' AND `+alike+` ORDER BY o.repository, o.id`, from,
			repository); err != nil {
			return fmt.Errorf("what snapshots were copied from: %w", err)
		}
		pairs = append(pairs, more...)
	}
	of := make(map[string]original, len(pairs))
	for _, p := range pairs {
		if was, there := of[p.Copy]; !there || p.Counted && !was.Counted { // one that counts is the one
			of[p.Copy] = p
		}
	}
	for i := range rows {
		if p, is := of[rows[i].ID]; is {
			// It is as old as what it was copied from, whenever it was copied.
			rows[i].of, rows[i].counted, rows[i].Unseen = p.Of, p.Counted, p.Unseen
		}
	}
	return nil
}

// Firsts says when the first backup of each source group into a repository was made that a
// job of ours made, also if that snapshot is gone.
func Firsts(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) (map[topics.SourceGroupID]int64, error) {
	var rows []struct {
		Group topics.SourceGroupID `db:"source_group"`
		At    int64                `db:"at"`
	}
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT source_group, min(time) AS at FROM snapshots WHERE repository = $1 AND job <> ''
		AND imported = '' AND copied_from = '' AND source_group <> '' GROUP BY source_group`, repository); err != nil {
		return nil, fmt.Errorf("first backups: %w", err)
	}
	at := make(map[topics.SourceGroupID]int64, len(rows))
	for _, r := range rows {
		at[r.Group] = r.At
	}
	return at, nil
}
