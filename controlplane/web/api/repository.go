package api

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/health"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A credentialIn is a repositories.Credential in JSON.
type credentialIn struct {
	URL      *topics.Secret           `json:"url,omitempty" doc:"maintenance: where the keeper finds the repository, if elsewhere"`
	Username *string                  `json:"username,omitempty" doc:"of a REST server; empty takes it away"`
	Password *topics.Secret           `json:"password,omitempty" doc:"of a REST server"`
	Env      map[string]topics.Secret `json:"env,omitempty" doc:"of other backends, by restic's variable names; an empty value takes one away"`
	Files    map[string]topics.Secret `json:"files,omitempty" doc:"pasted PEM or JSON, by the variable that names such a file"`
}

func (c *credentialIn) credential() *repositories.Credential {
	if c == nil {
		return nil
	}
	return &repositories.Credential{URL: c.URL, Username: c.Username, Password: c.Password, Env: c.Env, Files: c.Files}
}

// A RepositoryBody is a repository as somebody wants it.
type RepositoryBody struct {
	Name        *string                  `json:"name,omitempty" doc:"1 to 100 characters, its own"`
	URL         *topics.Secret           `json:"url,omitempty" doc:"an absolute path on the host, or what restic's --repo takes"`
	Password    *topics.Secret           `json:"password,omitempty" doc:"of the repository"`
	Env         map[string]topics.Secret `json:"env,omitempty" doc:"everyday credential, by restic's variables; an empty value removes one"`
	Everyday    *credentialIn            `json:"everyday,omitempty" doc:"what every host gets: it should not be able to delete"`
	Maintenance *credentialIn            `json:"maintenance,omitempty" doc:"the credential that may delete; only the keeper gets it"`
	Keeper      *string                  `json:"keeper,omitempty" doc:"ID or name of the host that looks after it; empty for none"`
	AppendOnly  *bool                    `json:"append_only,omitempty" doc:"the everyday credential cannot delete"`
	Retention   *store.Keep              `json:"retention,omitempty" doc:"what stays of each source group; an empty object keeps all"`
	Options     *map[string]string       `json:"options,omitempty" doc:"restic's extended options, all of them, as in rest.connections: 10"`
}

func (b RepositoryBody) input() repositories.Input {
	in := repositories.Input{
		Name:        b.Name,
		URL:         b.URL,
		Password:    b.Password,
		Everyday:    b.Everyday.credential(),
		Maintenance: b.Maintenance.credential(),
		Keeper:      b.Keeper,
		AppendOnly:  b.AppendOnly,
		Keep:        b.Retention,
		Options:     b.Options,
	}
	if b.Env != nil {
		if in.Everyday == nil {
			in.Everyday = &repositories.Credential{}
		}
		env := map[string]topics.Secret{}
		maps.Copy(env, in.Everyday.Env)
		maps.Copy(env, b.Env)
		in.Everyday.Env = env
	}
	return in
}

type createRepositoryIn struct{ Body RepositoryBody }

type putRepositoryIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body RepositoryBody
}

type repositoryOut struct{ Body repositoryJSON }

// A repositoryJSON is a repository as the API tells it: never a secret.
type repositoryJSON struct {
	ID          topics.RepositoryID `json:"id"`
	Name        string              `json:"name"`
	Location    string              `json:"location" doc:"the URL without user and password"`
	Everyday    credentialOut       `json:"everyday"`
	Maintenance *credentialOut      `json:"maintenance" doc:"null if there is none"`
	Keeper      topics.HostID       `json:"keeper" doc:"or empty"`
	AppendOnly  bool                `json:"append_only"`
	Retention   *store.Keep         `json:"retention" doc:"null keeps all"`
	Options     map[string]string   `json:"options" nullable:"false" doc:"restic's extended options"`
	Warnings    []string            `json:"warnings" nullable:"false" doc:"certificates that end, agents that are too old, in sentences"`

	Health health.Word `json:"health" doc:"one of the words of docs/STATUS.md, as healthy"`
	Reason string      `json:"reason" doc:"why, in a sentence"`
	Since  *time.Time  `json:"since" doc:"since when; of a healthy one, when it was last opened; null if that is not known"`

	Unreadable []string `json:"unreadable" nullable:"false" enum:"url,password,env,maintenance,files" doc:"secrets to enter again"`

	Ready            bool         `json:"ready" doc:"a job has found or made it, at any host's place"`
	Snapshots        int          `json:"snapshots"`
	ForeignSnapshots int          `json:"foreign_snapshots" doc:"of them, those no job of ours made"`
	ListedAt         *time.Time   `json:"listed_at"`
	StoredBytes      int64        `json:"stored_bytes"`
	RestoreBytes     int64        `json:"restore_bytes" doc:"of all snapshots, each counted whole"`
	PlainBytes       int64        `json:"plain_bytes" doc:"the stored data before compression, 0 if not known"`
	MeasuredAt       *time.Time   `json:"measured_at"`
	ForgotAt         *time.Time   `json:"forgot_at"`
	PrunedAt         *time.Time   `json:"pruned_at"`
	CheckedAt        *time.Time   `json:"checked_at"`
	CheckErrors      int64        `json:"check_errors"`
	CheckJob         topics.JobID `json:"check_job" doc:"or empty"`
	Locks            int          `json:"locks"`
	LocksAt          *time.Time   `json:"locks_at"`
	Pinned           []pinnedJSON `json:"pinned" nullable:"false" doc:"of one repository: hosts whose policy lets data go elsewhere only"`
	AllowAll         string       `json:"allow_all" doc:"of one repository: a command that allows it on all of these by ssh, or empty"`
	Making           []makingJSON `json:"making" nullable:"false" doc:"of one that is not there yet: who makes it, or could not"`
	UnknownKeys      int          `json:"unknown_keys" doc:"keys that came later and nobody trusts"`
	KeysAt           *time.Time   `json:"keys_at"`
}

