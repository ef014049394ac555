package keyring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newMaster(t *testing.T) Master {
	path := filepath.Join(t.TempDir(), "a.key")
	if err := NewFile(path); err != nil {
		t.Fatal(err)
	}
	return must(Read(path))
}

func TestASecretOpensWithItsKeyInItsPlace(t *testing.T) {
	m := newMaster(t)
	id, wrapped, err := m.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	loads := 0
	load := func() ([]byte, error) { loads++; return wrapped, nil }
	r := NewRing(m)
	key := must(r.Key(id, load))
	here, there := Place("repositories", "a", "url"), Place("repositories", "b", "url")
	sealed := key.Seal(here, []byte("hush"))
	if by, ok := SealedBy(sealed); !ok || by != id || must(ParseID(id.String())) != id {
		t.Errorf("it is sealed by %v", by)
	}
	if plain, err := must(r.Key(id, load)).Open(here, sealed); err != nil || string(plain) != "hush" || loads != 1 {
		t.Errorf("%q, %v, after %d loads", plain, err, loads)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for what, b := range map[string][]byte{
		"damaged":    flipped,
		"empty":      nil,
		"short":      sealed[:9],
		"of no form": append([]byte{9}, sealed[1:]...),
	} {
		if _, err := key.Open(here, b); !errors.Is(err, ErrKey) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := key.Open(there, sealed); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "repositories/b/url") {
		t.Errorf("in another place: %v", err)
	}
	if _, err := NewRing(newMaster(t)).Key(id, load); !errors.Is(err, ErrKey) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := NewRing(m).Key(ID{1}, load); !errors.Is(err, ErrKey) {
		t.Errorf("under another name: %v", err)
	}
	next := newMaster(t)
	again := must(m.Rewrap(next, id.String(), wrapped))
	if plain, err := must(NewRing(next).Key(id, func() ([]byte, error) {
		return again, nil
	})).Open(here, sealed); err != nil || string(plain) != "hush" {
		t.Errorf("with the next master key: %q, %v", plain, err)
	}
	if _, err := next.Rewrap(m, id.String(), wrapped); !errors.Is(err, ErrKey) {
		t.Errorf("who does not open a key wraps it: %v", err)
	}
}

func TestTheNextMasterKeyTakesTheOldOnesPlace(t *testing.T) {
	m := newMaster(t)
	path := m.File + ".new"
	if err := os.WriteFile(path, []byte("half a k"), 0o600); err != nil { // an earlier change was killed
		t.Fatal(err)
	}
	next := must(m.Next(path))
	if again := must(m.Next(path)); again.ID != next.ID || next.ID == m.ID {
		t.Errorf("the next key is %s, then %s, after %s", next.ID, again.ID, m.ID)
	}
	now := must(m.Replace(next))
	if now.ID != next.ID || now.File != m.File || now.From != m.From || must(Read(m.File)).ID != next.ID {
		t.Errorf("in place is %+v", now)
	}
	given := Master{From: "the environment"}
	if err := os.WriteFile(path, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := given.Next(path); !errors.Is(err, ErrKey) {
		t.Errorf("a file that was named is written over: %v", err)
	}
	if string(must(os.ReadFile(path))) != "somebody's" {
		t.Error("a file that was named was written over")
	}
}

func TestAMasterKeyIsMadeOnlyWithANewDatabase(t *testing.T) {
	given := Source{Given: topics.Secret(strings.Repeat("ab", 32)), From: "the environment"}
	for what, c := range map[string]struct {
		file, noted, fresh bool
		src                Source
		says               string // "" for a key
	}{
		"a new database":                  {fresh: true},
		"its key":                         {file: true},
		"a lost key":                      {says: "is missing, and without it"},
		"a lost database":                 {file: true, fresh: true, says: "restore the database"},
		"a new database, given":           {fresh: true, src: given},
		"a database, given":               {noted: true, src: given},
		"a lost database, given":          {noted: true, fresh: true, src: given, says: "mount its volume"},
		"a lost database of another's":    {file: true, fresh: true, src: given, says: "restore the database"},
		"a key that is none":              {noted: true, src: Source{Given: "abcd", From: "the environment"}, says: "64 hexadecimal digits"},
		"a key in a file that is missing": {src: Source{File: "/nowhere/at.key"}, says: "is missing"},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		if c.file {
			if err := NewFile(Beside(dir)); err != nil {
				t.Fatal(err)
			}
		}
		if c.noted {
			Master{}.NoteMade(dir)
		}
		m, err := Open(c.src, dir, filepath.Join(dir, "db"), c.fresh)
		switch {
		case c.says == "" && (err != nil || m.ID == ""):
			t.Errorf("%s: %v", what, err)
		case c.says != "" && (!errors.Is(err, ErrKey) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q", what, err, c.says)
		}
		if Expects(dir) != (c.file || c.noted || c.fresh && c.src.Given == "" && c.says == "") {
			t.Errorf("%s: a database is expected: %v", what, Expects(dir))
		}
	}
}
