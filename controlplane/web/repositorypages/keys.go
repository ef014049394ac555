package repositorypages

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rekey"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/kits"
	"github.com/restic-manager/restic-manager/store/passwords"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// keyRows are the keys of a repository as the last listing found them.
func (s *Pages) keyRows(ctx context.Context, id topics.RepositoryID) (rows []views.KeyRow, err error) {
	keys, err := s.Store.Keys(ctx, id)
	for _, k := range keys {
		row := views.KeyRow{
			ID:      k.ID,
			ShortID: layout.Short(k.ID),
			Owner:   strings.Trim(k.Username+"@"+k.Hostname, "@"),
			Trusted: k.Ours(),
			Current: k.Opened,
		}
		if k.Created > 0 {
			row.Created = "made " + words.Clock(ctx, base.At(k.Created), s.Now())
		}
		if !k.Ours() {
			row.Created = "first seen " + words.Ago(base.At(k.FirstSeen), s.Now())
		}
		rows = append(rows, row)
	}
	return rows, err
}

// KeysPage shows the keys of a repository and how far a change of its password is.
func (s *Pages) KeysPage(w http.ResponseWriter, r *http.Request) error {
	return s.showKeys(w, r, http.StatusOK, views.RepositoryKeysView{})
}

func (s *Pages) showKeys(w http.ResponseWriter, r *http.Request, status int, v views.RepositoryKeysView) error {
	ctx := r.Context()
	row, err := repositories.Find(ctx, s.Store, base.RepositoryID(r))
	if err != nil {
		return err
	}
	v.ID, v.Name, v.KeysAt = string(row.ID), row.Name, s.When(row.KeysAt)
	if v.Keys, err = s.keyRows(ctx, row.ID); err != nil {
		return err
	}
	st, err := s.Rekey.Last(ctx, row.ID)
	if err != nil && !errors.Is(err, rekey.ErrNone) {
		return err
	}
	v.May = err != nil || st.State != passwords.Adding && st.State != passwords.Switching
	if err == nil {
		c, err := s.passwordChange(ctx, row, st)
		if err != nil {
			return err
		}
		v.Change = &c
	}
	sh := s.Shell(r, "Keys of "+row.Name, "repositories", layout.ToRepositories, views.Link{Text: row.Name, URL: views.RepositoryURL(v.ID)},
		views.Link{Text: "Keys and password"})
	s.Render(w, r, status, views.RepositoryPasswordPage(sh, v))
	return nil
}

// passwordChange words how far a change is.
func (s *Pages) passwordChange(ctx context.Context, r store.Repository, st rekey.Status) (c views.PasswordChange, err error) {
	c = views.PasswordChange{Began: s.When(st.BeganAt), By: st.BeganBy, Waits: st.Waits}
	var added, removed, confirmed, last int64
	proven, gone, tried := 0, 0, false
	for _, p := range st.Places {
		if p.AddedAt > 0 {
			proven++
		}
		if p.RemovedAt > 0 {
			gone++
		}
		added, removed, tried = max(added, p.AddedAt), max(removed, p.RemovedAt), tried || p.Tried
	}
	for _, p := range st.Places {
		if why := st.Stuck(p); why != "" {
			c.Stuck = append(c.Stuck, views.PasswordPlace{Host: string(p.Host), Name: st.Names[p.Host], Why: why})
		}
		if p.Left() {
			c.Left = append(c.Left, views.PasswordPlace{Host: string(p.Host), Name: st.Names[p.Host], Why: p.LeftWhy, By: p.LeftBy,
				At: s.When(p.LeftAt), What: rekey.What(st.Change, p), Show: p.AddedAt == 0 && st.SwitchedAt > 0 && !st.Back})
		}
	}
	for _, h := range st.Hosts {
		if h.Settled() {
			confirmed++
			last = max(last, h.ConfirmedAt)
		} else if st.State == passwords.Switching {
			c.Outstanding, c.Without = append(c.Outstanding, h.Name), append(c.Without, string(h.Host.Host))
		}
	}
	if st.State == passwords.Switching {
		for _, j := range st.Busy {
			if name := st.Names[j.Host]; !strings.Contains(strings.Join(c.Outstanding, "\n"), name) {
				c.Outstanding, c.Without = append(c.Outstanding, name), append(c.Without, string(j.Host))
			}
		}
	}
	of := func(n, all int, what string) string {
		if all <= 1 {
			return ""
		}
		return words.Number(uint64(n)) + " of " + words.Number(uint64(all)) + " " + what
	}
	step := func(done bool, text, sub string, at int64) {
		if done {
			c.Steps = append(c.Steps, views.DoneStep(text, sub, s.When(at)))
		} else {
			c.Steps = append(c.Steps, views.OpenStep(text, sub))
		}
	}
	hosts := of(int(confirmed), len(st.Hosts), "hosts")
	switch {
	case st.Back && st.SwitchedAt == 0:
		c.Title, c.Text = "The change of the password is called off", "Every host has the password that it had. The new key is removed."
	case st.Back:
		c.Title, c.Text = "The change of the password is called off", "Hosts get the old password back, and then the new key is removed."
		step(st.State != passwords.Switching, "Every host has confirmed the old password", hosts, last)
	default:
		c.Title, c.Text = "The password is being changed", "Every host has a password that opens, at each step. Nothing has to be waited for "+
			"on this page."
		step(st.State != passwords.Adding, "The new key is added and proven by opening with it", of(proven, len(st.Places), "places"), added)
		step(st.SwitchedAt > 0, "The repository has the new password", "", st.SwitchedAt)
		step(st.State != passwords.Adding && st.State != passwords.Switching, "Every host has confirmed the new password", hosts, last)
	}
	key := "The old key is removed"
	if st.Back {
		key = "The new key is removed"
	}
	step(st.Ended(), key, of(gone, len(st.Places), "places"), removed)
	switch st.State {
	case passwords.Done:
		c.Title, c.Text = "The password was changed", "The old one opens nothing any more."
		if len(c.Left) > 0 {
			c.Text = "The old one opens nothing any more, except where the change went on without a place."
		}
	case passwords.Undone:
		c.Text = "Every host has the password of before, and the one that was to come opens nothing."
	}
	if st.Ended() && st.Former != "" && !st.Back && len(c.Left) == 0 {
		c.Former = "The former password is kept here, sealed, until no copy of the database that is kept is from before the change. " +
			"A control plane that is put back to such a copy knows the former one alone: enter the new one there."
	}
	c.CanCallOff = !st.Ended() && !st.Back && !tried
	shown, err := s.Store.KitsShown(ctx)
	at := shown[kits.Of{Kind: kits.OfRepository, Subject: string(r.ID)}].At
	c.KitsOutdated = st.SwitchedAt > 0 && !st.Back && at > 0 && at < st.SwitchedAt
	return c, err
}

