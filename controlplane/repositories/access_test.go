package repositories_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// TestASavedLoginIsTriedAtItsOwnServerAlone: a test is saved nowhere, so nobody would know
// whom the login was told.
func TestASavedLoginIsTriedAtItsOwnServerAlone(t *testing.T) {
	s := storetest.Open(t, store.Open)
	if err := s.AddRepository(t.Context(), "test", store.Repository{ID: "vault-0001", Name: "vault", Location: "rest:https://nas/vault",
		CreatedAt: 1}, store.RepositoryAccess{URL: "rest:https://nas/vault", Password: "correct horse",
		Env: map[string]topics.Secret{location.RESTUser: "ada", location.RESTPassword: "canary-5"}}); err != nil {
		t.Fatal(err)
	}
	service := &repositories.Service{Store: s}
	for _, c := range []struct {
		at, password string
		sent         topics.Secret // "" is that it is refused
	}{
		{"rest:https://nas/vault", "", "canary-5"},
		{"rest:https://NAS/attic", "", "canary-5"},
		{"rest:https://nas:8000/vault", "", ""},
		{"rest:http://nas/vault", "", ""},
		{"rest:https://elsewhere/vault", "", ""},
		{"rest:https://elsewhere/vault", "typed", "typed"},
		{"rest:https://ada:typed@elsewhere/vault", "", "typed"},
	} {
		in := repositories.Input{URL: new(topics.Secret(c.at)), Everyday: &repositories.Credential{Env: map[string]topics.Secret{}}}
		if c.password != "" {
			in.Everyday.Env[location.RESTPassword] = topics.Secret(c.password)
		}
		a, err := service.Access(t.Context(), "vault-0001", in)
		var wrong field.Errors
		switch {
		case c.sent == "" && (!errors.As(err, &wrong) || !strings.Contains(wrong["everyday"], "another server")):
			t.Errorf("%s: %v", c.at, err)
		case c.sent != "" && (err != nil || a.Env[location.RESTPassword] != c.sent):
			t.Errorf("%s is tried with %q, %v", c.at, a.Env[location.RESTPassword].Reveal(), err)
		}
	}
}

// TestASavedKeyGoesWhereItIsFor is the same for other kinds of storage.
func TestASavedKeyGoesWhereItIsFor(t *testing.T) {
	s := storetest.Open(t, store.Open)
	service := &repositories.Service{Store: s}
	add := func(id topics.RepositoryID, at topics.Secret, env map[string]topics.Secret) {
		if err := s.AddRepository(t.Context(), "test", store.Repository{ID: id, Name: string(id), Location: at.Reveal(), CreatedAt: 1},
			store.RepositoryAccess{URL: at, Password: "correct horse", Env: env}); err != nil {
			t.Fatal(err)
		}
	}
	add("bucket-0001", "s3:minio/b", map[string]topics.Secret{"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "canary-5"})
	add("cloud-0001", "swift:c:/x", map[string]topics.Secret{"OS_AUTH_URL": "https://cloud", "OS_USERNAME": "u", "OS_PASSWORD": "canary-5"})
	for _, c := range []struct {
		id   topics.RepositoryID
		at   topics.Secret
		env  map[string]topics.Secret
		sent bool
	}{
		{"bucket-0001", "s3:minio/b/further", nil, true},
		{"bucket-0001", "s3:https://minio/b", nil, true},
		{"bucket-0001", "s3:http://minio/b", nil, false},
		{"bucket-0001", "s3:elsewhere/b", nil, false},
		{"bucket-0001", "s3:elsewhere/b", map[string]topics.Secret{"AWS_SECRET_ACCESS_KEY": "typed"}, true},
		{"cloud-0001", "swift:c:/y", nil, true},
		{"cloud-0001", "swift:c:/x", map[string]topics.Secret{"OS_AUTH_URL": "https://elsewhere"}, false},
		{"cloud-0001", "swift:c:/x", map[string]topics.Secret{"OS_AUTH_URL": "https://elsewhere", "OS_PASSWORD": "typed"}, true},
	} {
		_, err := service.Access(t.Context(), c.id, repositories.Input{URL: &c.at, Everyday: &repositories.Credential{Env: c.env}})
		if (err == nil) != c.sent {
			t.Errorf("%s with %q: %v", c.at.Reveal(), slices.Collect(maps.Keys(c.env)), err)
		}
	}
}
