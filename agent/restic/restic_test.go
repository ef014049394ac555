package restic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

func TestCommandLinesByVersion(t *testing.T) {
	full := Backup{
		Host:          "attic",
		Tags:          []string{"plan=letters", "-x"},
		Paths:         []string{"/srv/data"},
		Excludes:      []string{"*.tmp"},
		OneFileSystem: true,
		RetryLock:     10 * time.Minute,
	}
	plain := Backup{Host: "attic", Paths: []string{"/srv/data"}}
	old := "backup --json --host attic --tag plan=letters --tag -x --one-file-system --exclude-file DIR/excludes --files-from-raw DIR/paths"
	newer := "backup --json --host attic --tag plan=letters --tag -x --retry-lock 10m0s --group-by host,tags --one-file-system " +
		"--exclude-file DIR/excludes --files-from-raw DIR/paths"
	id := strings.Repeat("ab", 32)
	for _, c := range []struct {
		op   operation
		want [5]string // "" is an error
	}{
		{full, [5]string{old, newer, newer, newer, newer}},
		{plain, same("backup --json --host attic --files-from-raw DIR/paths")},
		{initialisation{}, same("init --json --repository-version 2")},
		{&config{}, same("cat config --json --no-lock")},
		{&snapshots{}, same("snapshots --json --no-lock")},
		{&snapshots{Snapshots: Snapshots{ID: "6b778991"}}, same("snapshots --json --no-lock -- 6b778991")},
		{&snapshots{Snapshots: Snapshots{Tags: []string{"plan=a", "b"}}}, same("snapshots --json --no-lock --tag plan=a,b")},
		{
			Backup{Host: "attic", Paths: []string{"/srv/data"}, system: "windows"},
			cloudy("backup --json --host attic --use-fs-snapshot", " --files-from-raw DIR/paths"),
		},
		{Backup{
			Host:      "attic",
			Paths:     []string{"/srv/data"},
			LiveFiles: true,
			system:    "windows",
		}, cloudy("backup --json --host attic", " --files-from-raw DIR/paths")},
		{
			Backup{Host: "attic", Paths: []string{"/srv/data"}, Excludes: []string{"*.TMP"}, LiveFiles: true, system: "windows"},
			cloudy("backup --json --host attic", " --iexclude-file DIR/excludes --files-from-raw DIR/paths"),
		},
		{&unlock{}, same("unlock")},
		{&unlock{all: true}, same("unlock --remove-all")},
		{&lockIDs{}, same("list locks --no-lock")},
		{&lockText{id: id}, same("cat lock --no-lock -- " + id)},
		{&keys{}, same("key list --json --no-lock")},
		{&forget{Forget: Forget{IDs: []string{id, id}, RetryLock: time.Minute}},
			waiting("forget -- "+id+" "+id, "forget --retry-lock 1m0s -- "+id+" "+id)},
		{&prune{Prune: Prune{RetryLock: time.Minute}}, waiting("prune --max-unused 5%", "prune --max-unused 5% --retry-lock 1m0s")},
		{&prune{Prune: Prune{DryRun: true, RetryLock: time.Minute}}, same("prune --max-unused 5% --dry-run --no-lock")},
		{&check{Check: Check{RetryLock: time.Minute}}, waiting("check", "check --retry-lock 1m0s")},
		{&check{Check: Check{Subset: "3/12"}}, same("check --read-data-subset=3/12")},
		{&check{Check: Check{ReadData: true}}, same("check --read-data")},
		{&check{Check: Check{WithCache: true, Subset: "3/12"}}, same("check --with-cache --read-data-subset=3/12")},
		{&stats{mode: "raw-data"}, same("stats --json --no-lock --mode raw-data")},
		{&diff{Diff: Diff{From: "6b778991", To: id}}, same("diff --json --no-lock -- 6b778991 " + id)},
		{&find{Find: Find{Pattern: "--*.txt"}}, same("find --json --no-lock -- --*.txt")},
		{&find{Find: Find{Pattern: "a", IgnoreCase: true, Snapshots: []string{"0a1b2c3d", "4e5f6a7b"}}},
			same("find --json --no-lock --ignore-case --snapshot 0a1b2c3d --snapshot 4e5f6a7b -- a")},
		{&find{Find: Find{Pattern: "a", Tags: []string{"plan=x", "plan=y"}}}, same("find --json --no-lock --tag plan=x --tag plan=y -- a")},
		{&listing{snapshot: id}, same("ls --json --no-lock -- " + id)},
		{&listing{snapshot: id, paths: []string{"/a"}}, same("ls --json --no-lock --recursive -- " + id + " /a")},
		{&restore{Restore: Restore{Snapshot: id, Target: "/t", Overwrite: "always"}},
			grown("restore --json --target /t", " --sparse", " --overwrite always --verbose=2", " -- "+id)},
		{&restore{Restore: Restore{Snapshot: id, Target: "/t", Paths: []string{"/a b", "/c[1]*?\\"}}},
			[5]string{"restore --json --target /t --include /a b --include /c[[]1][*][?]\\\\ -- " + id,
				"restore --json --target /t --sparse --include /a b --include /c[[]1][*][?]\\\\ -- " + id,
				"restore --json --target /t --sparse --overwrite never --verbose=2 --include-file DIR/includes -- " + id,
				"restore --json --target /t --sparse --overwrite never --verbose=2 --include-file DIR/includes -- " + id,
				"restore --json --target /t --sparse --overwrite never --verbose=2 --include-file DIR/includes -- " + id}},
		{&restore{Restore: Restore{Snapshot: id, Target: "/t", Paths: []string{"/a\nb"}}},
			grown("restore --json --target /t", " --sparse", " --overwrite never --verbose=2", " --include /a\nb -- "+id)},
		{&restore{Restore: Restore{Snapshot: id, Target: "/t", Folder: "/C/data", RetryLock: time.Minute}}, [5]string{"",
			"restore --json --target /t --retry-lock 1m0s --sparse -- " + id + ":/C/data",
			"restore --json --target /t --retry-lock 1m0s --sparse --overwrite never --verbose=2 -- " + id + ":/C/data",
			"restore --json --target /t --retry-lock 1m0s --sparse --overwrite never --verbose=2 -- " + id + ":/C/data",
			"restore --json --target /t --retry-lock 1m0s --sparse --overwrite never --verbose=2 -- " + id + ":/C/data"}},
	} {
		for i, version := range versions {
			v, _ := ParseVersion("restic " + version)
			dir := t.TempDir()
			args, err := c.op.args(v, dir)
			if got := strings.ReplaceAll(strings.Join(args, " "), dir, "DIR"); (err != nil) != (c.want[i] == "") || err == nil && got != c.want[i] {
				t.Errorf("%s %T: %v\n got %s\nwant %s", version, c.op, err, got, c.want[i])
			}
		}
	}
}

