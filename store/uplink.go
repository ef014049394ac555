package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/uplinks"
	"github.com/restic-manager/restic-manager/topics"
)

// uplinkSecrets are what a broker's row seals.
type uplinkSecrets struct {
	Password string `json:"password,omitempty"`
	Key      string `json:"key,omitempty"`
}

func (s *Store) openUplink(ctx context.Context, q sqlx.QueryerContext, table, id string, sealed []byte, a *uplinks.Access) {
	plain, err := s.keys.open(ctx, q, keyring.Place(table, id, "secrets"), sealed)
	var in uplinkSecrets
	if err == nil {
		err = json.Unmarshal(plain, &in)
	}
	a.Password, a.Key, a.Unread = topics.Secret(in.Password), topics.Secret(in.Key), err
}

func (s *Store) sealUplink(ctx context.Context, tx *sqlx.Tx, table, id string, a uplinks.Access) ([]byte, error) {
	plain, err := json.Marshal(uplinkSecrets{Password: a.Password.Reveal(), Key: a.Key.Reveal()})
	if err != nil {
		return nil, err
	}
	return s.keys.seal(ctx, tx, keyring.Place(table, id, "secrets"), plain)
}

// Uplink returns how the user's own broker is reached; its version is 0 if that was never set.
// If its secrets cannot be read, it says why.
func (s *Store) Uplink(ctx context.Context) (uplinks.Uplink, error) {
	r, err := uplinks.Find(ctx, s.r)
	if err != nil || r.ID == "" {
		return uplinks.Uplink{}, ours(err)
	}
	s.openUplink(ctx, s.r, "uplink", r.ID, r.Sealed, &r.Access)
	return r.Uplink, nil
}

// UplinkVersion is how often the uplink was changed, by any process.
func (s *Store) UplinkVersion(ctx context.Context) (int64, error) {
	n, err := uplinks.Version(ctx, s.r)
	return n, ours(err)
}

// PutUplink sets how the user's own broker is reached. The version is the one that was read:
// [uplinks.ErrMoved] is that somebody changed it meanwhile.
func (s *Store) PutUplink(ctx context.Context, actor, detail string, u uplinks.Uplink) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		was, err := uplinks.Find(ctx, tx)
		if err != nil {
			return err
		}
		if was.Version != u.Version {
			return uplinks.ErrMoved
		}
		u.ID, u.Version, u.ChangedAt, u.ChangedBy = uplinks.TheOne, was.Version+1, s.Now(), actor
		sealed, err := s.sealUplink(ctx, tx, "uplink", u.ID, u.Access)
		if err != nil {
			return err
		}
		if err := uplinks.Put(ctx, tx, uplinks.Row{Uplink: u, Sealed: sealed}); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "uplink.saved", u.URL, detail)
	})
}

// UplinkTested writes down for what a test showed that consumers cannot write for one another,
// "" for nothing any more.
func (s *Store) UplinkTested(ctx context.Context, actor, address, tested, detail string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		was, err := uplinks.Find(ctx, tx)
		if err != nil {
			return err
		}
		if was.Tested != tested {
			if was.ID == "" { // a test of what is not saved yet
				was.ID, was.Root, was.Commands = uplinks.TheOne, topics.Root, "off"
				if was.Sealed, err = s.sealUplink(ctx, tx, "uplink", uplinks.TheOne, was.Access); err != nil {
					return err
				}
			}
			was.Tested = tested
			if err := uplinks.Put(ctx, tx, was); err != nil {
				return err
			}
		}
		return s.audit(ctx, tx, actor, "uplink.tested", address, detail)
	})
}

// UplinkPlaces lists the brokers at which something of ours is retained, or may be: the present
// one first.
func (s *Store) UplinkPlaces(ctx context.Context) ([]uplinks.Place, error) {
	rows, err := uplinks.Places(ctx, s.r)
	if err != nil {
		return nil, ours(err)
	}
	list := make([]uplinks.Place, len(rows))
	for i, r := range rows {
		s.openUplink(ctx, s.r, "uplink_places", r.ID, r.Sealed, &r.Access)
		list[i] = r.Place
	}
	return list, nil
}

