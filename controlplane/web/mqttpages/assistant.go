package mqttpages

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/discovery"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/views"
)

// assistantCard is what Home Assistant is told.
func (s *Pages) assistantCard(ctx context.Context) views.AssistantCard {
	fail := func(err error) views.AssistantCard {
		s.Log.Error("read what Home Assistant is told", "err", err)
		return views.AssistantCard{Problem: "The database could not be read just now. What Home Assistant was told stays; look again " +
			"in a moment."}
	}
	set, _, err := s.Discovery.Get(ctx)
	if err != nil {
		return fail(err)
	}
	p, err := s.Discovery.Preview(ctx, set)
	if err != nil {
		return fail(err)
	}
	st, err := s.Discovery.Status(ctx)
	if err != nil {
		return fail(err)
	}
	c := views.AssistantCard{Enabled: set.Enabled, Prefix: set.Prefix, Devices: p.Devices, Entities: p.Entities,
		Born: s.When(st.BornAt())}
	if set.Enabled {
		c.Unheard = s.unheard(ctx, set)
	}
	return c
}

// unheard says why Home Assistant hears nothing, or has no buttons, although it is switched on;
// "" if nothing speaks against it.
func (s *Pages) unheard(ctx context.Context, set discovery.Settings) string {
	if st := s.Uplink.Status(); st.On {
		d, _ := s.Uplink.Dialect(ctx)
		switch {
		case !set.Buttons || d.Command != nil:
			return ""
		case st.Commands == uplink.ByConsumer:
			return "At your own broker there are no buttons: no credential here is Home Assistant and may command. Make one with the " +
				"name of Home Assistant's account there."
		}
		return "At your own broker there are no buttons: commands are not heard there."
	}
	host, _, err := net.SplitHostPort(s.Settings.MQTT)
	switch {
	case err != nil:
		return "Nobody hears of it: the built-in broker is switched off. Connect your own broker."
	case host == "localhost" || net.ParseIP(host).IsLoopback():
		return "Only a Home Assistant on this machine hears of it: the built-in broker listens on " + host + " alone. Connect your " +
			"own broker, or start the server with --mqtt 0.0.0.0:8884 and TLS."
	case set.Buttons && s.Discovery.Reach != nil:
		if reach, err := s.Discovery.Reach(ctx, outbox.Public); err == nil && !reach.Commands {
			return "There are no buttons: no credential here is Home Assistant and may command."
		}
	}
	return ""
}

// AssistantForm shows what Home Assistant is told.
func (s *Pages) AssistantForm(w http.ResponseWriter, r *http.Request) error {
	set, version, err := s.Discovery.Get(r.Context())
	if err != nil {
		return err
	}
	return s.assistantPage(w, r, http.StatusOK, formOf(set, version))
}

func formOf(set discovery.Settings, version int64) views.AssistantForm {
	return views.AssistantForm{Version: strconv.FormatInt(version, 10), Enabled: set.Enabled, Buttons: set.Buttons, Prefix: set.Prefix,
		Tags: strings.Join(set.Tags, " ")}
}

func (s *Pages) assistantPage(w http.ResponseWriter, r *http.Request, status int, f views.AssistantForm) error {
	f.Preview = s.preview(r.Context(), discovery.Settings{Enabled: f.Enabled, Prefix: f.Prefix, Tags: hosts.TagsOf(f.Tags),
		Buttons: f.Buttons})
	sh := s.Shell(r, "Home Assistant", "mqtt", toMQTT, views.Link{Text: "Home Assistant"})
	s.Render(w, r, status, views.AssistantPage(sh, f))
	return nil
}

func assistantSettings(form url.Values) (set discovery.Settings, version int64) {
	version, _ = strconv.ParseInt(form.Get("version"), 10, 64)
	return discovery.Settings{Enabled: form.Get("enabled") != "", Prefix: form.Get("prefix"), Tags: hosts.TagsOf(form.Get("tags")),
		Buttons: form.Get("buttons") != ""}, version
}

// preview counts the devices that settings would make.
func (s *Pages) preview(ctx context.Context, set discovery.Settings) views.AssistantPreview {
	p, err := s.Discovery.Preview(ctx, set)
	var wrong field.Errors
	switch {
	case errors.As(err, &wrong):
		return views.AssistantPreview{Problem: layout.Besides("How many devices it makes is told once this is right:", wrong)}
	case err != nil:
		s.Log.Error("count the devices of Home Assistant", "err", err)
		return views.AssistantPreview{Problem: "How many devices it makes cannot be told just now: the database could not be read."}
	}
	return views.AssistantPreview{Devices: p.Devices, Hosts: p.Hosts, Repositories: p.Repositories, Entities: p.Entities, Enabled: set.Enabled}
}

// AssistantPreview answers with how many devices a form would make.
func (s *Pages) AssistantPreview(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	set, _ := assistantSettings(r.PostForm)
	s.Render(w, r, http.StatusOK, views.AssistantCount(s.preview(r.Context(), set)))
	return nil
}

// SaveAssistant saves what Home Assistant is told.
func (s *Pages) SaveAssistant(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	set, version := assistantSettings(r.PostForm)
	err := s.Discovery.Put(r.Context(), session.Of(r.Context()).Name, set, version)
	var wrong field.Errors
	switch {
	case err == nil:
		layout.Redirect(w, r, views.MQTTURL)
		return nil
	case !errors.As(err, &wrong):
		return problem.Saving("setting", err)
	}
	f := formOf(set, version)
	f.Errors, f.Problem = wrong, layout.Besides("Nothing was saved.", wrong, "prefix", "tags")
	return s.assistantPage(w, r, http.StatusUnprocessableEntity, f)
}
