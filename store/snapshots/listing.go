package snapshots

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/prepared"
	"github.com/restic-manager/restic-manager/topics"
)

// A Listing is everything that a repository holds, as a job of a host found it. It
// is complete: nothing that is there is left out, except what Unreadable names.
type Listing struct {
	Job        topics.JobID
	Repository topics.RepositoryID
	Host       topics.HostID // who listed it; where hosts have places of their own, whose it was
	Apart      bool          // hosts have places of their own: a path, or {host} in the address
	QueuedAt   int64         // the listing began after this
	At         int64         // and ended before this
	Result     topics.Result
}

// A Loss is how many snapshots of a source group a listing found missing that no job
// of ours removed.
type Loss struct {
	Host  topics.HostID
	Group topics.SourceGroupID
	Count int
}

// A known snapshot is what a listing needs of a row.
type known struct {
	ID       string               `db:"id"`
	SeenAt   int64                `db:"seen_at"`
	Made     int64                `db:"made"` // when its job ended and we knew it, 0 for a foreign one
	Time     int64                `db:"time"`
	Tags     string               `db:"tags"`
	Host     topics.HostID        `db:"host"`
	Place    topics.HostID        `db:"place"`
	Job      topics.JobID         `db:"job"`
	Group    topics.SourceGroupID `db:"source_group"`
	Original string               `db:"original"`
	NamedBy  topics.JobID         `db:"named_by"`
	Imported string               `db:"imported"`
}

const ofKnown = `id, seen_at, max(ended_at, noted_at) AS made, time, tags, host, place, job, source_group, original, named_by,
	imported`

// List applies a listing to the rows of a repository, if it is whole, and says what was
// lost. It is quick if Apply has done its part before.
//
// What happened while the listing ran takes precedence: a snapshot made or seen after
// the listing was queued is not missing, and one removed after that does not come
// back. A host that reaches another repository under the same address says nothing
// about the snapshots of hosts that do not use that one. Where hosts have places of their
// own, it speaks of those alone that were last seen at its place, or that its host made.
func List(ctx context.Context, tx *sqlx.Tx, l Listing) (whole bool, losses []Loss, err error) {
	if _, whole, err = Apply(ctx, tx, &l, nil); err != nil || !whole {
		return false, nil, err
	}
	silent, err := visit(ctx, tx, l)
	if err != nil {
		return false, nil, err
	}
	var gone []known // those that are listed were seen at its time
	if err := sqlx.SelectContext(ctx, tx, &gone, `SELECT `+ofKnown+` FROM snapshots WHERE repository = $1 AND gone_at = 0
		AND seen_at <> $2 AND max(seen_at, ended_at, noted_at) <= $3`, l.Repository, l.At, l.QueuedAt); err != nil {
		return false, nil, err
	}
	gone = slices.DeleteFunc(gone, func(k known) bool { return silent(k) || l.unreadable(k.ID) })
	p := places{ctx, prepared.In(tx), l.Repository, nil, 0}
	for _, k := range gone {
		if _, err := p.tx.ExecContext(ctx, `UPDATE snapshots SET gone_at = $1 WHERE repository = $2 AND id = $3`, l.At, l.Repository,
			k.ID); err != nil {
			return false, nil, err
		}
	}
	// Those that were made of another of ours, and by no job of ours so far.
	var made []struct {
		ID       string `db:"id"`
		Original string `db:"original"`
	}
	if err := sqlx.SelectContext(ctx, tx, &made, `SELECT c.id, c.original FROM snapshots c JOIN snapshots o ON o.repository = c.repository
		AND o.id = c.original WHERE c.repository = $1 AND c.gone_at = 0 AND c.original <> '' AND c.job = '' AND c.seen_at = $2
		ORDER BY c.id`, l.Repository, l.At); err != nil {
		return false, nil, err
	}
	var copies, originals []string
	for _, m := range made {
		copies, originals = append(copies, m.ID), append(originals, m.Original)
	}
	if err := p.take(slices.Clone(copies)); err != nil {
		return false, nil, err
	}
	if err := p.settled(l); err != nil {
		return false, nil, err
	}
	if err := p.adopt(copies, originals, true); err != nil { // those that took no place
		return false, nil, err
	}
	losses, err = p.losses(gone)
	return true, losses, err
}

