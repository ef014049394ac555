// Package access keeps what programs come in with, API tokens and passwords of MQTT
// consumers, and who made each: a program has never more rights than its maker has now.
package access

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/column"
)

// Role is what a person or a token may do.
type Role string

// The roles, each with the rights of those before it.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Restorer Role = "restorer" // may write over files of a host, by a restore
	Admin    Role = "admin"
)

// Roles lists the roles, the weakest first.
var Roles = []Role{Viewer, Operator, Restorer, Admin}

// Lower returns the weaker of two roles, "" if this version does not know one of them.
func Lower(a, b Role) Role {
	i := min(slices.Index(Roles, a), slices.Index(Roles, b))
	if i < 0 {
		return ""
	}
	return Roles[i]
}

// A Maker is who makes a credential, and knows it then.
type Maker struct {
	Name string // for the audit log: "anna", "api:nightly", "cli"
	User string // the ID of the person, "" for the command line on the machine itself
	// Token is the ID of the API token if a program makes it; User is whose that is then.
	Token string
}

// Made is who made a credential, as its row and that of its maker say now.
type Made struct {
	// Maker is the ID of the person who answers for it, "" if it was made on the machine
	// itself or before this was recorded. MadeWith is the ID of the API token by which
	// they made it, "" if they did it themselves.
	Maker    string `db:"maker"`
	MadeWith string `db:"made_with"`

	MakerName     string `db:"maker_name"`
	MakerRole     Role   `db:"maker_role"`     // "" if the person is gone
	MakerDisabled int64  `db:"maker_disabled"` // when they were disabled, 0 if they are not
}

func madeBy(who Maker) Made { return Made{Maker: who.User, MadeWith: who.Token} }

// Acts returns the role in which a credential of this role acts now: the lower of its
// own and its maker's. It is "", which has no rights, if its maker may not sign in.
func (m Made) Acts(own Role) Role {
	switch {
	case m.Maker == "":
		return own
	case m.MakerDisabled != 0:
		return ""
	}
	return Lower(own, m.MakerRole)
}

// An APIToken authenticates a program. Only the hash of its key is stored.
type APIToken struct {
	ID        string `db:"id"`
	Name      string `db:"name"`
	Role      Role   `db:"role"`
	KeyHash   []byte `db:"key_hash"`
	CreatedAt int64  `db:"created_at"`
	CreatedBy string `db:"created_by"`
	ExpiresAt int64  `db:"expires_at"` // 0 is never
	UsedAt    int64  `db:"used_at"`
	Made
}

// Acts returns the role in which the token acts now, "" for none.
func (t APIToken) Acts() Role { return t.Made.Acts(t.Role) }

// A Consumer is an MQTT consumer on the public broker. Its password is a generated
// key; only the hash is stored.
type Consumer struct {
	Name    string `db:"name"`
	KeyHash []byte `db:"key_hash"`
	MayDo   bool   `db:"may_do"` // may publish to do/ topics
	// Tags are those of the hosts that it hears of and commands; none is all hosts.
	Tags column.List `db:"tags"`
	// HomeAssistant is that it may be Home Assistant: its birth counts.
	HomeAssistant bool   `db:"home_assistant"`
	CreatedAt     int64  `db:"created_at"`
	CreatedBy     string `db:"created_by"` // who made it, or its password last
	SeenAt        int64  `db:"seen_at"`    // when it last connected
	Made
}

// Acts returns the role in which the consumer acts now, "" for none: an operator's if
// it may publish to do/ topics, a viewer's otherwise, unless its maker has a lower one.
func (c Consumer) Acts() Role {
	own := Viewer
	if c.MayDo {
		own = Operator
	}
	return c.Made.Acts(own)
}

// Reaches reports whether the consumer hears of a host with these tags, and commands it:
// one that has a tag of its own, or any if it has none.
func (c Consumer) Reaches(tags []string) bool {
	return len(c.Tags) == 0 || slices.ContainsFunc(c.Tags, func(t string) bool { return slices.Contains(tags, t) })
}

