package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// TestWhatABackupSavedDecidesHowItEnds: restic calls all of these a success but those
// that cannot be read.
func TestWhatABackupSavedDecidesHowItEnds(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.manage()
	w.run()
	at := func(name string) string { return filepath.Join(w.folder, name) }
	w.write("data/letter.txt", "dear reader")
	w.write("data/deep/down/letter.txt", "dear reader")
	for _, dir := range []string{"empty", "hollow/a/b", "links"} {
		if err := os.MkdirAll(at(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"www":        at("data"),
		"chain":      "www/deep",
		"dangling":   "nowhere/at/all",
		"loop":       "loop",
		"links/link": at("data/letter.txt"),
		"file":       "data/letter.txt",
		"void":       "empty",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(at("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	const ok, warned, failed = topics.Succeeded, topics.Warnings, topics.Failed
	for n, c := range []struct {
		is       string
		paths    []string
		excludes []string
		allow    bool
		state    topics.JobState
		cause    topics.Cause
		files    uint64
		says     string   // in the message
		saved    []string // what the snapshot's paths are, "" for what was given
	}{
		{"a directory", []string{"data"}, nil, false, ok, "", 2, "", []string{"data"}},
		{"one with a slash at its end", []string{"data/"}, nil, false, ok, "", 2, "", []string{"data"}},
		{"a file", []string{"data/letter.txt"}, nil, false, ok, "", 1, "", []string{"data/letter.txt"}},
		{"a link to a directory", []string{"www"}, nil, false, ok, "", 2, "", []string{"data"}},
		{"one with a slash at its end", []string{"www/"}, nil, false, ok, "", 2, "", []string{"data"}},
		{"a link to a file", []string{"file"}, nil, false, ok, "", 1, "", []string{"data/letter.txt"}},
		{"a link through a link", []string{"chain"}, nil, false, ok, "", 1, "", []string{"data/deep"}},
		{"through a link", []string{"www/deep"}, nil, false, ok, "", 1, "", []string{"data/deep"}},
		{"an exclude below the name of a link", []string{"www"}, []string{at("www/deep")}, false, ok, "", 1, "", []string{"data"}},
		{"a link and where it leads", []string{"www", "data"}, nil, false, ok, "", 2, "", []string{"data"}},

		{"an empty directory", []string{"empty"}, nil, false, warned, "empty-source", 0, "is an empty directory", []string{"empty"}},
		{"a link to one", []string{"void"}, nil, false, warned, "empty-source", 0, "is an empty directory", []string{"empty"}},
		{"one that may be empty", []string{"empty"}, nil, true, ok, "", 0, "", []string{"empty"}},
		{"nothing but directories", []string{"hollow"}, nil, false, warned, "empty-source", 0, "holds no file", []string{"hollow"}},
		{"nothing but links", []string{"links"}, nil, false, warned, "empty-source", 0, "holds no file", []string{"links"}},
		{"a FIFO", []string{"fifo"}, nil, false, warned, "empty-source", 0, "a FIFO, a socket or a device", []string{"fifo"}},
		{"a socket", []string{"socket"}, nil, false, warned, "empty-source", 0, "a FIFO, a socket or a device", []string{"socket"}},
		{"a device", []string{"/dev/null"}, nil, false, warned, "empty-source", 0, "a FIFO, a socket or a device", []string{"/dev/null"}},
		{"all excluded", []string{"data"}, []string{"*"}, false, warned, "empty-source", 0, "leave out everything", nil},
		{"all excluded by **", []string{"data"}, []string{"**"}, false, warned, "empty-source", 0, "leave out everything", nil},
		{"all excluded by /", []string{"data"}, []string{"/"}, false, warned, "empty-source", 0, "leave out everything", nil},
		{"excluded itself", []string{"data"}, []string{at("data")}, false, warned, "empty-source", 0, "leave out everything", nil},
		{"excluded by the name of its link", []string{"www"}, []string{at("www")}, false, warned, "empty-source", 0, "leave out everything", nil},
		{"each file excluded", []string{"data"}, []string{"*.txt"}, false, warned, "empty-source", 0, "leave out everything", nil},
		{"all of several empty", []string{"empty", "hollow"}, nil, false, warned, "empty-source", 0, "empty directory; ", nil},
		{"one of several empty, as always", []string{"data", "empty"}, nil, false, ok, "", 2, "", nil},
		{"one empty and one missing", []string{"empty", "missing"}, nil, false, warned, "empty-source", 0, "does not exist", nil},

		{"one of several missing", []string{"data", "missing"}, nil, false, warned, "unreadable", 2, "does not exist", []string{"data"}},
		{"missing", []string{"missing"}, nil, false, failed, "source-missing", 0, "does not exist", nil},
		{"missing where it may be empty", []string{"missing"}, nil, true, failed, "source-missing", 0, "does not exist", nil},
		{"a file that cannot be read", []string{"/proc/1/mem"}, nil, false, failed, "unreadable", 0, "Not one file could be read. 1 item",
			[]string{"/proc/1/mem"}},
		{"one where it may be empty", []string{"/proc/1/mem"}, nil, true, failed, "unreadable", 0, "Not one file could be read.", nil},
		{"one among others", []string{"/proc/1/mem", "data"}, nil, false, warned, "unreadable", 2, "1 item could not be read", nil},
		{"one and an empty directory", []string{"/proc/1/mem", "empty"}, nil, false, failed, "unreadable", 0, "Not one file", nil},
		{"below a file", []string{"data/letter.txt/x"}, nil, false, failed, "unreadable", 0, "not a directory", nil},
		{"a link to nowhere", []string{"dangling"}, nil, false, failed, "source-missing", 0, "nowhere/at/all\", which does not exist", nil},
		{"a link to itself", []string{"loop"}, nil, false, failed, "unreadable", 0, "too many links", nil},
	} {
		for i, p := range c.paths {
			if !filepath.IsAbs(p) {
				c.paths[i] = w.folder + "/" + p // with what stands at its end
			}
		}
		run := w.backup()
		run.Group = topics.SourceGroup{ID: topics.SourceGroupID(fmt.Sprintf("group-%04d", n)), Paths: c.paths, Excludes: c.excludes,
			AllowEmpty: c.allow}
		id := w.order(run)
		end := w.awaitEnd(id)
		var files uint64
		if end.Summary != nil {
			files = end.Summary.TotalFiles
		}
		if end.State != c.state || end.Cause != c.cause || files != c.files || !strings.Contains(end.Message, c.says) {
			_, log, _ := w.job(id)
			t.Errorf("%s: %s %q with %d files, %q; want %s %q with %d, %q\n%s", c.is, end.State, end.Cause, files, end.Message, c.state,
				c.cause, c.files, c.says, strings.Join(log, "\n"))
			continue
		}
		if (end.Snapshot != nil) != (c.state != failed || strings.HasPrefix(c.says, "Not one")) {
			t.Errorf("%s: %s with the snapshot %+v", c.is, end.State, end.Snapshot)
		}
		for i, p := range c.saved {
			if !filepath.IsAbs(p) {
				c.saved[i] = at(p)
			}
		}
		if c.saved != nil && !slices.Equal(end.Snapshot.Paths, c.saved) {
			t.Errorf("%s: the snapshot is of %q, want %q", c.is, end.Snapshot.Paths, c.saved)
		}
	}
}

// TestASourceIsComparedWithTheLastTime: a link that leads elsewhere, and a source that
// held files and holds none any more, are warnings until they are as before or known.
func TestASourceIsComparedWithTheLastTime(t *testing.T) {
	w := newWorld(t)
	w.vault()
	w.enroll()
	w.manage()
	w.run()
	at := func(name string) string { return filepath.Join(w.folder, name) }
	for _, name := range []string{"one/a", "two/a", "mnt/a"} {
		w.write(name, "dear reader")
	}
	lead := func(to string) {
		t.Helper()
		if err := os.Remove(at("www")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.Symlink(at(to), at("www")); err != nil {
			t.Fatal(err)
		}
	}
	backup := func(what string, state topics.JobState, cause topics.Cause, says string) topics.Finished {
		t.Helper()
		run := w.backup()
		run.Group.Paths = []string{at("www"), at("mnt")}
		id := w.order(run)
		end := w.awaitEnd(id)
		if end.State != state || end.Cause != cause || !strings.Contains(end.Message, says) {
			_, log, _ := w.job(id)
			t.Errorf("%s: %s %q, %q; want %s %q, %q\n%s", what, end.State, end.Cause, end.Message, state, cause, says, strings.Join(log, "\n"))
		}
		return end
	}
	lead("one")
	end := backup("the first time", topics.Succeeded, "", "")
	if want := []topics.Source{{Path: at("www"), Read: at("one")}}; !slices.Equal(end.Summary.Sources, want) {
		t.Errorf("it says of its sources %+v, want %+v", end.Summary.Sources, want)
	}
	backup("the same again", topics.Succeeded, "", "")
	lead("two")
	end = backup("a link that leads elsewhere", topics.Warnings, topics.CauseSourceMoved, at("one"))
	if want := []topics.Source{{Path: at("www"), Read: at("two"), Was: at("one")}}; !slices.Equal(end.Summary.Sources, want) {
		t.Errorf("it says of its sources %+v, want %+v", end.Summary.Sources, want)
	}
	backup("once it is known", topics.Succeeded, "", "")
	if err := os.Remove(at("mnt/a")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // that it was so the last time makes it no better
		end = backup("a source that is empty now", topics.Warnings, topics.CauseEmptySource, at("mnt")+`" is an empty directory`)
	}
	want := []topics.Source{{Path: at("www"), Read: at("two")}, {Path: at("mnt"), Empty: topics.EmptyDirectory}}
	if !slices.Equal(end.Summary.Sources, want) {
		t.Errorf("it says of its sources %+v, want %+v", end.Summary.Sources, want)
	}
	w.write("mnt/a", "dear reader")
	backup("filled again", topics.Succeeded, "", "")
	if err := os.Remove(at("www")); err != nil {
		t.Fatal(err)
	}
	w.write("www/a", "dear reader")
	backup("a directory where the link was", topics.Warnings, topics.CauseSourceMoved, at("two"))
}

// TestTheWayToASourceIsFollowed has what a real file system seldom holds.
func TestTheWayToASourceIsFollowed(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(at("data/www"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"abs": at("data/www"), "rel": "data/www", "up": "data/../data/www", "first": "second", "second": "third/x", "third": at("gone"),
		"round": "about", "about": "round",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path, leads string
		missing     bool
		broken      bool
	}{
		{"data/www", "data/www", false, false},
		{"data/www/", "data/www", false, false},
		{"data/./x/../www", "data/www", false, false},
		{"abs", "data/www", false, false},
		{"rel", "data/www", false, false},
		{"up", "data/www", false, false},
		{"new", "new", true, false},
		{"rel/new/deep", "data/www/new/deep", true, false},
		{"third", "gone", true, false},
		{"third/y", "gone/y", true, false},
		{"first/y", "gone/x/y", true, false},
		{"round", "round", false, true},
		{"round/y", "round/y", false, true},
	} {
		real, err := lead(at(c.path))
		if real != at(c.leads) || (err != nil) != (c.missing || c.broken) || errors.Is(err, fs.ErrNotExist) != c.missing {
			t.Errorf("%s leads to %s, %v; want %s, missing %t", c.path, real, err, at(c.leads), c.missing)
		}
	}
}