// unreadable reports whether a snapshot is among those that could not be read.
func (l Listing) unreadable(id string) bool {
	return slices.ContainsFunc(l.Result.Unreadable, func(start string) bool { return strings.HasPrefix(id, start) })
}

// places applies one listing.
type places struct {
	ctx        context.Context
	tx         prepared.Tx
	repository topics.RepositoryID
	add        *sqlx.NamedStmt // parsed once: with its triggers that takes longer than adding a row
	unseen     int64           // when the last listing before it had ended
}

// found adds a snapshot that was not known to exist. One that was gone before the
// listing is there again, and its own place is its own again. It is false for one that
// was removed since.
func (p places) found(row Snapshot, l Listing) (there bool, err error) {
	done, err := p.add.ExecContext(p.ctx, row)
	if err != nil {
		return false, err
	}
	if n, err := done.RowsAffected(); err != nil || n > 0 {
		return n > 0, err
	}
	was, err := find(p.ctx, p.tx, p.repository, row.ID)
	if err != nil || was.GoneAt > l.QueuedAt {
		return false, err
	}
	if _, err := p.tx.ExecContext(p.ctx, `UPDATE snapshots SET seen_at = $1, gone_at = 0, acknowledged_at = 0
		WHERE repository = $2 AND id = $3`, l.At, p.repository, row.ID); err != nil {
		return false, err
	}
	return true, p.giveBack(was)
}

// giveBack takes the place of a snapshot that is there again from the one that had
// it, unless a job of ours replaced it.
func (p places) giveBack(n Snapshot) error {
	if n.ReplacedBy == "" || n.NamedBy != "" {
		return nil
	}
	last, err := p.last(n)
	if err != nil || last.ID == n.ID {
		return err
	}
	if _, err := p.tx.Tx.NamedExecContext(p.ctx, setMade, Snapshot{Repository: p.repository, ID: last.ID}); err != nil {
		return err
	}
	_, err = p.tx.ExecContext(p.ctx, `UPDATE snapshots SET replaced_by = '' WHERE repository = $1 AND id = $2`, p.repository, n.ID)
	return err
}

// correct replaces what was said about a snapshot by what the listing says, if that
// differs. A job that claimed the snapshot but is not of the source group in its tag
// loses it, to a job that claimed it and is, or to none. One that took the place of
// another keeps that, whatever its tags, and so does one that a person took in.
func (p places) correct(n Snapshot, was known) error {
	tags, err := n.Tags.Value()
	if err != nil || was.Time == n.Time && was.Tags == tags && was.Original == n.Original {
		return err
	}
	if _, err := p.tx.Tx.NamedExecContext(p.ctx, `UPDATE snapshots SET time = :time, hostname = :hostname, paths = :paths, tags = :tags,
		username = :username, tree = :tree, original = :original WHERE repository = :repository AND id = :id`, n); err != nil {
		return err
	}
	if was.Imported != "" || was.Job != "" && marked(n.Tags, was.Group) {
		return nil
	}
	var placed int
	if err := sqlx.GetContext(p.ctx, p.tx, &placed, `SELECT count(*) FROM snapshots WHERE repository = $1 AND replaced_by = $2
		AND replaced_by <> ''`, p.repository, n.ID); err != nil || placed > 0 {
		return err
	}
	said, err := claims(p.ctx, p.tx, p.repository, n.ID)
	if err != nil {
		return err
	}
	for _, m := range said {
		if n.Foreign() && marked(n.Tags, m.SourceGroup) {
			n.by(m, was.Made)
		}
	}
	_, err = p.tx.Tx.NamedExecContext(p.ctx, setMade, n)
	return err
}

