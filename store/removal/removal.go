// Package removal puts the rows of removed hosts, source groups and repositories
// aside, brings them back, and erases them when their time is over.
//
// What is aside is in the table removed and in no other, so that a query of living
// groups and schedules cannot forget to leave it out. Only hosts and repositories
// keep their own rows, because jobs and snapshots refer to them; removed_at says so.
// All functions are steps of a transaction that the caller ends.
package removal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
)

// A Kind is what a removed row was.
type Kind string

// The kinds.
const (
	Host       Kind = "host"
	Group      Kind = "group"
	Repository Kind = "repository"
)

// What becomes of a removed group's snapshots.
const (
	Keep      = "keep"      // no rule removes them
	Retention = "retention" // its repository's rules go on
)

// Errors of what cannot come back.
var (
	ErrPurged     = errors.New("it was removed too long ago to come back")
	ErrTaken      = errors.New("its name was given to another one")
	ErrHost       = errors.New("its host was removed")
	ErrRepository = errors.New("its repository was removed")
)

// A Removed is something that was removed.
type Removed struct {
	Kind       Kind   `db:"kind"`
	ID         string `db:"id"`
	Host       string `db:"host"`       // of a group, else ""
	Repository string `db:"repository"` // of a group, else ""
	Name       string `db:"name"`       // what it was called last
	At         int64  `db:"removed_at"`
	By         string `db:"removed_by"`
	Together   string `db:"together"`  // the host or repository whose removal took it along, or ""
	Snapshots  string `db:"snapshots"` // of a group and a host: Keep or Retention
	Body       string `db:"body"`      // rows that bring it back; "" is that nothing does
}

// Restorable reports whether it can still come back.
func (r Removed) Restorable() bool { return r.Body != "" }

const columns = `kind, id, host, repository, name, removed_at, removed_by, together, snapshots, body`

// Find returns what was removed under an ID; sql.ErrNoRows if there is none.
func Find(ctx context.Context, q sqlx.QueryerContext, kind Kind, id string) (r Removed, err error) {
	return r, sqlx.GetContext(ctx, q, &r, ByID, kind, id)
}

// Queries for lists of what can come back, the latest first.
const (
	ByKind = `SELECT ` + columns + ` FROM removed WHERE body <> '' AND kind = $1 ORDER BY removed_at DESC, id LIMIT $2`
	OfHost = `SELECT ` + columns + ` FROM removed WHERE host = $1 AND kind = 'group' AND body <> '' ORDER BY removed_at DESC, id`
	ByID   = `SELECT ` + columns + ` FROM removed WHERE kind = $1 AND id = $2`
)

// A slice is some rows of a table.
type slice struct {
	Table string           `json:"table"`
	Rows  []map[string]any `json:"rows"`
}

// take reads rows, to put them aside.
func take(ctx context.Context, q sqlx.QueryerContext, table, where string, args ...any) (s slice, err error) {
	s.Table = table
	rows, err := q.QueryxContext(ctx, `SELECT * FROM `+table+` WHERE `+where, args...)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		row := map[string]any{}
		if err := rows.MapScan(row); err != nil {
			return s, err
		}
		for name, v := range row {
			if b, ok := v.([]byte); ok {
				row[name] = map[string]any{"bytes": b}
			}
		}
		s.Rows = append(s.Rows, row)
	}
	return s, rows.Err()
}