// EnterUplinkPlace writes that a broker is the present one, and that all others were left. It
// returns the place as it is kept. One at which something of ours is stays reached as it was
// last, until ReachUplinkPlace says that another way works: what is there may have to be cleared.
func (s *Store) EnterUplinkPlace(ctx context.Context, p uplinks.Place) (uplinks.Place, error) {
	err := s.tx(ctx, func(tx *sqlx.Tx) error {
		rows, err := uplinks.Places(ctx, tx)
		if err != nil {
			return err
		}
		p.ID = topics.NewID(s.now())
		if i := slices.IndexFunc(rows, func(r uplinks.PlaceRow) bool { return r.Address == p.Address }); i >= 0 {
			p.ID, p.Topics = rows[i].ID, rows[i].Topics
			was := rows[i].Place
			if s.openUplink(ctx, tx, "uplink_places", was.ID, rows[i].Sealed, &was.Access); was.Unread == nil && was.Topics > 0 {
				p.Access = was.Access
			}
		}
		p.LeftAt, p.TriedAt, p.Said = 0, 0, ""
		sealed, err := s.sealUplink(ctx, tx, "uplink_places", p.ID, p.Access)
		if err != nil {
			return err
		}
		row := uplinks.PlaceRow{Place: p, Sealed: sealed}
		return errors.Join(uplinks.Enter(ctx, tx, row, s.Now()), uplinks.Reach(ctx, tx, row))
	})
	return p, err
}

// ReachUplinkPlace writes that a broker was reached like that.
func (s *Store) ReachUplinkPlace(ctx context.Context, p uplinks.Place) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		sealed, err := s.sealUplink(ctx, tx, "uplink_places", p.ID, p.Access)
		if err != nil {
			return err
		}
		return uplinks.Reach(ctx, tx, uplinks.PlaceRow{Place: p, Sealed: sealed})
	})
}

// LeaveUplinkPlaces writes that no broker is the present one any more.
func (s *Store) LeaveUplinkPlaces(ctx context.Context) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return uplinks.Leave(ctx, tx, "", s.Now()) })
}

// TriedUplinkPlace writes down that a place could not be cleared, and why.
func (s *Store) TriedUplinkPlace(ctx context.Context, id, said string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return uplinks.Tried(ctx, tx, id, said, s.Now()) })
}

// ForgetUplinkPlace gives a place that was left up: what is retained there stays. ErrNotFound is
// that there is no such place, or that it is the present one.
func (s *Store) ForgetUplinkPlace(ctx context.Context, actor, id string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error {
		rows, err := uplinks.Places(ctx, tx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(rows, func(r uplinks.PlaceRow) bool { return r.ID == id && r.LeftAt != 0 })
		if i < 0 {
			return ErrNotFound
		}
		return errors.Join(uplinks.Forget(ctx, tx, id), s.audit(ctx, tx, actor, "uplink.given-up", rows[i].URL, ""))
	})
}

// UplinkTopics lists what is retained at a place, sorted.
func (s *Store) UplinkTopics(ctx context.Context, place string) ([]string, error) {
	names, err := uplinks.Topics(ctx, s.r, place)
	return names, ours(err)
}

// AddUplinkTopics writes down that topics may be retained at a place from now on.
func (s *Store) AddUplinkTopics(ctx context.Context, place string, names []string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return uplinks.Add(ctx, tx, place, names) })
}

// DropUplinkTopics writes down that topics are cleared at a place, and forgets the place if it
// was left and nothing else is there.
func (s *Store) DropUplinkTopics(ctx context.Context, place string, names []string) error {
	return s.tx(ctx, func(tx *sqlx.Tx) error { return uplinks.Drop(ctx, tx, place, names) })
}
