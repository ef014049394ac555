package accounts

import (
	"context"
	"errors"
	"net/http"

	"github.com/restic-manager/restic-manager/controlplane/self"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// ControlPlanePage shows the control plane's own backup, and whom it asks about.
func (s *Accounts) ControlPlanePage(w http.ResponseWriter, r *http.Request) error {
	v, err := s.controlPlane(r.Context())
	if err != nil {
		return err
	}
	s.Render(w, r, http.StatusOK, views.ControlPlanePage(s.Shell(r, "Control plane", "settings",
		views.Link{Text: "Settings", URL: "/settings"}, views.Link{Text: "Control plane"}), v))
	return nil
}

func (s *Accounts) controlPlane(ctx context.Context) (v views.ControlPlane, err error) {
	st, err := s.Self.Status(ctx)
	if err != nil {
		return v, err
	}
	v = views.ControlPlane{Last: s.When(st.CopiedAt), Late: st.Late, Failed: st.Failed, Directory: st.Dir,
		Kept:       words.Count(uint64(max(st.Keep, 0)), "copy is kept", "copies are kept"),
		RestoredAt: s.When(st.RestoredAt), CopyOf: s.When(st.LostFrom)}
	if st.Every > 0 {
		v.Next = s.When(st.Next.UnixMilli())
	}
	if len(st.Copies) > 0 {
		v.Size = words.Bytes(uint64(max(st.Copies[0].Bytes, 0)))
	}
	open, err := s.Self.Open(ctx)
	if err != nil {
		return v, err
	}
	signs, err := s.Self.Signs(ctx)
	if err != nil {
		return v, err
	}
	for _, q := range open {
		v.Asked = append(v.Asked, views.Asked{Kind: q.Kind, ID: q.ID, Name: q.Name, Sign: signs[q.Kind+" "+q.ID]})
	}
	if st.RestoredAt == 0 {
		return v, nil
	}
	hosts, err := s.Store.Hosts(ctx)
	if err != nil {
		return v, err
	}
	v.Older = self.OlderIdentity
	names := map[string]string{}
	for _, h := range hosts {
		names[string(h.ID)] = h.Name
		if h.Restoring != 0 {
			v.Behind = append(v.Behind, h.Name)
		}
	}
	gaps, err := s.Store.Gaps(ctx, "")
	if err != nil {
		return v, err
	}
	for _, g := range gaps {
		if name := names[string(g.Host)]; name != "" && g.Epoch == st.Epoch {
			v.Gaps = append(v.Gaps, views.HostGap{Host: views.Link{Text: name, URL: views.HostURL(string(g.Host))}, From: s.When(g.FromAt),
				To: s.When(g.ToAt)})
		}
	}
	if s.Desk != nil {
		v.Unknown = s.Desk.Strangers()
	}
	return v, nil
}

// CopyControlPlane makes a copy now.
func (s *Accounts) CopyControlPlane(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Self.Copy(r.Context(), session.Of(r.Context()).Name); err != nil {
		return err
	}
	layout.Redirect(w, r, "/control-plane")
	return nil
}

// AnswerForm confirms or refuses one who is asked about, or everybody.
func (s *Accounts) AnswerForm(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	kind, id, answer := r.PostForm.Get("kind"), r.PostForm.Get("id"), r.PostForm.Get("answer")
	if answer != "confirm" && (answer != "refuse" || id == "") || (kind == "") != (id == "") {
		return layout.BadForm(errors.New("it confirms or refuses one, or confirms all"))
	}
	var ids []string
	if id != "" {
		ids = []string{id}
	}
	if _, err := s.Self.Answer(r.Context(), session.Of(r.Context()).Name, kind, ids, answer == "confirm"); err != nil {
		return err
	}
	layout.Redirect(w, r, "/control-plane")
	return nil
}