const (
	made = `, m.created_at, m.created_by, m.maker, m.made_with, COALESCE(u.name, '') AS maker_name,
		COALESCE(u.role, '') AS maker_role, COALESCE(u.disabled_at, 0) AS maker_disabled`
	tokens = `SELECT m.id, m.name, m.role, m.key_hash, m.expires_at, m.used_at` + made + ` FROM api_tokens m
		LEFT JOIN users u ON u.id = m.maker`
	consumers = `SELECT m.name, m.key_hash, m.may_do, m.tags, m.home_assistant, m.seen_at` + made + ` FROM mqtt_users m
		LEFT JOIN users u ON u.id = m.maker`
)

// AddToken adds a token. One made with another token ends no later than that one.
func AddToken(ctx context.Context, x sqlx.ExtContext, who Maker, t APIToken) (APIToken, error) {
	t.CreatedBy, t.Made = who.Name, madeBy(who)
	if who.Token != "" {
		with, err := Token(ctx, x, who.Token)
		if err != nil {
			return t, err
		}
		if with.ExpiresAt != 0 && (t.ExpiresAt == 0 || t.ExpiresAt > with.ExpiresAt) {
			t.ExpiresAt = with.ExpiresAt
		}
	}
	_, err := sqlx.NamedExecContext(ctx, x, `INSERT INTO api_tokens (id, name, role, key_hash, created_at, created_by, expires_at, maker,
		made_with)
		VALUES (:id, :name, :role, :key_hash, :created_at, :created_by, :expires_at, :maker, :made_with)`, t)
	if err != nil {
		return t, fmt.Errorf("add API token: %w", err)
	}
	return t, nil
}

// Tokens lists the tokens, by name.
func Tokens(ctx context.Context, q sqlx.QueryerContext) (list []APIToken, err error) {
	list = []APIToken{}
	return list, sqlx.SelectContext(ctx, q, &list, tokens+` ORDER BY m.name, m.id`)
}

// Token returns a token by ID.
func Token(ctx context.Context, q sqlx.QueryerContext, id string) (t APIToken, err error) {
	return t, sqlx.GetContext(ctx, q, &t, tokens+` WHERE m.id = $1`, id)
}

// TokenByHash returns the token whose key has this hash. It may have expired.
func TokenByHash(ctx context.Context, q sqlx.QueryerContext, hash []byte) (t APIToken, err error) {
	return t, sqlx.GetContext(ctx, q, &t, tokens+` WHERE m.key_hash = $1`, hash)
}

// AddConsumer adds a consumer.
func AddConsumer(ctx context.Context, x sqlx.ExtContext, who Maker, c Consumer) error {
	c.CreatedBy, c.Made = who.Name, madeBy(who)
	_, err := sqlx.NamedExecContext(ctx, x, `INSERT INTO mqtt_users (name, key_hash, may_do, tags, home_assistant, created_at,
			created_by, maker, made_with)
		VALUES (:name, :key_hash, :may_do, :tags, :home_assistant, :created_at, :created_by, :maker, :made_with)`, c)
	if err != nil {
		return fmt.Errorf("add MQTT user: %w", err)
	}
	return nil
}

// PutConsumer writes what a consumer may do and its key, and who knows that.
func PutConsumer(ctx context.Context, x sqlx.ExtContext, c Consumer) error {
	_, err := x.ExecContext(ctx, `UPDATE mqtt_users SET key_hash = $1, may_do = $2, maker = $3, made_with = $4, created_by = $5,
			tags = $6, home_assistant = $7 WHERE name = $8`,
		c.KeyHash, c.MayDo, c.Maker, c.MadeWith, c.CreatedBy, c.Tags, c.HomeAssistant, c.Name)
	return err
}

// Renewed returns the consumer with another password, which whoever made it knows: it
// is theirs from now on.
func (c Consumer) Renewed(keyHash []byte, who Maker) Consumer {
	c.KeyHash, c.CreatedBy, c.Made = keyHash, who.Name, madeBy(who)
	return c
}

// Consumers lists the consumers, by name.
func Consumers(ctx context.Context, q sqlx.QueryerContext) (list []Consumer, err error) {
	list = []Consumer{}
	return list, sqlx.SelectContext(ctx, q, &list, consumers+` ORDER BY m.name`)
}

// ConsumerNamed returns a consumer by name.
func ConsumerNamed(ctx context.Context, q sqlx.QueryerContext, name string) (c Consumer, err error) {
	return c, sqlx.GetContext(ctx, q, &c, consumers+` WHERE m.name = $1`, name)
}

// Credentials are what some programs come in with.
type Credentials struct {
	Tokens    []APIToken
	Consumers []Consumer
}

