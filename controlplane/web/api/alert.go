package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/alerts/asked"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	rows "github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
)

type listAlertsIn struct {
	State      string `query:"state" enum:"open,acknowledged,snoozed,ended,standing" doc:"only those; standing: that have not ended"`
	Host       string `query:"host" doc:"only of this host: its ID or its name"`
	Repository string `query:"repository" doc:"only of this repository: its ID or its name"`
	Condition  string `query:"condition" doc:"only of this one, a name of docs/ALERTS.md"`
	Severity   string `query:"severity" enum:"info,warning,critical" doc:"only of this one"`
	Tag        string `query:"tag" doc:"only of hosts with this tag"`
	Query      string `query:"q" doc:"part of what an alert says"`
	After      string `query:"after" doc:"next of the answer before: the rest follows"`
	Limit      int    `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"how many at most"`
}

type listAlertsOut struct {
	Body struct {
		Alerts []topics.Alert `json:"alerts" nullable:"false" doc:"those that have not ended: the worst first; with others: the last change"`
		Next   string         `json:"next" doc:"pass it as after; empty at the end"`
	}
}

// ListAlerts lists alerts.
func (a *API) ListAlerts(ctx context.Context, in *listAlertsIn) (*listAlertsOut, error) {
	f := alerts.Filter{State: rows.State(in.State), Condition: in.Condition, Severity: rows.Severity(in.Severity), Tag: in.Tag,
		Text: in.Query, After: in.After,
		Most: in.Limit}
	if in.Host != "" || in.Repository != "" {
		names, err := asked.NamesOf(ctx, a.Store)
		if err != nil {
			return nil, err
		}
		f.Host, f.Repository = names.Host(in.Host), names.Repository(in.Repository)
	}
	page, err := a.Alerts.List(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &listAlertsOut{}
	out.Body.Alerts, out.Body.Next = make([]topics.Alert, len(page.Alerts)), page.Next
	address := a.Alerts.PublicURL(ctx)
	for i, one := range page.Alerts {
		out.Body.Alerts[i] = alerts.Said(one, address, a.Now())
	}
	return out, nil
}

type alertIn struct {
	ID string `path:"id"`
}

type alertOut struct{ Body topics.Alert }

// GetAlert answers with one alert, also with one that has ended.
func (a *API) GetAlert(ctx context.Context, in *alertIn) (*alertOut, error) {
	one, err := a.Alerts.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &alertOut{alerts.Said(one, a.Alerts.PublicURL(ctx), a.Now())}, nil
}

// changed answers with the alert that something was done with.
func (a *API) changed(ctx context.Context, done []rows.Alert, err error) (*alertOut, error) {
	if err != nil {
		return nil, problem.Saving("alert", err)
	}
	return &alertOut{alerts.Said(done[0], a.Alerts.PublicURL(ctx), a.Now())}, nil
}

// AcknowledgeAlert says that somebody looks after it: nobody is reminded.
func (a *API) AcknowledgeAlert(ctx context.Context, in *alertIn) (*alertOut, error) {
	done, err := a.Alerts.Acknowledge(ctx, session.Of(ctx).Name, in.ID)
	return a.changed(ctx, done, err)
}

type snoozeAlertIn struct {
	ID   string `path:"id"`
	Body struct {
		Until time.Time `json:"until" doc:"RFC 3339; then it is told again if it goes on"`
	}
}

// SnoozeAlert has an alert be quiet until a moment.
func (a *API) SnoozeAlert(ctx context.Context, in *snoozeAlertIn) (*alertOut, error) {
	done, err := a.Alerts.Snooze(ctx, session.Of(ctx).Name, millis(in.Body.Until), in.ID)
	return a.changed(ctx, done, err)
}

// WakeAlert ends the quiet of an alert that was snoozed.
func (a *API) WakeAlert(ctx context.Context, in *alertIn) (*alertOut, error) {
	done, err := a.Alerts.Wake(ctx, session.Of(ctx).Name, in.ID)
	return a.changed(ctx, done, err)
}

type endAlertIn struct {
	ID   string `path:"id"`
	Body struct {
		Reason string `json:"reason" doc:"why, for whoever looks later"`
	}
}

// EndAlert ends an alert by hand. It opens anew only once its condition was over.
func (a *API) EndAlert(ctx context.Context, in *endAlertIn) (*alertOut, error) {
	done, err := a.Alerts.End(ctx, session.Of(ctx).Name, in.Body.Reason, in.ID)
	return a.changed(ctx, done, err)
}

// millis is a moment as rows have it; 0 is none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

type rulesIn struct{ Body asked.Rules }

type rulesOut struct{ Body asked.Rules }

// GetRules answers with who hears of what.
func (a *API) GetRules(ctx context.Context, _ *struct{}) (*rulesOut, error) {
	r, version, err := a.Alerts.Rules(ctx)
	if err != nil {
		return nil, err
	}
	return &rulesOut{asked.RulesOf(r, version)}, nil
}

// PutRules says who hears of what, in place of all that was said before.
func (a *API) PutRules(ctx context.Context, in *rulesIn) (*rulesOut, error) {
	names, err := asked.NamesOf(ctx, a.Store)
	if err != nil {
		return nil, err
	}
	version := in.Body.Version
	if version == 0 {
		if _, version, err = a.Alerts.Rules(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := a.Alerts.SetRules(ctx, session.Of(ctx).Name, in.Body.Routing(names), version); err != nil {
		return nil, problem.Saving("rules", err)
	}
	return a.GetRules(ctx, nil)
}

type thresholdsIn struct{ Body asked.Thresholds }

type thresholdsOut struct{ Body asked.Thresholds }

// GetThresholds answers with what was said of thresholds.
func (a *API) GetThresholds(ctx context.Context, _ *struct{}) (*thresholdsOut, error) {
	l, version, err := a.Alerts.Limits(ctx)
	if err != nil {
		return nil, err
	}
	return &thresholdsOut{asked.ThresholdsOf(l, version)}, nil
}

// PutThresholds says from when on conditions count, in place of all that was said before.
func (a *API) PutThresholds(ctx context.Context, in *thresholdsIn) (*thresholdsOut, error) {
	names, err := asked.NamesOf(ctx, a.Store)
	if err != nil {
		return nil, err
	}
	version := in.Body.Version
	if version == 0 {
		if _, version, err = a.Alerts.Limits(ctx); err != nil {
			return nil, err
		}
	}
	if _, err := a.Alerts.SetLimits(ctx, session.Of(ctx).Name, in.Body.Limits(names), version); err != nil {
		return nil, problem.Saving("thresholds", err)
	}
	return a.GetThresholds(ctx, nil)
}
