package pages

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/handout"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store/admission"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// KeysPage lists the keys with which many hosts enrol, and the hosts that wait.
func (s *Pages) KeysPage(w http.ResponseWriter, r *http.Request) error {
	return s.keysPage(w, r, http.StatusOK, views.Keys{Form: views.KeyForm{Uses: strconv.Itoa(enroll.KeyUses),
		Days: strconv.Itoa(int(enroll.KeyLife / (24 * time.Hour))), Policy: handout.Policies[0].Name, Drill: true}})
}

func (s *Pages) keysPage(w http.ResponseWriter, r *http.Request, status int, v views.Keys) error {
	ctx := r.Context()
	at, err := s.Reach.Of(ctx)
	if err != nil {
		return err
	}
	v.Unreached = views.Unreached(at.Say, at.Do)
	for _, p := range handout.Policies {
		v.Policies = append(v.Policies, views.PolicyChoice{Name: p.Name, Title: p.Title, Text: p.Text})
	}
	plane, err := s.Store.PlaneOf(ctx)
	if err != nil {
		return err
	}
	list, err := s.Store.Admission().Keys(ctx)
	if err != nil {
		return err
	}
	for _, k := range list {
		v.List = append(v.List, views.EnrolKey{ID: k.ID, Name: k.Name, State: enroll.StateOf(k, s.Store.Now(), plane.RestoredAt),
			Says: keySays(k), Expires: s.When(k.ExpiresAt), Used: s.When(k.UsedAt)})
	}
	held, err := s.Store.Admission().Held(ctx)
	if err != nil {
		return err
	}
	for _, h := range held {
		v.Held = append(v.Held, views.HeldHost{ID: string(h.Host), Name: h.Name, Since: s.When(h.HeldAt),
			Says: layout.Said(h.Platform) + ", " + layout.Said(h.Arch) + ", policy " + layout.Said(h.Policy) + ", by the key " +
				layout.Said(h.Key)})
	}
	sh := s.Shell(r, "Add many hosts", "add", layout.ToFleet, views.Link{Text: "Add host", URL: "/hosts/new"},
		views.Link{Text: "Many machines"})
	s.Render(w, r, status, views.KeysPage(sh, v))
	return nil
}

func keySays(k admission.Key) string {
	text := fmt.Sprintf("%d of %s, policy %s", k.Used, words.Count(uint64(k.Uses), "host", "hosts"), k.Policy)
	if len(k.Tags) > 0 {
		text += ", tags " + strings.Join(k.Tags, " ")
	}
	if k.Approve {
		text += ", each waits for approval"
	}
	return text
}

// MakeKey makes a key and shows it; it cannot be shown again.
func (s *Pages) MakeKey(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	p := r.PostForm
	f := views.KeyForm{Name: strings.TrimSpace(p.Get("name")), Uses: p.Get("uses"), Days: p.Get("days"), Tags: p.Get("tags"),
		Policy: p.Get("policy"), Approve: p.Get("approve") == "true", Drill: p.Get("drill") == "true"}
	uses, _ := strconv.Atoi(strings.TrimSpace(f.Uses)) // what is no number is too few
	days, _ := strconv.ParseFloat(strings.TrimSpace(f.Days), 64)
	days = min(max(days, 0), 1000)
	k, token, err := s.Desk.OfferKey(r.Context(), session.Of(r.Context()).Name, enroll.KeyInput{Name: f.Name, Uses: uses,
		Life: time.Duration(days * float64(24*time.Hour)), Tags: hosts.TagsOf(f.Tags), Policy: f.Policy, Approve: f.Approve, Drill: f.Drill})
	var wrong field.Errors
	if errors.As(err, &wrong) {
		f.Errors = wrong
		return s.keysPage(w, r, http.StatusUnprocessableEntity, views.Keys{Form: f})
	} else if err != nil {
		return err
	}
	made, err := s.keyMade(r, k, token)
	if err != nil {
		return err
	}
	return s.keysPage(w, r, http.StatusOK, views.Keys{Form: views.KeyForm{Uses: f.Uses, Days: f.Days, Policy: f.Policy, Drill: true},
		Made: &made})
}

func (s *Pages) keyMade(r *http.Request, k admission.Key, token topics.EnrollToken) (m views.KeyMade, err error) {
	secret := token.Reveal()
	policy := k.Policy
	if policy == "restore" { // where to, each command says itself
		policy = "backup"
	}
	on := map[string]handout.Commands{}
	for _, system := range []string{handout.Linux, handout.Windows} {
		if on[system], err = s.Handout.Commands(r.Context(), secret, handout.Want{System: system, Policy: policy}); err != nil {
			return m, err
		}
	}
	linux := on[handout.Linux]
	m = views.KeyMade{Name: k.Name, Secret: secret, Install: linux.Install, Pinned: linux.Pinned, PowerShell: on[handout.Windows].Install,
		TokenFile: handout.TokenFile(linux.Server, secret, policy),
		Paths: []views.Fact{{Name: "Linux", Value: handout.StateOf(handout.Linux) + "/" + handout.TokenFileName},
			{Name: "Windows", Value: handout.StateOf(handout.Windows) + `\` + handout.TokenFileName}}}
	if linux.Why != "" {
		m.Why = &views.Note{Tone: "info", Title: linux.Why, Text: linux.Do}
	}
	return m, nil
}

// WithdrawKey has a key let nobody in any more.
func (s *Pages) WithdrawKey(w http.ResponseWriter, r *http.Request) error {
	if err := s.Desk.WithdrawKey(r.Context(), session.Of(r.Context()).Name, base.Param(r, "id")); err != nil {
		return problem.Of(err)
	}
	layout.Redirect(w, r, views.KeysURL)
	return nil
}

// ApproveHost trusts a host that waits for that.
func (s *Pages) ApproveHost(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.Desk.Approve(r.Context(), session.Of(r.Context()).Name, base.HostID(r)); err != nil {
		return problem.Of(err)
	}
	layout.Redirect(w, r, views.KeysURL)
	return nil
}
