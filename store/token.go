package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/access"
	"github.com/restic-manager/restic-manager/store/restored"
)

// An APIToken authenticates a program, in the lower of its own role and its maker's.
type APIToken = access.APIToken

// A Maker is who makes a credential.
type Maker = access.Maker

// AddAPIToken adds a token and returns it as it is stored: one that is made with
// another token ends no later than that one.
func (s *Store) AddAPIToken(ctx context.Context, by Maker, t APIToken) (added APIToken, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		if added, err = access.AddToken(ctx, tx, by, t); err != nil {
			return err
		}
		return s.audit(ctx, tx, by.Name, "api_token.created", t.ID, t.Name+" as "+string(t.Role))
	})
	return added, err
}

// APITokens lists the tokens, by name.
func (s *Store) APITokens(ctx context.Context) ([]APIToken, error) {
	list, err := access.Tokens(ctx, s.r)
	return list, ours(err)
}

// APITokenByHash returns the token whose key has this hash, or ErrNotFound. It
// may have expired. The error is ErrUnconfirmed if nobody has confirmed it since the
// control plane was restored.
func (s *Store) APITokenByHash(ctx context.Context, hash []byte) (APIToken, error) {
	t, err := access.TokenByHash(ctx, s.r, hash)
	if err != nil {
		return t, ours(err)
	}
	return t, s.Confirmed(ctx, restored.Token, t.ID)
}

// UsedAPIToken records the use of a token.
func (s *Store) UsedAPIToken(ctx context.Context, id string) error {
	_, err := s.w.ExecContext(ctx, `UPDATE api_tokens SET used_at = $1 WHERE id = $2`, s.Now(), id)
	return ours(err)
}

// RemoveAPIToken revokes a token and all that was made with it, which whoever had it
// knows, and cancels the jobs of these that wait; ErrNotFound if there is none.
func (s *Store) RemoveAPIToken(ctx context.Context, actor, id string) (left Left, err error) {
	err = s.tx(ctx, func(tx *sqlx.Tx) error {
		t, err := access.Token(ctx, tx, id)
		if err != nil {
			return err
		}
		if left.Credentials, err = access.With(ctx, tx, id); err != nil {
			return err
		}
		left.Tokens = append([]APIToken{t}, left.Tokens...)
		return s.leave(ctx, tx, actor, nil, &left, nil)
	})
	return left, err
}

// Credentials returns the API tokens and MQTT consumers that a person answers for.
func (s *Store) Credentials(ctx context.Context, user string) (access.Credentials, error) {
	c, err := access.Of(ctx, s.r, user)
	return c, ours(err)
}

// Left is what ended, or went to somebody else, with the rights of a person or a token.
type Left struct {
	access.Credentials
	Kept bool  // the credentials were made somebody else's
	Jobs []Job // that were cancelled before they were sent
}

// A Stays says whether somebody with this role may still have a job that waits.
type Stays func(Role, Job) bool

// leave ends credentials, or makes them an heir's, and cancels what their programs and
// these people asked for and now may not: all if stays is nil and nobody of the name is
// left.
func (s *Store) leave(ctx context.Context, tx *sqlx.Tx, actor string, heir *Maker, left *Left, stays Stays, people ...string) error {
	verb, detail := "revoked", func(string) string { return "" }
	if heir != nil {
		left.Kept = true
		verb, detail = "given", func(by string) string { return fmt.Sprintf(": made by %s, now %s's", by, heir.Name) }
		if err := access.Give(ctx, tx, left.Credentials, *heir); err != nil {
			return err
		}
	} else if err := access.End(ctx, tx, left.Credentials); err != nil {
		return err
	}
	for _, t := range left.Tokens {
		if err := s.withdraw(ctx, tx, "api:"+t.Name); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, actor, "api_token."+verb, t.ID, t.Name+detail(t.CreatedBy)); err != nil {
			return err
		}
	}
	for _, u := range left.Consumers {
		if err := s.audit(ctx, tx, actor, "mqtt_user."+verb, u.Name, u.Name+detail(u.CreatedBy)); err != nil {
			return err
		}
	}
	return s.callOff(ctx, tx, actor, append(left.Actors(), people...), stays, left)
}
