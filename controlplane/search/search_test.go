package search

import (
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

func TestAWindowsPathIsLookedForAsSnapshotsNameIt(t *testing.T) {
	for text, want := range map[string]string{
		`C:\Users\anna\*.txt`: "/C/Users/anna/*.txt",
		`d:\x`:                "/D/x",
		`/C/Users/anna`:       "/C/Users/anna",
		`a\*b`:                `a\*b`, // restic's own escape
		`C:file`:              "C:file",
		"  letter.txt ":       "letter.txt",
	} {
		if got := Pattern(text); got != want {
			t.Errorf("%s is looked for as %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{`C:\a `: "/C/a ", "/a ": "/a ", " a": " a"} {
		if got := PathOf(text); got != want {
			t.Errorf("the path %q is %q, want %q", text, got, want)
		}
	}
}

func TestWhatWasFoundIsPutTogetherByPath(t *testing.T) {
	at := map[string]int64{"one": 1, "two": 2, "three": 3}
	match := func(snapshot, path string, size uint64, mtime int64) topics.Match {
		return topics.Match{Snapshot: snapshot, Path: path, Type: "file", Size: size, ModTime: mtime}
	}
	list := []topics.Match{match("one", "/b", 1, 1), match("one", "/a", 1, 1), match("three", "/a", 1, 1), match("two", "/a", 2, 2),
		match("two", "/a", 2, 2), match("two", "/B", 9, 9)}
	paths := ByPath(list, at, "")
	if len(paths) != 3 || paths[0].Path != "/B" || paths[1].Path != "/a" || paths[2].Path != "/b" {
		t.Fatalf("%+v", paths)
	}
	a := paths[1].Versions
	if len(a) != 2 || a[0].Snapshot != "three" || len(a[0].Snapshots) != 2 || a[0].Snapshots[1] != "one" || a[0].Time != 3 ||
		a[1].Snapshot != "two" || len(a[1].Snapshots) != 1 {
		t.Errorf("versions of /a: %+v", a)
	}
	if paths := ByPath(list, at, "/b"); len(paths) != 2 {
		t.Errorf("with /b in it, in capitals or not: %+v", paths)
	}
}
