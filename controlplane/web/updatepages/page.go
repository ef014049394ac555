// Package updatepages holds the handlers of the pages about versions of agents, and how
// newer ones are rolled out.
package updatepages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/restics"
	"github.com/restic-manager/restic-manager/controlplane/rollout"
	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// Pages holds the handlers.
type Pages struct{ *layout.Page }

// New returns the handlers.
func New(p *layout.Page) *Pages { return &Pages{p} }

// Overview is the page: what lies here, who runs what, and how it is rolled out.
func (s *Pages) Overview(w http.ResponseWriter, r *http.Request) error {
	return s.overview(w, r, http.StatusOK, func(*views.Updates) {})
}

// overview renders the page; with puts what was typed back into its forms.
func (s *Pages) overview(w http.ResponseWriter, r *http.Request, status int, with func(*views.Updates)) error {
	v, err := s.view(r.Context())
	if err != nil {
		return err
	}
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	v.Tags = tagsOf(m)
	history, err := s.Store.Rollouts().Latest(r.Context(), 20)
	if err != nil {
		return err
	}
	for _, x := range history {
		if x.EndedAt > 0 {
			v.History = append(v.History, s.row(x, m))
		}
	}
	with(&v)
	sh := s.Shell(r, "Updates", "updates", views.Link{Text: "Updates"})
	sh.Stream = "/events?view=updates"
	s.Render(w, r, status, views.UpdatesPage(sh, v))
	return nil
}

// Stream draws what changes by itself.
func (s *Pages) Stream() layout.Draw {
	return func(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
		v, err := s.view(ctx)
		if err != nil {
			return err
		}
		p.Morph("updates-head", views.UpdatesHead(v))
		p.Morph("updates-release", views.UpdatesRelease(v.Release))
		p.Morph("updates-going", views.UpdatesGoing(v.Going))
		p.Morph("updates-versions", views.UpdatesVersions(v))
		p.Morph("updates-cannot", views.UpdatesCannot(v))
		return nil
	}
}

// view is all but what is typed, and the history.
func (s *Pages) view(ctx context.Context) (v views.Updates, err error) {
	o, err := s.Rollouts.Overview(ctx)
	if err != nil {
		return v, err
	}
	m, err := s.Moment(ctx)
	if err != nil {
		return v, err
	}
	v = views.Updates{Verdict: verdict(o), Restic: resticVerdict(restics.Of(m)), Release: s.release(ctx, o.Release),
		Automatic: o.Settings.Automatic, Begins: begins(o.Settings),
		Startable: o.Release.Good() && o.Can > 0 && !slices.ContainsFunc(o.Going, func(p rollout.Progress) bool {
			return p.Host == "" && p.Tag == ""
		})}
	for _, x := range o.Going {
		v.Going = append(v.Going, s.rollout(ctx, x, m))
	}
	for _, x := range o.Versions {
		v.Versions = append(v.Versions, versionRow(x, o.Release))
	}
	v.Cannots = len(o.Cannot)
	v.Cannot = groups(o.Cannot)
	usual := rollout.Usual()
	if o.Settings.Since > 0 {
		usual = o.Settings.Plan
	} else {
		usual.Zone = s.Zone.String()
	}
	v.Form, v.Settings = formOf(usual), formOf(usual)
	v.Form.Title, v.Form.Button = "Update hosts to "+o.Release.Version, "Update "+words.Count(uint64(o.Can), "host", "hosts")
	if s.Short != nil && s.Short() {
		v.Form.Problem = "This server is short of space, so updates wait with all other jobs."
	}
	return v, nil
}

func formOf(p rollouts.Plan) views.RolloutForm {
	f := views.RolloutForm{Tag: p.Tag, Zone: p.Zone, AtOnce: strconv.Itoa(p.Most)}
	if !p.Always() {
		f.From, f.Until = rollout.Clock(p.From), rollout.Clock(p.Until)
	}
	return f
}

// verdict is how it stands, in a sentence.
func verdict(o rollout.Overview) string {
	all := o.Current + o.Behind
	switch {
	case all == 0:
		return "No agent has connected yet."
	case o.Release.Number == 0:
		return "No release lies here to update agents to. Backups go on as they are."
	case o.Behind == 0:
		return "Every agent runs " + o.Release.Version + ", which lies here, or a newer one."
	case o.Can == 0:
		return words.Count(uint64(o.Behind), "host runs", "hosts run") + " an older version than " + o.Release.Version +
			", and none of them can be updated from here."
	}
	return words.Count(uint64(o.Behind), "host runs", "hosts run") + " an older version than " + o.Release.Version + ", which lies here; " +
		strconv.Itoa(o.Can) + " can be updated from here."
}