// cloudy is a line with what 0.18 added in the middle, on Windows.
func cloudy(begins, ends string) [5]string {
	old, newer := begins+ends, begins+" --exclude-cloud-files"+ends
	return [5]string{old, old, old, newer, newer}
}

func same(line string) [5]string          { return [5]string{line, line, line, line, line} }
func waiting(old, newer string) [5]string { return [5]string{old, newer, newer, newer, newer} }

// grown is a line with what 0.16 and 0.17 added in the middle.
func grown(line, from16, from17, end string) [5]string {
	newer := line + from16 + from17 + end
	return [5]string{line + end, line + from16 + end, newer, newer, newer}
}

func TestFieldsThatResticWouldMisreadAreRefused(t *testing.T) {
	good := Backup{Host: "h", Tags: []string{"t"}, Paths: []string{"/p"}, Excludes: []string{"e"}}
	for name, spoil := range map[string]func(*Backup){
		"no host":                   func(b *Backup) { b.Host = "" },
		"no path":                   func(b *Backup) { b.Paths = nil },
		"a relative path":           func(b *Backup) { b.Paths = []string{"p"} },
		"a flag for a path":         func(b *Backup) { b.Paths = []string{"--help"} },
		"a NUL in a path":           func(b *Backup) { b.Paths = []string{"/p\x00/q"} },
		"two tags in one":           func(b *Backup) { b.Tags = []string{"a,b"} },
		"an empty tag":              func(b *Backup) { b.Tags = []string{""} },
		"a line break in a tag":     func(b *Backup) { b.Tags = []string{"a\nb"} },
		"an empty exclude":          func(b *Backup) { b.Excludes = []string{" "} },
		"a line break in a exclude": func(b *Backup) { b.Excludes = []string{"a\nb"} },
	} {
		b := good
		if _, err := b.args(Version{}, t.TempDir()); err != nil {
			t.Fatal(err)
		}
		spoil(&b)
		if args, err := b.args(Version{}, t.TempDir()); err == nil {
			t.Errorf("%s became %q", name, args)
		}
	}
	for name, op := range map[string]operation{
		"forget without IDs":       &forget{},
		"forget by a short ID":     &forget{Forget: Forget{IDs: []string{"6b778991"}}},
		"forget latest":            &forget{Forget: Forget{IDs: []string{"latest"}}},
		"diff with latest":         &diff{Diff: Diff{From: "latest", To: "6b778991"}},
		"diff with a flag":         &diff{Diff: Diff{From: "6b778991", To: "--metadata"}},
		"find nothing":             &find{},
		"find in an option":        &find{Find: Find{Pattern: "a", Snapshots: []string{"--latest"}}},
		"find by two tags in one":  &find{Find: Find{Pattern: "a", Tags: []string{"plan=x,plan=y"}}},
		"find two lines":           &find{Find: Find{Pattern: "a\nb"}},
		"both kinds of check":      &check{Check: Check{ReadData: true, Subset: "1/2"}},
		"a check of a percentage":  &check{Check: Check{Subset: "5%"}},
		"restore latest":           &restore{Restore: Restore{Snapshot: "latest", Target: "/t"}},
		"restore a subfolder":      &restore{Restore: Restore{Snapshot: "6b778991:/etc", Target: "/t"}},
		"restore a folder":         &restore{Restore: Restore{Snapshot: "6b778991", Folder: "etc", Target: "/t"}},
		"restore to nowhere":       &restore{Restore: Restore{Snapshot: "6b778991"}},
		"restore to here":          &restore{Restore: Restore{Snapshot: "6b778991", Target: "t"}},
		"restore a relative path":  &restore{Restore: Restore{Snapshot: "6b778991", Target: "/t", Paths: []string{"a"}}},
		"restore all but a path":   &restore{Restore: Restore{Snapshot: "6b778991", Target: "/t", Paths: []string{"!/a"}}},
		"overwrite what is a flag": &restore{Restore: Restore{Snapshot: "6b778991", Target: "/t", Overwrite: "--delete"}},
		"a lock that is a flag":    &lockText{id: "--help"},
		"a listing that is a flag": &listing{snapshot: "--help"},
	} {
		if args, err := op.args(Version{Minor: 19, Patch: 1}, t.TempDir()); err == nil {
			t.Errorf("%s became %q", name, args)
		}
	}
	for _, id := range []string{"latest", "-x", "6b77899", strings.Repeat("a", 65), "6B778991"} {
		if _, err := (&snapshots{Snapshots: Snapshots{ID: id}}).args(Version{}, ""); err == nil {
			t.Errorf("%q passes for a snapshot ID", id)
		}
	}
}

