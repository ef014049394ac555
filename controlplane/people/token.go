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

// MaxLife is the longest time a token may be good for, other than without end.
const MaxLife = 3650 * day

const day = 24 * time.Hour

// TokenInput is an API token as somebody wants it.
type TokenInput struct {
	Name *string
	Role *store.Role
	Life *time.Duration // how long it is good for; nil or 0 is until it is revoked
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

// AddToken makes an API token. Its key is returned here and never again.
func (s Service) AddToken(ctx context.Context, by string, in TokenInput) (t store.APIToken, key string, err error) {
	now, life := s.now(), value(in.Life)
	key = password.NewKey("rma_")
	t = store.APIToken{
		ID:        topics.NewID(now),
		Name:      field.Clean(value(in.Name)),
		Role:      value(in.Role),
		KeyHash:   password.HashKey(key),
		CreatedAt: now.UnixMilli(),
		CreatedBy: by,
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
	return t, key, s.Store.AddAPIToken(ctx, by, t)
}

// RevokeToken ends an API token, at once.
func (s Service) RevokeToken(ctx context.Context, by, id string) error {
	return s.changed(notFound(s.Store.RemoveAPIToken(ctx, by, id), ErrNoToken))
}
