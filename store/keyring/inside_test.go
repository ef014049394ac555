package keyring

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// done fails the test for an error.
func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A directory "data" with a "deep" one in it and a key file in each; "data.key" beside
// it, and links of all kinds.
func spellings(t *testing.T) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	done(t, err)
	t.Chdir(root)
	done(t, os.MkdirAll("data/deep", 0o700))
	done(t, os.MkdirAll("database", 0o700))
	for _, f := range []string{"data/in.key", "data/deep/in.key", "data.key", "database/key", "data/linked.key"} {
		done(t, os.WriteFile(f, []byte(f), 0o600))
	}
	done(t, os.Link("data/linked.key", "hard.key"))
	done(t, os.Symlink("data", "dir"))
	done(t, os.Symlink("data/in.key", "soft.key"))
	done(t, os.Symlink(filepath.Join(root, "data"), "data/self"))
	done(t, os.Symlink("../data.key", "data/out.key"))
	done(t, os.Symlink("dir/not-there", "dangling"))
	done(t, os.Symlink("round-b", "round-a"))
	done(t, os.Symlink("round-a", "round-b"))
	return root
}

func TestAKeyFileInsideTheDataDirectoryIsFoundHoweverItIsSpelt(t *testing.T) {
	root := spellings(t)
	for _, c := range []struct {
		path, dir string
		at        string // where it lies, "" if it is not inside
	}{
		{"data/in.key", "data", "data/in.key"},
		{"data/deep/in.key", "data", "data/deep/in.key"},
		{"data/new.key", "data", "data/new.key"},
		{"data/no/such/new.key", "data", "data/no/such/new.key"},
		{"./data/../data/in.key", "data/", "data/in.key"},
		{"data/in.key", "./database/../data", "data/in.key"},
		{filepath.Join(root, "data/in.key"), "data", "data/in.key"},
		{"data/in.key", filepath.Join(root, "data"), "data/in.key"},
		{"dir/in.key", "data", "data/in.key"},
		{"data/in.key", "dir", "data/in.key"},
		{"data/self/self/in.key", "data", "data/in.key"},
		{"soft.key", "data", "data/in.key"},
		{"dangling/new.key", "data", "data/not-there/new.key"},
		{"hard.key", "data", "data/linked.key"},
		{"not-made/new.key", "not-made", "not-made/new.key"},

		{"data.key", "data", ""},
		{"data/../data.key", "data", ""},
		{"data/out.key", "data", ""}, // a name only: its content is elsewhere
		{"database/key", "data", ""},
		{"new.key", "data", ""},
		{"not-made.key", "not-made", ""},
		{"dir.key", "dir", ""},
		{"round-a/new.key", "data", ""},
	} {
		want := ""
		if c.at != "" {
			want = filepath.Join(root, c.at)
		}
		if got := Inside(c.path, c.dir); got != want {
			t.Errorf("%s in %s: %q, want %q", c.path, c.dir, got, want)
		}
	}
}

func TestANewKeyIsMadeOutsideTheDataDirectoryOnly(t *testing.T) {
	root := spellings(t)
	for _, c := range []struct {
		path, dir string
		refused   bool
	}{
		{"data/new.key", "data", true},
		{"dir/new.key", "data", true},
		{"data/self/new.key", "dir", true},
		{filepath.Join(root, "data", "new.key"), "data", true},
		{"database/new.key", "data", false},
		{"", "not-made", false},
		{"", ".", false}, // beside it by its whole name, and not ..key in it
	} {
		_, err := Open(Source{File: c.path}, c.dir, "no.db", true)
		if (err != nil) != c.refused || c.refused && (!errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "inside the data directory")) {
			t.Errorf("%q in %s: %v", c.path, c.dir, err)
		}
		if _, serr := os.Stat("data/new.key"); serr == nil {
			t.Fatalf("%q in %s: it was made all the same", c.path, c.dir)
		}
	}
	if _, err := os.Stat(root + ".key"); err != nil {
		t.Errorf("of the directory . the key is not beside it: %v", err)
	}
	_ = os.Remove(root + ".key")
	// A key that is given, from the environment or by systemd, is in no file.
	given := Source{Given: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", From: "x"}
	if _, err := Open(given, "given", "no.db", true); err != nil {
		t.Errorf("a given key: %v", err)
	}
	// One that is there already is used wherever it is.
	done(t, os.Rename("data.key", "data.txt"))
	done(t, NewFile("data/old.key"))
	if _, err := Open(Source{File: "data/old.key"}, "data", "no.db", false); err != nil {
		t.Errorf("an old key inside: %v", err)
	}
	for path, want := range map[string]string{
		"data/old.key": "mv -n '" + root + "/data/old.key' '" + root + "/data.key'",
		"soft.key":     "mv -n '" + root + "/data/in.key' '" + root + "/data.key'",
		"hard.key":     "rm '" + root + "/data/linked.key'",
	} {
		if got := MoveOut(path, Inside(path, "data"), "data"); got != want {
			t.Errorf("%s is moved by\n%s, want\n%s", path, got, want)
		}
	}
}
