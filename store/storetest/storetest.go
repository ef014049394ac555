// Package storetest gives each test a new database of its own in a few
// milliseconds. Making one takes many times as long, most of it for migrations;
// it is made once in a process, and copied.
//
// All copies have the same keys. A test in which that matters opens its databases
// itself.
package storetest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A template is an empty database: the files in its directory, and the key beside it.
type template struct {
	files map[string][]byte
	key   []byte
}

var (
	once sync.Once
	made template
	bad  error
)

// Open opens a new database with store.Open, and closes it when the test is over.
// The opener is an argument so that the store's own tests can use this package.
func Open[S io.Closer](t testing.TB, open func(ctx context.Context, dir, keyFile string) (S, error)) S {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	Make(t, dir, open)
	s, err := open(context.Background(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Make puts a new database into dir, which is not there yet, and its key where
// store.Open looks for it.
func Make[S io.Closer](t testing.TB, dir string, open func(ctx context.Context, dir, keyFile string) (S, error)) {
	t.Helper()
	once.Do(func() {
		made, bad = fresh(func(dir string) (io.Closer, error) { return open(context.Background(), dir, "") })
	})
	err := errors.Join(bad, os.MkdirAll(filepath.Dir(dir), 0o700))
	if err == nil {
		err = errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(dir+".key", made.key, 0o600))
	}
	for name, b := range made.files {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
	}
	if err != nil {
		t.Fatalf("make a database: %v", err)
	}
}

func fresh(open func(dir string) (io.Closer, error)) (made template, err error) {
	parent, err := os.MkdirTemp("", "restic-manager-store-")
	if err != nil {
		return made, err
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "data")
	s, err := open(dir)
	if err != nil {
		return made, err
	}
	if err := s.Close(); err != nil {
		return made, err
	}
	if made.key, err = os.ReadFile(dir + ".key"); err != nil {
		return made, err
	}
	entries, err := os.ReadDir(dir)
	made.files = map[string][]byte{}
	for _, e := range entries {
		if err == nil {
			made.files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name()))
		}
	}
	return made, err
}