func TestAnExcludeStandsInItsFileAsItIsMeant(t *testing.T) {
	for _, c := range []struct{ pattern, system, line string }{
		{"*.tmp", "linux", "*.tmp"},
		{"#x", "linux", "[#]x"},
		{`\#x`, "linux", `\#x`},
		{"!#x", "linux", "!#x"},
		{" a ", "linux", "[ ]a[ ]"},
		{"\u00a0a\u2003", "linux", "[\u00a0]a[\u2003]"},
		{"$HOME", "linux", "$$HOME"},
		{`a\ `, "linux", "a[ ]"},
		{`a\\ `, "linux", `a\\[ ]`},
		{`a\\\ `, "linux", `a\\[ ]`},
		{`a\ `, "windows", `a\[ ]`}, // a folder, and a name of one space
	} {
		if got, err := excludeLine(c.pattern, c.system); err != nil || got != c.line {
			t.Errorf("%q on %s is %q, %v, want %q", c.pattern, c.system, got, err, c.line)
		}
	}
	for _, pattern := range []string{"", " ", "\u00a0", "a\nb", "a\x00"} {
		if got, err := excludeLine(pattern, "linux"); err == nil {
			t.Errorf("%q is taken as %q", pattern, got)
		}
	}
}

func TestTheEnvironmentIsBuiltFromAnAllowList(t *testing.T) {
	t.Setenv("RESTIC_PASSWORD_COMMAND", "false")
	t.Setenv("AWS_PROFILE", "stray")
	for _, v := range process.Inherited() {
		if name, _, _ := strings.Cut(v, "="); !slices.Contains([]string{"PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"}, name) {
			t.Errorf("restic inherits %s", name)
		}
	}
	for _, name := range []string{"RESTIC_PASSWORD_COMMAND", "RESTIC_REPOSITORY", "PATH", "LD_PRELOAD", "RCLONE_PASSWORD_COMMAND",
		"RCLONE_SFTP_SSH", "AWS_PROFILE", "aws_access_key_id", ""} {
		r := Repository{URL: "/r", Password: "pw", Env: map[string]topics.Secret{name: "x"}}
		if _, err := r.access(Version{}); err == nil {
			t.Errorf("%q may be set", name)
		}
	}
	for _, r := range []Repository{
		{URL: "/r"},
		{URL: "/r", Password: "a\x00b"},
		{URL: "r", Password: "pw"},
		{URL: "/r", Password: "pw", Env: map[string]topics.Secret{"ST_KEY": "a\nb"}},
	} {
		if _, err := r.access(Version{}); err == nil {
			t.Errorf("%q is ready for use", r.URL.Reveal())
		}
	}
}

