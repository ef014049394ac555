package alertpages

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/views"
)

// ofPage is how many messages a page of what was sent shows.
const ofPage = 20

// ChannelsPage lists who is told.
func (s *Pages) ChannelsPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	list, err := s.lines(ctx)
	if err != nil {
		return err
	}
	v := views.Channels{Tabs: s.tabs(ctx, "channels"), List: list, Heartbeat: s.watchdog(ctx), PublicURL: s.Alerts.PublicURL(ctx)}
	if v.Heard, err = s.heard(ctx, nil); err != nil {
		return err
	}
	sh := s.Shell(r, "Channels and rules", "alerts", toAlerts, views.Link{Text: toChannels.Text})
	s.Render(w, r, http.StatusOK, views.ChannelsPage(sh, v))
	return nil
}

func kindOf(k channels.Kind) views.ChannelKind {
	return views.ChannelKind{Name: k.Name, Label: k.Label, Icon: k.Icon, Help: k.Help}
}

// fieldsOf are the fields of a kind with what was saved, or typed; of a saved channel an
// empty field keeps its secret.
func fieldsOf(k channels.Kind, values map[string]string, saved bool, wrong field.Errors) (out []views.ChannelField) {
	for _, f := range k.Fields {
		v := views.ChannelField{Name: f.Name, Label: f.Label, Help: f.Help, Example: f.Example, Value: values[f.Name], Secret: f.Secret,
			Required: f.Required, List: f.List, Kept: saved && f.Secret, Error: wrong[f.Name]}
		if v.Value == "" && !saved && len(wrong) == 0 {
			v.Value = f.Default
		}
		for _, o := range f.Options {
			v.Options = append(v.Options, views.Option{Value: o, Text: optionWord(o)})
		}
		out = append(out, v)
	}
	return out
}

func optionWord(o string) string {
	switch o {
	case "starttls":
		return "STARTTLS"
	case "tls":
		return "TLS"
	case "none":
		return "None: in clear"
	}
	return o
}

// typed reads the fields of a kind from a form. Of a saved channel, what is left empty and
// is a secret is left out, so that it stays, unless it is to be taken away.
func typed(k channels.Kind, form url.Values, saved bool) map[string]string {
	values := map[string]string{}
	for _, f := range k.Fields {
		v := strings.ReplaceAll(form.Get("f."+f.Name), "\r\n", "\n")
		if saved && f.Secret && v == "" && form.Get("drop."+f.Name) == "" {
			continue
		}
		values[f.Name] = v
	}
	return values
}

// NewChannelForm chooses a kind of channel, or fills one in.
func (s *Pages) NewChannelForm(w http.ResponseWriter, r *http.Request) error {
	k, known := channels.KindOf(r.URL.Query().Get("kind"))
	if !known {
		k = channels.Kind{}
	}
	return s.newChannelPage(w, r, http.StatusOK, views.ChannelForm{Kind: kindOf(k), Fields: fieldsOf(k, nil, false, nil)})
}

func (s *Pages) newChannelPage(w http.ResponseWriter, r *http.Request, status int, f views.ChannelForm) error {
	var kinds []views.ChannelKind
	for _, k := range channels.Kinds() {
		kinds = append(kinds, kindOf(k))
	}
	sh := s.Shell(r, "Add channel", "alerts", toAlerts, toChannels, views.Link{Text: "Add channel"})
	s.Render(w, r, status, views.NewChannelPage(sh, kinds, f))
	return nil
}

// refused is what is wrong with a channel that was not saved; the error itself if it is
// about something else.
func refused(err error) (field.Errors, error) {
	var wrong field.Errors
	switch p := base.ProblemOf(err); {
	case errors.As(err, &wrong):
		return wrong, nil
	case errors.Is(err, channels.ErrNameTaken):
		return field.Errors{"name": "There is a channel of this name already."}, nil
	case p.Fields != nil:
		return p.Fields, nil
	}
	return nil, err
}

// besidesFields is what is wrong with no field that the form shows.
func besidesFields(title string, k channels.Kind, wrong field.Errors) string {
	for name, say := range wrong {
		shown := name == "name"
		for _, f := range k.Fields {
			shown = shown || f.Name == name
		}
		if !shown {
			title += " " + say
		}
	}
	return title
}

// NewChannel adds a channel, and shows a secret that was made for it.
func (s *Pages) NewChannel(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	k, known := channels.KindOf(r.PostForm.Get("kind"))
	if !known {
		return problem.NoPage
	}
	name, values := strings.TrimSpace(r.PostForm.Get("name")), typed(k, r.PostForm, false)
	c, secret, err := s.Channels.Add(r.Context(), s.actor(r.Context()), channels.Draft{Name: &name, Kind: k.Name, Fields: values})
	if err == nil {
		return s.showChannel(w, r, http.StatusOK, c.ID, views.ChannelView{Secret: secret,
			Done: "The channel is added. Send a test to see whether it arrives."})
	}
	wrong, err := refused(err)
	if err != nil {
		return err
	}
	return s.newChannelPage(w, r, http.StatusUnprocessableEntity, views.ChannelForm{Name: name, Kind: kindOf(k),
		Fields: fieldsOf(k, values, false, wrong), Errors: wrong, Problem: besidesFields("The channel was not added.", k, wrong)})
}

// Channel shows one channel.
func (s *Pages) Channel(w http.ResponseWriter, r *http.Request) error {
	return s.showChannel(w, r, http.StatusOK, base.Param(r, "id"), views.ChannelView{})
}

