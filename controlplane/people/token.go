package people

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// DefaultLife is how long a token is good for if nobody says otherwise.
const DefaultLife = 365 * day

// Soon is how long before its end a token is shown as one that ends soon.
const Soon = 30 * day

// EndsSoon reports whether a token ends within [Soon], or has ended.
func EndsSoon(t store.APIToken, now time.Time) bool {
	return t.ExpiresAt != 0 && t.ExpiresAt <= now.Add(Soon).UnixMilli()
}

// MaxLife is the longest time a token may be good for, other than without end.
const MaxLife = 3650 * day

const day = 24 * time.Hour

// TokenInput is an API token as somebody wants it.
type TokenInput struct {
	Name *string
	Role *store.Role
	Life *time.Duration // how long it is good for; nil is DefaultLife, 0 until it is revoked
}

// Days is a life of that many days; 0 is without end. What no token may have stays
// what [CheckLife] refuses, however large the number.
func Days(n int) time.Duration {
	return time.Duration(min(max(n, -1), int(MaxLife/day)+1)) * day
}

// ParseDays reads a number of days, "0" for without end. What is no number is a
// life that [CheckLife] refuses.
func ParseDays(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil {
		n = -1
	}
	return Days(n)
}

// CheckLife says what is wrong with how long a token is to be good for, "" if
// nothing is.
func CheckLife(life time.Duration) string {
	if life < 0 || life > MaxLife {
		return fmt.Sprintf("A token is good for at most %d days, or until it is revoked.", MaxLife/day)
	}
	return ""
}

// AddToken makes an API token. Its key is returned here and never again. It acts in the
// lower of its role and its maker's, and one that a token makes ends with that.
func (s Service) AddToken(ctx context.Context, by Maker, in TokenInput) (t store.APIToken, key string, err error) {
	now, life := s.now(), DefaultLife
	if in.Life != nil {
		life = *in.Life
	}
	key = password.NewKey("rma_")
	t = store.APIToken{
		ID:        topics.NewID(now),
		Name:      field.Clean(value(in.Name)),
		Role:      value(in.Role),
		KeyHash:   password.HashKey(key),
		CreatedAt: now.UnixMilli(),
	}
	if life > 0 {
		t.ExpiresAt = now.Add(life).UnixMilli()
	}
	wrong := field.Errors{}
	wrong.Say("name", field.Name("name", t.Name))
	wrong.Say("role", CheckRole(t.Role))
	wrong.Say("days", CheckLife(life))
	if err := wrong.Err(); err != nil {
		return t, "", err
	}
	t, err = s.Store.AddAPIToken(ctx, by, t)
	return t, key, err
}

// RevokeToken ends an API token at once, and what was made with it: whoever had the
// token knows that, too.
func (s Service) RevokeToken(ctx context.Context, by, id string) (Left, error) {
	left, err := s.Store.RemoveAPIToken(ctx, by, id)
	return left, s.changed(notFound(err, ErrNoToken))
}
