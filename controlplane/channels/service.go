package channels

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Why something was not done; [field.Errors] for a bad input, and
// [channels.UnreadableError] if the secrets of a channel have to be entered again.
var (
	ErrNone      = channels.ErrNone
	ErrNameTaken = channels.ErrNameTaken
	ErrMoved     = channels.ErrMoved
)

// A Draft is a channel as somebody wants it. What is nil, and each field that is not
// named, stays as it is; an empty text takes a field away.
type Draft struct {
	Name    *string
	Kind    string            // of a new channel; "" or the same of another
	Fields  map[string]string // by the names of [Kinds]; of a list, one a line
	Enabled *bool             // a new channel is enabled
	Version int64             // the change is refused if the channel has another one; 0 does not ask
}

// Service makes, changes, tries and removes channels. Each method is one transaction with
// its entry in the audit log.
type Service struct {
	Store *store.Store
	Now   func() time.Time // nil is time.Now
	// PublicURL is the address at which people find the control plane, "" for none.
	PublicURL func(context.Context) string
	// Zone is the zone in which messages tell moments; nil is UTC.
	Zone *time.Location
	// Changed is called when a channel was added, changed or removed.
	Changed func()
}

// List lists the channels by their names. No secret is in them.
func (s *Service) List(ctx context.Context) ([]channels.Channel, error) {
	return s.Store.Channels().List(ctx)
}

// Get is one channel without its secrets; ErrNone if there is none.
func (s *Service) Get(ctx context.Context, id string) (channels.Channel, error) {
	return s.Store.Channels().Get(ctx, id)
}

// Deliveries lists what was told in a channel, the newest first: those before an ID, at
// most so many.
func (s *Service) Deliveries(ctx context.Context, id, before string, most int) ([]channels.Delivery, error) {
	if _, err := s.Get(ctx, id); err != nil {
		return nil, err
	}
	return s.Store.Channels().Deliveries(ctx, id, before, most)
}

// Add adds a channel. A secret that was made because none was given is returned here and
// never again.
func (s *Service) Add(ctx context.Context, actor string, d Draft) (row channels.Channel, shown string, err error) {
	values := maps.Clone(d.Fields)
	if values == nil {
		values = map[string]string{}
	}
	if d.Kind == "webhook" && strings.TrimSpace(values["secret"]) == "" {
		shown = NewSecret()
		values["secret"] = shown
	}
	wrong := said{}
	if d.Name != nil {
		row.Name = field.Clean(*d.Name)
	}
	wrong.Say("name", field.Name("name", row.Name))
	wrong = join(wrong, Check(d.Kind, values))
	if err := wrong.Err(); err != nil {
		return row, "", err
	}
	at := s.now()
	row.ID, row.Kind, row.Enabled, row.Version = topics.NewID(at), d.Kind, d.Enabled == nil || *d.Enabled, 1
	row.CreatedAt, row.CreatedBy = at.UnixMilli(), actor
	part(&row, values)
	if err := s.done(s.Store.Channels().Add(ctx, actor, row)); err != nil {
		return channels.Channel{}, "", err
	}
	row, err = s.Get(ctx, row.ID)
	return row, shown, err
}