// showChannel shows a channel with what came of the last deed.
func (s *Pages) showChannel(w http.ResponseWriter, r *http.Request, status int, id string, v views.ChannelView) error {
	ctx := r.Context()
	c, err := s.Channels.Get(ctx, id)
	if err != nil {
		return err
	}
	waits, err := s.Store.Channels().Waits(ctx)
	if err != nil {
		return err
	}
	v.ChannelLine = s.line(ctx, c, waits)
	for _, x := range conditions.Table() {
		v.Conditions = append(v.Conditions, views.Option{Value: string(x.Name), Text: x.Title})
	}
	if v.Tested == "" {
		v.Tested = string(conditions.Name("backup-failed"))
	}
	if v.Form.ID == "" {
		k, known := channels.KindOf(c.Kind)
		if !known {
			k = channels.Kind{Name: c.Kind, Label: c.Kind}
		}
		values := map[string]string{}
		if c.Settings.V != nil {
			values = *c.Settings.V
		}
		v.Form = views.ChannelForm{ID: c.ID, Version: c.Version, Name: c.Name, Kind: kindOf(k), Fields: fieldsOf(k, values, true, nil)}
	}
	before := r.URL.Query().Get("before")
	sent, err := s.Channels.Deliveries(ctx, id, before, ofPage+1)
	if err != nil {
		return err
	}
	if len(sent) > ofPage {
		sent = sent[:ofPage]
		v.Older = views.ChannelURL(id) + "?before=" + url.QueryEscape(sent[ofPage-1].ID) + "#deliveries"
	}
	if before != "" {
		v.Newest = views.ChannelURL(id) + "#deliveries"
	}
	for _, d := range sent {
		v.Deliveries = append(v.Deliveries, s.delivery(d))
	}
	sh := s.Shell(r, c.Name, "alerts", toAlerts, toChannels, views.Link{Text: c.Name})
	s.Render(w, r, status, views.ChannelPage(sh, v))
	return nil
}

// delivery is a message as the page of its channel shows it.
func (s *Pages) delivery(d rows.Delivery) views.Delivery {
	v := views.Delivery{ID: d.ID, Event: string(d.Event), State: d.State, At: s.When(endOf(d)), Answer: d.Answer, Tries: s.tries(d)}
	var m channels.Message
	if json.Unmarshal([]byte(d.Body), &m) != nil {
		return v // what was said is not readable; how it went is
	}
	v.Title, v.More = m.Title, m.More
	for _, a := range m.Alerts {
		if d.Event != rows.Test {
			v.Alerts = append(v.Alerts, views.Link{Text: a.Title, URL: views.AlertURL(a.ID)})
		}
	}
	return v
}

// SaveChannel changes a channel.
func (s *Pages) SaveChannel(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, id := r.Context(), base.Param(r, "id")
	c, err := s.Channels.Get(ctx, id)
	if err != nil {
		return err
	}
	k, _ := channels.KindOf(c.Kind)
	name, values := strings.TrimSpace(r.PostForm.Get("name")), typed(k, r.PostForm, true)
	version, _ := strconv.ParseInt(r.PostForm.Get("version"), 10, 64) // 0 does not ask
	_, secret, err := s.Channels.Change(ctx, s.actor(ctx), id, channels.Draft{Name: &name, Fields: values, Version: version})
	if err == nil {
		return s.showChannel(w, r, http.StatusOK, id, views.ChannelView{Secret: secret, Done: "The channel is saved."})
	}
	wrong, err := refused(err)
	if err != nil {
		return err
	}
	f := views.ChannelForm{ID: c.ID, Version: version, Name: name, Kind: kindOf(k), Fields: fieldsOf(k, values, true, wrong), Errors: wrong,
		Problem: besidesFields("The channel was not saved.", k, wrong)}
	return s.showChannel(w, r, http.StatusUnprocessableEntity, id, views.ChannelView{Form: f})
}

// TestChannel tells a channel of an example, and shows the real answer.
func (s *Pages) TestChannel(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	id, condition := base.Param(r, "id"), r.PostForm.Get("condition")
	a, err := s.Channels.Test(r.Context(), s.actor(r.Context()), id, condition)
	if err != nil {
		return err
	}
	return s.showChannel(w, r, http.StatusOK, id, views.ChannelView{HasTest: true, TestOK: a.OK, TestAnswer: a.Text, Tested: condition})
}

// EnableChannel has a channel told of alerts, or not.
func (s *Pages) EnableChannel(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	id := base.Param(r, "id")
	if err := s.Channels.Enable(r.Context(), s.actor(r.Context()), id, r.PostForm.Get("enabled") == "true"); err != nil {
		return err
	}
	layout.Redirect(w, r, views.ChannelURL(id))
	return nil
}

// RemoveChannel removes a channel.
func (s *Pages) RemoveChannel(w http.ResponseWriter, r *http.Request) error {
	if err := s.Channels.Remove(r.Context(), s.actor(r.Context()), base.Param(r, "id")); err != nil {
		return err
	}
	layout.Redirect(w, r, views.ChannelsURL)
	return nil
}

// heard is which channel hears of which condition: of a host, or for nil of a host for
// which no rule was made, and of all that is about no host.
func (s *Pages) heard(ctx context.Context, of *heardOf) (views.HeardTable, error) {
	rules, _, err := s.Alerts.Rules(ctx)
	if err != nil {
		return views.HeardTable{}, err
	}
	list, err := s.Channels.List(ctx)
	if err != nil {
		return views.HeardTable{}, err
	}
	return heardTable(rules, list, of), nil
}