func TestServerCredentialsReachEveryVersion(t *testing.T) {
	r := Repository{URL: "rest:https://nas:8000/attic/", Password: "hunter2!", Env: map[string]topics.Secret{
		"RESTIC_REST_USERNAME": "attic", "RESTIC_REST_PASSWORD": "p@ss/word", "RESTIC_CACERT": "/etc/ca.pem"}}
	for _, c := range []struct {
		v     Version
		env   string
		flags string
	}{
		{
			Version{Minor: 14},
			"RESTIC_PASSWORD=hunter2! RESTIC_REPOSITORY=rest:https://attic:p%40ss%2Fword@nas:8000/attic/",
			"--cacert /etc/ca.pem",
		},
		{
			Version{Minor: 16},
			"RESTIC_CACERT=/etc/ca.pem RESTIC_PASSWORD=hunter2! RESTIC_REPOSITORY=rest:https://attic:p%40ss%2Fword@nas:8000/attic/",
			"",
		},
		{
			Version{Minor: 16, Patch: 1},
			"RESTIC_CACERT=/etc/ca.pem RESTIC_PASSWORD=hunter2! RESTIC_REPOSITORY=rest:https://nas:8000/attic/ " +
				"RESTIC_REST_PASSWORD=p@ss/word RESTIC_REST_USERNAME=attic",
			"",
		},
	} {
		a, err := r.access(c.v)
		if err != nil || strings.Join(a.env, " ") != c.env || strings.Join(a.flags, " ") != c.flags {
			t.Errorf("%s: %v\n got %v %v\nwant %s %s", c.v, err, a.env, a.flags, c.env, c.flags)
		}
		if strings.Contains(a.shown, "ss") {
			t.Errorf("%s shows %s", c.v, a.shown)
		}
	}
}

