package alertpages

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// ConditionsPage shows what is watched for, and which thresholds count.
func (s *Pages) ConditionsPage(w http.ResponseWriter, r *http.Request) error {
	return s.conditionsPage(w, r, http.StatusOK, views.LimitForm{Scope: conditions.ScopeFleet, Unit: "h",
		Condition: r.URL.Query().Get("condition")})
}

func (s *Pages) conditionsPage(w http.ResponseWriter, r *http.Request, status int, f views.LimitForm) error {
	ctx := r.Context()
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	limits, version, err := s.Alerts.Limits(ctx)
	if err != nil {
		return err
	}
	v := views.AlertConditions{Tabs: s.tabs(ctx, "conditions"), Version: version, Asked: strings.TrimSpace(r.URL.Query().Get("host")), Form: f}
	var host topics.HostID
	var tags []string
	if v.Asked != "" {
		if e := m.Find(v.Asked); e != nil {
			host, tags, v.Host, v.Asked = e.ID, e.Tags, views.Link{Text: e.Name, URL: views.HostURL(string(e.ID))}, e.Name
		} else {
			v.HostErr = "There is no host of this name."
		}
	}
	for _, c := range conditions.Table() {
		value, off, from := limits.Of(c, host, tags)
		row := views.ConditionRow{Name: string(c.Name), Title: c.Title, About: layout.AlertAbouts[c.On], Severity: string(c.Severity),
			Says: c.Says(value),
			Do:   c.Do, Ends: c.Ends, Limit: c.Words(value), Off: off}
		switch {
		case from != "":
			row.From = "set for " + from
		case c.Measure != conditions.None:
			row.From = "the default"
		}
		v.Rows = append(v.Rows, row)
		text := c.Title + " (" + strings.ToLower(layout.AlertAbouts[c.On])
		if c.Measure != conditions.None {
			text += ", " + c.Words(c.Default)
		}
		v.Form.Options = append(v.Form.Options, views.Option{Value: string(c.Name), Text: text + ")"})
	}
	for _, l := range limits {
		v.Limits = append(v.Limits, limitLine(l, m))
	}
	sh := s.Shell(r, "Conditions", "alerts", toAlerts, views.Link{Text: "Conditions"})
	s.Render(w, r, status, views.AlertConditionsPage(sh, v))
	return nil
}

func limitLine(l conditions.Limit, m *fleet.Moment) views.LimitLine {
	c, _ := conditions.Of(l.Condition)
	v := views.LimitLine{Condition: string(l.Condition), Title: c.Title, Of: "The fleet", Scope: l.Scope, Subject: l.Subject,
		Value: c.Words(l.Value)}
	switch l.Scope {
	case conditions.ScopeTag:
		v.Of = "Hosts with the tag " + l.Subject
	case conditions.ScopeHost:
		v.Of = "Host " + m.Name(topics.HostID(l.Subject))
	}
	if l.Off {
		v.Value = "not watched for"
	}
	return v
}

// limitOf reads a threshold from its form.
func limitOf(form url.Values, m *fleet.Moment) (l conditions.Limit, f views.LimitForm, wrong field.Errors) {
	wrong = field.Errors{}
	f = views.LimitForm{Condition: form.Get("condition"), Scope: form.Get("scope"), Subject: strings.TrimSpace(form.Get("subject")),
		Value: strings.TrimSpace(form.Get("value")), Unit: form.Get("unit"), Off: form.Get("off") != ""}
	l = conditions.Limit{Condition: conditions.Name(f.Condition), Scope: f.Scope, Off: f.Off}
	switch f.Scope {
	case conditions.ScopeTag:
		l.Subject, _ = hosts.Tag(f.Subject)
		if f.Subject == "" {
			wrong.Say("subject", "Name the tag whose hosts are meant.")
		}
	case conditions.ScopeHost:
		if e := m.Find(f.Subject); e != nil {
			l.Subject = string(e.ID)
		} else {
			wrong.Say("subject", "There is no host of this name.")
		}
	}
	c, known := conditions.Of(l.Condition)
	if !known {
		wrong.Say("condition", "There is no such condition.")
	}
	if f.Value == "" {
		if !f.Off {
			wrong.Say("value", "Say from when on it counts.")
		}
		return l, f, wrong
	}
	n, err := strconv.ParseInt(f.Value, 10, 64)
	if err != nil || n < 1 || n > 1<<30 {
		wrong.Say("value", "Give a whole number above 0.")
		return l, f, wrong
	}
	units := map[string]int64{"s": 1, "min": 60, "h": 3600, "d": 86400}
	switch unit, isTime := units[f.Unit]; {
	case c.Measure == conditions.Seconds && isTime:
		l.Value = n * unit
	case c.Measure == conditions.Times && f.Unit == "n", c.Measure == conditions.Percent && f.Unit == "%":
		l.Value = n
	case c.Measure == conditions.Seconds:
		wrong.Say("value", "It counts time: choose seconds, minutes, hours or days.")
	case c.Measure == conditions.Times:
		wrong.Say("value", "It counts how often: choose times.")
	case c.Measure == conditions.Percent:
		wrong.Say("value", "It counts percent.")
	default:
		wrong.Say("value", "It has no threshold: it can only be switched off.")
	}
	return l, f, wrong
}

// SaveLimit sets a threshold, in place of one of the same condition and hosts.
func (s *Pages) SaveLimit(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx := r.Context()
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	limits, _, err := s.Alerts.Limits(ctx)
	if err != nil {
		return err
	}
	l, f, wrong := limitOf(r.PostForm, m)
	if err = wrong.Err(); err == nil {
		limits = append(without(limits, l), l)
		version, _ := strconv.ParseInt(r.PostForm.Get("version"), 10, 64) // what is none is refused when it is saved
		_, err = s.Alerts.SetLimits(ctx, s.actor(ctx), limits, version)
	}
	var limit *conditions.WrongLimit
	switch {
	case err == nil:
		layout.Redirect(w, r, views.AlertConditionsURL+"#thresholds")
		return nil
	case errors.As(err, &limit):
		wrong = field.Errors{"value": limit.Say}
	case !errors.As(err, &wrong):
		return err
	}
	f.Errors, f.Problem = wrong, "The threshold was not set."
	return s.conditionsPage(w, r, http.StatusUnprocessableEntity, f)
}

// without leaves out the threshold of the same condition and hosts.
func without(limits conditions.Limits, l conditions.Limit) conditions.Limits {
	return slices.DeleteFunc(slices.Clone(limits), func(o conditions.Limit) bool {
		return o.Condition == l.Condition && o.Scope == l.Scope && o.Subject == l.Subject
	})
}

// RemoveLimit takes a threshold back: what is farther away counts again.
func (s *Pages) RemoveLimit(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, f := r.Context(), r.PostForm
	limits, _, err := s.Alerts.Limits(ctx)
	if err != nil {
		return err
	}
	left := without(limits, conditions.Limit{Condition: conditions.Name(f.Get("condition")), Scope: f.Get("scope"), Subject: f.Get("subject")})
	if len(left) == len(limits) {
		return &problem.Problem{Kind: problem.NotFound, Title: "There is no such threshold", Say: "Somebody may have removed it.",
			Do: "Look at those that there are.", Link: problem.Link{Text: "Conditions", URL: views.AlertConditionsURL}}
	}
	version, _ := strconv.ParseInt(f.Get("version"), 10, 64) // what is none is refused when it is saved
	if _, err := s.Alerts.SetLimits(ctx, s.actor(ctx), left, version); err != nil {
		return err
	}
	layout.Redirect(w, r, views.AlertConditionsURL+"#thresholds")
	return nil
}