// None reports whether there are none.
func (c Credentials) None() bool { return len(c.Tokens)+len(c.Consumers) == 0 }

// Actors are the names under which the audit log and jobs know these programs.
func (c Credentials) Actors() (names []string) {
	for _, t := range c.Tokens {
		names = append(names, "api:"+t.Name)
	}
	for _, u := range c.Consumers {
		names = append(names, "mqtt:"+u.Name)
	}
	return names
}

// Of returns the credentials that a person answers for, by name.
func Of(ctx context.Context, q sqlx.QueryerContext, user string) (c Credentials, err error) {
	return of(ctx, q, `m.maker`, user)
}

// With returns the credentials that were made with a token, and with those, by name.
func With(ctx context.Context, q sqlx.QueryerContext, token string) (c Credentials, err error) {
	for next := []string{token}; len(next) > 0; next = next[1:] {
		more, err := of(ctx, q, `m.made_with`, next[0])
		if err != nil {
			return c, err
		}
		for _, t := range more.Tokens {
			next = append(next, t.ID)
		}
		c.Tokens, c.Consumers = append(c.Tokens, more.Tokens...), append(c.Consumers, more.Consumers...)
	}
	slices.SortFunc(c.Tokens, func(a, b APIToken) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	slices.SortFunc(c.Consumers, func(a, b Consumer) int { return cmp.Compare(a.Name, b.Name) })
	return c, nil
}

func of(ctx context.Context, q sqlx.QueryerContext, column, value string) (c Credentials, err error) {
	if value == "" {
		return c, nil
	}
	if err = sqlx.SelectContext(ctx, q, &c.Tokens, tokens+` WHERE `+column+` = $1 ORDER BY m.name, m.id`, value); err != nil {
		return c, err
	}
	return c, sqlx.SelectContext(ctx, q, &c.Consumers, consumers+` WHERE `+column+` = $1 ORDER BY m.name`, value)
}

// Acting returns the roles in which people and programs act now, by their names in the
// audit log: of several tokens of one name the highest. Who may do nothing is not in it.
func Acting(ctx context.Context, q sqlx.QueryerContext) (map[string]Role, error) {
	var people []struct {
		Name string `db:"name"`
		Role Role   `db:"role"`
	}
	if err := sqlx.SelectContext(ctx, q, &people, `SELECT name, role FROM users WHERE disabled_at = 0`); err != nil {
		return nil, err
	}
	tokens, err := Tokens(ctx, q)
	if err != nil {
		return nil, err
	}
	consumers, err := Consumers(ctx, q)
	if err != nil {
		return nil, err
	}
	roles := map[string]Role{}
	add := func(name string, role Role) {
		if slices.Index(Roles, role) > slices.Index(Roles, roles[name]) {
			roles[name] = role
		}
	}
	for _, p := range people {
		add(p.Name, p.Role)
	}
	for _, t := range tokens {
		add("api:"+t.Name, t.Acts())
	}
	for _, c := range consumers {
		add("mqtt:"+c.Name, c.Acts())
	}
	return roles, nil
}

// End removes credentials.
func End(ctx context.Context, x sqlx.ExtContext, c Credentials) error {
	for _, t := range c.Tokens {
		if _, err := x.ExecContext(ctx, `DELETE FROM api_tokens WHERE id = $1`, t.ID); err != nil {
			return err
		}
	}
	for _, u := range c.Consumers {
		if _, err := x.ExecContext(ctx, `DELETE FROM mqtt_users WHERE name = $1`, u.Name); err != nil {
			return err
		}
	}
	return nil
}

// Give makes credentials somebody else's.
func Give(ctx context.Context, x sqlx.ExtContext, c Credentials, to Maker) error {
	for _, t := range c.Tokens {
		if _, err := x.ExecContext(ctx, `UPDATE api_tokens SET created_by = $1, maker = $2, made_with = $3 WHERE id = $4`,
			to.Name, to.User, to.Token, t.ID); err != nil {
			return err
		}
	}
	for _, u := range c.Consumers {
		if _, err := x.ExecContext(ctx, `UPDATE mqtt_users SET created_by = $1, maker = $2, made_with = $3 WHERE name = $4`,
			to.Name, to.User, to.Token, u.Name); err != nil {
			return err
		}
	}
	return nil
}
