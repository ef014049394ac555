package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store/changes"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/snapshots"
	"github.com/restic-manager/restic-manager/topics"
)

// A Repository holds snapshots on some storage. Its secrets are encrypted in the row;
// see RepositoryAccess for what a job needs.
type Repository struct {
	ID        topics.RepositoryID `db:"id"`
	Name      string              `db:"name"`
	Location  string              `db:"location"` // the URL without user and password, for people
	CreatedAt int64               `db:"created_at"`
	ReadyAt   int64               `db:"ready_at"` // when a job first found or initialised it; 0 is never

	// Keeper is the host that forgets, prunes and checks; it alone gets the
	// maintenance credential. "" is none.
	Keeper     topics.HostID           `db:"keeper"`
	AppendOnly bool                    `db:"append_only"` // its everyday credential cannot delete
	Options    JSON[map[string]string] `db:"options"`     // restic's extended ones, see location.Options
	Keep       JSON[Keep]              `db:"keep"`        // retention rules; none keeps everything

	// Found by jobs; 0 is never.
	ListedAt     int64        `db:"listed_at"`
	MeasuredAt   int64        `db:"measured_at"`
	RestoreBytes int64        `db:"restore_bytes"` // of all snapshots, each counted whole
	StoredBytes  int64        `db:"stored_bytes"`  // what they take in the repository
	PlainBytes   int64        `db:"plain_bytes"`   // the same before compression, 0 if unknown
	ForgotAt     int64        `db:"forgot_at"`
	PrunedAt     int64        `db:"pruned_at"`
	CheckedAt    int64        `db:"checked_at"`
	CheckJob     topics.JobID `db:"check_job"`
	CheckErrors  int64        `db:"check_errors"`
	LocksAt      int64        `db:"locks_at"`
	KeysAt       int64        `db:"keys_at"`
	KeyHint      string       `db:"key_hint"`   // the key our password opens; "" is not known
	RemovedAt    int64        `db:"removed_at"` // when it was removed from the control plane; 0 while it is registered
}

// Rules returns the retention rules as text: another one for others.
func (r Repository) Rules() string {
	if r.Keep.V == nil {
		return fmt.Sprintf("%+v", Keep{})
	}
	return fmt.Sprintf("%+v", *r.Keep.V)
}

// Ratio returns how many times larger the restored snapshots are than the stored
// data, 0 if unknown.
func (r Repository) Ratio() float64 { return ratio(r.RestoreBytes, r.StoredBytes) }

// Compression returns by what factor compression shrank the data, 0 if restic did not
// say.
func (r Repository) Compression() float64 { return ratio(r.PlainBytes, r.StoredBytes) }

func ratio(whole, part int64) float64 {
	if whole <= 0 || part <= 0 {
		return 0
	}
	return float64(whole) / float64(part)
}

// A Keep holds the retention rules for the snapshots of each source group, in
// restic's terms: everything within a time, then a number per period. Durations are
// restic's, as in "30d" or "1y6m".
type Keep struct {
	Within        string `json:"keep_within,omitempty"`
	WithinHourly  string `json:"keep_within_hourly,omitempty"`
	WithinDaily   string `json:"keep_within_daily,omitempty"`
	WithinWeekly  string `json:"keep_within_weekly,omitempty"`
	WithinMonthly string `json:"keep_within_monthly,omitempty"`
	WithinYearly  string `json:"keep_within_yearly,omitempty"`
	Last          int    `json:"keep_last,omitempty"` // refused on append-only repositories, like all counts
	Hourly        int    `json:"keep_hourly,omitempty"`
	Daily         int    `json:"keep_daily,omitempty"`
	Weekly        int    `json:"keep_weekly,omitempty"`
	Monthly       int    `json:"keep_monthly,omitempty"`
	Yearly        int    `json:"keep_yearly,omitempty"`
}

// RepositoryAccess is everything a job needs to open a repository.
type RepositoryAccess struct {
	URL      topics.Secret
	Password topics.Secret
	Env      map[string]topics.Secret
	Files    map[string]topics.Secret // contents of files that variables name, see location.Pastes

	// Maintenance replaces the fields above for a keeper that may delete; nil is that
	// there is no such credential.
	Maintenance *Maintenance

	// Unread names those of [looks.Parts] that could not be read: see UnreadableError. An
	// edit takes out what it sets anew; the others stay in the row as they are.
	Unread []string
}

