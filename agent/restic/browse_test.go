package restic

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// What restic of each version says of a directory, a missing one, a missing snapshot and a
// path, as it was recorded.
func TestListingsOfEachVersion(t *testing.T) {
	const dir = "/srv/data/docs"
	for _, v := range versions {
		d := &directory{path: dir, most: 1000}
		if e, _ := replayAs(t, v, "ls-dir-json", d); e.State != topics.Succeeded || !d.there || d.missing || d.truncated {
			t.Errorf("%s: %+v, %+v", v, e, d)
		}
		of := map[string]topics.Node{}
		for _, n := range d.nodes {
			of[n.Name] = n
			if n.Path != dir+"/"+n.Name || strings.Contains(n.Name, "/") {
				t.Errorf("%s: %+v is none of the directory's", v, n)
			}
		}
		if n := of["café"]; n.Type != "dir" || n.Mode != 0o755 {
			t.Errorf("%s: %+v", v, n)
		}
		if n := of["dangling"]; n.Type != "symlink" || n.ModTime == 0 {
			t.Errorf("%s: %+v", v, n)
		}
		if n := of["hardlink.txt"]; n.Size != 6 || n.Mode != 0o644 {
			t.Errorf("%s: %+v", v, n)
		}
		few := &directory{path: dir, most: 2}
		if replayAs(t, v, "ls-dir-json", few); len(few.nodes) != 2 || !few.truncated {
			t.Errorf("%s: %d of two entries, truncated: %t", v, len(few.nodes), few.truncated)
		}

		d = &directory{path: "/srv/nope", most: 1000}
		if e, _ := replayAs(t, v, "ls-missing-dir-json", d); e.State != topics.Succeeded || d.there || d.missing || len(d.nodes) > 0 {
			t.Errorf("%s: a directory that is not there: %+v, %+v", v, e, d)
		}
		d = &directory{id: "deadbeef", path: "/", most: 1000}
		if e, _ := replayAs(t, v, "ls-unknown-snapshot-json", d); e.State == topics.Succeeded || e.Cause != topics.CauseNoSnapshot {
			t.Errorf("%s: a snapshot that is not there: %+v, %+v", v, e, d)
		}

		l := &located{paths: []string{dir + "/link"}}
		if e, _ := replayAs(t, v, "find-symlink-json", l); e.State != topics.Succeeded || len(l.matches) != 1 || l.named != 1 ||
			l.matches[0].Target != "readme.txt" || l.matches[0].User != "root" || len(l.matches[0].snapshot) != 64 {
			t.Errorf("%s: %+v, %+v", v, e, l)
		}
		l = &located{paths: []string{dir}} // what is below it matches, and is not it
		if replayAs(t, v, "find-symlink-json", l); len(l.matches) != 0 {
			t.Errorf("%s: %+v", v, l)
		}
		l = &located{paths: []string{"/x"}}
		if e, _ := replayAs(t, v, "find-bad-snapshot-json", l); len(l.matches) != 0 || e.State != topics.Succeeded {
			t.Errorf("%s: %+v, %+v", v, e, l)
		}
	}
}

func TestPathsAreAskedForLiterally(t *testing.T) {
	id := strings.Repeat("ab", 32)
	v, _ := ParseVersion("restic 0.14.0")
	for _, c := range []struct {
		op   operation
		want string
	}{
		{&directory{id: id, path: "/-x"}, "ls --json --no-lock -- " + id + " /-x"},
		{&located{snapshots: []string{id}, paths: []string{"/a[b]*?", "/--c"}},
			"find --json --no-lock --snapshot " + id[:20] + " -- /a[[]b][*][?] /--c"},
		{&directory{id: "--help", path: "/"}, ""},
		{&directory{id: id, path: "x"}, ""},
		{&directory{id: id, path: "/a\x00"}, ""},
		{&located{snapshots: []string{"latest"}, paths: []string{"/a"}}, ""},
		{&located{snapshots: []string{id}, paths: []string{"-a"}}, ""},
	} {
		args, err := c.op.args(v, "")
		if got := strings.Join(args, " "); (err != nil) != (c.want == "") || err == nil && got != c.want {
			t.Errorf("%v\n got %s\nwant %s", err, got, c.want)
		}
	}
	// Links are looked up, and with them one entry of each owner that is no directory.
	paths := nameless([]topics.Node{{Path: "/d", Type: "dir", UID: 1}, {Path: "/f", Type: "file", UID: 1}, {Path: "/g", Type: "file", UID: 1},
		{Path: "/l", Type: "symlink"}, {Path: "/h", Type: "file"}, {Path: "/\ufffd", Type: "symlink", Broken: true}})
	if strings.Join(paths, " ") != "/l /f" {
		t.Errorf("%v", paths)
	}
	if paths := nameless([]topics.Node{{Path: "/f", Type: "file"}, {Path: "/d", Type: "dir"}}); len(paths) != 0 {
		t.Errorf("without a link %v is looked up", paths)
	}
}

