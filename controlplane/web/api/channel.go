package api

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	rows "github.com/restic-manager/restic-manager/store/channels"
)

// A channelBody is a channel as a program writes it down: its name, its kind, and beside
// them the fields of the kind.
type channelBody map[string]any

// Schema implements huma.SchemaProvider: the fields of every kind.
func (channelBody) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: channelFields(map[string]*huma.Schema{
		"name": {Type: huma.TypeString, Description: "for people, its own"},
		"kind": {Type: huma.TypeString, Enum: kindNames(), Description: "of a new one; it never changes"},
		"enabled": {Type: huma.TypeBoolean,
			Description: "whether it is told of alerts; true unless said"},
		"version": {Type: huma.TypeInteger, Description: "PUT: refused if the channel has another one; left out does not ask"},
	})}
}

func kindNames() (all []any) {
	for _, k := range channels.Kinds() {
		all = append(all, k.Name)
	}
	return all
}

// channelFields adds the fields of every kind.
func channelFields(to map[string]*huma.Schema) map[string]*huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	of := map[string][]string{}
	lists := map[string]bool{}
	for _, k := range channels.Kinds() {
		for _, f := range k.Fields {
			said := k.Name + ": " + f.Label
			if f.Secret {
				said += " (a secret)"
			}
			of[f.Name] = append(of[f.Name], said)
			lists[f.Name] = lists[f.Name] || f.List
		}
	}
	for name, said := range of {
		s := &huma.Schema{Description: strings.Join(said, "; "), OneOf: []*huma.Schema{text, {Type: huma.TypeInteger}}}
		if lists[name] {
			s.OneOf = []*huma.Schema{text, {Type: huma.TypeArray, Items: text}}
		}
		to[name] = s
	}
	return to
}

// draft is the same as the service takes it.
func (b channelBody) draft() channels.Draft {
	d := channels.Draft{Fields: map[string]string{}}
	for name, value := range b {
		switch name {
		case "name":
			text, _ := value.(string) // its schema lets nothing else through, here and below
			d.Name = &text
		case "kind":
			d.Kind, _ = value.(string)
		case "enabled":
			on, _ := value.(bool)
			d.Enabled = &on
		case "version":
			n, _ := value.(float64)
			d.Version = int64(n)
		default:
			d.Fields[name] = textOf(value)
		}
	}
	return d
}

// textOf is a field's value; of a list, one a line.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		lines := make([]string, len(v))
		for i, one := range v {
			lines[i] = textOf(one)
		}
		return strings.Join(lines, "\n")
	}
	return ""
}

// A channelJSON is a channel as the API tells it: never a secret, but once that which was
// made for a webhook.
type channelJSON map[string]any

// Schema implements huma.SchemaProvider.
func (channelJSON) Schema(huma.Registry) *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	moment := func(said string) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true, Description: said}
	}
	all := channelFields(map[string]*huma.Schema{
		"id":            text,
		"name":          text,
		"kind":          {Type: huma.TypeString, Enum: kindNames()},
		"enabled":       {Type: huma.TypeBoolean},
		"version":       {Type: huma.TypeInteger, Description: "rises with each change"},
		"secrets":       {Type: huma.TypeArray, Items: text, Description: "names of the secret fields that are set"},
		"unreadable":    {Type: huma.TypeBoolean, Description: "its secrets have to be entered again"},
		"created_at":    moment(""),
		"created_by":    text,
		"failing_since": moment("null if the last try went well, or there was none"),
		"last_ok_at":    moment("null for never"),
		"last_at":       moment("of the last try"),
		"last_answer":   {Type: huma.TypeString, Description: "of the other side, at the last try"},
	})
	all["secret"] = &huma.Schema{Type: huma.TypeString,
		Description: "webhook: with what its messages are signed, told only here, where it was made because none was given"}
	return &huma.Schema{Type: huma.TypeObject, Properties: all,
		Required: []string{"id", "name", "kind", "enabled", "version", "secrets", "unreadable", "created_at", "created_by", "failing_since",
			"last_ok_at", "last_at", "last_answer"}}
}

// channelOf tells of a channel, with the secret that was made for it.
func (a *API) channelOf(ctx context.Context, c rows.Channel, shown string) (channelJSON, error) {
	with, err := a.Store.Channels().Read(ctx, c.ID)
	unreadable := errors.As(err, new(*rows.UnreadableError))
	if err != nil && !unreadable {
		return nil, err
	}
	out := channelJSON{
		"id":            c.ID,
		"name":          c.Name,
		"kind":          c.Kind,
		"enabled":       c.Enabled,
		"version":       c.Version,
		"secrets":       append([]string{}, slices.Sorted(maps.Keys(with.Secrets))...),
		"unreadable":    unreadable,
		"created_at":    base.JSONTime(c.CreatedAt),
		"created_by":    c.CreatedBy,
		"failing_since": base.JSONTime(c.FailingSince),
		"last_ok_at":    base.JSONTime(c.LastOKAt),
		"last_at":       base.JSONTime(c.LastAt),
		"last_answer":   c.LastAnswer,
	}
	k, _ := channels.KindOf(c.Kind)
	for _, f := range k.Fields {
		value, set := "", false
		if c.Settings.V != nil {
			value, set = (*c.Settings.V)[f.Name]
		}
		switch {
		case f.Secret || !set:
		case f.List:
			out[f.Name] = strings.Split(value, "\n")
		default:
			out[f.Name] = value
		}
	}
	if shown != "" {
		out["secret"] = shown
	}
	return out, nil
}

type listChannelsOut struct {
	Body struct {
		Channels []channelJSON `json:"channels" nullable:"false" doc:"by name"`
	}
}

