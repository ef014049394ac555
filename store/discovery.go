package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/discoveries"
)

// HomeAssistant returns what people set about Home Assistant.
func (s *Store) HomeAssistant(ctx context.Context) (discoveries.Settings, error) {
	set, err := discoveries.Get(ctx, s.r)
	return set, ours(err)
}

// PutHomeAssistant changes what Home Assistant is told. The version is the one that was read:
// [discoveries.ErrMoved] is that somebody changed it meanwhile.
func (s *Store) PutHomeAssistant(ctx context.Context, actor string, set discoveries.Settings) (discoveries.Settings, error) {
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		was, err := discoveries.Get(ctx, tx)
		if err != nil {
			return err
		}
		if was.Version != set.Version {
			return discoveries.ErrMoved
		}
		set.Version, set.ChangedAt, set.ChangedBy = was.Version+1, s.Now(), actor
		if err := discoveries.Put(ctx, tx, set); err != nil {
			return err
		}
		detail := "off"
		if set.Enabled {
			of := "all hosts"
			if len(set.Tags) > 0 {
				of = "hosts tagged " + strings.Join(set.Tags, ", ")
			}
			detail = fmt.Sprintf("on, of %s, below %s, buttons: %t", of, set.Prefix, set.Buttons)
		}
		return s.audit(ctx, tx, actor, "home-assistant.saved", "", detail)
	})
	return set, err
}

// Discovered lists what brokers were told for Home Assistant, and the beginnings of entity
// IDs by device.
func (s *Store) Discovered(ctx context.Context) (told []discoveries.Told, names map[string]string, err error) {
	if told, err = discoveries.All(ctx, s.r); err == nil {
		names, err = discoveries.Names(ctx, s.r)
	}
	return told, names, ours(err)
}

// A Discovering is a change of what brokers are told for Home Assistant.
type Discovering struct {
	Name   map[string]string // the beginnings of entity IDs of new devices
	Unname []string          // devices that are there no more
	Note   []discoveries.Told
	Forget []discoveries.Told // what was taken back
}

// Discover writes down what brokers are told for Home Assistant.
func (s *Store) Discover(ctx context.Context, d Discovering) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		for _, device := range d.Unname {
			if err := discoveries.Unname(ctx, tx, device); err != nil {
				return err
			}
		}
		for device, slug := range d.Name {
			if err := discoveries.Name(ctx, tx, device, slug); err != nil {
				return err
			}
		}
		for _, t := range d.Note {
			if err := discoveries.Note(ctx, tx, t); err != nil {
				return err
			}
		}
		for _, t := range d.Forget {
			if err := discoveries.Forget(ctx, tx, t.Outlet, t.Topic); err != nil {
				return err
			}
		}
		return nil
	})
}

// HomeAssistantBorn notes that a Home Assistant said that it is there.
func (s *Store) HomeAssistantBorn(ctx context.Context, outlet, name string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		return discoveries.Born(ctx, tx, discoveries.Birth{Outlet: outlet, Name: name, At: s.Now()})
	})
}

// HomeAssistantBirths lists when a Home Assistant last said that it is there, by outlet.
func (s *Store) HomeAssistantBirths(ctx context.Context) ([]discoveries.Birth, error) {
	list, err := discoveries.Births(ctx, s.r)
	return list, ours(err)
}
