package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/asked"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/alerts"
)

// A pauseJSON is a time in which nobody is told of what it covers.
type pauseJSON struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind" enum:"all,tag,host"`
	Subject   string     `json:"subject" doc:"the tag, or the host's ID; empty for all"`
	Reason    string     `json:"reason"`
	From      *time.Time `json:"from"`
	Until     *time.Time `json:"until" doc:"then it is told what is still open and was not told"`
	CreatedAt *time.Time `json:"created_at"`
	CreatedBy string     `json:"created_by"`
}

func pauseOf(p alerts.Pause) pauseJSON {
	return pauseJSON{ID: p.ID, Kind: p.Kind, Subject: p.Subject, Reason: p.Reason, From: base.JSONTime(p.From), Until: base.JSONTime(p.Until),
		CreatedAt: base.JSONTime(p.CreatedAt), CreatedBy: p.CreatedBy}
}

type listPausesOut struct {
	Body struct {
		Pauses []pauseJSON `json:"pauses" nullable:"false" doc:"those that are not over"`
	}
}

// ListPauses lists the pauses that are not over.
func (a *API) ListPauses(ctx context.Context, _ *struct{}) (*listPausesOut, error) {
	rows, err := a.Alerts.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	out := &listPausesOut{}
	out.Body.Pauses = make([]pauseJSON, len(rows))
	for i, p := range rows {
		out.Body.Pauses[i] = pauseOf(p)
	}
	return out, nil
}

type createPauseIn struct {
	Body struct {
		Kind    string     `json:"kind" enum:"all,tag,host"`
		Subject string     `json:"subject,omitempty" doc:"the tag, or the host's ID or name"`
		Reason  string     `json:"reason"`
		From    *time.Time `json:"from,omitempty" doc:"RFC 3339; now if left out"`
		Until   time.Time  `json:"until" doc:"RFC 3339"`
	}
}

type pauseOut struct{ Body pauseJSON }

// CreatePause has nobody told for a while.
func (a *API) CreatePause(ctx context.Context, in *createPauseIn) (*pauseOut, error) {
	b := in.Body
	p := alerts.Pause{Kind: b.Kind, Subject: b.Subject, Reason: b.Reason, Until: millis(b.Until)}
	if b.From != nil {
		p.From = millis(*b.From)
	}
	if b.Kind == "host" {
		names, err := asked.NamesOf(ctx, a.Store)
		if err != nil {
			return nil, err
		}
		p.Subject = string(names.Host(b.Subject))
	}
	made, err := a.Alerts.Pause(ctx, session.Of(ctx).Name, p)
	if err != nil {
		return nil, problem.Saving("pause", err)
	}
	return &pauseOut{pauseOf(made)}, nil
}

// DeletePause ends a pause.
func (a *API) DeletePause(ctx context.Context, in *alertIn) (*struct{}, error) {
	_, err := a.Alerts.Unpause(ctx, session.Of(ctx).Name, in.ID)
	return nil, err
}