func begins(set rollouts.Settings) string {
	if !set.Automatic {
		return "By hand: nothing is updated unless somebody starts it."
	}
	return "Automatically, as soon as a newer version lies here: " + rollout.PlanWords("", set.Plan) + "."
}

func (s *Pages) release(ctx context.Context, r shelf.Release) views.Release {
	v := views.Release{Version: r.Version, SignedBy: r.SignedBy, Believed: r.Believed, Dir: r.Dir, Say: r.Say, Remedy: r.Remedy}
	if r.Number == 0 {
		v.Version = ""
		return v
	}
	v.Facts = []views.Fact{{Name: "Version", Value: r.Version}, {Name: "Number", Value: strconv.FormatInt(r.Number, 10), Mono: true},
		{Name: "Signed by", Value: cmp.Or(r.SignedBy, "nobody"), Mono: true}}
	for _, p := range r.Programs {
		_, there := r.For(p.OS, p.Arch)
		v.Targets = append(v.Targets, views.Target{Platform: p.OS + " " + p.Arch, There: there})
	}
	return v
}

func versionRow(x rollout.Version, r shelf.Release) views.AgentVersion {
	v := views.AgentVersion{Version: x.Version, Hosts: x.Hosts, Online: x.Online}
	switch {
	case r.Number == 0:
		v.Says, v.Tone = "", "idle"
	case x.Number == r.Number:
		v.Says, v.Tone, v.Icon = "Lies here", "ok", "circle-check"
	case x.Number > r.Number:
		v.Says, v.Tone, v.Icon = "Newer than what lies here", "ok", "circle-check"
	default:
		v.Says, v.Tone, v.Icon = "Older", "late", "clock-alert"
	}
	return v
}

// groups puts hosts together that cannot be updated for one reason. Each names a few.
func groups(list []rollout.Unable) (out []views.CannotGroup) {
	const few = 12
	at := map[string]int{}
	for _, u := range list {
		i, known := at[u.Why]
		if !known {
			i, at[u.Why] = len(out), len(out)
			out = append(out, views.CannotGroup{Why: u.Why, Do: u.Do})
		}
		if len(out[i].Hosts) < few {
			out[i].Hosts = append(out[i].Hosts, views.Link{Text: u.Name, URL: views.HostURL(string(u.Host))})
		} else {
			out[i].More++
		}
	}
	slices.SortStableFunc(out, func(a, b views.CannotGroup) int { return len(b.Hosts) + b.More - len(a.Hosts) - a.More })
	return out
}