// put writes rows back. A column that the table has had since then gets its default;
// one that it has no more is left out.
func (s slice) put(ctx context.Context, tx sqlx.ExtContext) error {
	rows, err := tx.QueryxContext(ctx, `SELECT * FROM `+s.Table+` LIMIT 0`)
	if err != nil {
		return err
	}
	there, err := rows.Columns()
	if err := errors.Join(err, rows.Close()); err != nil {
		return err
	}
	for _, row := range s.Rows {
		var names, marks []string
		var values []any
		for _, name := range there {
			v, known := row[name]
			if !known {
				continue
			}
			if v, err = plain(v); err != nil {
				return fmt.Errorf("column %s of %s: %w", name, s.Table, err)
			}
			names, values = append(names, name), append(values, v)
			marks = append(marks, fmt.Sprintf("$%d", len(values)))
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO `+s.Table+` (`+strings.Join(names, ", ")+`) VALUES (`+
			strings.Join(marks, ", ")+`)`, values...); err != nil {
			return fmt.Errorf("bring rows of %s back: %w", s.Table, err)
		}
	}
	return nil
}

// plain is a value as the database takes it.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case map[string]any:
		text, _ := v["bytes"].(string)
		var b []byte
		return b, json.Unmarshal([]byte(`"`+text+`"`), &b)
	}
	return v, nil
}

func bodyOf(slices ...slice) (string, error) {
	b, err := json.Marshal(slices)
	return string(b), err
}

func (r Removed) slices() ([]slice, error) {
	if r.Body == "" {
		return nil, ErrPurged
	}
	d := json.NewDecoder(strings.NewReader(r.Body))
	d.UseNumber()
	var list []slice
	return list, d.Decode(&list)
}

func add(ctx context.Context, tx sqlx.ExtContext, r Removed) error {
	_, err := sqlx.NamedExecContext(ctx, tx, `INSERT INTO removed (`+columns+`) VALUES (:kind, :id, :host, :repository, :name, :removed_at,
		:removed_by, :together, :snapshots, :body)
		ON CONFLICT (kind, id) DO UPDATE SET host = excluded.host, repository = excluded.repository, name = excluded.name,
			removed_at = excluded.removed_at, removed_by = excluded.removed_by, together = excluded.together,
			snapshots = excluded.snapshots, body = excluded.body`, r)
	return err
}

func exec(ctx context.Context, tx sqlx.ExecerContext, args []any, queries ...string) error {
	for _, q := range queries {
		if _, err := tx.ExecContext(ctx, q, args...); err != nil {
			return err
		}
	}
	return nil
}

func texts(ctx context.Context, q sqlx.QueryerContext, query string, args ...any) ([]string, error) {
	list := []string{}
	return list, sqlx.SelectContext(ctx, q, &list, query, args...)
}

func count(ctx context.Context, q sqlx.QueryerContext, query string, args ...any) (n int, err error) {
	return n, sqlx.GetContext(ctx, q, &n, query, args...)
}

// removeGroup puts a source group aside. The schedules that back up nothing else go
// with it, and come back with it. It returns their names.
func removeGroup(ctx context.Context, tx sqlx.ExtContext, r Removed) (was Removed, schedules []string, err error) {
	if err := tx.QueryRowxContext(ctx, `SELECT host, repository, name FROM source_groups WHERE id = $1`, r.ID).
		Scan(&r.Host, &r.Repository, &r.Name); err != nil {
		return r, nil, err
	}
	const only = `id IN (SELECT schedule FROM schedule_groups WHERE source_group = $1) AND NOT EXISTS (SELECT 1 FROM schedule_groups m
		JOIN source_groups g ON g.id = m.source_group WHERE m.schedule = schedules.id AND m.source_group <> $1)`
	group, err := take(ctx, tx, "source_groups", `id = $1`, r.ID)
	if err != nil {
		return r, nil, err
	}
	alone, err := take(ctx, tx, "schedules", only, r.ID)
	if err != nil {
		return r, nil, err
	}
	members, err := take(ctx, tx, "schedule_groups", `source_group = $1`, r.ID)
	if err != nil {
		return r, nil, err
	}
	if r.Body, err = bodyOf(group, alone, members); err != nil {
		return r, nil, err
	}
	if err := add(ctx, tx, r); err != nil {
		return r, nil, err
	}
	if err := exec(ctx, tx, []any{r.ID}, `DELETE FROM schedule_groups WHERE source_group = $1`,
		`DELETE FROM source_groups WHERE id = $1`); err != nil {
		return r, nil, err
	}
	for _, row := range alone.Rows {
		if err := exec(ctx, tx, []any{row["id"]}, `DELETE FROM pending_runs WHERE schedule = $1`,
			`DELETE FROM schedule_groups WHERE schedule = $1`, `DELETE FROM schedules WHERE id = $1`); err != nil {
			return r, nil, err
		}
		schedules = append(schedules, fmt.Sprint(row["name"]))
	}
	slices.Sort(schedules)
	return r, schedules, nil
}

// restoreGroup brings a source group back, under another name unless name is "", with
// the schedules that went with it. Their slots of the time between do not count.
func restoreGroup(ctx context.Context, tx sqlx.ExtContext, r Removed, name string, now int64) (Removed, error) {
	if name != "" {
		r.Name = name
	}
	for _, c := range []struct {
		query string
		args  []any
		want  int
		err   error
	}{
		{`SELECT count(*) FROM hosts WHERE id = $1 AND removed_at = 0`, []any{r.Host}, 1, ErrHost},
		{`SELECT count(*) FROM repositories WHERE id = $1 AND removed_at = 0`, []any{r.Repository}, 1, ErrRepository},
		{`SELECT count(*) FROM source_groups WHERE host = $1 AND name = $2`, []any{r.Host, r.Name}, 0, ErrTaken},
	} {
		if n, err := count(ctx, tx, c.query, c.args...); err != nil {
			return r, err
		} else if n != c.want {
			return r, c.err
		}
	}
	parts, err := r.slices()
	if err != nil {
		return r, err
	}
	for _, p := range parts {
		switch p.Table {
		case "source_groups":
			for _, row := range p.Rows {
				row["name"] = r.Name
			}
		case "schedules":
			if err := restoredSchedules(ctx, tx, p, r.At, now); err != nil {
				return r, err
			}
		case "schedule_groups": // of schedules that were removed in the meantime there is none
			for i := len(p.Rows) - 1; i >= 0; i-- {
				n, err := count(ctx, tx, `SELECT count(*) FROM schedules WHERE id = $1`, p.Rows[i]["schedule"])
				if err != nil {
					return r, err
				}
				if n == 0 {
					p.Rows = slices.Delete(p.Rows, i, i+1)
				}
			}
		}
		if err := p.put(ctx, tx); err != nil {
			return r, err
		}
	}
	return r, exec(ctx, tx, []any{r.Kind, r.ID}, `DELETE FROM removed WHERE kind = $1 AND id = $2`)
}

// restoredSchedules has schedules go on now, as after a pause that began when they were
// removed, under names that are free on their host.
func restoredSchedules(ctx context.Context, tx sqlx.ExtContext, s slice, removed, now int64) error {
	for _, row := range s.Rows {
		row["since"], row["paused_from"] = now, removed
		name := fmt.Sprint(row["name"])
		for n := 1; ; n++ {
			try := name
			if n > 1 {
				try = fmt.Sprintf("%s-%d", name, n)
			}
			taken, err := count(ctx, tx, `SELECT count(*) FROM schedules WHERE host = $1 AND name = $2`, row["host"], try)
			if err != nil {
				return err
			}
			if taken == 0 {
				row["name"] = try
				break
			}
		}
	}
	return nil
}

// removeHost puts a host's schedules and source groups aside and marks its row. It
// frees the name.
func removeHost(ctx context.Context, tx sqlx.ExtContext, r Removed) (Removed, error) {
	if err := tx.QueryRowxContext(ctx, `SELECT name FROM hosts WHERE id = $1 AND removed_at = 0`, r.ID).Scan(&r.Name); err != nil {
		return r, err
	}
	groups, err := texts(ctx, tx, `SELECT id FROM source_groups WHERE host = $1 ORDER BY name, id`, r.ID)
	if err != nil {
		return r, err
	}
	plans, err := take(ctx, tx, "schedules", `host = $1`, r.ID)
	if err != nil {
		return r, err
	}
	members, err := take(ctx, tx, "schedule_groups", `schedule IN (SELECT id FROM schedules WHERE host = $1)`, r.ID)
	if err != nil {
		return r, err
	}
	if r.Body, err = bodyOf(plans, members); err != nil {
		return r, err
	}
	if err := add(ctx, tx, r); err != nil {
		return r, err
	}
	if err := exec(ctx, tx, []any{r.ID}, `DELETE FROM pending_runs WHERE host = $1`,
		`DELETE FROM schedule_groups WHERE schedule IN (SELECT id FROM schedules WHERE host = $1)`,
		`DELETE FROM schedules WHERE host = $1`); err != nil {
		return r, err
	}
	for _, id := range groups {
		group := Removed{Kind: Group, ID: id, At: r.At, By: r.By, Together: r.ID, Snapshots: r.Snapshots}
		if _, _, err := removeGroup(ctx, tx, group); err != nil {
			return r, err
		}
	}
	if err := exec(ctx, tx, []any{r.ID}, `UPDATE hosts SET name = name || ' (removed ' || id || ')' WHERE id = $1`); err != nil {
		return r, err
	}
	return r, exec(ctx, tx, []any{r.At, r.ID}, `UPDATE hosts SET removed_at = $1 WHERE id = $2`,
		`UPDATE enroll_tokens SET expires_at = $1 WHERE for_host = $2 AND used_at = 0 AND expires_at > $1`)
}

// restoreHost brings a host back, under another name unless name is "", with its
// schedules and the source groups that went with it. A group whose repository is gone
// stays removed; those are returned.
func restoreHost(ctx context.Context, tx sqlx.ExtContext, r Removed, name string, now int64) (back Removed, left []Removed, err error) {
	if name != "" {
		r.Name = name
	}
	if n, err := count(ctx, tx, `SELECT count(*) FROM hosts WHERE name = $1 AND removed_at = 0`, r.Name); err != nil {
		return r, nil, err
	} else if n > 0 {
		return r, nil, ErrTaken
	}
	parts, err := r.slices()
	if err != nil {
		return r, nil, err
	}
	if err := exec(ctx, tx, []any{r.Name, r.ID}, `UPDATE hosts SET name = $1, removed_at = 0 WHERE id = $2`); err != nil {
		return r, nil, err
	}
	left, err = restoreTogether(ctx, tx, r.ID, now)
	if err != nil {
		return r, nil, err
	}
	for _, p := range parts {
		switch p.Table {
		case "schedules":
			if err := restoredSchedules(ctx, tx, p, r.At, now); err != nil {
				return r, nil, err
			}
		case "schedule_groups": // a group that was removed before its host brings its own
			for i := len(p.Rows) - 1; i >= 0; i-- {
				n, err := count(ctx, tx, `SELECT count(*) FROM source_groups WHERE id = $1`, p.Rows[i]["source_group"])
				if err != nil {
					return r, nil, err
				}
				if n == 0 {
					p.Rows = slices.Delete(p.Rows, i, i+1)
				}
			}
		}
		if err := p.put(ctx, tx); err != nil {
			return r, nil, err
		}
	}
	return r, left, exec(ctx, tx, []any{r.Kind, r.ID}, `DELETE FROM removed WHERE kind = $1 AND id = $2`)
}

// restoreTogether brings back the groups that went with a host or a repository. One
// that cannot come back is left, on its own from now on.
func restoreTogether(ctx context.Context, tx sqlx.ExtContext, with string, now int64) (left []Removed, err error) {
	groups := []Removed{}
	if err := sqlx.SelectContext(ctx, tx, &groups, `SELECT `+columns+` FROM removed WHERE together = $1 AND together <> ''
		AND kind = 'group' ORDER BY name, id`, with); err != nil {
		return nil, err
	}
	for _, g := range groups {
		_, err := restoreGroup(ctx, tx, g, "", now)
		switch {
		case errors.Is(err, ErrHost), errors.Is(err, ErrRepository), errors.Is(err, ErrTaken), errors.Is(err, ErrPurged):
			left = append(left, g)
			if err := exec(ctx, tx, []any{g.Kind, g.ID}, `UPDATE removed SET together = '' WHERE kind = $1 AND id = $2`); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		}
	}
	return left, nil
}

// removeRepository marks a repository's row and puts aside who looks after it and by
// which rules. It frees the name. Its secrets stay, sealed, until it is purged.
func removeRepository(ctx context.Context, tx sqlx.ExtContext, r Removed) (Removed, error) {
	if err := tx.QueryRowxContext(ctx, `SELECT name FROM repositories WHERE id = $1 AND removed_at = 0`, r.ID).Scan(&r.Name); err != nil {
		return r, err
	}
	row, err := take(ctx, tx, "repositories", `id = $1`, r.ID)
	if err != nil {
		return r, err
	}
	for _, had := range row.Rows { // only these change
		for name := range had {
			if name != "keeper" && name != "keep" {
				delete(had, name)
			}
		}
	}
	keys, err := take(ctx, tx, "repository_keys", `repository = $1`, r.ID)
	if err != nil {
		return r, err
	}
	if r.Body, err = bodyOf(row, keys); err != nil {
		return r, err
	}
	if err := add(ctx, tx, r); err != nil {
		return r, err
	}
	if err := exec(ctx, tx, []any{r.ID}, `DELETE FROM repository_locks WHERE repository = $1`,
		`DELETE FROM repository_keys WHERE repository = $1`,
		`UPDATE repositories SET name = name || ' (removed ' || id || ')', keeper = '', keep = '' WHERE id = $1`); err != nil {
		return r, err
	}
	return r, exec(ctx, tx, []any{r.At, r.ID}, `UPDATE repositories SET removed_at = $1 WHERE id = $2`)
}

// restoreRepository brings a repository back, under another name unless name is "",
// with the source groups that went with it. A keeper that was removed meanwhile is
// its keeper no more. Groups that cannot come back are returned.
func restoreRepository(ctx context.Context, tx sqlx.ExtContext, r Removed, name string, now int64) (
	back Removed, left []Removed, err error) {
	if name != "" {
		r.Name = name
	}
	if n, err := count(ctx, tx, `SELECT count(*) FROM repositories WHERE name = $1`, r.Name); err != nil {
		return r, nil, err
	} else if n > 0 {
		return r, nil, ErrTaken
	}
	parts, err := r.slices()
	if err != nil {
		return r, nil, err
	}
	for _, p := range parts {
		if p.Table != "repositories" {
			if err := p.put(ctx, tx); err != nil {
				return r, nil, err
			}
			continue
		}
		for _, row := range p.Rows {
			if err := exec(ctx, tx, []any{r.Name, row["keep"], row["keeper"], r.ID},
				`UPDATE repositories SET name = $1, removed_at = 0, keep = $2,
					keeper = coalesce((SELECT id FROM hosts WHERE id = $3 AND removed_at = 0), '') WHERE id = $4`); err != nil {
				return r, nil, err
			}
		}
	}
	if left, err = restoreTogether(ctx, tx, r.ID, now); err != nil {
		return r, nil, err
	}
	return r, left, exec(ctx, tx, []any{r.Kind, r.ID}, `DELETE FROM removed WHERE kind = $1 AND id = $2`)
}
