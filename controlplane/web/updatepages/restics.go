package updatepages

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/restics"
	"github.com/restic-manager/restic-manager/controlplane/rollout"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// Restics is the page about which restic runs where.
func (s *Pages) Restics(w http.ResponseWriter, r *http.Request) error {
	return s.resticsPage(w, r, http.StatusOK, func(*views.Restics) {})
}

// resticsPage renders it; with puts in what came of a form.
func (s *Pages) resticsPage(w http.ResponseWriter, r *http.Request, status int, with func(*views.Restics)) error {
	v, err := s.restics(r.Context())
	if err == nil {
		err = s.fetchable(r.Context(), &v)
	}
	if err != nil {
		return err
	}
	with(&v)
	sh := s.Shell(r, "restic on the machines", "updates", views.Link{Text: "Updates", URL: views.UpdatesURL}, views.Link{Text: "restic"})
	sh.Stream = "/events?view=restics"
	s.Render(w, r, status, views.ResticsPage(sh, v))
	return nil
}

// ResticsStream draws what of that page changes by itself.
func (s *Pages) ResticsStream() layout.Draw {
	return func(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
		v, err := s.restics(ctx)
		if err != nil {
			return err
		}
		p.Morph("restics-head", views.ResticsHead(v))
		p.Morph("restics-versions", views.ResticsVersions(v))
		p.Morph("restics-none", views.ResticsNone(v))
		return nil
	}
}

func (s *Pages) restics(ctx context.Context) (v views.Restics, err error) {
	m, err := s.Moment(ctx)
	if err != nil {
		return v, err
	}
	o := restics.Of(m)
	v.Verdict = resticVerdict(o)
	for _, x := range o.Versions {
		v.Versions = append(v.Versions, resticRow(x))
	}
	v.None = views.CannotGroup{Why: restics.None, Do: restics.NoneRemedy}
	v.None.Hosts, v.None.More = some(o.None)
	return v, nil
}

// some are links to a few hosts, and how many there are beside.
func some(list []restics.Host) (links []views.Link, more int) {
	const few = 12
	for _, h := range list[:min(len(list), few)] {
		links = append(links, views.Link{Text: h.Name, URL: views.HostURL(string(h.ID))})
	}
	return links, len(list) - len(links)
}

// resticVerdict is how it stands, in a sentence or two.
func resticVerdict(o restics.Overview) string {
	text := "Every restic has all that is used from here."
	switch {
	case o.Hosts == 0:
		return "No agent has connected yet."
	case o.Faulty > 0:
		text = words.Count(uint64(o.Faulty), "host runs", "hosts run") + " a restic whose restores have faults that " +
			since.RestoreNames.Since.Short() + " mends."
	case o.Lacking > 0:
		text = words.Count(uint64(o.Lacking), "host runs", "hosts run") + " a restic that lacks something."
	}
	if n := len(o.None); n > 0 {
		text += " On " + words.Count(uint64(n), "host", "hosts") + " none is found."
	}
	return text
}

func resticRow(x restics.Version) views.ResticVersion {
	v := views.ResticVersion{Version: x.Version, Hosts: len(x.Hosts), Online: x.Online, Says: "Has all that is used", Tone: "ok",
		Icon: "circle-check"}
	v.Names, v.More = some(x.Hosts)
	if _, known := since.Parse(x.Version); !known {
		v.Says, v.Tone, v.Icon = "What it has is not known", "idle", "circle-help"
	}
	for _, f := range x.Lacks {
		l := views.ResticLack{What: strings.ToUpper(f.What[:1]) + f.What[1:], Since: f.Since.Short(), Else: f.Else, Tone: "idle",
			Icon: "circle-minus"}
		switch f.Weight {
		case since.Fault:
			l.Tone, l.Icon = "warn", "triangle-alert"
		case since.Refused:
			l.Tone, l.Icon = "warn", "circle-slash"
		}
		v.Lacks = append(v.Lacks, l)
	}
	if n := len(x.Lacks); n > 0 {
		v.Says, v.Tone, v.Icon = "Lacks "+words.Count(uint64(n), "thing", "things"), "idle", "circle-minus"
		if x.Lacks[0].Weight >= since.Refused {
			v.Tone, v.Icon = "warn", "triangle-alert"
		}
	}
	return v
}

