package store

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/store/looks"
	"github.com/restic-manager/restic-manager/topics"
)

// spoilt lists how a sealed column can become one that does not open.
var spoilt = map[string]string{
	"of another row":           `(SELECT COL FROM repositories WHERE id = 'vault-0001')`,
	"damaged at its end":       `substr(COL, 1, length(COL) - 1) || X'00FF'`,
	"of a data key that is no": `X'01FFFFFFFFFFFFFFFF' || substr(COL, 10)`,
	"garbage":                  `X'00'`,
}

func TestSecretsThatCannotBeReadConcernTheirOwnRepositoryAlone(t *testing.T) {
	for _, part := range looks.Parts {
		for how, value := range spoilt {
			t.Run(part.Column+" "+how, func(t *testing.T) {
				s := open(t)
				vaults(t, s, 2)
				ctx := t.Context()
				full := secretsOf("vault-0000")
				full.Maintenance = &Maintenance{URL: "rest:http://keeper/", Env: map[string]topics.Secret{"RESTIC_REST_PASSWORD": "keeps"}}
				full.Files = map[string]topics.Secret{"RESTIC_CACERT": "a certificate"}
				for _, id := range []topics.RepositoryID{"vault-0000", "vault-0001"} {
					if _, err := s.EditRepository(ctx, "test", id, func(_ *Repository, a *RepositoryAccess) error {
						a.Maintenance, a.Files = full.Maintenance, full.Files
						return nil
					}); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := s.w.Exec(`UPDATE repositories SET ` + part.Column + ` = ` + strings.ReplaceAll(value, "COL", part.Column) +
					` WHERE id = 'vault-0000'`); err != nil {
					t.Fatal(err)
				}
				a, err := s.RepositoryAccess(ctx, "vault-0000")
				var bad *UnreadableError
				if !errors.As(err, &bad) || !errors.Is(err, keyring.ErrKey) || bad.Name != "vault-0000" ||
					!slices.Equal(bad.Parts, []string{part.Column}) || !slices.Equal(a.Unread, bad.Parts) {
					t.Fatalf("reading it: %v", err)
				}
				if part.Column != "password" && a.Password != full.Password || part.Column != "url" && a.URL != full.URL {
					t.Error("what can be read is not")
				}
				if _, err := s.RepositoryAccess(ctx, "vault-0001"); err != nil {
					t.Errorf("its neighbour: %v", err)
				}
				for _, f := range must(s.Looks(ctx)) {
					if want := []string{part.Column}; f.Repository == "vault-0000" && !slices.Equal(f.Unread, want) ||
						f.Repository != "vault-0000" && f.Unread != nil {
						t.Errorf("of %s the facts say %v", f.Repository, f.Unread)
					}
				}

				// Another change leaves it as it is; a new data key reaches the neighbour.
				cipher := func() string {
					return must(get[string](ctx, s.r, `SELECT hex(`+part.Column+`) FROM repositories WHERE id = 'vault-0000'`))
				}
				was := cipher()
				if _, err := s.EditRepository(ctx, "test", "vault-0000", func(r *Repository, _ *RepositoryAccess) error {
					r.Name = "renamed"
					return nil
				}); err != nil || cipher() != was {
					t.Fatalf("renaming it: %v", err)
				}
				if err := s.tx(ctx, func(tx *sqlx.Tx) error { return s.keys.addDataKey(ctx, tx, s.Now()) }); err != nil {
					t.Fatal(err)
				}
				if n, err := s.reseal(ctx); !errors.As(err, new(*UnreadableError)) || n < 8 {
					t.Errorf("%d secrets are sealed anew: %v", n, err)
				}

				// Entering it mends it.
				if _, err := s.EditRepository(ctx, "test", "vault-0000", func(_ *Repository, a *RepositoryAccess) error {
					*a = full
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				if a, err := s.RepositoryAccess(ctx, "vault-0000"); err != nil || !reflect.DeepEqual(a, full) {
					t.Errorf("entered again: %v", err)
				}
				if _, err := s.reseal(ctx); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// With another master key nothing is to be entered again: the right key is to be put back.
func TestAMissingKeyIsNotTheSecretsFault(t *testing.T) {
	s := open(t)
	vaults(t, s, 1)
	if _, err := s.w.Exec(`DELETE FROM data_keys`); err != nil {
		t.Fatal(err)
	}
	s.keys.Ring = keyring.NewRing(s.keys.Master)
	if _, err := s.RepositoryAccess(t.Context(), "vault-0000"); err == nil || errors.As(err, new(*UnreadableError)) {
		t.Errorf("without a data key: %v", err)
	}
}