// PerHost reports whether addresses or logins name each host by {host}.
func (a RepositoryAccess) PerHost() bool {
	m := a.Maintenance
	return location.PerHost(a.URL) || location.LoginPerHost(a.Env) || m != nil && (location.PerHost(m.URL) || location.LoginPerHost(m.Env))
}

// Maintenance is the credential that may delete. Only the keeper gets it.
type Maintenance struct {
	URL   topics.Secret            `json:"url,omitempty"` // where the keeper finds the repository, if elsewhere
	Env   map[string]topics.Secret `json:"env,omitempty"`
	Files map[string]topics.Secret `json:"files,omitempty"`
}

// The ErrConflict for a name that is taken.
var (
	ErrRepositoryTaken = fmt.Errorf("%w: a repository of this name", ErrConflict)
	ErrGroupTaken      = fmt.Errorf("%w: a source group of this name on this host", ErrConflict)
)

// A NewRepository is one that is to be added.
type NewRepository struct {
	Repository
	RepositoryAccess
}

// AddRepository adds a repository; ErrRepositoryTaken if the name is taken. One that is ready
// is there already: where all hosts share one, none is made; else none at its keeper's place.
func (s *Store) AddRepository(ctx context.Context, actor string, r Repository, a RepositoryAccess) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return s.addRepository(ctx, tx, actor, NewRepository{r, a}) })
}