// fetchable is what of the page is about files, and hosts that may fetch them.
func (s *Pages) fetchable(ctx context.Context, v *views.Restics) error {
	v.Dir = s.Parts.Restics.Dir
	files, err := s.Parts.Restics.Files(ctx)
	if err != nil {
		return err
	}
	for _, f := range files {
		x := views.ResticFile{Name: f.Name, Platform: f.OS + " " + f.Arch, SHA256: f.SHA256, Says: f.Say, Tone: "warn", Icon: "triangle-alert",
			Pinned: f.Pin != nil, Confirmable: f.SHA256 != "" && (f.Pin == nil || f.Pin.SHA256 != f.SHA256)}
		if f.Good() {
			x.Says, x.Tone, x.Icon = "Confirmed by "+f.Pin.PinnedBy, "ok", "circle-check"
			if !slices.Contains(v.Fetch.Versions, f.Version) {
				v.Fetch.Versions = append(v.Fetch.Versions, f.Version)
			}
		}
		switch {
		case f.Listed != "" && f.Listed == f.SHA256:
			x.Listed = "SHA256SUMS beside it says the same."
		case f.Listed != "":
			x.Listed = "SHA256SUMS beside it names another: " + f.Listed + "."
		}
		v.Files = append(v.Files, x)
	}
	slices.SortFunc(v.Fetch.Versions, func(a, b string) int {
		x, _ := since.Parse(a)
		y, _ := since.Parse(b)
		return y.Compare(x)
	})
	m, err := s.Moment(ctx)
	if err != nil {
		return err
	}
	var cannot []rollout.Unable
	for _, e := range m.ByName() {
		if e.AgentVersion == "" || e.RetiredAt > 0 {
			continue
		}
		if why, do := restics.MayFetch(e.Host); why != "" {
			cannot = append(cannot, rollout.Unable{Host: e.ID, Name: e.Name, Why: why, Do: do})
		} else {
			v.Fetch.Hosts = append(v.Fetch.Hosts, views.Link{Text: e.Name, URL: string(e.ID)})
		}
	}
	v.Fetch.Cannot = groups(cannot)
	return nil
}

// PinRestic confirms the checksum of a file, or takes that back.
func (s *Pages) PinRestic(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, name := r.Context(), r.PostForm.Get("name")
	actor := session.Of(ctx).Name
	var err error
	if r.PostForm.Get("unpin") != "" {
		err = s.Parts.Restics.Unpin(ctx, actor, name)
	} else {
		_, err = s.Parts.Restics.Pin(ctx, actor, name, r.PostForm.Get("sha256"))
	}
	var wrong field.Errors
	switch {
	case err == nil:
		layout.Redirect(w, r, views.ResticsURL)
		return nil
	case errors.As(err, &wrong):
		return s.resticsPage(w, r, http.StatusUnprocessableEntity, func(v *views.Restics) {
			for i := range v.Files {
				if v.Files[i].Name == name {
					v.Files[i].Confirmable, v.Files[i].Problem = true, wrong["sha256"]
				}
			}
		})
	}
	return problem.Of(err)
}

// FetchRestic has hosts fetch a restic, and says what came of it.
func (s *Pages) FetchRestic(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, version := r.Context(), r.PostForm.Get("version")
	rows, err := s.Store.Hosts(ctx)
	if err != nil {
		return err
	}
	which := restics.Which{Host: r.PostForm.Get("host")}
	if which.All = which.Host == views.EveryHost; which.All {
		which.Host = ""
	}
	hosts, err := restics.Wanted(rows, which)
	var list []restics.Asked
	if err == nil {
		list, err = s.Parts.Restics.Fetch(ctx, session.Of(ctx).Name, hosts,
			restics.Want{Version: version, Older: r.PostForm.Get("older") != "", Back: version == ""})
	}
	var wrong field.Errors
	switch {
	case errors.As(err, &wrong):
		return s.resticsPage(w, r, http.StatusUnprocessableEntity, func(v *views.Restics) {
			if v.Fetch.Errors = wrong; wrong["all"] != "" {
				v.Fetch.Errors = field.Errors{"host": "Choose a host, or every host that may."}
			}
		})
	case err != nil:
		return problem.Of(err)
	case len(list) == 1 && list[0].Job.ID != "":
		layout.Redirect(w, r, views.JobURL(string(list[0].Job.ID)))
		return nil
	}
	return s.resticsPage(w, r, http.StatusOK, func(v *views.Restics) {
		for _, x := range list {
			a := views.ResticAsked{Host: x.Host.Name, Text: x.Why, Do: x.Do}
			if x.Job.ID != "" {
				a.URL, a.Text = views.JobURL(string(x.Job.ID)), "Its job"
			}
			v.Fetch.Asked = append(v.Fetch.Asked, a)
		}
	})
}
