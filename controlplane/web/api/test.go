package api

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

type testIn struct {
	Body struct {
		Host       string                   `json:"host" doc:"which is to look, by ID or name"`
		URL        *topics.Secret           `json:"url,omitempty" doc:"an absolute path on the host, or what restic's --repo takes"`
		Password   *topics.Secret           `json:"password,omitempty" doc:"of the repository; without it none is opened"`
		Everyday   *credentialIn            `json:"everyday,omitempty" doc:"the credential to look with"`
		Env        map[string]topics.Secret `json:"env,omitempty" doc:"the same, by restic's variables"`
		Repository topics.RepositoryID      `json:"repository,omitempty" doc:"one that is saved: what is left out is as it is there"`

		Maintenance *credentialIn      `json:"maintenance,omitempty" doc:"the credential that may delete: its keeper looks with it, too"`
		Keeper      *string            `json:"keeper,omitempty" doc:"ID or name of the host that looks with it; nobody else gets it"`
		Options     *map[string]string `json:"options,omitempty" doc:"restic's extended options, all of them, as in s3.bucket-lookup: dns"`
	}
}

// A findingJSON is what a host found with one credential.
type findingJSON struct {
	State       topics.FindingState `json:"state" enum:"ours,empty,missing,other" doc:"what is there; other: see cause"`
	Cause       topics.Cause        `json:"cause" doc:"of other, one of docs/CAUSES.md; else empty"`
	Message     string              `json:"message" doc:"what was found, in a sentence"`
	Reached     bool                `json:"reached" doc:"the server answered"`
	Entered     bool                `json:"entered" doc:"it let the credential in"`
	Certificate *certificateJSON    `json:"certificate" doc:"the server's; null if it has none"`
	MayDelete   *bool               `json:"may_delete" doc:"the credential may delete there; null if that cannot be told without deleting"`
	Snapshots   *int                `json:"snapshots" doc:"of ours: how many it holds, which can be imported; null if that is not known"`
	HostKeys    []sshServerJSON     `json:"host_keys" nullable:"false" doc:"of an SSH server that the host does not trust"`
	URL         string              `json:"url" doc:"where it was looked, without user and password"`
}

type testOut struct {
	Body struct {
		findingJSON
		Maintenance *findingJSON `json:"maintenance" doc:"the same with the credential of maintenance; null if there is none"`
	}
}

type certificateJSON struct {
	Subject   string     `json:"subject"`
	Issuer    string     `json:"issuer"`
	NotAfter  *time.Time `json:"not_after"`
	SHA256    string     `json:"sha256" doc:"its fingerprint, in hexadecimal"`
	Trusted   bool       `json:"trusted"`
	Why       string     `json:"why" doc:"why it is not trusted"`
	PEM       string     `json:"pem" doc:"what to trust, if that would help: the authority's certificate, or the server's own"`
	PEMSHA256 string     `json:"pem_sha256" doc:"the fingerprint of that"`
}

func certificateOf(c *topics.Certificate) *certificateJSON {
	if c == nil {
		return nil
	}
	return &certificateJSON{
		Subject:   c.Subject,
		Issuer:    c.Issuer,
		NotAfter:  base.JSONTime(c.NotAfter),
		SHA256:    c.SHA256,
		Trusted:   c.Trusted,
		Why:       c.Why,
		PEM:       c.PEM,
		PEMSHA256: c.PEMSHA256,
	}
}

// TestRepository has a host look where a repository is to be. Nothing is saved.
func (a *API) TestRepository(ctx context.Context, in *testIn) (*testOut, error) {
	host, err := a.hostIn(ctx, cmp.Or(in.Body.Host, " ")) // no host has no name
	if err != nil {
		return nil, err
	}
	b := RepositoryBody{URL: in.Body.URL, Password: in.Body.Password, Everyday: in.Body.Everyday, Env: in.Body.Env,
		Maintenance: in.Body.Maintenance, Keeper: in.Body.Keeper, Options: in.Body.Options}
	to, err := a.Repositories.Trial(ctx, in.Body.Repository, b.input(), host)
	if err != nil {
		return nil, notLookedAt(err)
	}
	second, keeper, there, err := a.Repositories.MaintenanceTrial(ctx, in.Body.Repository, b.input())
	if err != nil {
		return nil, notLookedAt(err)
	}
	out := &testOut{}
	var with sync.WaitGroup // both within the time that one has
	var wrong error
	switch {
	case there && keeper == "":
		out.Body.Maintenance = &findingJSON{State: topics.FindingOther, Cause: topics.CauseUsage, HostKeys: []sshServerJSON{},
			Message: "Nothing was looked at with the credential of maintenance, as the repository has no keeper, who alone gets it."}
	case there:
		with.Go(func() {
			var found findingJSON
			found, wrong = a.found(ctx, keeper, second)
			out.Body.Maintenance = &found
		})
	}
	out.Body.findingJSON, err = a.found(ctx, host, to)
	with.Wait()
	return out, cmp.Or(err, wrong)
}

// notLookedAt is why no host was asked. Nothing was to be saved.
func notLookedAt(err error) error {
	p := problem.Of(err)
	if p.Fields != nil {
		p.Title = "Nothing was looked at"
	}
	return p
}

// found has a host look.
func (a *API) found(ctx context.Context, host topics.HostID, to topics.Repository) (o findingJSON, err error) {
	f, err := a.Queries.Test(ctx, session.Of(ctx).Actor(), host, to)
	if not, offline := queries.NotLooked(err); offline {
		f = not
	} else if err != nil {
		return o, err
	}
	o = findingJSON{State: f.State, Cause: f.Cause, Message: f.Message, Reached: f.Reached, Entered: f.Entered, MayDelete: f.MayDelete,
		Certificate: certificateOf(f.Certificate), Snapshots: f.Snapshots, HostKeys: []sshServerJSON{}}
	for _, k := range f.HostKeys {
		o.HostKeys = append(o.HostKeys, sshServerOf(topics.KnownServer{HostKey: k, Changed: f.Cause == topics.CauseHostKeyOther}))
	}
	if address, err := location.Parse(to.URL.Reveal()); err == nil {
		o.URL = address.Public()
	}
	return o, nil
}