func (s *Store) addRepository(ctx context.Context, tx *sqlx.Tx, actor string, r NewRepository) error {
	sealed, err := s.sealAccess(ctx, tx, r.ID, r.RepositoryAccess)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO repositories (id, name, url, location, password, env, maintenance, created_at,
		keeper, append_only, keep, files, options)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`, r.ID, r.Name, sealed.URL,
		r.Location, sealed.Password, sealed.Env, sealed.Maintenance,
		r.CreatedAt, r.Keeper, r.AppendOnly, r.Keep, sealed.Files, r.Options); err != nil {
		return fmt.Errorf("add repository: %w", taken(err, ErrRepositoryTaken))
	}
	if shared := places.Shared(r.Location); r.ReadyAt > 0 && (shared || r.Keeper != "") {
		if err := places.Found(ctx, tx, r.ID, r.Keeper, "", r.ReadyAt); err != nil {
			return err
		}
	}
	return s.audit(ctx, tx, actor, "repository.created", string(r.ID), r.Name)
}

// taken returns the error for a name that is taken, if that made a statement fail.
func taken(err, what error) error {
	if errors.Is(ours(err), ErrConflict) {
		return what
	}
	return err
}

// ChangeRepository stores what people set: name, address, credentials, keeper,
// retention. What jobs found stays, including that the repository was found: at
// another address, jobs will not create a new one silently.
func (s *Store) ChangeRepository(ctx context.Context, actor string, r Repository, a RepositoryAccess) error {
	_, err := s.EditRepository(ctx, actor, r.ID, func(row *Repository, access *RepositoryAccess) error {
		*row, *access = r, a
		return nil
	})
	return err
}

// EditRepository reads and changes a repository in one transaction, so that
// concurrent changes do not undo each other. It returns the row before. edit may read
// from the store and must not write to it. Secrets that cannot be read do not keep it from
// being changed: that is how they are entered again.
func (s *Store) EditRepository(
	ctx context.Context, actor string, id topics.RepositoryID, edit func(*Repository, *RepositoryAccess) error,
) (was Repository, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if was, err = repository(ctx, tx, id); err != nil {
			return err
		}
		access, err := s.openAccess(ctx, tx, id)
		if !readable(err) {
			return err
		}
		before, err := s.openAccess(ctx, tx, id) // edit may change what both point to
		if !readable(err) {
			return err
		}
		r, err := repository(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := edit(&r, &access); err != nil {
			return err
		}
		if _, err := passwords.Going(ctx, tx, id); err == nil && access.Password != before.Password {
			return passwords.ErrGoing
		} else if err != nil && !errors.Is(err, passwords.ErrNone) {
			return err
		}
		sealed, err := s.sealAccess(ctx, tx, id, access)
		if err != nil {
			return err
		}
		if err := sealed.keep(ctx, tx, id, access.Unread); err != nil {
			return err
		}
		if err := change(ctx, tx, `UPDATE repositories SET name = $1, url = $2, location = $3, password = $4, env = $5, maintenance = $6,
			keeper = $7,
			append_only = $8, keep = $9, files = $10, options = $11 WHERE id = $12`, r.Name, sealed.URL, r.Location, sealed.Password, sealed.Env,
			sealed.Maintenance, r.Keeper, r.AppendOnly, r.Keep, sealed.Files, r.Options, id); err != nil {
			return fmt.Errorf("change repository: %w", taken(err, ErrRepositoryTaken))
		}
		if was.Location != r.Location {
			if err := errors.Join(snapshots.Moved(ctx, tx, id), places.Moved(ctx, tx, id, was.Location, r.Location)); err != nil {
				return err
			}
		}
		if err := s.relieve(ctx, tx, actor, was, r); err != nil {
			return err
		}
		var l changes.List
		l.Columns(was, r, "keeper")
		l.Text("keeper", nameIn(ctx, tx, "hosts", string(was.Keeper)), nameIn(ctx, tx, "hosts", string(r.Keeper)))
		noteAccess(&l, before, access)
		return s.audit(ctx, tx, actor, "repository.changed", string(id), l.Of(r.Name))
	})
	return was, err
}

// relieve cancels maintenance that no host has begun and that an edit made wrong: it is
// not for the current keeper, or forgets what was chosen by the rules of before.
func (s *Store) relieve(ctx context.Context, tx *sqlx.Tx, actor string, was, r Repository) error {
	keeper, rules := was.Keeper != r.Keeper && r.Keeper != "", was.Rules() != r.Rules()
	if !keeper && !rules {
		return nil
	}
	j := newJournal(ctx, s, tx)
	open, err := all[protocol.PlaneJob](ctx, tx, `SELECT `+planeColumns+` FROM jobs WHERE finished_at = 0 AND held = 0 AND repository = $1
		ORDER BY queued_at, id`, r.ID)
	if err != nil {
		return err
	}
	planned, err := all[topics.JobID](ctx, tx, `SELECT job FROM maintenance_runs WHERE ended_at = 0 AND repository = $1
		AND kind = 'forget'`, r.ID)
	if err != nil {
		return err
	}
	for _, job := range open {
		by, why := "", ""
		switch {
		case job.Accepted:
		case keeper && job.Host != r.Keeper && job.Kind.Exclusive():
			by, why = "chose another keeper", "another keeper was chosen"
		case rules && slices.Contains(planned, job.ID):
			by, why = "changed the retention rules", "the retention rules were changed"
		}
		if why == "" {
			continue
		}
		if err := change(ctx, tx, `UPDATE jobs SET cancelled_by = $1 WHERE id = $2`, actor, job.ID); err != nil {
			return err
		}
		// The running control plane finds the effects in the rows.
		if _, err := protocol.PlaneStep(protocol.DefaultTiming(), j, protocol.CancelAsked{Job: job.ID,
			By: actor + ", who " + by + ",", Now: s.Now()}); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, actor, "job.cancel_asked", string(job.ID), why); err != nil {
			return err
		}
	}
	return nil
}

// nameIn is the name of a row, for the audit log; the ID if it cannot be read.
func nameIn(ctx context.Context, tx sqlx.ExtContext, table, id string) string {
	if name, err := get[string](ctx, tx, `SELECT name FROM `+table+` WHERE id = $1`, id); err == nil {
		return name
	}
	return id
}

// noteAccess notes which secrets of a repository have changed.
func noteAccess(l *changes.List, was, now RepositoryAccess) {
	if was.Maintenance == nil {
		was.Maintenance = &Maintenance{}
	}
	keeper := now.Maintenance
	if keeper == nil {
		keeper = &Maintenance{}
	}
	l.Secret("url", was.URL, now.URL)
	l.Secret("password", was.Password, now.Password)
	l.Secrets("", was.Env, now.Env)
	l.Secrets("pasted.", was.Files, now.Files)
	l.Secret("maintenance.url", was.Maintenance.URL, keeper.URL)
	l.Secrets("maintenance.", was.Maintenance.Env, keeper.Env)
	l.Secrets("maintenance.pasted.", was.Maintenance.Files, keeper.Files)
}

// Repositories lists the registered repositories, by name.
func (s *Store) Repositories(ctx context.Context) ([]Repository, error) {
	return all[Repository](ctx, s.r, `SELECT `+repositoryColumns+` FROM repositories WHERE removed_at = 0 ORDER BY name, id`)
}

// RepositoryNames adds the names of some repositories, including unregistered ones.
func (s *Store) RepositoryNames(ctx context.Context, ids []topics.RepositoryID, names map[topics.RepositoryID]string) error {
	return namesOf(ctx, s, `SELECT id, name FROM repository_names WHERE id IN (?)`, ids, names)
}

// namesOf adds the names of some rows.
func namesOf[K ~string](ctx context.Context, s *Store, query string, ids []K, names map[K]string) error {
	type named struct {
		ID   K      `db:"id"`
		Name string `db:"name"`
	}
	rows, err := among[named](ctx, s.r, query, ids)
	for _, r := range rows {
		names[r.ID] = r.Name
	}
	return err
}

// Repository returns a repository, also an unregistered one, or ErrNotFound.
func (s *Store) Repository(ctx context.Context, id topics.RepositoryID) (Repository, error) {
	return get[Repository](ctx, s.r, `SELECT `+repositoryColumns+` FROM repositories WHERE id = $1`, id)
}

// FindRepository returns the registered repository with this ID, else the one with
// this name, or ErrNotFound.
func (s *Store) FindRepository(ctx context.Context, text string) (Repository, error) {
	return get[Repository](ctx, s.r, `SELECT `+repositoryColumns+` FROM repositories WHERE (id = $1 OR name = $1) AND removed_at = 0
		ORDER BY id = $1 DESC LIMIT 1`, text)
}

// repository returns a registered repository, or ErrNotFound.
func repository(ctx context.Context, tx *sqlx.Tx, id topics.RepositoryID) (Repository, error) {
	return get[Repository](ctx, tx, `SELECT `+repositoryColumns+` FROM repositories WHERE id = $1 AND removed_at = 0`, id)
}

// inCare returns ErrNotFound unless the repository is registered.
func inCare(ctx context.Context, tx *sqlx.Tx, id topics.RepositoryID) error {
	_, err := repository(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("repository %s: %w", id, err)
	}
	return nil
}

const repositoryColumns = `id, name, location, created_at, ready_at, keeper, append_only, keep, listed_at, measured_at, restore_bytes,
	stored_bytes, plain_bytes, forgot_at, pruned_at, checked_at, check_job, check_errors, locks_at, keys_at, key_hint, removed_at, options`

// A sealedAccess is an encrypted RepositoryAccess.
type sealedAccess struct {
	URL         []byte `db:"url"`
	Password    []byte `db:"password"`
	Env         []byte `db:"env"`
	Maintenance []byte `db:"maintenance"` // NULL for none
	Files       []byte `db:"files"`       // NULL for none
}

func (s *Store) sealAccess(ctx context.Context, tx *sqlx.Tx, id topics.RepositoryID, a RepositoryAccess) (sealedAccess, error) {
	var failed error
	at := func(column string, plain []byte) []byte {
		b, err := s.keys.seal(ctx, tx, keyring.Place("repositories", string(id), column), plain)
		failed = errors.Join(failed, err)
		return b
	}
	env, err := json.Marshal(a.Env)
	sealed := sealedAccess{URL: at("url", []byte(a.URL.Reveal())), Password: at("password", []byte(a.Password.Reveal())), Env: at("env", env)}
	if err == nil && a.Maintenance != nil {
		var b []byte
		b, err = json.Marshal(a.Maintenance)
		sealed.Maintenance = at("maintenance", b)
	}
	if err == nil && len(a.Files) > 0 {
		var b []byte
		b, err = json.Marshal(a.Files)
		sealed.Files = at("files", b)
	}
	return sealed, errors.Join(err, failed)
}

// RepositoryAccess decrypts a repository's secrets. With an *UnreadableError it returns
// those that it could read.
func (s *Store) RepositoryAccess(ctx context.Context, id topics.RepositoryID) (RepositoryAccess, error) {
	return s.openAccess(ctx, s.r, id)
}

func (s *Store) openAccess(ctx context.Context, q sqlx.ExtContext, id topics.RepositoryID) (RepositoryAccess, error) {
	var a RepositoryAccess
	row, err := get[sealedAccess](ctx, q, `SELECT url, password, env, maintenance, files FROM repositories WHERE id = $1`, id)
	if err != nil {
		return a, err
	}
	bad := &UnreadableError{Repository: id}
	read := func(part string, b []byte) (plain []byte, ok bool) {
		if err != nil {
			return nil, false
		}
		plain, failed := s.keys.open(ctx, q, keyring.Place("repositories", string(id), part), b)
		if failed == nil {
			return plain, true
		}
		if err = s.keys.whole(ctx, q, failed); err == nil {
			bad.Parts, bad.Err = append(bad.Parts, part), failed
		}
		return nil, false
	}
	decode := func(part string, b []byte, v any) {
		if plain, ok := read(part, b); ok {
			if failed := json.Unmarshal(plain, v); failed != nil {
				bad.Parts, bad.Err = append(bad.Parts, part), fmt.Errorf("its %s: %w", part, failed)
			}
		}
	}
	url, _ := read("url", row.URL)
	password, _ := read("password", row.Password)
	a.URL, a.Password = topics.Secret(url), topics.Secret(password)
	decode("env", row.Env, &a.Env)
	if row.Maintenance != nil {
		decode("maintenance", row.Maintenance, &a.Maintenance)
	}
	if row.Files != nil {
		decode("files", row.Files, &a.Files)
	}
	if err != nil || len(bad.Parts) == 0 {
		return a, err
	}
	a.Unread = bad.Parts
	bad.Name, err = get[string](ctx, q, `SELECT name FROM repositories WHERE id = $1`, id)
	return a, cmp.Or(err, error(bad))
}

// A SourceGroup is what a host backs up, and into which repository. Its ID is the
// restic tag of its snapshots; its name may change.
type SourceGroup struct {
	ID            topics.SourceGroupID `db:"id"`
	Host          topics.HostID        `db:"host"`
	Name          string               `db:"name"`
	Repository    topics.RepositoryID  `db:"repository"`
	Paths         List                 `db:"paths"`
	Excludes      List                 `db:"excludes"`
	OneFileSystem bool                 `db:"one_file_system"`
	CreatedAt     int64                `db:"created_at"`
	LiveFiles     JSON[bool]           `db:"live_files"`
	ShadowOnly    bool                 `db:"shadow_copy_only"`
	AllowEmpty    bool                 `db:"allow_empty"` // a backup of no files is a good one
	Hooks         JSON[topics.Hooks]   `db:"hooks"`
	Limits        JSON[topics.Limits]  `db:"limits"`
	Tuning        JSON[topics.Tuning]  `db:"tuning"`
}

// Topic returns the group in the form that is sent to its host.
func (g SourceGroup) Topic() topics.SourceGroup {
	t := topics.SourceGroup{ID: g.ID, Name: g.Name, Paths: g.Paths, Excludes: g.Excludes, OneFileSystem: g.OneFileSystem,
		ShadowCopyOnly: g.ShadowOnly, AllowEmpty: g.AllowEmpty}
	if g.LiveFiles.V != nil {
		t.LiveFiles = *g.LiveFiles.V
	}
	if g.Hooks.V != nil {
		t.Hooks = *g.Hooks.V
	}
	if g.Limits.V != nil {
		t.Limits = *g.Limits.V
	}
	if g.Tuning.V != nil {
		t.Tuning = *g.Tuning.V
	}
	return t
}

// PutSourceGroup adds a host's source group, or changes the one with that name and
// returns it. LiveFiles, Hooks, Limits and Tuning stay as they are if they are empty.
func (s *Store) PutSourceGroup(ctx context.Context, actor string, g SourceGroup) (SourceGroup, error) {
	return s.EditSourceGroup(ctx, actor, g.Host, g.Name, nil, func(row *SourceGroup, known bool) error {
		if known {
			g.ID, g.CreatedAt = row.ID, row.CreatedAt
			if g.LiveFiles.V == nil {
				g.LiveFiles = row.LiveFiles
			}
			if g.Hooks.V == nil {
				g.Hooks = row.Hooks
			}
			if g.Limits.V == nil {
				g.Limits = row.Limits
			}
			if g.Tuning.V == nil {
				g.Tuning = row.Tuning
			}
		}
		*row = g
		return nil
	})
}

// EditSourceGroup changes a host's source group, or adds it if edit gives it an ID.
// With a new repository it adds that in the same transaction and lets the group use
// it. It returns the new row. edit may read from the store and must not write to it; a
// name it sets is the group's new one, or ErrGroupTaken.
func (s *Store) EditSourceGroup(ctx context.Context, actor string, host topics.HostID, name string, add *NewRepository,
	edit func(g *SourceGroup, known bool) error) (g SourceGroup, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := get[Host](ctx, tx, `SELECT * FROM hosts WHERE id = $1 AND removed_at = 0`, host); err != nil {
			return fmt.Errorf("host %s: %w", host, err)
		}
		g, err = get[SourceGroup](ctx, tx, `SELECT * FROM source_groups WHERE host = $1 AND name = $2`, host, name)
		known := err == nil
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		was, err := get[SourceGroup](ctx, tx, `SELECT * FROM source_groups WHERE host = $1 AND name = $2`, host, name)
		if err != nil && !errors.Is(err, ErrNotFound) { // once more: edit may change what both point to
			return err
		}
		if err := edit(&g, known); err != nil {
			return err
		}
		if g.Host = host; !known || g.Name == "" {
			g.Name = name
		}
		if add != nil {
			if err := s.addRepository(ctx, tx, actor, *add); err != nil {
				return err
			}
			g.Repository = add.ID
		}
		if err := inCare(ctx, tx, g.Repository); err != nil {
			return err
		}
		put := `INSERT INTO source_groups (id, host, name, repository, paths, excludes, one_file_system, created_at, live_files, hooks, limits,
			allow_empty, shadow_copy_only, tuning)
			VALUES (:id, :host, :name, :repository, :paths, :excludes, :one_file_system, :created_at, :live_files, :hooks, :limits, :allow_empty,
			:shadow_copy_only, :tuning)`
		var l changes.List
		if known {
			l.Columns(was, g, "repository")
			l.Text("repository", nameIn(ctx, tx, "repositories", string(was.Repository)), nameIn(ctx, tx, "repositories", string(g.Repository)))
			put = `UPDATE source_groups SET name = :name, repository = :repository, paths = :paths, excludes = :excludes,
				one_file_system = :one_file_system, live_files = :live_files, hooks = :hooks, limits = :limits, allow_empty = :allow_empty,
				shadow_copy_only = :shadow_copy_only, tuning = :tuning
				WHERE id = :id`
		}
		if _, err := tx.NamedExecContext(ctx, put, g); err != nil {
			return fmt.Errorf("put source group: %w", taken(err, ErrGroupTaken))
		}
		if known && drills.Grown(was.Paths, g.Paths) {
			if err := drills.Outgrown(ctx, tx, g.ID, host, g.Repository, s.Now()); err != nil {
				return err
			}
		}
		return s.audit(ctx, tx, actor, "source_group.saved", string(g.ID), l.Of(g.Name))
	})
	return g, err
}

// SourceGroups lists a host's source groups, by name; of all hosts if the ID is
// empty.
func (s *Store) SourceGroups(ctx context.Context, host topics.HostID) ([]SourceGroup, error) {
	return all[SourceGroup](ctx, s.r, `SELECT * FROM source_groups WHERE `+one("host", host)+` ORDER BY name, id`, host)
}

// GroupNames adds what some source groups are called, removed ones too.
func (s *Store) GroupNames(ctx context.Context, ids []topics.SourceGroupID, names map[topics.SourceGroupID]string) error {
	return namesOf(ctx, s, `SELECT id, name FROM group_names WHERE id IN (?)`, ids, names)
}

// GroupsNamed lists the source groups whose names contain a text, ignoring case.
func (s *Store) GroupsNamed(ctx context.Context, text string) ([]topics.SourceGroupID, error) {
	cond, args := column.Holds("name", text)
	return all[topics.SourceGroupID](ctx, s.r, sqlx.Rebind(sqlx.DOLLAR, `SELECT id FROM source_groups WHERE `+cond), args...)
}

// HostsInto lists the hosts that have a source group in a repository.
func (s *Store) HostsInto(ctx context.Context, repository topics.RepositoryID) ([]topics.HostID, error) {
	return all[topics.HostID](ctx, s.r, `SELECT DISTINCT host FROM source_groups WHERE repository = $1 ORDER BY host`, repository)
}

// HostsWithGroups says which hosts have a source group.
func (s *Store) HostsWithGroups(ctx context.Context) (map[topics.HostID]bool, error) {
	ids, err := all[topics.HostID](ctx, s.r, `SELECT DISTINCT host FROM source_groups`)
	have := make(map[topics.HostID]bool, len(ids))
	for _, id := range ids {
		have[id] = true
	}
	return have, err
}

// SourceGroupNamed returns a host's source group of a name, or ErrNotFound.
func (s *Store) SourceGroupNamed(ctx context.Context, host topics.HostID, name string) (SourceGroup, error) {
	return get[SourceGroup](ctx, s.r, `SELECT * FROM source_groups WHERE host = $1 AND name = $2`, host, name)
}

// SourceGroup returns one source group, or ErrNotFound.
func (s *Store) SourceGroup(ctx context.Context, id topics.SourceGroupID) (SourceGroup, error) {
	return get[SourceGroup](ctx, s.r, `SELECT * FROM source_groups WHERE id = $1`, id)
}