// Change changes a channel. It returns a secret that was made because the one there was
// taken away.
func (s *Service) Change(ctx context.Context, actor, id string, d Draft) (row channels.Channel, shown string, err error) {
	_, err = s.Store.Channels().Edit(ctx, actor, id, func(row *channels.Channel) error {
		if d.Version != 0 && d.Version != row.Version {
			return ErrMoved
		}
		wrong := said{}
		if d.Kind != "" && d.Kind != row.Kind {
			wrong.Say("kind", "A channel stays of its kind. Add another one.")
		}
		if d.Name != nil {
			row.Name = field.Clean(*d.Name)
			wrong.Say("name", field.Name("name", row.Name))
		}
		if d.Enabled != nil {
			row.Enabled = *d.Enabled
		}
		lost := len(row.Sealed) > 0 && len(row.Secrets) == 0 // its secrets cannot be read
		values := row.Fields()
		maps.Copy(values, d.Fields)
		if given, ok := d.Fields["secret"]; row.Kind == "webhook" && ok && strings.TrimSpace(given) == "" {
			shown = NewSecret()
			values["secret"] = shown
		}
		if len(d.Fields) > 0 || !lost {
			wrong = join(wrong, Check(row.Kind, values))
		}
		if err := wrong.Err(); err != nil {
			return err
		}
		part(row, values)
		return nil
	})
	if err = s.done(err); err != nil {
		return row, "", err
	}
	row, err = s.Get(ctx, id)
	return row, shown, err
}

// Enable has a channel told of alerts, or not.
func (s *Service) Enable(ctx context.Context, actor, id string, enabled bool) error {
	_, _, err := s.Change(ctx, actor, id, Draft{Enabled: &enabled})
	return err
}

// Remove removes a channel, with what waits to be told there.
func (s *Service) Remove(ctx context.Context, actor, id string) error {
	return s.done(s.Store.Channels().Remove(ctx, actor, id))
}

// Test tells a channel now of an example of a condition, "" for backup-failed, and returns
// the real answer. The test is among the channel's deliveries.
func (s *Service) Test(ctx context.Context, actor, id, condition string) (Answer, error) {
	c, err := s.Get(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	m, err := s.Example(ctx, condition)
	if err != nil {
		return Answer{}, err
	}
	begun := s.now()
	a := s.Tell(ctx, c.ID, m)
	body, err := json.Marshal(m)
	if err != nil {
		return a, err
	}
	at := begun.UnixMilli()
	return a, s.Store.Channels().Tested(context.WithoutCancel(ctx), actor,
		channels.Message{ID: topics.NewID(begun), Channel: id, CreatedAt: at, NextAt: at, Alerts: column.List{}, Body: string(body)},
		channels.Try{At: at, TookMS: s.now().UnixMilli() - at, OK: a.OK, Answer: a.Text})
}

// Tell sends a message to a channel, with the secrets of its row. Those that cannot be
// read are the answer.
func (s *Service) Tell(ctx context.Context, id string, m Message) Answer {
	c, err := s.Store.Channels().Read(ctx, id)
	var bad *channels.UnreadableError
	switch {
	case errors.As(err, &bad):
		return Answer{Text: bad.Say(), Hopeless: true}
	case err != nil:
		return Answer{Text: "The channel cannot be read from the database: " + err.Error()}
	}
	if s.Zone != nil {
		ctx = words.WithZone(ctx, s.Zone)
	}
	return Send(ctx, c.Kind, c.Fields(), m)
}

// NewSecret is a secret with which a webhook's messages are signed.
func NewSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return "rmw_" + base64.RawURLEncoding.EncodeToString(b)
}

// part puts values into a row: what is secret apart from the rest.
func part(row *channels.Channel, values map[string]string) {
	k, _ := KindOf(row.Kind)
	settings, secrets := map[string]string{}, map[string]string{}
	for _, f := range k.Fields {
		v := strings.TrimSpace(values[f.Name])
		if f.Secret && !f.List {
			v = strings.Trim(values[f.Name], "\r\n")
		}
		switch {
		case v == "":
		case f.Secret:
			secrets[f.Name] = v
		default:
			settings[f.Name] = v
		}
	}
	row.Settings, row.Secrets = column.JSON[map[string]string]{V: &settings}, secrets
}

func join(wrong said, err error) said {
	var more said
	if errors.As(err, &more) {
		for name, text := range more {
			wrong.Say(name, text)
		}
	}
	return wrong
}

func (s *Service) done(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return ErrNameTaken
	}
	if err == nil && s.Changed != nil {
		s.Changed()
	}
	return err
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
