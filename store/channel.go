package store

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/topics"
)

// Channels returns where people are told, and what is told there.
func (s *Store) Channels() channels.Channels {
	where := func(id string) []byte { return keyring.Place("channels", id, "secrets") }
	return channels.Channels{R: s.r, Tx: s.tx, Now: s.Now, Audit: s.audit,
		Seal: func(ctx context.Context, tx *sqlx.Tx, id string, plain []byte) ([]byte, error) {
			defer clear(plain)
			return s.keys.seal(ctx, tx, where(id), plain)
		},
		Open: func(ctx context.Context, q sqlx.QueryerContext, id string, sealed []byte) ([]byte, error) {
			plain, err := s.keys.open(ctx, q, where(id), sealed)
			if err != nil && s.keys.whole(ctx, q, err) == nil {
				err = &channels.UnreadableError{Channel: id, Err: err}
			}
			return plain, err
		},
	}
}

// unreadRow names the repository or the channel whose secret cannot be read, once it
// failed; nil if the failure is not the secret's own.
func (s *Store) unreadRow(ctx context.Context, table, id string, failed error) error {
	if !errors.Is(failed, keyring.ErrKey) || s.keys.whole(ctx, s.w, failed) != nil {
		return nil
	}
	switch table {
	case "repositories":
		_, err := s.openAccess(ctx, s.w, topics.RepositoryID(id))
		return err
	case "channels":
		_, err := s.Channels().Read(ctx, id)
		return err
	}
	return nil
}