// TestALineIsReadAsJSONHasIt: what is read fast is what encoding/json reads.
func TestALineIsReadAsJSONHasIt(t *testing.T) {
	const whole = `{"name":"a b","type":"file","path":"/x/a b","uid":0,"gid":4294967295,"size":18,"mode":2147484141,` +
		`"permissions":"-rw-r--r--","mtime":"2025-10-09T08:53:20.5+02:00","inode":34,"message_type":"node","struct_type":"node"}`
	for _, c := range []struct {
		line string
		fast bool
	}{
		{whole, true},
		{strings.Replace(whole, "a b", "über 日本", 2), true},
		{strings.Replace(whole, "a b", `a\nb`, 2), false},
		{strings.Replace(whole, "a b", `a\"b`, 2), false},
		{strings.Replace(whole, "a b", `a\u003cb`, 2), false},
		{strings.Replace(whole, "a b", "a\xffb", 2), false},
		{strings.Replace(whole, `"size":18`, `"size":1e3`, 1), false},
		{strings.Replace(whole, `"size":18`, `"size":-1`, 1), false},
		{strings.Replace(whole, `"size":18`, `"size":018`, 1), false},
		{strings.Replace(whole, `"size":18`, `"size":0`, 1), true},
		{strings.Replace(whole, `"size":18`, `"size":"18"`, 1), false},
		{strings.Replace(whole, `"size":18`, `"size":18446744073709551615`, 1), false},
		{strings.Replace(whole, `"size":18`, `"size":null`, 1), false},
		{strings.Replace(whole, `"type":"file"`, `"type":7`, 1), false},
		{strings.Replace(whole, `"inode":34`, `"extended":{"a":[1]}`, 1), false},
		{whole[:len(whole)-1], false},
		{whole + " ", false},
		{whole + "}", false},
		{"{", false}, {`{"`, false}, {`{"a"`, false}, {`{"a":`, false}, {`{"a":"`, false}, {`{"a":1`, false}, {"{}", false},
	} {
		fast := flat([]byte(c.line), func(_, _ []byte, _ bool) bool { return true })
		n, err := nodeOf([]byte(c.line))
		var want node
		wantErr := json.Unmarshal([]byte(c.line), &want)
		if err == nil && n != want || (err == nil) != (wantErr == nil) {
			t.Errorf("%s:\n got  %+v, %v\n want %+v, %v", c.line, n, err, want, wantErr)
		}
		if c.fast && !fast {
			t.Errorf("%s is not read fast", c.line)
		}
	}
}

// TestALargeDirectoryIsGivenAwayAsItIsListed: but for links, and what comes behind them.
func TestALargeDirectoryIsGivenAwayAsItIsListed(t *testing.T) {
	for _, c := range []struct {
		what  string
		n     int
		link  int // which of them is one
		early int
	}{
		{"a small one", atOnce - 1, -1, 0},
		{"a large one", 3*atOnce + 7, -1, 3 * atOnce},
		{"with a link in it", 3*atOnce + 7, atOnce + 3, atOnce},
		{"with a link at its beginning", 3 * atOnce, 0, 0},
	} {
		var given []topics.Node
		early := func(nodes []topics.Node) bool { given = append(given, nodes...); return true }
		d := &directory{path: "/x", most: 3*atOnce + 5, early: early}
		o := newOutput(d, newRedactor(nil), nil, Timing{}.orDefault())
		for i := range c.n {
			kind := "file"
			if i == c.link {
				kind = "symlink"
			}
			d.read(o, fmt.Appendf(nil, `{"type":%q,"path":"/x/%d","uid":1,"struct_type":"node"}`, kind, i))
		}
		all := append(given, d.nodes...)
		if len(given) != c.early || len(all) != min(c.n, d.most) || d.truncated != (c.n > d.most) {
			t.Errorf("%s: %d were given early, %d in all, truncated: %t", c.what, len(given), len(all), d.truncated)
		}
		for i, n := range all {
			if n.Name != fmt.Sprint(i) {
				t.Fatalf("%s: %s at place %d", c.what, n.Name, i)
			}
		}
	}
}