// A credentialOut is what may be said of a credential.
type credentialOut struct {
	URL       string   `json:"url,omitempty" doc:"without user and password"`
	Username  string   `json:"username,omitempty"`
	Variables []string `json:"variables" nullable:"false" doc:"names of what is set"`

	Files        []string     `json:"files" nullable:"false" doc:"names of what is pasted"`
	Certificates []pastedJSON `json:"certificates" nullable:"false" doc:"those among the files"`
}

// A pastedJSON is a pasted certificate.
type pastedJSON struct {
	Variable string    `json:"variable"`
	Subject  string    `json:"subject"`
	SHA256   string    `json:"sha256" doc:"its fingerprint, in hexadecimal"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
}

func credentialOutOf(env, files map[string]topics.Secret) credentialOut {
	c := credentialOut{Username: env[location.RESTUser].Reveal(), Variables: []string{}, Files: filled(slices.Sorted(maps.Keys(files))),
		Certificates: []pastedJSON{}}
	for _, d := range location.Certificates(files) {
		c.Certificates = append(c.Certificates, pastedJSON{Variable: d.Name, Subject: d.Subject, SHA256: d.SHA256, From: d.From.UTC(),
			Until: d.Until.UTC()})
	}
	for name := range env {
		c.Variables = append(c.Variables, name)
	}
	slices.Sort(c.Variables)
	return c
}

func (a *API) repositoryOf(ctx context.Context, r store.Repository, k base.Known, said []health.Verdict) (repositoryJSON, error) {
	access, err := a.Store.RepositoryAccess(ctx, r.ID)
	if err != nil && !errors.As(err, new(*store.UnreadableError)) {
		return repositoryJSON{}, err
	}
	_, env := location.SplitLogin(access.URL, access.Env)
	out := repositoryJSON{
		ID:               r.ID,
		Name:             r.Name,
		Location:         r.Location,
		Everyday:         credentialOutOf(env, access.Files),
		Pinned:           []pinnedJSON{},
		Unreadable:       append([]string{}, access.Unread...),
		Making:           []makingJSON{},
		Keeper:           r.Keeper,
		AppendOnly:       r.AppendOnly,
		Retention:        r.Keep.V,
		Options:          map[string]string{},
		Ready:            r.ReadyAt > 0,
		Snapshots:        k.Tallies[r.ID].Count,
		ForeignSnapshots: k.Tallies[r.ID].Foreign,
		ListedAt:         base.JSONTime(r.ListedAt),
		StoredBytes:      r.StoredBytes,
		RestoreBytes:     r.RestoreBytes,
		PlainBytes:       r.PlainBytes,
		MeasuredAt:       base.JSONTime(r.MeasuredAt),
		ForgotAt:         base.JSONTime(r.ForgotAt),
		PrunedAt:         base.JSONTime(r.PrunedAt),
		CheckedAt: base.JSONTime(
			r.CheckedAt,
		),
		CheckErrors: r.CheckErrors,
		CheckJob:    r.CheckJob,
		Locks:       len(k.Locks[r.ID]),
		LocksAt:     base.JSONTime(r.LocksAt),
		UnknownKeys: k.Keys[r.ID],
		KeysAt:      base.JSONTime(r.KeysAt),
	}
	if r.Options.V != nil {
		out.Options = *r.Options.V
	}
	if out.Warnings, err = repositories.Warnings(ctx, a.Store, r, access); err != nil {
		return repositoryJSON{}, err
	}
	if len(said) > 0 {
		out.Health, out.Reason, out.Since = said[0].Word, said[0].Reason, base.JSONTime(said[0].Since)
	}
	if m := access.Maintenance; m != nil {
		c := credentialOutOf(m.Env, m.Files)
		if m.URL != "" {
			address, _ := location.Parse(m.URL.Reveal())
			c.URL = address.Public()
		}
		out.Maintenance = &c
	}
	return out, nil
}

func (a *API) oneRepository(ctx context.Context, id topics.RepositoryID) (*repositoryOut, error) {
	r, err := a.Repository(ctx, id)
	if err != nil {
		return nil, err
	}
	k, err := a.Known(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	said, err := a.Health(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	b, err := a.repositoryOf(ctx, r, k, said[r.ID])
	if err != nil {
		return nil, err
	}
	pinned, err := a.Repositories.Pinned(ctx, id)
	for _, p := range pinned {
		b.Pinned = append(b.Pinned, pinnedJSON{Host: p.Host, HostName: p.Name, Pins: p.Pins, Command: p.Command})
	}
	b.AllowAll = repositories.ForAll(pinned)
	if err != nil {
		return nil, err
	}
	making, err := a.Jobs.Making(ctx, id)
	for _, m := range making {
		b.Making = append(b.Making, makingOf(m))
	}
	return &repositoryOut{b}, err
}

type repositoryIn struct {
	ID topics.RepositoryID `path:"id"`
}

func (a *API) GetRepository(ctx context.Context, in *repositoryIn) (*repositoryOut, error) {
	return a.oneRepository(ctx, in.ID)
}

func (a *API) ListRepositories(ctx context.Context, _ *struct{}) (*list1[repositoryJSON], error) {
	rows, err := a.Store.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]topics.RepositoryID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	k, err := a.Known(ctx, ids...)
	if err != nil {
		return nil, err
	}
	said, err := a.Health(ctx, ids...)
	if err != nil {
		return nil, err
	}
	out := make([]repositoryJSON, len(rows))
	for i, r := range rows {
		if out[i], err = a.repositoryOf(ctx, r, k, said[r.ID]); err != nil {
			return nil, err
		}
	}
	return &list1[repositoryJSON]{out}, nil
}

func (a *API) CreateRepository(ctx context.Context, in *createRepositoryIn) (*repositoryOut, error) {
	r, err := a.Repositories.Add(ctx, session.Of(ctx).Name, in.Body.input())
	if err != nil {
		return nil, problem.Saving("repository", err)
	}
	return a.oneRepository(ctx, r.ID)
}

func (a *API) PutRepository(ctx context.Context, in *putRepositoryIn) (*repositoryOut, error) {
	if _, err := a.Repositories.Change(ctx, session.Of(ctx).Name, in.ID, in.Body.input()); err != nil {
		return nil, problem.Saving("repository", err)
	}
	return a.oneRepository(ctx, in.ID)
}

type repositorySnapshotsIn struct {
	ID    topics.RepositoryID `path:"id"`
	Limit int                 `query:"limit" default:"1000" minimum:"1" maximum:"10000" doc:"how many at most"`
	After string              `query:"after" pattern:"^[0-9a-f]{64}$" doc:"the ID of the last snapshot the client has: older ones follow"`
}

func (a *API) RepositorySnapshots(ctx context.Context, in *repositorySnapshotsIn) (*list1[snapshotJSON], error) {
	if _, err := a.Repository(ctx, in.ID); err != nil {
		return nil, err
	}
	after, err := a.SnapshotPlace(ctx, in.ID, in.After)
	if err != nil {
		return nil, err
	}
	rows, err := a.Store.SnapshotsOf(ctx, in.ID, store.SnapshotFilter{}, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := make([]snapshotJSON, len(rows))
	for i, n := range rows {
		out[i] = snapshotOf(n)
	}
	return &list1[snapshotJSON]{out}, nil
}

// A lockJSON is a lock with who holds it, as far as that can be proven.
type lockJSON struct {
	ID        string        `json:"id"`
	Time      *time.Time    `json:"time" doc:"when it was made or renewed, by its host's clock"`
	Exclusive bool          `json:"exclusive"`
	Hostname  string        `json:"hostname"`
	Username  string        `json:"username"`
	PID       int64         `json:"pid"`
	Host      topics.HostID `json:"host" doc:"the host of ours with this name, or empty"`
	Job       topics.JobID  `json:"job" doc:"of its process, or empty"`
	Verdict   jobs.Verdict  `json:"verdict" enum:"alive,dead,unsure,foreign" doc:"dead: ours, its process is gone; foreign: not ours"`
	LookedBy  topics.HostID `json:"looked_by"`
}

type locksOut struct {
	Body struct {
		At    *time.Time `json:"at" doc:"when a host last looked, null for never"`
		Locks []lockJSON `json:"locks" nullable:"false"`
	}
}

func (a *API) ListLocks(ctx context.Context, in *repositoryIn) (*locksOut, error) {
	r, err := a.Repository(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	holders, err := jobs.Holders(ctx, a.Store, in.ID)
	out := &locksOut{}
	out.Body.At, out.Body.Locks = base.JSONTime(r.LocksAt), make([]lockJSON, len(holders))
	for i, h := range holders {
		out.Body.Locks[i] = lockJSON{
			ID:        h.ID,
			Time:      base.JSONTime(h.Time),
			Exclusive: h.Exclusive,
			Hostname:  h.Hostname,
			Username:  h.Username,
			PID:       h.PID,
			Host:      h.Owner.ID,
			Job:       h.OfJob,
			Verdict:   h.Verdict,
			LookedBy:  h.LookedBy,
		}
	}
	return out, err
}

type keyJSON struct {
	ID        string     `json:"id"`
	Username  string     `json:"username"`
	Hostname  string     `json:"hostname"`
	Created   *time.Time `json:"created" doc:"by the clock of the host that made it"`
	FirstSeen *time.Time `json:"first_seen"`
	Trusted   bool       `json:"trusted" doc:"it was there at the first listing, or an administrator said so"`
	Current   bool       `json:"current" doc:"our password opens it"`
}

func (a *API) ListKeys(ctx context.Context, in *repositoryIn) (*list1[keyJSON], error) {
	if _, err := a.Repository(ctx, in.ID); err != nil {
		return nil, err
	}
	rows, err := a.Store.Keys(ctx, in.ID)
	out := make([]keyJSON, len(rows))
	for i, k := range rows {
		out[i] = keyJSON{
			ID:        k.ID,
			Username:  k.Username,
			Hostname:  k.Hostname,
			Created:   base.JSONTime(k.Created),
			FirstSeen: base.JSONTime(k.FirstSeen),
			Trusted:   k.Trusted,
			Current:   k.Opened,
		}
	}
	return &list1[keyJSON]{out}, err
}

type trustKeyIn struct {
	ID  topics.RepositoryID `path:"id"`
	Key string              `path:"key" doc:"its whole ID"`
}

func (a *API) TrustKey(ctx context.Context, in *trustKeyIn) (*struct{}, error) {
	return nil, a.Repositories.TrustKey(ctx, session.Of(ctx).Name, in.ID, in.Key)
}

type acknowledgedOut struct {
	Body struct {
		Acknowledged int64 `json:"acknowledged" doc:"how many snapshots were not known before"`
	}
}

func (a *API) AcknowledgeForeign(ctx context.Context, in *repositoryIn) (*acknowledgedOut, error) {
	out := &acknowledgedOut{}
	n, err := a.Repositories.AcknowledgeForeign(ctx, session.Of(ctx).Name, in.ID)
	out.Body.Acknowledged = n
	return out, err
}

type dayJSON struct {
	Day          string `json:"day" doc:"in UTC" format:"date"`
	Snapshots    int64  `json:"snapshots"`
	StoredBytes  int64  `json:"stored_bytes"`
	RestoreBytes int64  `json:"restore_bytes"`
	PlainBytes   int64  `json:"plain_bytes"`
}

func (a *API) ListDays(ctx context.Context, in *repositoryIn) (*list1[dayJSON], error) {
	if _, err := a.Repository(ctx, in.ID); err != nil {
		return nil, err
	}
	rows, err := a.Store.Days(ctx, in.ID, 0)
	out := make([]dayJSON, len(rows))
	for i, d := range rows {
		out[i] = dayJSON{
			Day:          base.DateOf(d),
			Snapshots:    d.Snapshots,
			StoredBytes:  d.StoredBytes,
			RestoreBytes: d.RestoreBytes,
			PlainBytes:   d.PlainBytes,
		}
	}
	return &list1[dayJSON]{out}, err
}

type refreshIn struct {
	ID   topics.RepositoryID `path:"id"`
	Body struct {
		Host topics.HostID `json:"host,omitempty" doc:"who looks; the keeper if not said, else a host that backs up into it"`
	} `required:"false"`
}

func (a *API) RefreshRepository(ctx context.Context, in *refreshIn) (*list1[topics.JobID], error) {
	ids, err := a.Repositories.Refresh(ctx, session.Of(ctx).Actor(), in.ID, in.Body.Host)
	return &list1[topics.JobID]{ids}, err
}
