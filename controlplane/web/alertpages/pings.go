package alertpages

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/heartbeat"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/heartbeats"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// watched are the names of what may have an address that is told of its backups.
type watched struct {
	m         *fleet.Moment
	schedules []store.Schedule
}

func (s *Pages) watched(ctx context.Context) (w watched, err error) {
	if w.m, err = s.Moment(ctx); err != nil {
		return w, err
	}
	w.schedules, err = s.Store.Schedules(ctx, "")
	return w, err
}

// of is what is watched, in words.
func (w watched) of(scope heartbeats.Scope, subject string) string {
	switch scope {
	case heartbeats.OfTag:
		return "Hosts with the tag " + subject
	case heartbeats.OfSchedule:
		for _, sc := range w.schedules {
			if string(sc.ID) == subject {
				return "Schedule " + w.schedule(sc)
			}
		}
		return "A schedule that was removed"
	}
	return "Host " + w.m.Name(topics.HostID(subject))
}

// schedule is the name of a schedule, with its host's if it is of one alone.
func (w watched) schedule(sc store.Schedule) string {
	if sc.Host == "" {
		return sc.Name
	}
	return sc.Name + " of " + w.m.Name(sc.Host)
}

// subject finds what somebody typed.
func (w watched) subject(scope heartbeats.Scope, text string, wrong field.Errors) string {
	switch scope {
	case heartbeats.OfTag:
		tag, bad := hosts.Tag(text)
		wrong.Say("subject", bad)
		return tag
	case heartbeats.OfSchedule:
		var found []string
		for _, sc := range w.schedules {
			if string(sc.ID) == text || strings.EqualFold(w.schedule(sc), text) {
				return string(sc.ID)
			}
			if strings.EqualFold(sc.Name, text) {
				found = append(found, string(sc.ID))
			}
		}
		switch len(found) {
		case 0:
			wrong.Say("subject", "There is no schedule of this name.")
		case 1:
			return found[0]
		default:
			wrong.Say("subject", "Several schedules have this name: write “name of host”.")
		}
		return ""
	}
	if e := w.m.Find(text); e != nil {
		return string(e.ID)
	}
	wrong.Say("subject", "There is no host of this name.")
	return ""
}

// pings adds to the page of the watchdog where it is told of backups.
func (s *Pages) pings(ctx context.Context, w watched, f *views.HeartbeatForm) error {
	list, err := s.Heartbeat.Pings(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		v := views.PingLine{Scope: string(p.Scope), Subject: p.Subject, Of: w.of(p.Scope, p.Subject), Target: hostOf(p.URL), Kind: p.Kind.Label(),
			LastOK: s.When(p.Status.LastOKAt), FailingSince: s.When(p.Status.FailingSince), Waits: p.Waiting, Version: p.Version}
		if p.Status.FailingSince > 0 {
			v.Answer = p.Status.Answer
		}
		f.Pings = append(f.Pings, v)
	}
	slices.SortStableFunc(f.Pings, func(a, b views.PingLine) int { return strings.Compare(a.Of, b.Of) })
	return nil
}

// pingAsked is the form as a link asks for it: of one that is there, or filled in for a host.
func (s *Pages) pingAsked(r *http.Request, w watched) (f views.PingForm, err error) {
	q := r.URL.Query()
	f = views.PingForm{Scope: q.Get("scope"), Subject: q.Get("subject")}
	if f.Scope == "" || f.Subject == "" {
		return views.PingForm{Scope: string(heartbeats.OfHost)}, nil
	}
	list, err := s.Heartbeat.Pings(r.Context())
	for _, p := range list {
		if string(p.Scope) == f.Scope && p.Subject == f.Subject {
			f.Of, f.Kind, f.Version = w.of(p.Scope, p.Subject), string(p.Kind), p.Version
			return f, err
		}
	}
	if e := w.m.Find(f.Subject); e != nil && f.Scope == string(heartbeats.OfHost) {
		f.Subject = e.Name
	}
	return f, err
}

// SavePing says where it is told of some backups, or no more.
func (s *Pages) SavePing(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, form := r.Context(), r.PostForm
	names, err := s.watched(ctx)
	if err != nil {
		return err
	}
	list, err := s.Heartbeat.Pings(ctx)
	if err != nil {
		return err
	}
	f := views.PingForm{Scope: form.Get("scope"), Subject: strings.TrimSpace(form.Get("subject")), URL: strings.TrimSpace(form.Get("url")),
		Kind: form.Get("kind")}
	f.Version, _ = strconv.ParseInt(form.Get("version"), 10, 64) // what is none is refused when it is saved
	p := heartbeat.Ping{Scope: heartbeats.Scope(f.Scope), Subject: f.Subject, URL: f.URL, Kind: heartbeat.Kind(f.Kind), Version: f.Version}
	wrong := field.Errors{}
	is := func(o heartbeat.Ping) bool { return o.Scope == p.Scope && o.Subject == p.Subject }
	if f.Version > 0 {
		at := slices.IndexFunc(list, is)
		if at < 0 {
			return &problem.Problem{Kind: problem.NotFound, Title: "There is no such check", Say: "Somebody may have removed it.",
				Do: "Look at those that there are.", Link: problem.Link{Text: "Watchdog", URL: views.HeartbeatURL}}
		}
		f.Of = names.of(p.Scope, p.Subject)
		switch {
		case form.Get("remove") != "":
			p.URL, p.Kind = "", ""
		case p.URL == "" && list[at].URL == "":
			wrong.Say("url", "The address that was saved cannot be read. Enter it again.")
		case p.URL == "":
			p.URL = list[at].URL
		}
	} else {
		p.Subject = names.subject(p.Scope, f.Subject, wrong)
		if len(wrong) == 0 && slices.ContainsFunc(list, is) {
			wrong.Say("subject", names.of(p.Scope, p.Subject)+" has a check already: change that one.")
		}
		if p.URL == "" {
			wrong.Say("url", "Enter the URL that the service outside gave you.")
		}
	}
	if err = wrong.Err(); err == nil {
		err = s.Heartbeat.SetPing(ctx, s.actor(ctx), p)
	}
	if err == nil {
		layout.Redirect(w, r, views.HeartbeatURL+"#pings")
		return nil
	}
	if !errors.As(err, &wrong) {
		return err
	}
	f.Errors, f.Problem = wrong, "Nothing was saved."
	if say := wrong["scope"]; say != "" {
		f.Problem += " " + say
	}
	set, version, err := s.Heartbeat.Get(ctx)
	if err != nil && version == 0 { // one that cannot be read is entered again
		return err
	}
	return s.heartbeatPage(w, r, http.StatusUnprocessableEntity, savedBeat(set, version), &f)
}