// ListChannels lists the channels.
func (a *API) ListChannels(ctx context.Context, _ *struct{}) (*listChannelsOut, error) {
	list, err := a.Channels.List(ctx)
	if err != nil {
		return nil, err
	}
	out := &listChannelsOut{}
	out.Body.Channels = make([]channelJSON, len(list))
	for i, c := range list {
		if out.Body.Channels[i], err = a.channelOf(ctx, c, ""); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type channelIn struct {
	ID string `path:"id"`
}

type channelOut struct{ Body channelJSON }

func (a *API) oneChannel(ctx context.Context, c rows.Channel, shown string, err error) (*channelOut, error) {
	if err != nil {
		return nil, problem.Saving("channel", err)
	}
	b, err := a.channelOf(ctx, c, shown)
	return &channelOut{b}, err
}

// GetChannel answers with one channel.
func (a *API) GetChannel(ctx context.Context, in *channelIn) (*channelOut, error) {
	c, err := a.Channels.Get(ctx, in.ID)
	return a.oneChannel(ctx, c, "", err)
}

type createChannelIn struct{ Body channelBody }

// CreateChannel adds a channel.
func (a *API) CreateChannel(ctx context.Context, in *createChannelIn) (*channelOut, error) {
	c, shown, err := a.Channels.Add(ctx, session.Of(ctx).Name, in.Body.draft())
	return a.oneChannel(ctx, c, shown, err)
}

type putChannelIn struct {
	ID   string `path:"id"`
	Body channelBody
}

// PutChannel changes a channel; what is left out stays as it is, secrets too.
func (a *API) PutChannel(ctx context.Context, in *putChannelIn) (*channelOut, error) {
	c, shown, err := a.Channels.Change(ctx, session.Of(ctx).Name, in.ID, in.Body.draft())
	return a.oneChannel(ctx, c, shown, err)
}

// DeleteChannel removes a channel, with what waits to be told there.
func (a *API) DeleteChannel(ctx context.Context, in *channelIn) (*struct{}, error) {
	return nil, a.Channels.Remove(ctx, session.Of(ctx).Name, in.ID)
}

type testChannelIn struct {
	ID   string `path:"id"`
	Body *struct {
		Condition string `json:"condition,omitempty" doc:"a name of docs/ALERTS.md; backup-failed if left out"`
	}
}

type testChannelOut struct {
	Body struct {
		OK     bool   `json:"ok"`
		Answer string `json:"answer" doc:"of the other side: the status and at most 512 escaped bytes; or why it could not be asked"`
	}
}

// TestChannel tells a channel of an example, and answers with what the other side said.
func (a *API) TestChannel(ctx context.Context, in *testChannelIn) (*testChannelOut, error) {
	condition := ""
	if in.Body != nil {
		condition = in.Body.Condition
	}
	answer, err := a.Channels.Test(ctx, session.Of(ctx).Name, in.ID, condition)
	out := &testChannelOut{}
	out.Body.OK, out.Body.Answer = answer.OK, answer.Text
	return out, problem.Saving("test", err)
}

// A deliveryJSON is one message of a channel, with every try to send it.
type deliveryJSON struct {
	ID        string     `json:"id"`
	Event     string     `json:"event" enum:"opened,reminded,recovered,digest,test"`
	State     string     `json:"state" enum:"waiting,sent,given-up"`
	Alerts    []string   `json:"alerts" nullable:"false" doc:"IDs of those it names"`
	CreatedAt *time.Time `json:"created_at"`
	NextAt    *time.Time `json:"next_at" doc:"of one that waits: when it is tried next"`
	EndedAt   *time.Time `json:"ended_at"`
	Answer    string     `json:"answer" doc:"of the last try"`
	Tries     []tryJSON  `json:"tries" nullable:"false"`
}

type tryJSON struct {
	At     *time.Time `json:"at"`
	TookMS int64      `json:"took_ms"`
	OK     bool       `json:"ok"`
	Answer string     `json:"answer"`
}

type listDeliveriesIn struct {
	ID    string `path:"id"`
	After string `query:"after" doc:"next of the answer before: older ones follow"`
	Limit int    `query:"limit" default:"50" minimum:"1" maximum:"500" doc:"how many at most"`
}

type listDeliveriesOut struct {
	Body struct {
		Deliveries []deliveryJSON `json:"deliveries" nullable:"false" doc:"the newest first"`
		Next       string         `json:"next" doc:"pass it as after; empty at the end"`
	}
}

// ListDeliveries lists what was told in a channel.
func (a *API) ListDeliveries(ctx context.Context, in *listDeliveriesIn) (*listDeliveriesOut, error) {
	list, err := a.Channels.Deliveries(ctx, in.ID, in.After, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &listDeliveriesOut{}
	if len(list) > in.Limit {
		list = list[:in.Limit]
		out.Body.Next = list[in.Limit-1].ID
	}
	out.Body.Deliveries = make([]deliveryJSON, len(list))
	for i, d := range list {
		one := deliveryJSON{ID: d.ID, Event: string(d.Event), State: d.State, Alerts: filled(d.Alerts), CreatedAt: base.JSONTime(d.CreatedAt),
			EndedAt: base.JSONTime(d.EndedAt), Answer: d.Answer, Tries: make([]tryJSON, len(d.Tried))}
		if d.State == rows.Waiting {
			one.NextAt = base.JSONTime(d.NextAt)
		}
		for j, t := range d.Tried {
			one.Tries[j] = tryJSON{At: base.JSONTime(t.At), TookMS: t.TookMS, OK: t.OK, Answer: t.Answer}
		}
		out.Body.Deliveries[i] = one
	}
	return out, nil
}
