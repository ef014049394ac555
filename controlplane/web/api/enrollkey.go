package api

import (
	"context"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/admission"
	"github.com/restic-manager/restic-manager/topics"
)

type enrollKeyJSON struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	CreatedAt   *time.Time `json:"created_at"`
	CreatedBy   string     `json:"created_by"`
	ExpiresAt   *time.Time `json:"expires_at"`
	Uses        int64      `json:"uses" doc:"how many hosts it lets in"`
	Used        int64      `json:"used" doc:"how many it has let in"`
	UsedAt      *time.Time `json:"used_at" doc:"when the last came; null for none"`
	Tags        []string   `json:"tags" doc:"that its hosts get"`
	Policy      string     `json:"policy" enum:"backup,restore,keeper,managed" doc:"the widest that it accepts"`
	Approve     bool       `json:"approve" doc:"each host waits until somebody approves it"`
	Drill       bool       `json:"drill" doc:"each host proves weekly that it can be restored"`
	WithdrawnAt *time.Time `json:"withdrawn_at"`
	Refuses     string     `json:"refuses" doc:"why it lets nobody in: expired, used up, withdrawn, older than the restore; empty if it does"`
}

func (a *API) enrollKeyOf(k admission.Key, restored int64) enrollKeyJSON {
	return enrollKeyJSON{
		ID:          k.ID,
		Name:        k.Name,
		CreatedAt:   base.JSONTime(k.CreatedAt),
		CreatedBy:   k.CreatedBy,
		ExpiresAt:   base.JSONTime(k.ExpiresAt),
		Uses:        k.Uses,
		Used:        k.Used,
		UsedAt:      base.JSONTime(k.UsedAt),
		Tags:        append([]string{}, k.Tags...),
		Policy:      k.Policy,
		Approve:     k.Approve,
		Drill:       k.Drill,
		WithdrawnAt: base.JSONTime(k.WithdrawnAt),
		Refuses:     enroll.StateOf(k, a.Store.Now(), restored),
	}
}

// ListEnrollKeys lists the keys with which many hosts enrol.
func (a *API) ListEnrollKeys(ctx context.Context, _ *struct{}) (*list1[enrollKeyJSON], error) {
	plane, err := a.Store.PlaneOf(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := a.Store.Admission().Keys(ctx)
	out := make([]enrollKeyJSON, len(rows))
	for i, k := range rows {
		out[i] = a.enrollKeyOf(k, plane.RestoredAt)
	}
	return &list1[enrollKeyJSON]{out}, err
}

type createEnrollKeyIn struct {
	Body struct {
		Name    string   `json:"name" doc:"the audit log names it with each host"`
		Uses    *int     `json:"uses,omitempty" doc:"how many hosts it lets in; 50 unless said"`
		Hours   *float64 `json:"hours,omitempty" doc:"for how long; 720 unless said"`
		Tags    []string `json:"tags,omitempty" doc:"that its hosts get"`
		Policy  string   `json:"policy,omitempty" doc:"the widest it accepts: backup, restore, keeper or managed; backup unless said"`
		Approve bool     `json:"approve,omitempty" doc:"each host waits until somebody approves it"`
		Drill   *bool    `json:"drill,omitempty" doc:"each host proves weekly that it can be restored; true unless said"`
	}
}

type createEnrollKeyOut struct {
	Body struct {
		enrollKeyJSON
		Token   string `json:"token" doc:"the key; shown here and nowhere else"`
		Server  string `json:"server" doc:"what agents dial"`
		Problem string `json:"problem,omitempty" doc:"why an agent on another machine may not reach server, and what to do"`
	}
}

// CreateEnrollKey makes a key with which many hosts enrol.
func (a *API) CreateEnrollKey(ctx context.Context, in *createEnrollKeyIn) (*createEnrollKeyOut, error) {
	b := in.Body
	want := enroll.KeyInput{Name: b.Name, Uses: enroll.KeyUses, Life: enroll.KeyLife, Tags: b.Tags, Policy: b.Policy, Approve: b.Approve,
		Drill: b.Drill == nil || *b.Drill}
	if b.Uses != nil {
		want.Uses = *b.Uses
	}
	if b.Hours != nil {
		want.Life = time.Duration(min(max(*b.Hours, 0), 24*1000) * float64(time.Hour))
	}
	if want.Policy == "" {
		want.Policy = "backup"
	}
	k, token, err := a.Desk.OfferKey(ctx, session.Of(ctx).Name, want)
	if err != nil {
		return nil, problem.Saving("enrolment key", err)
	}
	at, err := a.Reach.Of(ctx)
	if err != nil {
		return nil, err
	}
	out := &createEnrollKeyOut{}
	out.Body.enrollKeyJSON, out.Body.Token, out.Body.Server = a.enrollKeyOf(k, 0), token.Reveal(), at.Dial
	out.Body.Problem = strings.TrimSpace(at.Say + " " + at.Do)
	return out, nil
}

type enrollKeyIn struct {
	ID string `path:"id"`
}

// DeleteEnrollKey has a key let nobody in any more.
func (a *API) DeleteEnrollKey(ctx context.Context, in *enrollKeyIn) (*struct{}, error) {
	return nil, problem.Saving("enrolment key", a.Desk.WithdrawKey(ctx, session.Of(ctx).Name, in.ID))
}

type heldHostJSON struct {
	Host     topics.HostID `json:"host"`
	Name     string        `json:"name"`
	Platform string        `json:"platform"`
	Arch     string        `json:"arch"`
	Policy   string        `json:"policy" doc:"what it says that it permits"`
	Key      string        `json:"key" doc:"the name of the enrolment key it came with"`
	HeldAt   *time.Time    `json:"held_at"`
}

// ListHeldHosts lists the hosts that wait for approval.
func (a *API) ListHeldHosts(ctx context.Context, _ *struct{}) (*list1[heldHostJSON], error) {
	rows, err := a.Store.Admission().Held(ctx)
	out := make([]heldHostJSON, len(rows))
	for i, h := range rows {
		out[i] = heldHostJSON{
			Host:     h.Host,
			Name:     h.Name,
			Platform: h.Platform,
			Arch:     h.Arch,
			Policy:   h.Policy,
			Key:      h.Key,
			HeldAt:   base.JSONTime(h.HeldAt),
		}
	}
	return &list1[heldHostJSON]{out}, err
}

// ApproveHost trusts a host that waits for that.
func (a *API) ApproveHost(ctx context.Context, in *hostIn) (*identityOut, error) {
	h, err := a.Desk.Approve(ctx, session.Of(ctx).Name, in.ID)
	if err != nil {
		return nil, problem.Of(err)
	}
	return a.machines(ctx, h, identityOf(h))
}