func TestSecretsAreRedactedInEveryForm(t *testing.T) {
	a, err := Repository{URL: "rest:https://attic:from%2Furl@nas/", Password: `pa"ss wörd`,
		Env: map[string]topics.Secret{"AWS_SECRET_ACCESS_KEY": "a+b/c=d"}}.access(Version{Minor: 19, Patch: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := newOutput(Backup{}, newRedactor(a.secrets), &recorder{}, DefaultTiming)
	for _, line := range []string{
		`pa"ss wörd`, `pa%22ss+w%C3%B6rd`, `pa%22ss%20w%C3%B6rd`, `pa\"ss wörd`, "pa\"s\x1b[0ms wörd",
		"a+b/c=d", "a%2Bb%2Fc%3Dd", "from/url", "from%2Furl",
	} {
		if got := o.safe("<" + line + ">"); got != "<[redacted]>" {
			t.Errorf("%q is shown as %q", line, got)
		}
	}
	// A cut must not leave the beginning of one.
	sink := &recorder{}
	o = newOutput(Backup{}, newRedactor([]string{"correct-horse"}), sink, DefaultTiming)
	_, stderr, end := o.streams()
	fmt.Fprintf(stderr, "%s%s\n", strings.Repeat("x", topics.MaxLine-9), "correct-horse"+strings.Repeat("y", 100))
	end()
	if text := sink.text(); strings.Contains(text, "corr") || !strings.Contains(text, "… [cut, 16488 bytes]") {
		t.Errorf("cut to %q", text[len(text)-100:])
	}
}

func TestLinesAreMadeSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                "plain",
		"größer 日本 👨‍👩‍👧":                      "größer 日本 👨‍👩‍👧",
		"a\tb":                                 "a b",
		"\x1b[2Ksignal":                        "signal",
		"\x1b[31;1mred\x1b[0m":                 "red",
		"\x1b]0;title\x07text\x1b]8;;u\x1b\\x": "textx",
		"\x1b]never ends":                      "␛]never ends",
		"\x1b":                                 "␛",
		"bell\x07 nul\x00 del\x7f":             "bell␇ nul␀ del␡",
		"c1 \u0085\u009b bidi \u202etxt\u2069": "c1 \ufffd\ufffd bidi \ufffdtxt\ufffd",
		"line\u2028sep \ufeffbom":              "line\ufffdsep \ufffdbom",
		"bad \xff\xc3":                         "bad \ufffd\ufffd",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSecretsInTheLogsOfTheAgentDoNotPrint(t *testing.T) {
	r := Repository{URL: "rest:https://a:hunter2@nas/", Password: "hunter2", Env: map[string]topics.Secret{"ST_KEY": "hunter2"}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(format, r); strings.Contains(got, "hunter2") {
			t.Errorf("%s prints %s", format, got)
		}
	}
}

func TestProbe(t *testing.T) {
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "restic")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if b, err := Probe(t.Context(), ""); err != nil || !filepath.IsAbs(b.Path) || !b.Version.AtLeast(0, 14, 0) {
		t.Errorf("the restic on PATH: %+v, %v", b, err)
	}
	if b, err := Probe(t.Context(), script("echo restic 0.19.1-dev compiled with go1.26 on linux/amd64")); err != nil ||
		b.Version != (Version{Minor: 19, Patch: 1}) {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := Probe(t.Context(), script("echo restic 0.13.1 compiled with go1.18 on linux/amd64")); !errors.Is(err, ErrTooOld) {
		t.Errorf("0.13.1: %v", err)
	}
	for _, path := range []string{"/no/such/restic", t.TempDir()} {
		if _, err := Probe(t.Context(), path); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Probe(t.Context(), script("echo hello; yes | head -c 10000000; exit 3")); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("another program: %v", err)
	}
	// Where temporary files were to go says nothing of restic.
	real, err := exec.LookPath("restic")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "gone"))
	if b, err := Probe(t.Context(), real); err != nil || !b.Version.AtLeast(0, 14, 0) {
		t.Errorf("with a TMPDIR that is not there: %+v, %v", b, err)
	}
	t.Setenv("PATH", filepath.Dir(real))
	t.Chdir("/")
	if _, err := Probe(t.Context(), filepath.Base(real)); err != nil {
		t.Errorf("by its name, from elsewhere: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Probe(t.Context(), ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("an empty PATH: %v", err)
	}
}

func TestWhatPassesIsNotALackOfRestic(t *testing.T) {
	for _, c := range []struct {
		err    error
		passes bool
	}{
		{fmt.Errorf("%w at %q", ErrNotFound, "restic"), false},
		{fmt.Errorf("%w: it is 0.13", ErrTooOld), false},
		{fmt.Errorf("start /usr/bin/restic: %w", os.ErrPermission), false},
		{fmt.Errorf("start /usr/bin/restic: %w", syscall.ENOEXEC), false},
		{fmt.Errorf("start /usr/bin/restic: %w", syscall.EAGAIN), true},
		{&os.PathError{Op: "fork/exec", Path: "/usr/bin/restic", Err: syscall.ENOMEM}, true},
		{&os.PathError{Op: "fork/exec", Path: "/usr/bin/restic", Err: syscall.ETXTBSY}, true},
		{fmt.Errorf("it did not tell its version in time: %w", context.DeadlineExceeded), true},
	} {
		if got := Passing(c.err); got != c.passes {
			t.Errorf("%v passes: %t", c.err, got)
		}
	}
}

func TestAClearedDirectoryForTemporaryFilesIsMadeAgain(t *testing.T) {
	place := Place{TempDir: filepath.Join(t.TempDir(), "state", "tmp"), Job: topics.JobID(topics.NewID(time.Now()))}
	for range 2 {
		dir, err := place.temporary("restic-")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info, err)
		}
		if err := os.RemoveAll(place.TempDir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProgressIsTypedAndRare(t *testing.T) {
	sink := &recorder{}
	o := newOutput(Backup{}, newRedactor(nil), sink, DefaultTiming)
	now := time.Unix(1e9, 0)
	o.now = func() time.Time { return now }
	stdout, _, _ := o.streams()
	for i := range 100 { // ten seconds
		now = now.Add(100 * time.Millisecond)
		fmt.Fprintf(stdout, `{"message_type":"status","percent_done":%v,"total_files":"many","files_done":%d,"total_bytes":1000,`+
			`"bytes_done":%d,"seconds_remaining":5,"new_field":{},"current_files":["/a\u001b[2Jb"]}`+"\n", float64(i)/100, i, i*10)
	}
	if n := len(sink.statuses); n < 9 || n > 12 {
		t.Errorf("%d statuses in ten seconds", n)
	}
	last := sink.statuses[len(sink.statuses)-1]
	if !last.Scanned || last.Percent < 80 || last.TotalFiles != 0 || last.FilesDone < 80 || last.SecondsLeft != 5 ||
		!slices.Equal(last.CurrentFiles, []string{"/ab"}) {
		t.Errorf("%+v", last)
	}
	if n := strings.Count(sink.text(), " %: "); n != 9 {
		t.Errorf("%d lines about the progress, want 9:\n%s", n, sink.text())
	}
}

func FuzzOutput(f *testing.F) {
	const secret = "correct-horse"
	for _, v := range versions {
		for _, stem := range []string{"backup-new-json", "backup-unreadable-json", "backup-sigint-json", "backup-wrong-password-json",
			"rest-server-down-json"} {
			for _, ext := range []string{"stdout", "stderr"} {
				if b, err := os.ReadFile(filepath.Join("testdata", "recordings", v, stem+"."+ext)); err == nil {
					f.Add(b[:min(len(b), 2000)], uint8(7))
				}
			}
		}
	}
	f.Add([]byte("{\"message_type\":\"status\",\"current_files\":[null,1,\""+secret+
		"\"]}\r\n\x1b[2J{\"message_type\":\"error\",\"error\":\"x\",\"item\":7}\n[1]"), uint8(3))
	f.Add([]byte(`{"message_type":"exit_error","code":"1","message":"a\n`+secret+`"}`), uint8(1))
	f.Fuzz(func(t *testing.T, said []byte, chunk uint8) {
		var texts [2]string
		for i, size := range []int{len(said) + 1, int(chunk) + 1} { // at once, and in pieces
			sink := &recorder{}
			o := newOutput(Backup{}, newRedactor([]string{secret}), sink, Timing{Status: time.Nanosecond}.orDefault())
			stdout, stderr, end := o.streams()
			for piece := range slices.Chunk(said, size) {
				stdout.Write(piece)
			}
			for piece := range slices.Chunk(said, size) {
				stderr.Write(piece)
			}
			end()
			e := o.ending(process.Exit{Code: 1}, Version{Minor: 14}, bounds{}, nil)
			if e.State != topics.Failed || e.Cause == topics.CauseNone {
				t.Fatalf("exit code 1 ended %+v", e)
			}
			lines := append(sink.lines, topics.Line{Text: e.Message})
			for _, s := range sink.statuses {
				for _, file := range s.CurrentFiles {
					lines = append(lines, topics.Line{Text: file})
				}
				if s.Percent < 0 || s.Percent > 100 {
					t.Fatalf("%+v", s)
				}
			}
			for _, l := range lines {
				if !utf8.ValidString(l.Text) || len(l.Text) > topics.MaxLine || clean(l.Text) != l.Text || strings.Contains(l.Text, secret) {
					t.Fatalf("line %q", l.Text)
				}
			}
			texts[i] = sink.text()
		}
		if texts[0] != texts[1] {
			t.Fatalf("in pieces of %d it reads otherwise:\n%s\n%s", chunk, texts[0], texts[1])
		}
	})
}

// FuzzAnswers has every operation read anything for its answer.
func FuzzAnswers(f *testing.F) {
	const secret = "correct-horse"
	reads := func() []operation {
		return []operation{&snapshots{}, &keys{}, &lockIDs{}, &lockText{id: strings.Repeat("a", 64)}, &unlock{}, &forget{}, &prune{},
			&check{}, &stats{}, &diff{}, &find{},
			&restore{}, &listing{node: func(Node) {}}, initialisation{}, &config{}}
	}
	stems := []string{"snapshots-json", "key-list-json", "list-locks-after-sigkill", "locked-exclusive-cat-lock-no-lock",
		"unlock-after-kill", "forget-ids-one-unknown-json", "prune-dry-run",
		"check-bitflip-read-data-json", "stats-raw-data-json", "diff-json", "find-one-snapshot-json", "restore-slow-progress-json",
		"ls-file-json", "init-json", "cat-config-json"}
	for i, stem := range stems {
		for _, v := range versions {
			for _, ext := range []string{"stdout", "stderr"} {
				if b, err := os.ReadFile(filepath.Join("testdata", "recordings", v, stem+"."+ext)); err == nil {
					f.Add(b[:min(len(b), 3000)], uint8(i), uint8(13))
				}
			}
		}
	}
	f.Add([]byte(`[{"matches":[{"path":"a"},{"path":"`+secret+`"}],"hits":2,"snapshot":"6b778991"},{}]`), uint8(10), uint8(1))
	f.Add([]byte(`[{"matches":null,"matches":[{"path":"a","path":[{}]}`), uint8(10), uint8(1))
	f.Fuzz(func(t *testing.T, said []byte, which, chunk uint8) {
		var told [2]string
		for i, size := range []int{len(said) + 1, int(chunk) + 1} { // at once, and in pieces
			op := reads()[int(which)%len(reads())]
			sink := &recorder{}
			o := newOutput(op, newRedactor([]string{secret}), sink, Timing{Status: time.Nanosecond}.orDefault())
			stdout, stderr, end := o.streams()
			for piece := range slices.Chunk(said, size) {
				stdout.Write(piece)
			}
			for piece := range slices.Chunk(said, size) {
				stderr.Write(piece)
			}
			end()
			for _, code := range []int{0, 1} {
				e := o.ending(process.Exit{Code: code}, Version{Minor: 19, Patch: 1}, bounds{}, nil)
				if code == 1 && (e.State != topics.Failed || e.Cause == topics.CauseNone) ||
					code == 0 && e.State == topics.Succeeded && op.answers(Version{Minor: 19, Patch: 1}) != o.answered &&
						op.answers(Version{Minor: 19, Patch: 1}) {
					t.Fatalf("exit code %d ended %+v", code, e)
				}
				report := topics.Encode(e.Report)
				if len(e.Message) > maxMessage || strings.Contains(string(report), secret) || strings.Contains(e.Message, secret) {
					t.Fatalf("%q, %s", e.Message, report)
				}
				for _, s := range e.Report.Snapshots {
					if len(s.ID) != 64 {
						t.Fatalf("snapshot %+v", s)
					}
				}
				told[i] += string(report) + string(topics.Encode(e.Result))
			}
			for _, l := range sink.lines {
				if !utf8.ValidString(l.Text) || len(l.Text) > topics.MaxLine || clean(l.Text) != l.Text || strings.Contains(l.Text, secret) {
					t.Fatalf("line %q", l.Text)
				}
			}
		}
		if told[0] != told[1] {
			t.Fatalf("in pieces of %d it reads otherwise:\n%s\n%s", chunk, told[0], told[1])
		}
	})
}

func TestALongAnswerIsTakenApartAsItComes(t *testing.T) {
	var parts []string
	d := &document{depths: []int{1, 3}, limit: 40}
	d.object = func(b []byte, lost int) { parts = append(parts, fmt.Sprintf("%s+%d", b, lost)) }
	for _, c := range []byte(`[{"m":[{"p":"}]\\\"{"},{"p":{"q":1}}],"s":2}, {"m":null,"long":"0123456789012345678901234567890123456789"}]`) {
		d.write([]byte{c})
	}
	skeleton, lost := d.end()
	want := []string{`{"p":"}]\\\"{"}+0`, `{"p":{"q":1}}+0`, `{"m":[0,0],"s":2}+0`, `{"m":null,"long":"0123456789012345678901+20`}
	if !slices.Equal(parts, want) || string(skeleton) != "[0, 0]" || lost != 0 {
		t.Errorf("%q and %q, %d lost\nwant %q", parts, skeleton, lost, want)
	}
	d.write([]byte(`[{"a":1},{"b`))
	if skeleton, lost = d.end(); json.Valid(skeleton) || lost != 3 {
		t.Errorf("half an answer leaves %q, %d lost", skeleton, lost)
	}
	// A find over everything: 200,000 matches, of which ten thousand are kept.
	op := &find{}
	o := newOutput(op, newRedactor(nil), &recorder{}, DefaultTiming)
	stdout, _, end := o.streams()
	fmt.Fprint(stdout, `[{"matches":[`)
	for i := range 200_000 {
		fmt.Fprintf(stdout, `{"path":"/home/anna/%d","type":"file"},`, i)
	}
	fmt.Fprint(stdout, `{"path":"/last","type":"file"}],"hits":200001,"snapshot":"`+strings.Repeat("ab", 32)+`"}]`)
	end()
	e := o.ending(process.Exit{}, Version{Minor: 14}, bounds{}, nil)
	if m := e.Report.Matches; e.State != topics.Succeeded || len(m) != maxFound || e.Result.Count != 200_001 || !e.Result.Truncated ||
		m[maxFound-1].Snapshot == "" {
		t.Errorf("%s: %d matches, %+v", e.State, len(m), e.Result)
	}
}

// What a search finds is told while it goes on: whole snapshots, not more often than it
// must, each match once, and the rest at the end.
func TestAFindTellsWhatItFoundSoFar(t *testing.T) {
	clock := time.Now()
	var told [][]topics.Match
	op := &find{Find: Find{Pattern: "x", Found: func(m []topics.Match) { told = append(told, m) }}}
	o := newOutput(op, newRedactor(nil), &recorder{}, DefaultTiming)
	o.now = func() time.Time { return clock }
	stdout, _, end := o.streams()
	snapshot := func(n, matches int) {
		fmt.Fprint(stdout, map[bool]string{true: "[", false: ","}[n == 1]+`{"matches":[`)
		for i := range matches {
			fmt.Fprintf(stdout, `%s{"path":"/x/%d","type":"file"}`, map[bool]string{false: ","}[i == 0], i)
		}
		fmt.Fprintf(stdout, `],"hits":%d,"snapshot":"%064x"}`, matches, n)
	}
	snapshot(1, 2) // told at once
	snapshot(2, 3) // too soon
	clock = clock.Add(findPause)
	snapshot(3, 1)                                                      // with those of the one before
	fmt.Fprint(stdout, `,{"matches":[{"path":"/x/lost","type":"file"}`) // its snapshot is never said
	end()
	e := o.ending(process.Exit{Cancelled: true, Code: 130}, Version{Minor: 14}, bounds{}, nil)
	if len(told) != 2 || len(told[0]) != 2 || len(told[1]) != 4 || len(e.Report.Matches) != 0 || e.State != topics.Cancelled {
		t.Fatalf("told %d times, %+v, and %d at the end, %s", len(told), told, len(e.Report.Matches), e.State)
	}
	if got := told[1][3].Snapshot; got != fmt.Sprintf("%064x", 3) || told[1][0].Snapshot != fmt.Sprintf("%064x", 2) {
		t.Errorf("the last is of snapshot %s", got)
	}
	if e.Result == nil || e.Result.Count != 7 || !e.Result.Truncated {
		t.Errorf("%+v: a match of which the snapshot is not known is not reported, and that is said", e.Result)
	}
}

func TestAProcessGoesThroughAJournal(t *testing.T) {
	p := process.ID{PID: os.Getpid(), Start: process.StartOf(os.Getpid())}
	b, err := json.Marshal(p)
	var back process.ID
	if err != nil || json.Unmarshal(b, &back) != nil || back != p || p.Start == "" {
		t.Errorf("%+v became %s, then %+v (%v)", p, b, back, err)
	}
}
