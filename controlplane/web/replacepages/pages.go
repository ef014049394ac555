// Package replacepages holds the handlers of the page on which another machine takes the
// place of a host's lost one.
package replacepages

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/replace"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// Pages holds the handlers.
type Pages struct{ *layout.Page }

// New returns the handlers.
func New(p *layout.Page) *Pages { return &Pages{p} }

// Replacement is the checklist.
func (s *Pages) Replacement(w http.ResponseWriter, r *http.Request) error {
	return s.show(w, r, http.StatusOK, base.HostID(r), func(*views.Replacement, replace.Status) (string, error) { return "", nil })
}

// show renders the page. add has it show more, and names the token that its stream follows.
func (s *Pages) show(w http.ResponseWriter, r *http.Request, code int, id topics.HostID,
	add func(*views.Replacement, replace.Status) (string, error),
) error {
	h, err := s.Host(r.Context(), id)
	if err != nil {
		return err
	}
	v, st, err := s.view(r.Context(), h)
	if err != nil {
		return err
	}
	token, err := add(&v, st)
	if err != nil {
		return err
	}
	sh := s.Shell(r, "Replace "+h.Name, "fleet", layout.ToFleet, views.Link{Text: h.Name, URL: views.HostURL(string(id))},
		views.Link{Text: "Replace this machine"})
	sh.Stream = views.ReplacementStream(string(id), token)
	s.Render(w, r, code, views.ReplacementPage(sh, v))
	return nil
}

// Stream draws the checklist again as it changes. What a token was made for is drawn by
// enrol, nil without one.
func (s *Pages) Stream(id topics.HostID, enrol layout.Draw) layout.Draw {
	return func(ctx context.Context, p *layout.Painter, rang map[topics.HostID]bool) error {
		if enrol != nil {
			if err := enrol(ctx, p, rang); err != nil {
				return err
			}
			p.End = false // the rest goes on
		}
		if !p.Full && !rang[id] {
			return nil
		}
		h, err := s.Host(ctx, id)
		if err != nil {
			return err
		}
		v, _, err := s.view(ctx, h)
		if err != nil {
			return err
		}
		p.Morph("replacement-state", views.ReplacementState(v))
		if enrol == nil {
			p.Morph("replacement-enrol", views.ReplacementEnrol(v))
		} else {
			p.Morph("replacement-enrolled", views.ReplacementEnrolled(v))
		}
		p.Morph("replacement-machines", views.ReplacementMachines(v))
		p.Morph("replacement-groups", views.ReplacementGroups(v))
		p.Morph("replacement-call-off", views.ReplacementCallOff(v))
		return nil
	}
}

// Begin makes a token and shows it with its command; it cannot be shown again.
func (s *Pages) Begin(w http.ResponseWriter, r *http.Request) error {
	id := base.HostID(r)
	if _, err := s.Host(r.Context(), id); err != nil {
		return err
	}
	token, err := s.Replacing.Begin(r.Context(), session.Of(r.Context()).Name, id, enroll.TokenLife)
	if err != nil {
		return problem.Saving("replacement", err)
	}
	return s.show(w, r, http.StatusOK, id, func(v *views.Replacement, st replace.Status) (string, error) {
		at, err := s.Reach.Of(r.Context())
		if err != nil {
			return "", err
		}
		v.Command, err = s.Replacing.Command(r.Context(), st, at.Dial, token.Secret)
		v.Unreached = views.Unreached(at.Say, at.Do)
		v.Token = &views.Token{Secret: token.Secret.Reveal(),
			Valid:   "Valid for " + words.Duration(enroll.TokenLife) + ", for " + v.Name + " alone",
			Expires: s.When(token.Expires)}
		v.Status = views.OfReplacement(views.Enrol{State: "waiting", ForHost: string(id)})
		return token.ID, err
	})
}

// CallOff takes the form that calls a replacement off.
func (s *Pages) CallOff(w http.ResponseWriter, r *http.Request) error {
	if err := s.Replacing.CallOff(r.Context(), session.Of(r.Context()).Name, base.HostID(r)); err != nil {
		return problem.Of(err)
	}
	layout.Redirect(w, r, views.ReplacementURL(string(base.HostID(r))))
	return nil
}

