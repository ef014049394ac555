package api

import (
	"cmp"
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
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
	}
}

type testOut struct {
	Body struct {
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
	b := RepositoryBody{URL: in.Body.URL, Password: in.Body.Password, Everyday: in.Body.Everyday, Env: in.Body.Env}
	to, err := a.Repositories.Trial(ctx, in.Body.Repository, b.input(), host)
	if err != nil {
		return nil, problem.Saving("repository", err)
	}
	f, err := a.Queries.Test(ctx, session.Of(ctx).Actor(), host, to)
	if err != nil {
		return nil, err
	}
	out := &testOut{}
	o := &out.Body
	o.State, o.Cause, o.Message, o.Reached, o.Entered, o.MayDelete = f.State, f.Cause, f.Message, f.Reached, f.Entered, f.MayDelete
	o.Snapshots = f.Snapshots
	o.Certificate, o.HostKeys = certificateOf(f.Certificate), []sshServerJSON{}
	for _, k := range f.HostKeys {
		o.HostKeys = append(o.HostKeys, sshServerOf(topics.KnownServer{HostKey: k, Changed: f.Cause == topics.CauseHostKeyOther}))
	}
	if address, err := location.Parse(to.URL.Reveal()); err == nil {
		o.URL = address.Public()
	}
	return out, nil
}
