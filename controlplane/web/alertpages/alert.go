package alertpages

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/alerts"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// mostTold is how many messages the page of an alert shows.
const mostTold = 200

// Alert shows all of one.
func (s *Pages) Alert(w http.ResponseWriter, r *http.Request) error {
	return s.alertPage(w, r, http.StatusOK, base.Param(r, "id"), views.AlertForm{})
}

func (s *Pages) alertPage(w http.ResponseWriter, r *http.Request, status int, id string, f views.AlertForm) error {
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	v, err := s.alert(r.Context(), id, m)
	if err != nil {
		return err
	}
	v.Form = f
	if v.Form.Until == "" && f.Problem == "" {
		v.Form.Until = words.Typed(r.Context(), time.UnixMilli(s.until(r.Context(), "morning")))
	}
	title := v.Name + ": " + v.Title
	sh := s.Shell(r, title, "alerts", toAlerts, views.Link{Text: title})
	sh.Stream = views.AlertStream(id)
	s.Render(w, r, status, views.AlertPage(sh, v))
	return nil
}

// AlertStream draws the page of an alert again as it changes.
func (s *Pages) AlertStream(ctx context.Context, id string) (layout.Draw, error) {
	if _, err := s.Alerts.Get(ctx, id); err != nil {
		return nil, err
	}
	return func(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
		v, err := s.alert(ctx, id, p.Moment)
		if err != nil {
			return err
		}
		p.Morph("alert-head", views.AlertHead(v))
		p.Morph("alert-body", views.AlertBody(v))
		p.Morph("alert-past", views.AlertPast(v))
		return nil
	}, nil
}

// alert reads all that the page of one shows.
func (s *Pages) alert(ctx context.Context, id string, m *fleet.Moment) (v views.Alert, err error) {
	a, err := s.Alerts.Get(ctx, id)
	if err != nil {
		return v, err
	}
	told, err := s.told(ctx, m, []alerts.Alert{a})
	if err != nil {
		return v, err
	}
	b := layout.AlertBody(a)
	v = views.Alert{AlertRow: s.AlertRow(a, told[a.ID]), Condition: a.Condition, About: layout.AlertAbouts[a.On], Do: b.Do, Limit: b.Limit,
		Swallows: b.Swallows, Opened: s.When(a.OpenedAt), Seen: s.When(a.SeenAt), Snoozes: s.snoozes()}
	var tags []string
	if e := m.Host(a.Host); e != nil {
		tags = e.Tags
		if a.On != alerts.OnHost {
			v.Host = views.Link{Text: e.Name, URL: views.HostURL(string(a.Host))}
		}
	}
	if a.Repository != "" && a.On != alerts.OnRepository {
		names := map[topics.RepositoryID]string{}
		if err := s.Store.RepositoryNames(ctx, []topics.RepositoryID{a.Repository}, names); err != nil {
			return v, err
		}
		if name := names[a.Repository]; name != "" {
			v.Repo = views.Link{Text: name, URL: views.RepositoryURL(string(a.Repository))}
		}
	}
	if err := s.explain(ctx, a, tags, &v); err != nil {
		return v, err
	}
	if v.State != string(alerts.Ended) {
		v.Pauses = s.PausesOf(ctx, m, a.Host)
	}
	if v.Told, err = s.toldOf(ctx, a); err != nil {
		return v, err
	}
	v.History = s.history(a)
	return v, s.proof(ctx, a, &v)
}

// explain says why an alert counts.
func (s *Pages) explain(ctx context.Context, a alerts.Alert, tags []string, v *views.Alert) error {
	c, known := conditions.Of(conditions.Name(a.Condition))
	if !known {
		return nil
	}
	l, _, err := s.Alerts.Limits(ctx)
	if err != nil {
		return err
	}
	value, _, from := l.Of(c, a.Host, tags)
	v.When, v.Ends = c.Says(value), c.Ends
	if v.Limit == "" && c.Measure != conditions.None {
		v.Limit = c.Words(value) + ", " + counts(from)
	}
	if v.Do == "" {
		v.Do = c.Do
	}
	return nil
}

// counts says whose threshold counts.
func counts(from string) string {
	if from == "" {
		return "the default"
	}
	return "set for " + from
}