// Decide takes the form that says what becomes of the files of one source group, or of all.
func (s *Pages) Decide(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	in := replace.Input{Decision: new(r.PostForm.Get("decision")), Groups: r.PostForm["group"]}
	err := s.Replacing.Decide(r.Context(), session.Of(r.Context()).Name, base.HostID(r), in)
	var wrong field.Errors
	if errors.As(err, &wrong) {
		return s.show(w, r, http.StatusUnprocessableEntity, base.HostID(r), func(v *views.Replacement, _ replace.Status) (string, error) {
			v.Problem = wrong.Error()
			return "", nil
		})
	}
	if err != nil {
		return problem.Of(err)
	}
	layout.Redirect(w, r, views.ReplacementURL(string(base.HostID(r))))
	return nil
}

// view is what the page shows of a host, whether or not anybody has begun.
func (s *Pages) view(ctx context.Context, h store.Host) (v views.Replacement, st replace.Status, err error) {
	v = views.Replacement{HostID: string(h.ID), Name: h.Name}
	c, _ := s.Presence.Connection(h.ID)
	v.Connected = c == hosts.Online
	if st, err = s.Replacing.Of(ctx, h.ID); err != nil && !errors.Is(err, replacing.ErrNone) {
		return v, st, err
	}
	if err != nil { // as it would be
		if st, err = s.Replacing.Before(ctx, h); err != nil {
			return v, st, err
		}
	}
	v.Begun, v.BegunBy, v.Enrolled, v.Ended = s.When(st.BegunAt), st.BegunBy, s.When(st.EnrolledAt), s.When(st.EndedAt)
	v.CalledOff, v.Late = st.CalledOff, st.Late
	keeps, err := s.Store.KeptBy(ctx, h.ID)
	if err != nil {
		return v, st, err
	}
	v.Warnings = st.Warnings(keeps)
	if !v.Begun.Never() && !v.CalledOff {
		v.Machines = compared(st)
	}
	for _, g := range st.Groups {
		row := views.ReplacedGroup{Name: g.Name,
			Repository: views.Link{Text: g.Repository.Name, URL: views.RepositoryURL(string(g.Repository.ID))},
			Local:      g.Local, Snapshot: layout.Short(g.Snapshot), SavedAt: s.When(g.SavedAt), Schedules: strings.Join(g.Schedules, ", "),
			Holds: words.Count(g.Files, "file", "files") + ", " + words.Bytes(g.Bytes), Waits: g.Held, DecidedAt: s.When(g.DecidedAt),
			Pinned: s.When(g.PinnedUntil)}
		switch g.Decision {
		case replace.Restored:
			row.Decision = "Restored, said " + g.DecidedBy
		case replace.Without:
			row.Decision = "Starts without, said " + g.DecidedBy
		}
		if g.Snapshot != "" && g.Held {
			row.Restore = views.RestoreSnapshotURL(string(h.ID), string(g.Repository.ID), g.Snapshot)
		}
		for _, j := range g.Restores {
			row.Restores = append(row.Restores, s.JobRow(j, nil))
		}
		v.Groups = append(v.Groups, row)
	}
	return v, st, nil
}

// compared lists what the two machines say of themselves.
func compared(st replace.Status) (rows []views.ReplacedFact) {
	old, now := st.Machine, st.New
	for _, f := range []views.ReplacedFact{
		{Name: "Hostname", Old: old.Hostname, New: now.Hostname},
		{Name: "System", Old: systemOf(old.Platform, old.OS), New: systemOf(now.Platform, now.OS)},
		{Name: "Architecture", Old: old.Arch, New: now.Arch},
		{Name: "Agent", Old: old.Agent, New: now.AgentVersion},
		{Name: "restic", Old: old.Restic, New: now.ResticVersion},
		{Name: "Policy", Old: old.Policy, New: now.Policy},
	} {
		if st.EnrolledAt == 0 {
			f.New = ""
		}
		f.Old, f.Differs = layout.Said(f.Old), f.New != "" && f.New != f.Old
		rows = append(rows, f)
	}
	return rows
}

func systemOf(platform, os string) string {
	if platform != "" {
		return platform
	}
	return os
}
