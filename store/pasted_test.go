package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// What is pasted is sealed like every other secret: it is not in the database's files, is
// found damaged by itself, and goes with the repository.
func TestWhatIsPastedIsSealed(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	secret := "-----BEGIN PRIVATE KEY----- of the pasted certificate"
	access := secretsOf("vault-0001")
	access.Files = map[string]topics.Secret{"RESTIC_TLS_CLIENT_CERT": topics.Secret(secret)}
	access.Maintenance = &Maintenance{Files: map[string]topics.Secret{"RESTIC_CACERT": topics.Secret(secret)}}
	r := Repository{ID: "vault-0001", Name: "vault", Location: "/srv",
		Options: JSON[map[string]string]{V: &map[string]string{"rest.connections": "7"}}}
	if err := s.AddRepository(ctx, "test", r, access); err != nil {
		t.Fatal(err)
	}
	got, err := s.RepositoryAccess(ctx, r.ID)
	if err != nil || got.Files["RESTIC_TLS_CLIENT_CERT"].Reveal() != secret || got.Maintenance.Files["RESTIC_CACERT"].Reveal() != secret {
		t.Fatalf("the files come back as %v, %v", got.Files, err)
	}
	if row := must(s.Repository(ctx, r.ID)); row.Options.V == nil || (*row.Options.V)["rest.connections"] != "7" {
		t.Errorf("the options come back as %v", row.Options.V)
	}
	if _, err := s.w.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		t.Fatal(err)
	}
	for _, path := range must(filepath.Glob(filepath.Join(s.dir, "*"))) {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte("of the pasted certificate")) {
			t.Errorf("%s has it in clear", path)
		}
	}
	if _, err := s.w.ExecContext(ctx, `UPDATE repositories SET files = x'00ff' WHERE id = $1`, r.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.RepositoryAccess(ctx, r.ID)
	var bad *UnreadableError
	if !errors.As(err, &bad) || !slices.Equal(bad.Parts, []string{"files"}) || !bad.Everyday() {
		t.Errorf("damaged, it is %v", err)
	}
}
