package store

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/keyring"
)

func withChannels(t *testing.T, s *Store) map[string]string {
	t.Helper()
	secrets := map[string]string{"secret": "canary of the hook", "headers": "Authorization: canary"}
	for _, id := range []string{"channel-1", "channel-2"} {
		if err := s.Channels().Add(t.Context(), "test", channels.Channel{ID: id, Name: "to " + id, Kind: "webhook", Enabled: true, Version: 1,
			Settings: column.JSON[map[string]string]{V: &map[string]string{"url": "https://example.net"}}, Secrets: secrets}); err != nil {
			t.Fatal(err)
		}
	}
	return secrets
}

func TestSecretsOfChannelsAreSealedAndFollowTheDataKey(t *testing.T) {
	s := open(t)
	want := withChannels(t, s)
	sealed := func(id string) string {
		return must(get[string](t.Context(), s.r, `SELECT hex(secrets) FROM channels WHERE id = $1`, id))
	}
	before := sealed("channel-1")
	if strings.Contains(must(get[string](t.Context(), s.r, `SELECT CAST(secrets AS TEXT) || settings FROM channels`)), "canary") {
		t.Fatal("it is in clear")
	}
	if err := s.tx(t.Context(), func(tx *sqlx.Tx) error { return s.keys.addDataKey(t.Context(), tx, s.Now()) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.reseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.retire(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if sealed("channel-1") == before {
		t.Error("it is sealed as before")
	}
	if c := must(s.Channels().Read(t.Context(), "channel-1")); !reflect.DeepEqual(c.Secrets, want) {
		t.Errorf("secrets %v", c.Secrets)
	}
}

func TestSecretsOfAChannelThatCannotBeReadConcernItAlone(t *testing.T) {
	for how, value := range spoilt {
		t.Run(how, func(t *testing.T) {
			s := open(t)
			want := withChannels(t, s)
			ctx := t.Context()
			value := strings.NewReplacer("repositories", "channels", "vault-0001", "channel-2", "COL", "secrets").Replace(value)
			if _, err := s.w.Exec(`UPDATE channels SET secrets = ` + value + ` WHERE id = 'channel-1'`); err != nil {
				t.Fatal(err)
			}
			var bad *channels.UnreadableError
			c, err := s.Channels().Read(ctx, "channel-1")
			if !errors.As(err, &bad) || bad.Name != "to channel-1" || c.Kind != "webhook" || strings.Contains(err.Error(), "canary") {
				t.Fatalf("reading it: %v", err)
			}
			if c, err := s.Channels().Read(ctx, "channel-2"); err != nil || !reflect.DeepEqual(c.Secrets, want) {
				t.Errorf("its neighbour: %v", err)
			}
			if err := s.tx(ctx, func(tx *sqlx.Tx) error { return s.keys.addDataKey(ctx, tx, s.Now()) }); err != nil {
				t.Fatal(err)
			}
			if _, err := s.reseal(ctx); !errors.As(err, &bad) {
				t.Errorf("a new data key: %v", err)
			}
			rename := func(c *channels.Channel) error { c.Name = "renamed"; return nil }
			was := must(get[string](ctx, s.r, `SELECT hex(secrets) FROM channels WHERE id = 'channel-1'`))
			if _, err := s.Channels().Edit(ctx, "test", "channel-1", rename); err != nil ||
				must(get[string](ctx, s.r, `SELECT hex(secrets) FROM channels WHERE id = 'channel-1'`)) != was {
				t.Errorf("another change: %v", err)
			}
			if _, err := s.Channels().Edit(ctx, "test", "channel-1", func(c *channels.Channel) error { c.Secrets = want; return nil }); err != nil {
				t.Fatal(err)
			}
			if c, err := s.Channels().Read(ctx, "channel-1"); err != nil || !reflect.DeepEqual(c.Secrets, want) {
				t.Errorf("entered again: %v", err)
			}
			if _, err := s.reseal(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAMissingKeyIsNotTheChannelsFault(t *testing.T) {
	s := open(t)
	withChannels(t, s)
	if _, err := s.w.Exec(`DELETE FROM data_keys`); err != nil {
		t.Fatal(err)
	}
	s.keys.Ring = keyring.NewRing(s.keys.Master)
	if _, err := s.Channels().Read(t.Context(), "channel-1"); err == nil || errors.As(err, new(*channels.UnreadableError)) {
		t.Errorf("without a data key: %v", err)
	}
}
