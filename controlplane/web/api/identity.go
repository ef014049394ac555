package api

import (
	"context"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/handout"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

type identityOut struct {
	Body struct {
		ID             topics.HostID   `json:"id"`
		Name           string          `json:"name"`
		Policy         string          `json:"policy" doc:"the host's own, by name"`
		Permits        *topics.Permits `json:"permits" doc:"what that policy allows; null from an agent that does not say"`
		CertifiedUntil *time.Time      `json:"certified_until" doc:"when the certificate in use runs out; it is renewed before"`
		RevokedAt      *time.Time      `json:"revoked_at" doc:"null: the host is trusted"`
		Refused        uint64          `json:"refused" doc:"messages in the host's name that were not its own, or old"`
		RefusedThere   uint64          `json:"refused_there" doc:"messages in our name that the host refused"`
		HeldUntil      *time.Time      `json:"held_until" doc:"its messages wait until then, as it said more than is stored in an hour"`
		Asides         []asideJSON     `json:"asides" doc:"what of its messages was refused, set aside or cut short, the latest first"`
		Gaps           []gapJSON       `json:"gaps" doc:"times of which the host could not tell all after a restore, the latest first"`
		Twins          string          `json:"twins" doc:"that two machines use this identity, in a sentence; empty: one does"`
		TwinsSince     *time.Time      `json:"twins_since" doc:"since when; null: one machine does"`
		Machines       []machineJSON   `json:"machines" doc:"those that do, and those that were refused since; empty: it always was one"`
	}
}

type asideJSON struct {
	Reason  string     `json:"reason" doc:"a stable word, or why messages were refused altogether"`
	Say     string     `json:"say"`
	Count   uint64     `json:"count"`
	FirstAt *time.Time `json:"first_at"`
	LastAt  *time.Time `json:"last_at"`
}

type gapJSON struct {
	From *time.Time `json:"from"`
	To   *time.Time `json:"to"`
	Say  string     `json:"say"`
}

// gaps adds the times of which a host could not tell everything after a restore.
func (a *API) gaps(ctx context.Context, h store.Host, out *identityOut) error {
	out.Body.Gaps = []gapJSON{}
	list, err := a.Store.Gaps(ctx, h.ID)
	for _, g := range list {
		from, to := base.JSONTime(g.FromAt), base.JSONTime(g.ToAt)
		out.Body.Gaps = append(out.Body.Gaps, gapJSON{From: from, To: to,
			Say: base.GapWords(words.ISO(words.At(g.FromAt)), words.ISO(words.At(g.ToAt)))})
	}
	return err
}

// asides adds what of a host's messages was not taken.
func (a *API) asides(ctx context.Context, h store.Host, out *identityOut) (*identityOut, error) {
	out.Body.Asides = []asideJSON{}
	if until := a.Presence.HeldUntil(h.ID); !until.IsZero() {
		out.Body.HeldUntil = &until
	}
	list, err := a.Store.Asides(ctx, h.ID)
	for _, row := range list {
		out.Body.Asides = append(out.Body.Asides, asideJSON{Reason: row.Reason, Say: jobs.AsideWords(row.Reason), Count: row.N,
			FirstAt: base.JSONTime(row.FirstAt), LastAt: base.JSONTime(row.LastAt)})
	}
	return out, err
}

type machineJSON struct {
	Instance  string     `json:"instance" doc:"its agent's process: what to name when saying which machine stays"`
	Hostname  string     `json:"hostname"`
	Address   string     `json:"address" doc:"where its connection came from"`
	Addresses []string   `json:"addresses" doc:"of its network interfaces"`
	State     string     `json:"state" doc:"its agent's directory"`
	Machine   string     `json:"machine" doc:"a hash of the machine's ID; a cloned disk has the same"`
	Boot      string     `json:"boot" doc:"a hash of its last boot"`
	Version   string     `json:"version" doc:"of its agent"`
	Online    bool       `json:"online"`
	FirstAt   *time.Time `json:"first_at"`
	HeardAt   *time.Time `json:"heard_at"`
	RefusedAt *time.Time `json:"refused_at" doc:"since when another machine stays in its place; null: it was not refused"`
}

// machines adds who uses a host's identity.
func (a *API) machines(ctx context.Context, h store.Host, out *identityOut) (*identityOut, error) {
	if _, err := a.asides(ctx, h, out); err != nil {
		return nil, err
	}
	if err := a.gaps(ctx, h, out); err != nil {
		return nil, err
	}
	lanes, err := a.Store.Machines(ctx, h.ID)
	b := &out.Body
	b.Machines = []machineJSON{}
	if b.TwinsSince = base.JSONTime(h.TwinsSince); h.TwinsSince > 0 {
		b.Twins = "Two machines use the same identity at once. Say which one stays, and enrol the other as a host of its own."
	}
	for _, l := range lanes {
		c, _ := a.Presence.MachineConnection(h.ID, l.Epoch)
		m := machineJSON{Instance: l.Name(), Address: l.Address, Version: l.Version, Online: c == hosts.Online && l.RefusedAt == 0,
			FirstAt: base.JSONTime(l.FirstAt), HeardAt: base.JSONTime(l.HeardAt), RefusedAt: base.JSONTime(l.RefusedAt), Addresses: []string{}}
		if v := l.Machine.V; v != nil {
			m.Hostname, m.State, m.Machine, m.Boot = v.Hostname, v.State, v.ID, v.Boot
			m.Addresses = append(m.Addresses, v.Addresses...)
		}
		b.Machines = append(b.Machines, m)
	}
	return out, err
}

type twinsIn struct {
	ID   topics.HostID `path:"id"`
	Body struct {
		Instance string `json:"instance" maxLength:"100" doc:"the machine that stays this host, as machines names it"`
	}
}

type twinsOut struct {
	Body struct {
		Token     string     `json:"token" doc:"enrols the other machine as a host of its own; shown here and nowhere else"`
		ExpiresAt *time.Time `json:"expires_at"`
		Command   string     `json:"command" doc:"to run on the other machine, with its agent stopped"`
	}
}

// DecideTwins says which of two machines stays a host.
func (a *API) DecideTwins(ctx context.Context, in *twinsIn) (*twinsOut, error) {
	h, err := a.Host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	id, token, err := a.Desk.Stay(ctx, session.Of(ctx).Name, h.ID, in.Body.Instance)
	if err != nil {
		return nil, problem.Saving("decision", err)
	}
	row, err := a.Store.EnrollToken(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &twinsOut{}
	out.Body.Token, out.Body.ExpiresAt = token.Reveal(), base.JSONTime(row.ExpiresAt)
	at, err := a.Reach.Of(ctx)
	if err != nil {
		return nil, err
	}
	out.Body.Command = enroll.Again(at.Dial, token, "")
	return out, nil
}

func identityOf(h store.Host) *identityOut {
	out := &identityOut{}
	b := &out.Body
	b.ID, b.Name, b.Policy, b.Permits = h.ID, h.Name, h.Policy, h.Permits.V
	b.CertifiedUntil, b.RevokedAt = base.JSONTime(h.CertifiedUntil), base.JSONTime(h.RevokedAt)
	b.Refused, b.RefusedThere = h.Refused, h.RefusedThere
	return out
}

func (a *API) GetIdentity(ctx context.Context, in *hostIn) (*identityOut, error) {
	h, err := a.Host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.machines(ctx, h, identityOf(h))
}

func (a *API) RevokeIdentity(ctx context.Context, in *hostIn) (*identityOut, error) {
	h, err := a.Revoke(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.machines(ctx, h, identityOf(h))
}

type enrolTokenOut struct {
	Body struct {
		Token     string     `json:"token" doc:"shown here and nowhere else"`
		ExpiresAt *time.Time `json:"expires_at"`
		Server    string     `json:"server" doc:"what agents dial, HOST:PORT; SERVER stands for a name that nobody has said"`
		Command   string     `json:"command" doc:"to run on the host, where the agent is installed"`
		Install   string     `json:"install,omitempty" doc:"a line for Linux that installs the agent, enrols and starts it; none: copy the agent"`
		Problem   string     `json:"problem,omitempty" doc:"why an agent on another machine may not reach server, and what to do"`
	}
}

type newEnrollTokenIn struct {
	Body struct {
		Name  string `json:"name,omitempty" doc:"for the host; its own hostname if left out"`
		Drill *bool  `json:"drill,omitempty" doc:"it proves weekly that it can be restored, unless the fleet has a plan; true unless said"`
	}
}

// CreateEnrollToken makes a token that enrols a new host.
func (a *API) CreateEnrollToken(ctx context.Context, in *newEnrollTokenIn) (*enrolTokenOut, error) {
	want := enroll.Input{Name: in.Body.Name, Life: enroll.TokenLife, Drill: in.Body.Drill == nil || *in.Body.Drill}
	id, token, err := a.Desk.Offer(ctx, session.Of(ctx).Name, want)
	if err != nil {
		return nil, problem.Saving("token", err)
	}
	out, err := a.tokenOut(ctx, id, token, enroll.Command)
	if err != nil {
		return nil, err
	}
	lines, err := a.Handout.Commands(ctx, token.Reveal(), handout.Want{System: handout.Linux, Policy: handout.Policies[0].Name})
	out.Body.Install = lines.Install
	return out, err
}

func (a *API) tokenOut(ctx context.Context, id string, token topics.EnrollToken,
	command func(server string, token topics.EnrollToken, state string) string,
) (*enrolTokenOut, error) {
	at, err := a.Reach.Of(ctx)
	if err != nil {
		return nil, err
	}
	row, err := a.Store.EnrollToken(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &enrolTokenOut{}
	out.Body.Server, out.Body.Command, out.Body.Problem = at.Dial, command(at.Dial, token, ""), strings.TrimSpace(at.Say+" "+at.Do)
	out.Body.Token, out.Body.ExpiresAt = token.Reveal(), base.JSONTime(row.ExpiresAt)
	return out, nil
}

// CreateHostToken makes a token that gives a host new keys.
func (a *API) CreateHostToken(ctx context.Context, in *hostIn) (*enrolTokenOut, error) {
	h, err := a.Host(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	id, token, err := a.Desk.Reissue(ctx, session.Of(ctx).Name, h.ID, enroll.TokenLife)
	if err != nil {
		return nil, err
	}
	return a.tokenOut(ctx, id, token, enroll.Again)
}