func tagsOf(m *fleet.Moment) (tags []string) {
	for _, e := range m.ByID() {
		tags = append(tags, e.Tags...)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// stateWords are how a host of a rollout is shown.
var stateWords = map[rollouts.State]struct{ word, tone, icon string }{
	rollouts.Updating:  {"Updating", "run", "loader-circle"},
	rollouts.Updated:   {"Updated", "ok", "circle-check"},
	rollouts.Refused:   {"Failed, went back", "fail", "octagon-x"},
	rollouts.Cannot:    {"Cannot be updated from here", "idle", "circle-slash"},
	rollouts.Cancelled: {"Cancelled", "idle", "circle-slash"},
	rollouts.Later:     {"Comes again", "late", "clock-alert"},
}

var outcomeWords = map[rollouts.Outcome]struct{ word, tone, icon string }{
	"":                  {"Goes on", "run", "loader-circle"},
	rollouts.Done:       {"Done", "ok", "circle-check"},
	rollouts.Stopped:    {"Stopped", "idle", "circle-stop"},
	rollouts.Failed:     {"Stopped by itself", "fail", "octagon-x"},
	rollouts.Superseded: {"Superseded", "idle", "circle-slash"},
}

func (s *Pages) row(x rollouts.Rollout, m *fleet.Moment) views.RolloutRow {
	w := outcomeWords[x.Outcome]
	return views.RolloutRow{ID: x.ID, Version: x.Version, About: about(x, m), Why: x.Why, By: layout.Said(byWhom(x)), Word: w.word,
		Tone: w.tone, Icon: w.icon, Began: s.When(x.BeganAt)}
}

func byWhom(x rollouts.Rollout) string {
	if x.Automatic {
		return "automatically"
	}
	return x.BeganBy
}

func about(x rollouts.Rollout, m *fleet.Moment) string {
	switch {
	case x.Host != "":
		return cmp.Or(m.Name(x.Host), string(x.Host))
	case x.Tag != "":
		return "Tagged " + x.Tag
	}
	return "Every host"
}

const (
	mostRunning = 10 // jobs on a card
	mostFailed  = 10
)

// rollout is how far one is.
func (s *Pages) rollout(ctx context.Context, p rollout.Progress, m *fleet.Moment) views.Rollout {
	c := p.Count
	v := views.Rollout{ID: p.ID, Version: p.Version, Title: "Update to " + p.Version + ": " + about(p.Rollout, m),
		Says: rollout.PlanWords(p.Name, p.Plan) + ".", By: byWhom(p.Rollout),
		Began: s.When(p.BeganAt), Going: p.EndedAt == 0, Waits: p.Waits, Percent: 100 * float64(c.Finished()) / float64(max(c.Hosts, 1)),
		Counts: counts(c), Begun: len(p.Members)}
	if p.Host == "" { // and a host's name stays as it is
		v.Says = strings.ToUpper(v.Says[:1]) + v.Says[1:]
	}
	v.StopEffect = "None is being updated just now."
	if c.Updating > 0 {
		v.StopEffect = words.Count(uint64(c.Updating), "host that is being updated finishes", "hosts that are being updated finish") + " that."
	}
	if p.Host == "" {
		v.Waves = waves(p)
	}
	if p.EndedAt > 0 {
		w := outcomeWords[p.Outcome]
		v.Ended, v.EndTone = w.word+": "+p.Why, map[string]string{"fail": "fail", "ok": "ok"}[w.tone]
		v.EndTone = cmp.Or(v.EndTone, "info")
		if p.Outcome == rollouts.Failed {
			v.Do = "Hosts that failed went back to what they ran before, and go on backing up. Look at their jobs, mend what they say, and " +
				"start it again, or put another release here."
		}
	}
	for _, mem := range p.Members {
		name := cmp.Or(m.Name(mem.Host), string(mem.Host))
		switch mem.State {
		case rollouts.Updating:
			if len(v.Running) >= mostRunning {
				v.More++
				continue
			}
			if e := m.Host(mem.Host); e != nil {
				for _, j := range e.Open {
					if j.ID == mem.Job {
						v.Running = append(v.Running, s.Running(j, name, ""))
					}
				}
			}
		case rollouts.Refused:
			if len(v.Failed) < mostFailed {
				v.Failed = append(v.Failed, views.FailedHost{Host: name, HostID: string(mem.Host), Why: mem.Why, JobID: string(mem.Job)})
			}
		case rollouts.Updated, rollouts.Cannot, rollouts.Cancelled, rollouts.Later:
		}
	}
	return v
}

func counts(c rollout.Count) string {
	parts := []string{strconv.Itoa(c.Updated) + " updated"}
	for _, p := range []struct {
		n    int
		text string
	}{{c.Failed, "failed"}, {c.Updating, "at work"}, {c.Waiting, "to come"}, {c.Has, "had it already"},
		{c.Cannot, "cannot be updated from here"}} {
		if p.n > 0 {
			parts = append(parts, strconv.Itoa(p.n)+" "+p.text)
		}
	}
	return strings.Join(parts, ", ")
}

// waves are the three, with where it is.
func waves(p rollout.Progress) []views.Wave {
	names := []string{"One host", "A tenth", "The rest"}
	out := make([]views.Wave, len(names))
	for i, name := range names {
		wave, n, failed := i+1, 0, 0
		for _, m := range p.Members {
			if m.Wave == wave && (m.State == rollouts.Updated || m.State == rollouts.Refused) {
				n++
			}
			if m.Wave == wave && m.State == rollouts.Refused {
				failed++
			}
		}
		w := views.Wave{Name: name, Tone: "idle", Icon: "circle-dashed", Text: "to come"}
		switch {
		case wave < p.Wave || p.Outcome == rollouts.Done:
			w.Tone, w.Icon, w.Text = "ok", "circle-check", fmt.Sprintf("%d finished", n)
		case wave == p.Wave && p.EndedAt == 0:
			w.Tone, w.Icon, w.Text, w.Now = "run", "loader-circle", fmt.Sprintf("%d finished", n), true
		case wave == p.Wave:
			w.Tone, w.Icon, w.Text = "idle", "circle-stop", fmt.Sprintf("%d finished", n)
		}
		if failed > 0 {
			w.Tone, w.Icon, w.Text = "fail", "octagon-x", w.Text+fmt.Sprintf(", %d failed", failed)
		}
		out[i] = w
	}
	return out
}

// Rollout is the page of one, with its hosts.
func (s *Pages) Rollout(w http.ResponseWriter, r *http.Request) error {
	_, page := layout.ListPlace(r.URL.Query())
	v, err := s.one(r.Context(), base.Param(r, "id"), page)
	if err != nil {
		return err
	}
	sh := s.Shell(r, v.Title, "updates", views.Link{Text: "Updates", URL: views.UpdatesURL}, views.Link{Text: v.Title})
	if v.Going || len(v.Running) > 0 {
		sh.Stream = "/events?" + url.Values{"view": {"rollout"}, "id": {v.ID}, "page": {strconv.Itoa(page)}}.Encode()
	}
	s.Render(w, r, http.StatusOK, views.RolloutPage(sh, v))
	return nil
}

// RolloutStream draws one again.
func (s *Pages) RolloutStream(ctx context.Context, q url.Values) (layout.Draw, error) {
	id := q.Get("id")
	_, page := layout.ListPlace(q)
	if _, err := s.one(ctx, id, page); err != nil {
		return nil, err
	}
	return func(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
		v, err := s.one(ctx, id, page)
		if err != nil {
			return err
		}
		p.Morph("rollout-state", views.RolloutState(v))
		p.Morph("rollout-hosts", views.RolloutHosts(v))
		return nil
	}, nil
}

func (s *Pages) one(ctx context.Context, id string, page int) (v views.Rollout, err error) {
	x, err := s.Rollouts.Progress(ctx, id)
	if err != nil {
		return v, problem.Of(err)
	}
	m, err := s.Moment(ctx)
	if err != nil {
		return v, err
	}
	v = s.rollout(ctx, x, m)
	urgent := map[rollouts.State]int{rollouts.Refused: 0, rollouts.Updating: 1}
	rank := func(st rollouts.State) int {
		if n, is := urgent[st]; is {
			return n
		}
		return len(urgent)
	}
	slices.SortStableFunc(x.Members, func(a, b rollouts.Member) int { return rank(a.State) - rank(b.State) })
	v.Paging = views.RolloutPaging(id, len(x.Members), page)
	for _, mem := range x.Members[v.Paging.From:v.Paging.To] {
		w := stateWords[mem.State]
		v.Hosts = append(v.Hosts, views.RolloutHost{Host: cmp.Or(m.Name(mem.Host), string(mem.Host)), HostID: string(mem.Host),
			JobID: string(mem.Job), Wave: []string{"One host", "A tenth", "The rest"}[min(max(mem.Wave, 1), 3)-1],
			Word: w.word, Tone: w.tone, Icon: w.icon, Why: mem.Why,
			Since: s.When(cmp.Or(mem.EndedAt, mem.BeganAt))})
	}
	return v, nil
}

// input reads a form. Numbers that are none are no number of hosts.
func input(p url.Values) (in rollout.Input, f views.RolloutForm) {
	f = views.RolloutForm{Tag: p.Get("tag"), AtOnce: p.Get("at_once"), From: strings.TrimSpace(p.Get("from")),
		Until: strings.TrimSpace(p.Get("until")), Zone: strings.TrimSpace(p.Get("zone"))}
	in.Host = p.Get("host")
	if in.Host != "" {
		return in, f
	}
	in.Tag, in.From, in.Until, in.Zone = &f.Tag, &f.From, &f.Until, &f.Zone
	if p.Has("at_once") {
		n, _ := strconv.Atoi(strings.TrimSpace(f.AtOnce))
		in.AtOnce = &n
	}
	return in, f
}

// Begin begins a rollout.
func (s *Pages) Begin(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	in, typed := input(r.PostForm)
	x, _, err := s.Rollouts.Begin(r.Context(), session.Of(r.Context()).Name, in)
	var wrong field.Errors
	switch {
	case err == nil:
		layout.Redirect(w, r, views.RolloutURL(x.ID))
		return nil
	case errors.As(err, &wrong):
		return s.overview(w, r, http.StatusUnprocessableEntity, func(v *views.Updates) {
			typed.Title, typed.Button, typed.Errors = v.Form.Title, v.Form.Button, wrong
			typed.Problem = layout.Besides("Nothing was begun.", wrong, "tag", "from", "until", "zone", "at_once")
			v.Form, v.Startable = typed, true
		})
	}
	return problem.Of(err)
}

// Stop ends a rollout.
func (s *Pages) Stop(w http.ResponseWriter, r *http.Request) error {
	id := base.Param(r, "id")
	if err := s.Rollouts.Stop(r.Context(), session.Of(r.Context()).Name, id); err != nil {
		return problem.Of(err)
	}
	layout.Redirect(w, r, views.RolloutURL(id))
	return nil
}

// Save sets whether rollouts begin by themselves.
func (s *Pages) Save(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	in, typed := input(r.PostForm)
	automatic := r.PostForm.Get("automatic") == "true"
	_, err := s.Rollouts.Put(r.Context(), session.Of(r.Context()).Name, &automatic, in)
	var wrong field.Errors
	switch {
	case err == nil:
		layout.Redirect(w, r, views.UpdatesURL)
		return nil
	case errors.As(err, &wrong):
		return s.overview(w, r, http.StatusUnprocessableEntity, func(v *views.Updates) {
			typed.Errors, v.Automatic = wrong, automatic
			typed.Problem = layout.Besides("Nothing was saved.", wrong, "tag", "from", "until", "zone", "at_once")
			v.Settings = typed
		})
	}
	return problem.Of(err)
}