// proof fills in what the job says that proves an alert.
func (s *Pages) proof(ctx context.Context, a alerts.Alert, v *views.Alert) error {
	if a.Job == "" {
		return nil
	}
	all, err := s.Store.JobsByID(ctx, []topics.JobID{a.Job})
	if err != nil || len(all) == 0 {
		return err // it is kept no longer
	}
	j := all[0]
	v.Job = views.Link{Text: "The " + string(j.Kind) + " that proves it, with its log", URL: views.JobURL(string(j.ID))}
	if j.State.Ended() && j.State != topics.Succeeded {
		v.Evidence = j.Message
		v.Effect = unsaid(v.Cause, jobs.ExplainJob(j).Effect)
	}
	return nil
}

// unsaid is a text without the sentences that another one has.
func unsaid(said, text string) string {
	var left []string
	for _, sentence := range strings.SplitAfter(text, ". ") {
		if sentence = strings.TrimSpace(sentence); !strings.Contains(said, sentence) {
			left = append(left, sentence)
		}
	}
	return strings.Join(left, " ")
}

// history is what happened to an alert.
func (s *Pages) history(a alerts.Alert) []views.Step {
	var steps []views.Step
	add := func(icon, tone, text, sub string, at int64) {
		steps = append(steps, views.Step{Icon: icon, Tone: tone, Text: text, Sub: sub, At: s.When(at)})
	}
	if a.Since > 0 && a.Since < a.OpenedAt {
		add("clock", "idle", "It began", "As far as that is known", a.Since)
	}
	add("octagon-x", "fail", "The alert opened", "", a.OpenedAt)
	if a.Count > 1 && a.BeganAt > a.OpenedAt {
		add("rotate-ccw", "warn", "It began again, "+words.Count(uint64(a.Count), "time", "times")+" in all", "", a.BeganAt)
	}
	if a.AckedAt > 0 {
		add("user", "idle", "Acknowledged by "+a.AckedBy, "", a.AckedAt)
	}
	if a.QuietAt > 0 && a.EndedAt == 0 {
		add("circle-dashed", "idle", "It does not hold now", "It ends when it has not held for an hour", a.QuietAt)
	}
	if a.SnoozedUntil > s.Now().UnixMilli() {
		add("bell-off", "idle", "Snoozed by "+a.SnoozedBy+" until then", "", a.SnoozedUntil)
	}
	if a.EndedAt == 0 {
		add("info", "idle", "Found to hold last", "", a.SeenAt)
	} else if a.EndedBy == alerts.Plane {
		add("circle-check", "ok", "It was over", "", a.EndedAt)
	} else {
		add("circle-check", "ok", "Ended by "+a.EndedBy, a.EndedWhy, a.EndedAt)
	}
	return steps
}

// toldOf is who was told of an alert, the first one first.
func (s *Pages) toldOf(ctx context.Context, a alerts.Alert) (out []views.AlertTold, err error) {
	list, err := s.Store.Channels().Naming(ctx, a.ID, mostTold)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	names, err := s.channelNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		t := views.AlertTold{Event: string(d.Event), Channel: views.Link{Text: "a channel that was removed"}, State: d.State,
			At: s.When(endOf(d))}
		if name := names[d.Channel]; name != "" {
			t.Channel = views.Link{Text: name, URL: views.ChannelURL(d.Channel)}
		}
		if session.Of(ctx).May(rights.Telling) {
			t.Answer, t.Tries = d.Answer, s.tries(d)
		}
		out = append(out, t)
	}
	return out, nil
}

func (s *Pages) channelNames(ctx context.Context) (map[string]string, error) {
	list, err := s.Channels.List(ctx)
	names := map[string]string{}
	for _, c := range list {
		names[c.ID] = c.Name
	}
	return names, err
}

// endOf is when a message ended, or is tried next.
func endOf(d rows.Delivery) int64 {
	if d.State == rows.Waiting {
		return d.NextAt
	}
	return cmp.Or(d.EndedAt, d.CreatedAt)
}

// tries are the attempts to send a message.
func (s *Pages) tries(d rows.Delivery) (out []views.Try) {
	for _, t := range d.Tried {
		out = append(out, views.Try{At: s.When(t.At), OK: t.OK, Answer: t.Answer,
			Took: words.Duration(time.Duration(t.TookMS) * time.Millisecond)})
	}
	return out
}

// joined is a list in a sentence.
func joined(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}