// ChangePassword begins to change the password, and shows a new one once.
func (s *Pages) ChangePassword(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	in := rekey.Input{Patient: r.PostForm.Get("patient") != ""}
	if typed := r.PostForm.Get("password"); typed != "" {
		in.Password = new(topics.Secret(typed))
	}
	b, err := s.Rekey.Begin(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r), in)
	v := views.RepositoryKeysView{Typed: views.PasswordTyped{Patient: in.Patient}}
	var fields field.Errors
	switch {
	case errors.As(err, &fields):
		v.Errors, v.Problem = fields, layout.Besides("The password is not changed.", fields, "password")
		return s.showKeys(w, r, base.StatusOf(problem.Of(err)), v)
	case err != nil:
		return s.keysProblem(r, err)
	case b.Made:
		v.Password, v.For = b.Password.Reveal(), "The new password"
		return s.showKeys(w, r, http.StatusOK, v)
	}
	layout.Redirect(w, r, views.RepositoryKeysURL(base.Param(r, "id")))
	return nil
}

func (s *Pages) keysProblem(r *http.Request, err error) error {
	return problem.Of(err).With(problem.Link{Text: "Keys and password", URL: views.RepositoryKeysURL(base.Param(r, "id"))})
}

// CallOffPassword has the change go back.
func (s *Pages) CallOffPassword(w http.ResponseWriter, r *http.Request) error {
	return s.passwordDecided(w, r, s.Rekey.CallOff(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r)))
}

// GoOnPassword has the change go on without hosts that have not confirmed, or places that
// nobody reaches: those that the page named.
func (s *Pages) GoOnPassword(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	var without rekey.Without
	for _, h := range r.PostForm["host"] {
		without.Hosts = append(without.Hosts, topics.HostID(h))
	}
	for _, h := range r.PostForm["place"] {
		without.Places = append(without.Places, topics.HostID(h))
	}
	return s.passwordDecided(w, r, s.Rekey.GoOn(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r), without))
}

// FormerPassword shows the password that opens a place without which a change went on.
func (s *Pages) FormerPassword(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	place := topics.HostID(r.PostForm.Get("place"))
	p, err := s.Rekey.Former(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r), place)
	if err != nil {
		return s.keysProblem(r, err)
	}
	names := map[topics.HostID]string{}
	if err := s.Store.HostNames(r.Context(), []topics.HostID{place}, names); err != nil {
		return err
	}
	return s.showKeys(w, r, http.StatusOK, views.RepositoryKeysView{Password: p.Reveal(), For: "The password of the place of " + names[place]})
}

// RemoveKey has a key removed.
func (s *Pages) RemoveKey(w http.ResponseWriter, r *http.Request) error {
	_, err := s.Rekey.RemoveKey(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r), base.Param(r, "key"))
	return s.passwordDecided(w, r, err)
}

func (s *Pages) passwordDecided(w http.ResponseWriter, r *http.Request, err error) error {
	if err != nil {
		return s.keysProblem(r, err)
	}
	layout.Redirect(w, r, views.RepositoryKeysURL(base.Param(r, "id")))
	return nil
}

// AddKey has a key added, and shows a password that was made for it once.
func (s *Pages) AddKey(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	in := rekey.KeyInput{User: strings.TrimSpace(r.PostForm.Get("user")), Host: strings.TrimSpace(r.PostForm.Get("host"))}
	if typed := r.PostForm.Get("key_password"); typed != "" {
		in.Password = new(topics.Secret(typed))
	}
	k, err := s.Rekey.AddKey(r.Context(), session.Of(r.Context()).Name, base.RepositoryID(r), in)
	v := views.RepositoryKeysView{Typed: views.PasswordTyped{User: in.User, Host: in.Host}}
	var fields field.Errors
	switch {
	case errors.As(err, &fields):
		if said, bad := fields["password"]; bad {
			delete(fields, "password")
			fields["key_password"] = said
		}
		v.Errors, v.Problem = fields, layout.Besides("No key is added.", fields, "key_password", "user")
		return s.showKeys(w, r, base.StatusOf(problem.Of(err)), v)
	case err != nil:
		return s.keysProblem(r, err)
	case in.Password == nil, len(k.Unasked) > 0:
		v = views.RepositoryKeysView{Password: k.Password.Reveal(), For: "The password of the key for " + in.User}
		for _, u := range k.Unasked {
			v.Unasked = append(v.Unasked, views.PasswordPlace{Host: string(u.Host), Name: u.Name, Why: problem.Of(u.Err).Say})
		}
		return s.showKeys(w, r, http.StatusOK, v)
	}
	layout.Redirect(w, r, views.RepositoryKeysURL(base.Param(r, "id")))
	return nil
}
