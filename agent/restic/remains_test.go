package restic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// TestNothingButTheKeysOfAnInitIsRemoved, and those only where nothing else is: a
// directory named keys can be anybody's.
func TestNothingButTheKeysOfAnInitIsRemoved(t *testing.T) {
	key := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "keys/" + hex.EncodeToString(sum[:])
	}
	now := time.Now()
	for _, c := range []struct {
		is    string
		files map[string]string
		cause topics.Cause
		gone  []string
	}{
		{"nothing", nil, "", nil},
		{"a directory of somebody's", map[string]string{"letters/a": "dear reader"}, "", nil},
		{"keys of an init", map[string]string{key("{1}"): "{1}", key("{2}"): "{2}"}, "", []string{key("{1}"), key("{2}")}},
		{"an empty key, after a power failure", map[string]string{key("{1}"): ""}, "", []string{key("{1}")}},
		{"a key that was being written", map[string]string{key("{1}"): "{1}", key("{2}") + "-tmp-12": "{"}, "", []string{key("{1}")}},
		{"somebody's keys", map[string]string{"keys/server.key": "-----BEGIN PRIVATE KEY-----"}, topics.CauseUsage, nil},
		{"somebody's beside one of an init", map[string]string{key("{1}"): "{1}", "keys/zz.key": "secret"}, topics.CauseUsage, nil},
		{"something that is only named like a key", map[string]string{key("{1}"): "secret"}, topics.CauseUsage, nil},
		{"a directory among them", map[string]string{"keys/anna/id": "secret"}, topics.CauseUsage, nil},
		{"data without a configuration", map[string]string{key("{1}"): "{1}", "data/00/00": "x"}, topics.CauseDamaged, nil},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600),
				os.Chtimes(path, now, now.Add(-time.Hour))); err != nil {
				t.Fatal(err)
			}
		}
		e, _ := Binary{}.remains(t.Context(), Place{}, Repository{URL: topics.Secret(dir)}, &recorder{})
		if e.Cause != c.cause || (e.State == topics.Succeeded) != (c.cause == "") {
			t.Errorf("%s: %s %s %q, want the cause %q", c.is, e.State, e.Cause, e.Message, c.cause)
		}
		for name := range c.files {
			if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, os.ErrNotExist) != slices.Contains(c.gone, name) {
				t.Errorf("%s: %s: %v", c.is, name, err)
			}
		}
	}
}

// A key that was written moments ago may be another host's, which is making the repository.
func TestAKeyOfMomentsAgoIsNotTouched(t *testing.T) {
	sum := sha256.Sum256([]byte("{1}"))
	for age, cause := range map[time.Duration]topics.Cause{time.Second: topics.CauseCancelled, DefaultTiming.Settled + time.Minute: ""} {
		dir, now := t.TempDir(), time.Now()
		path := filepath.Join(dir, "keys", hex.EncodeToString(sum[:]))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("{1}"), 0o600),
			os.Chtimes(path, now.Add(-age), now.Add(-age))); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if cause != "" {
			ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond) // it would look again much later
		}
		e, _ := Binary{}.remains(ctx, Place{}, Repository{URL: topics.Secret(dir)}, &recorder{})
		if cancel(); e.Cause != cause {
			t.Errorf("%s after it was written: %s %s %q, want the cause %q", age, e.State, e.Cause, e.Message, cause)
		}
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) == (cause != "") {
			t.Errorf("%s after it was written: the key: %v", age, err)
		}
	}
}