// take gives snapshots that were made of one of ours its place, with its job and
// group, so that what was tagged or rewritten is not lost. The other one must be gone, see
// free: whoever can only add to a repository cannot take the place of a snapshot that is
// there. Of several that were made of the same one, the likest takes the place.
func (p places) take(copies []string) error {
	type claim struct{ copy, of Snapshot }
	for len(copies) > 0 {
		best := map[string]claim{}
		for _, id := range copies {
			c, err := find(p.ctx, p.tx, p.repository, id)
			if err != nil {
				return err
			}
			original, err := find(p.ctx, p.tx, p.repository, c.Original)
			if errors.Is(err, sql.ErrNoRows) || err == nil && (original.Foreign() || !c.Foreign()) {
				continue
			} else if err != nil {
				return err
			}
			last, err := p.last(original)
			if err != nil {
				return err
			}
			free, err := p.free(last, c)
			if err != nil {
				return err
			}
			if was, ok := best[last.ID]; free && (!ok || liker(original, c, was.copy)) {
				best[last.ID] = claim{c, last}
			}
		}
		if len(best) == 0 {
			return nil
		}
		for _, c := range best {
			c.copy.by(c.of.made(), c.of.NotedAt)
			if _, err := p.tx.Tx.NamedExecContext(p.ctx, setMade, c.copy); err != nil {
				return err
			}
			if _, err := p.tx.ExecContext(p.ctx, `UPDATE snapshots SET replaced_by = $1 WHERE repository = $2 AND id = $3`, c.copy.ID,
				p.repository, c.of.ID); err != nil {
				return err
			}
			copies = slices.DeleteFunc(copies, func(id string) bool { return id == c.copy.ID })
		}
	}
	return nil
}

// longest is how often a snapshot may have been replaced; restic's own rewriting of
// rewritten ones makes no circles, and forged ones shall not hold anything up.
const longest = 1000

// last is the snapshot that has a snapshot's place now.
func (p places) last(n Snapshot) (Snapshot, error) {
	for range longest {
		if n.ReplacedBy == "" {
			return n, nil
		}
		next, err := find(p.ctx, p.tx, p.repository, n.ReplacedBy)
		if errors.Is(err, sql.ErrNoRows) {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n = next
	}
	return n, fmt.Errorf("snapshot %.8s was replaced more than %d times", n.ID, longest)
}

// free reports whether a copy of a snapshot that is gone may take its place: if a job of
// ours was to replace it, and otherwise if it holds the very same. Whoever may delete can
// write into any snapshot that it was made of ours; only what it holds cannot be forged. So
// tags may be changed beside us, and what takes files out beside us is shown as a loss.
func (p places) free(n, by Snapshot) (bool, error) {
	if n.GoneAt == 0 {
		return false, nil
	}
	if n.NamedBy == "" {
		return by.Tree == n.Tree && by.Time == n.Time && by.Hostname == n.Hostname && slices.Equal(by.Paths, n.Paths), nil
	}
	var kind topics.JobKind
	err := sqlx.GetContext(p.ctx, p.tx, &kind, `SELECT kind FROM jobs WHERE id = $1`, n.NamedBy)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && kind.Remakes(), err
}

// liker reports whether a is more like an original than b is.
func liker(original, a, b Snapshot) bool {
	score := func(n Snapshot) (s int) {
		for _, same := range []bool{marked(n.Tags, original.SourceGroup), n.Hostname == original.Hostname, n.Time == original.Time,
			n.Tree == original.Tree} {
			s *= 2
			if same {
				s++
			}
		}
		return s
	}
	return cmp.Or(cmp.Compare(score(b), score(a)), cmp.Compare(a.ID, b.ID)) < 0
}

// losses counts those among the missing that no job of ours removed and no other
// snapshot stands for.
func (p places) losses(gone []known) (list []Loss, err error) {
	count := map[Loss]int{}
	for _, k := range gone {
		if k.Job == "" || k.NamedBy != "" {
			continue
		}
		var replaced string
		if err := sqlx.GetContext(p.ctx, p.tx, &replaced, `SELECT replaced_by FROM snapshots WHERE repository = $1 AND id = $2`,
			p.repository, k.ID); err != nil {
			return nil, err
		}
		if replaced == "" {
			count[Loss{Host: k.Host, Group: k.Group}]++
		}
	}
	for l, n := range count {
		l.Count = n
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b Loss) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Group, b.Group)) })
	return list, nil
}

