package store

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/kits"
)

// KitsShown is when each emergency kit was last shown.
func (s *Store) KitsShown(ctx context.Context) (map[kits.Of]kits.Shown, error) {
	all, err := kits.List(ctx, s.r)
	return all, ours(err)
}

// ShowKit writes down that somebody is about to see the secrets of repositories, in a kit
// of one, of a host or of all, which has a name: an entry for each, both or neither.
func (s *Store) ShowKit(ctx context.Context, actor string, of kits.Of, name string, repositories []Repository) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		at := s.Now()
		if of.Kind != kits.OfRepository {
			action := map[kits.Kind]string{kits.OfHost: "host.kit_shown", kits.OfAll: "repository.kits_shown"}[of.Kind]
			if err := s.audit(ctx, tx, actor, action, of.Subject, name); err != nil {
				return err
			}
			if err := kits.Note(ctx, tx, kits.Shown{Of: of, At: at, Actor: actor}); err != nil {
				return err
			}
		}
		for _, r := range repositories {
			one := kits.Shown{Of: kits.Of{Kind: kits.OfRepository, Subject: string(r.ID)}, At: at, Actor: actor}
			if err := kits.Note(ctx, tx, one); err != nil {
				return err
			}
			if err := s.audit(ctx, tx, actor, "repository.kit_shown", string(r.ID), r.Name); err != nil {
				return err
			}
		}
		return nil
	})
}
