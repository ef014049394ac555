package mqttpages

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// heard words whose commands are heard at the user's own broker.
var heard = map[uplink.Commands]string{uplink.Off: "not heard", uplink.External: "of whoever may write there",
	uplink.ByConsumer: "of each consumer by name"}

// uplinkCard is how the user's own broker is doing.
func (s *Pages) uplinkCard(ctx context.Context) views.UplinkCard {
	st := s.Uplink.Status()
	u := views.UplinkCard{On: st.On, Connected: st.Connected, Since: s.When(st.Since), Topics: st.Topics, Published: st.Published,
		Commands: heard[st.Commands], Fixed: s.Uplink.Flags.URL != ""}
	if !session.Of(ctx).May(rights.Telling) {
		if !st.Connected && st.On {
			u.Error = "The broker cannot be reached."
		}
		return u
	}
	u.URL, u.Root, u.Error, u.Remedy, u.Warnings = st.URL, st.Root, st.Error, st.Remedy, st.Warnings
	for _, l := range st.Leaving {
		u.Leaving = append(u.Leaving, views.UplinkLeaving{ID: l.ID, URL: l.URL, Error: l.Error, Topics: l.Topics, Since: s.When(l.Since)})
	}
	return u
}

// UplinkForm shows how the user's own broker is reached.
func (s *Pages) UplinkForm(w http.ResponseWriter, r *http.Request) error {
	f, err := s.savedUplink(r.Context())
	if err != nil {
		return err
	}
	return s.uplinkPage(w, r, http.StatusOK, f)
}

func (s *Pages) savedUplink(ctx context.Context) (views.UplinkForm, error) {
	set, err := s.Uplink.Settings(ctx)
	if err != nil {
		return views.UplinkForm{}, err
	}
	f := views.UplinkForm{Version: strconv.FormatInt(set.Version, 10), URL: set.URL, User: set.User, Root: set.Root,
		Prefix: set.Prefix, CA: set.CA,
		Certificate: set.Certificate, HasPassword: set.HasPassword, HasKey: set.HasKey, Insecure: set.Insecure,
		Commands: string(set.Commands), Tested: set.Tested, Fixed: set.Fixed}
	if set.Unread != nil {
		f.Unread = "Nothing is published there until they are entered again: the key of the database is another one."
	}
	return f, nil
}

func (s *Pages) uplinkPage(w http.ResponseWriter, r *http.Request, status int, f views.UplinkForm) error {
	sh := s.Shell(r, "Your own broker", "mqtt", toMQTT, views.Link{Text: "Your own broker"})
	s.Render(w, r, status, views.UplinkPage(sh, f))
	return nil
}

// SaveUplink saves how the user's own broker is reached, tries it, or ends it.
func (s *Pages) SaveUplink(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, form := r.Context(), r.PostForm
	f, err := s.savedUplink(ctx)
	if err != nil {
		return err
	}
	in := uplinkInput(form, f.Fixed)
	actor := session.Of(ctx).Name
	if form.Get("do") == "off" {
		none := ""
		if err := s.Uplink.Put(ctx, actor, uplink.Input{URL: &none, Version: in.Version}); err != nil {
			return problem.Saving("broker", err)
		}
		layout.Redirect(w, r, views.MQTTURL)
		return nil
	}
	typed(&f, form)
	if form.Get("do") == "test" {
		var second *uplink.Account
		if f.Second != "" || form.Get("second_password") != "" {
			second = &uplink.Account{User: f.Second, Password: topics.Secret(form.Get("second_password"))}
		}
		var result uplink.TestResult
		if result, err = s.Uplink.Test(ctx, actor, in, second); err == nil {
			f.Result = resultOf(result)
			return s.uplinkPage(w, r, http.StatusOK, f)
		}
	} else if err = s.Uplink.Put(ctx, actor, in); err == nil {
		layout.Redirect(w, r, views.MQTTURL)
		return nil
	}
	var wrong field.Errors
	if !errors.As(err, &wrong) {
		return problem.Saving("broker", err)
	}
	f.Errors, f.Problem = wrong, "Nothing was saved."
	if form.Get("do") == "test" {
		f.Problem = "Nothing was tried."
		if base.IsHTMX(r) {
			f.Result = &views.UplinkResult{}
			for _, name := range []string{"url", "user", "password", "ca", "certificate", "key", "insecure", "root", "prefix",
				"commands", "second_user"} {
				if wrong[name] != "" {
					f.Result.Steps = append(f.Result.Steps, views.UplinkStep{Status: bad, Text: wrong[name]})
				}
			}
			return s.uplinkPage(w, r, http.StatusOK, f)
		}
	}
	return s.uplinkPage(w, r, http.StatusUnprocessableEntity, f)
}

// uplinkInput reads the form. A secret that is left out stays.
func uplinkInput(form url.Values, fixed bool) uplink.Input {
	text := func(name string) *string {
		v := strings.TrimSpace(form.Get(name))
		return &v
	}
	secret := func(name string) *topics.Secret {
		if v := topics.Secret(form.Get(name)); v != "" {
			return &v
		}
		return nil
	}
	version, _ := strconv.ParseInt(form.Get("version"), 10, 64)
	commands, insecure := uplink.Commands(form.Get("commands")), form.Get("insecure") != ""
	in := uplink.Input{Root: text("root"), Prefix: text("prefix"), Commands: &commands, Version: &version}
	if !fixed {
		in.URL, in.User, in.CA, in.Certificate, in.Insecure = text("url"), text("user"), text("ca"), text("certificate"), &insecure
		in.Password, in.Key = secret("password"), secret("key")
	}
	return in
}

// typed keeps what was typed, but for secrets.
func typed(f *views.UplinkForm, form url.Values) {
	f.Root, f.Prefix, f.Commands, f.Second = form.Get("root"), form.Get("prefix"), form.Get("commands"),
		strings.TrimSpace(form.Get("second_user"))
	f.Version = form.Get("version")
	if !f.Fixed {
		f.URL, f.User, f.CA, f.Certificate = form.Get("url"), form.Get("user"), form.Get("ca"), form.Get("certificate")
		f.Insecure = form.Get("insecure") != ""
	}
}

// How a test's steps are shown.
var (
	good = views.Status{Tone: "ok", Icon: "circle-check", Word: "Works", Quiet: true}
	poor = views.Status{Tone: "warn", Icon: "triangle-alert", Word: "Not all"}
	bad  = views.Status{Tone: "fail", Icon: "octagon-x", Word: "Does not"}
)

func resultOf(r uplink.TestResult) *views.UplinkResult {
	v := &views.UplinkResult{OK: r.OK}
	for _, step := range r.Steps {
		x := views.UplinkStep{Status: bad, Text: step.Text, Remedy: step.Remedy}
		switch {
		case step.OK:
			x.Status = good
		case step.Warn:
			x.Status = poor
		}
		v.Steps = append(v.Steps, x)
	}
	return v
}

// LeaveUplink gives up a broker that was left and is gone for good.
func (s *Pages) LeaveUplink(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	if err := s.Uplink.GiveUp(r.Context(), session.Of(r.Context()).Name, r.PostForm.Get("id")); err != nil {
		return problem.Saving("broker", err)
	}
	layout.Redirect(w, r, views.MQTTURL)
	return nil
}