// visit notes in which repository a listing was, and says of which snapshots it cannot
// speak: an address such as a path may lead each host to a repository of its own. Where
// all hosts share an address, only two that have both said where they are, and were never
// in the same one, are apart; where they do not, all are but for those two that said they
// are in the same one, such as a folder of a server that both have mounted. A repository
// that was made anew in the place of another is where the host was before.
func visit(ctx context.Context, tx *sqlx.Tx, l Listing) (silent func(known) bool, err error) {
	been, latest := map[string]bool{}, map[topics.HostID]string{}
	if l.Result.Place != "" {
		if _, err := tx.ExecContext(ctx, `INSERT INTO repository_places (repository, host, place, seen_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (repository, host, place) DO UPDATE SET seen_at = excluded.seen_at`, l.Repository, l.Host, l.Result.Place,
			l.At); err != nil {
			return nil, err
		}
		list, err := PlacesOf(ctx, tx, l.Repository)
		if err != nil {
			return nil, err
		}
		for _, p := range list { // the latest of each host comes last
			been[p.Place] = been[p.Place] || p.Host == l.Host
			latest[p.Host] = p.Place
		}
	}
	return func(k known) bool {
		if l.Apart {
			where := cmp.Or(k.Place, k.Host)
			return where != "" && where != l.Host && !been[latest[where]]
		}
		place, known := latest[k.Host]
		return known && !been[place]
	}, nil
}

// A Place is a repository in which a host's listing was, under the address of one of
// ours.
type Place struct {
	Host   topics.HostID `db:"host"`
	Place  string        `db:"place"` // restic's ID of the repository
	SeenAt int64         `db:"seen_at"`
}

// PlacesOf lists where the listings of each host were, the latest last. Normally all
// are the same.
func PlacesOf(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) ([]Place, error) {
	rows := []Place{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT host, place, seen_at FROM repository_places WHERE repository = $1
		ORDER BY seen_at, place`, repository)
}

// Moved forgets where listings were, because a repository has another address now.
func Moved(ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM repository_places WHERE repository = $1`, repository)
	return err
}

// Missing lists the snapshots of ours that are gone from a repository although no job
// of ours removed them: the newest first, those that were acknowledged among them.
func Missing(ctx context.Context, q sqlx.QueryerContext, repository topics.RepositoryID) ([]Snapshot, error) {
	rows := []Snapshot{}
	return rows, sqlx.SelectContext(ctx, q, &rows, `SELECT * FROM snapshots INDEXED BY snapshots_lost WHERE repository = $1 AND `+lost+`
		ORDER BY ended_at DESC, id`, repository)
}

// A Count is how many snapshots of a repository are lost.
type Count struct {
	Repository     topics.RepositoryID `db:"repository"`
	Lost           int                 `db:"lost"`
	Unacknowledged int                 `db:"unacknowledged"`
	Since          int64               `db:"since"` // when the first that is not acknowledged was found missing; 0 if all are
}

// MissingOf counts the lost snapshots of some repositories that have lost any.
func MissingOf(ctx context.Context, q sqlx.QueryerContext, ids []topics.RepositoryID) (map[topics.RepositoryID]Count, error) {
	if len(ids) == 0 {
		return map[topics.RepositoryID]Count{}, nil
	}
	query, args, err := sqlx.In(`SELECT repository, count(*) AS lost, sum(acknowledged_at = 0) AS unacknowledged,
			coalesce(min(CASE WHEN acknowledged_at = 0 THEN gone_at END), 0) AS since
		FROM snapshots INDEXED BY snapshots_lost WHERE repository IN (?) AND `+lost+` GROUP BY repository`, ids)
	if err != nil {
		return nil, err
	}
	var rows []Count
	if err := sqlx.SelectContext(ctx, q, &rows, sqlx.Rebind(sqlx.DOLLAR, query), args...); err != nil {
		return nil, err
	}
	counts := make(map[topics.RepositoryID]Count, len(rows))
	for _, c := range rows {
		counts[c.Repository] = c
	}
	return counts, nil
}

// Acknowledge notes that an administrator knows of lost snapshots. It answers with
// those that it changed: others are not lost, or were acknowledged before.
func Acknowledge(
	ctx context.Context, tx sqlx.ExtContext, repository topics.RepositoryID, ids []string, at int64,
) (done []string, err error) {
	for _, id := range ids {
		r, err := tx.ExecContext(ctx, `UPDATE snapshots SET acknowledged_at = $1 WHERE repository = $2 AND id = $3 AND acknowledged_at = 0
			AND `+lost, at, repository, id)
		if err != nil {
			return nil, err
		}
		if n, err := r.RowsAffected(); err != nil {
			return nil, err
		} else if n > 0 {
			done = append(done, id)
		}
	}
	return done, nil
}
