// Package alertpages holds the handlers of the pages about alerts: what is open and what
// ended, one alert, who is told of what, what is watched for, and pauses.
package alertpages

import (
	"context"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/rights"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	rows "github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// Pages holds the handlers of the pages about alerts.
type Pages struct{ *layout.Page }

// New returns the handlers of these pages.
func New(p *layout.Page) *Pages { return &Pages{p} }

// Where the crumbs of these pages begin.
var (
	toAlerts   = views.Link{Text: "Alerts", URL: views.AlertsURL}
	toChannels = views.Link{Text: "Channels and rules", URL: views.ChannelsURL}
)

// actor is who asks.
func (s *Pages) actor(ctx context.Context) string { return session.Of(ctx).Name }

// tabs are the parts of the pages, with how much there is.
func (s *Pages) tabs(ctx context.Context, current string) views.AlertTabs {
	n := s.Alerts.Counts(ctx)
	t := views.AlertTabs{Current: current, Open: n.Open + n.Acknowledged + n.Snoozed}
	if list, err := s.Alerts.Pauses(ctx); err == nil {
		for _, p := range list {
			if p.From <= s.Now().UnixMilli() {
				t.Pauses++
			}
		}
	}
	return t
}

// snoozes are for how long alerts may be snoozed with one button.
func (s *Pages) snoozes() []views.Option {
	return []views.Option{{Value: "1h", Text: "for 1 hour"}, {Value: "morning", Text: "until tomorrow 08:00"},
		{Value: "1w", Text: "for 1 week"}}
}

// until is when a snooze ends that one of the buttons asks for; 0 if it is none.
func (s *Pages) until(ctx context.Context, button string) int64 {
	now := s.Now().In(words.Zone(ctx))
	switch button {
	case "1h":
		return now.Add(time.Hour).UnixMilli()
	case "morning":
		return time.Date(now.Year(), now.Month(), now.Day()+1, 8, 0, 0, 0, words.Zone(ctx)).UnixMilli()
	case "1w":
		return now.AddDate(0, 0, 7).UnixMilli()
	}
	return 0
}

// line is how a channel does. Where it leads to and what the other side answers is for
// those who may say who is told.
func (s *Pages) line(ctx context.Context, c rows.Channel, waits map[string]int) views.ChannelLine {
	k, _ := channels.KindOf(c.Kind)
	v := views.ChannelLine{ID: c.ID, Name: c.Name, Kind: k.Label, Icon: k.Icon, Enabled: c.Enabled, LastOK: s.When(c.LastOKAt),
		FailingSince: s.When(c.FailingSince), Waits: waits[c.ID]}
	if session.Of(ctx).May(rights.Telling) {
		v.To, v.Answer = leads(c), c.LastAnswer
	}
	return v
}

// leads is where a channel leads to, by its fields that are no secret.
func leads(c rows.Channel) string {
	if c.Settings.V == nil {
		return ""
	}
	f := *c.Settings.V
	for _, name := range []string{"to", "rooms", "chats", "topic", "url"} {
		if f[name] != "" {
			text := strings.Join(layout.Lines(f[name]), ", ")
			if name == "topic" && f["url"] != "" {
				text = strings.TrimSuffix(f["url"], "/") + "/" + text
			}
			return text
		}
	}
	return ""
}

// lines are how all channels do.
func (s *Pages) lines(ctx context.Context) ([]views.ChannelLine, error) {
	list, err := s.Channels.List(ctx)
	if err != nil {
		return nil, err
	}
	waits, err := s.Store.Channels().Waits(ctx)
	if err != nil {
		return nil, err
	}
	var out []views.ChannelLine
	for _, c := range list {
		out = append(out, s.line(ctx, c, waits))
	}
	return out, nil
}

// watchdog is how the outside heartbeat does.
func (s *Pages) watchdog(ctx context.Context) views.HeartbeatLine {
	st := s.Heartbeat.Status()
	v := views.HeartbeatLine{On: st.On, LastOK: s.When(st.LastOKAt)}
	if st.Failures > 0 {
		v.FailingSince = s.When(st.FailingSince)
	}
	if !st.On {
		return v
	}
	set, _, err := s.Heartbeat.Get(ctx)
	if err != nil {
		v.FailingSince, v.Target = s.When(s.Now().UnixMilli()), "not readable: enter it again"
	}
	v.Every = words.Span(time.Duration(set.Every) * time.Second)
	if v.Target == "" {
		v.Target = hostOf(set.URL)
	}
	if session.Of(ctx).May(rights.Telling) && !v.FailingSince.Never() {
		v.Answer = st.Answer
	}
	return v
}
