package restic

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/topics"
)

func TestCommandLinesByVersion(t *testing.T) {
	full := Backup{Host: "attic", Tags: []string{"plan=letters", "-x"}, Paths: []string{"/srv/data"}, Excludes: []string{"*.tmp"}, OneFileSystem: true, RetryLock: 10 * time.Minute}
	plain := Backup{Host: "attic", Paths: []string{"/srv/data"}}
	old := "backup --json --host attic --tag plan=letters --tag -x --one-file-system --exclude-file DIR/excludes --files-from-raw DIR/paths"
	newer := "backup --json --host attic --tag plan=letters --tag -x --retry-lock 10m0s --group-by host,tags --one-file-system --exclude-file DIR/excludes --files-from-raw DIR/paths"
	for _, c := range []struct {
		op   operation
		want [5]string
	}{
		{full, [5]string{old, newer, newer, newer, newer}},
		{plain, same("backup --json --host attic --files-from-raw DIR/paths")},
		{initialisation{}, same("init --json --repository-version 2")},
		{config{}, same("cat config --json --no-lock")},
		{Snapshots{}, same("snapshots --json --no-lock")},
		{Snapshots{ID: "6b778991"}, same("snapshots --json --no-lock -- 6b778991")},
		{Snapshots{Tags: []string{"plan=a", "b"}}, same("snapshots --json --no-lock --tag plan=a,b")},
		{unlock{}, same("unlock --json")},
	} {
		for i, version := range versions {
			v, _ := ParseVersion("restic " + version)
			dir := t.TempDir()
			args, err := c.op.args(v, dir)
			if got := strings.ReplaceAll(strings.Join(args, " "), dir, "DIR"); err != nil || got != c.want[i] {
				t.Errorf("%s %T: %v\n got %s\nwant %s", version, c.op, err, got, c.want[i])
			}
		}
	}
}

func same(line string) [5]string { return [5]string{line, line, line, line, line} }

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
	for _, id := range []string{"latest", "-x", "6b77899", strings.Repeat("a", 65), "6B778991"} {
		if _, err := (Snapshots{ID: id}).args(Version{}, ""); err == nil {
			t.Errorf("%q passes for a snapshot ID", id)
		}
	}
}

func TestRepositoryURLs(t *testing.T) {
	for url, good := range map[string]bool{
		"/srv/backup":                            true,
		"local:/srv/backup":                      true,
		"rest:https://user:pw@nas:8000/attic/":   true,
		"rest:http://[::1]:8000/":                true,
		"rest:http+unix:///run/rest.sock:/attic": true,
		"s3:https://s3.example/bucket/dir":       true,
		"s3:s3.amazonaws.com/bucket":             true,
		"sftp:user@host:/srv/backup":             true,
		"sftp://user@host:22//srv/backup":        true,
		"b2:bucket:dir":                          true,
		"rclone:remote:dir":                      true,
		"":                                       false,
		"backup":                                 false,
		"./backup":                               false,
		"local:backup":                           false,
		"rset:https://nas/attic":                 false,
		"rest:nas:8000/attic":                    false,
		"rest:ftp://nas/":                        false,
		"https://nas:8000/attic":                 false,
		"nosuch:foo":                             false,
		"sftp:-oProxyCommand=sh:/x":              false,
		"sftp:-oProxyCommand=sh@host:/x":         false,
		"sftp://-oProxyCommand=sh/x":             false,
		"sftp://-oProxyCommand=sh@host/x":        false,
		"rclone::sftp,ssh=sh:dir":                false,
		"rclone:remote,ssh=sh:dir":               false,
		"rclone:--config=/tmp/x:dir":             false,
		"/srv/back\nup":                          false,
	} {
		if err := checkURL(url); (err == nil) != good {
			t.Errorf("%q: %v, want good %v", url, err, good)
		}
	}
}

func TestTheEnvironmentIsBuiltFromAnAllowList(t *testing.T) {
	t.Setenv("RESTIC_PASSWORD_COMMAND", "false")
	t.Setenv("AWS_PROFILE", "stray")
	for _, v := range inherited() {
		if name, _, _ := strings.Cut(v, "="); !slices.Contains([]string{"PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"}, name) {
			t.Errorf("restic inherits %s", name)
		}
	}
	for _, name := range []string{"RESTIC_PASSWORD_COMMAND", "RESTIC_REPOSITORY", "PATH", "LD_PRELOAD", "RCLONE_PASSWORD_COMMAND", "RCLONE_SFTP_SSH", "AWS_PROFILE", "aws_access_key_id", ""} {
		r := Repository{URL: "/r", Password: "pw", Env: map[string]topics.Secret{name: "x"}}
		if _, err := r.access(Version{}); err == nil {
			t.Errorf("%q may be set", name)
		}
	}
	for _, r := range []Repository{{URL: "/r"}, {URL: "/r", Password: "a\x00b"}, {URL: "r", Password: "pw"}, {URL: "/r", Password: "pw", Env: map[string]topics.Secret{"ST_KEY": "a\nb"}}} {
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
		{Version{0, 14, 0}, "RESTIC_PASSWORD=hunter2! RESTIC_REPOSITORY=rest:https://attic:p%40ss%2Fword@nas:8000/attic/", "--cacert /etc/ca.pem"},
		{Version{0, 16, 0}, "RESTIC_CACERT=/etc/ca.pem RESTIC_PASSWORD=hunter2! RESTIC_REPOSITORY=rest:https://attic:p%40ss%2Fword@nas:8000/attic/", ""},
		{Version{0, 16, 1}, "RESTIC_CACERT=/etc/ca.pem RESTIC_PASSWORD=hunter2! RESTIC_REPOSITORY=rest:https://nas:8000/attic/ RESTIC_REST_PASSWORD=p@ss/word RESTIC_REST_USERNAME=attic", ""},
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
	a, err := Repository{URL: "rest:https://attic:from%2Furl@nas/", Password: `pa"ss wörd`, Env: map[string]topics.Secret{"AWS_SECRET_ACCESS_KEY": "a+b/c=d"}}.access(Version{0, 19, 1})
	if err != nil {
		t.Fatal(err)
	}
	o := newOutput(Backup{}, newRedactor(a.secrets), &recorder{}, DefaultTiming)
	for _, line := range []string{
		`pa"ss wörd`, `pa%22ss+w%C3%B6rd`, `pa%22ss%20w%C3%B6rd`, `pa\"ss wörd`, "pa\"s\x1b[0ms wörd", "a+b/c=d", "a%2Bb%2Fc%3Dd", "from/url", "from%2Furl",
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
	if b, err := Probe(t.Context(), script("echo restic 0.19.1-dev compiled with go1.26 on linux/amd64")); err != nil || b.Version != (Version{0, 19, 1}) {
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
	t.Setenv("PATH", t.TempDir())
	if _, err := Probe(t.Context(), ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("an empty PATH: %v", err)
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
		fmt.Fprintf(stdout, `{"message_type":"status","percent_done":%v,"total_files":"many","files_done":%d,"total_bytes":1000,"bytes_done":%d,"seconds_remaining":5,"new_field":{},"current_files":["/a\u001b[2Jb"]}`+"\n", float64(i)/100, i, i*10)
	}
	if n := len(sink.statuses); n < 9 || n > 12 {
		t.Errorf("%d statuses in ten seconds", n)
	}
	last := sink.statuses[len(sink.statuses)-1]
	if !last.Scanned || last.Percent < 80 || last.TotalFiles != 0 || last.FilesDone < 80 || last.SecondsLeft != 5 || !slices.Equal(last.CurrentFiles, []string{"/ab"}) {
		t.Errorf("%+v", last)
	}
	if n := strings.Count(sink.text(), " %: "); n != 9 {
		t.Errorf("%d lines about the progress, want 9:\n%s", n, sink.text())
	}
}

func FuzzOutput(f *testing.F) {
	const secret = "correct-horse"
	for _, v := range versions {
		for _, stem := range []string{"backup-new-json", "backup-unreadable-json", "backup-sigint-json", "backup-wrong-password-json", "rest-server-down-json"} {
			for _, ext := range []string{"stdout", "stderr"} {
				if b, err := os.ReadFile(filepath.Join("testdata", "recordings", v, stem+"."+ext)); err == nil {
					f.Add(b[:min(len(b), 2000)], uint8(7))
				}
			}
		}
	}
	f.Add([]byte("{\"message_type\":\"status\",\"current_files\":[null,1,\""+secret+"\"]}\r\n\x1b[2J{\"message_type\":\"error\",\"error\":\"x\",\"item\":7}\n[1]"), uint8(3))
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
			e := o.ending(exit{code: 1}, Version{0, 14, 0}, nil, nil)
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

func TestAProcessGoesThroughAJournal(t *testing.T) {
	p := Process{PID: os.Getpid(), Start: startOf(os.Getpid())}
	b, err := json.Marshal(p)
	var back Process
	if err != nil || json.Unmarshal(b, &back) != nil || back != p || p.Start == "" {
		t.Errorf("%+v became %s, then %+v (%v)", p, b, back, err)
	}
}

func TestALocationIsSpeltOneWay(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"/srv/vault/", "/srv/vault"},
		{"local:/srv/x/../vault", "/srv/vault"},
		{"rest:https://anna:pw@NAS:8000/attic/", "rest:https://nas:8000/attic"},
		{"rest:https://nas:8000", "rest:https://nas:8000/"},
		{"s3:s3.example.com/bucket/a", "s3:https://s3.example.com/bucket/a"},
		{"s3:https://s3.example.com/bucket/a/", "s3:https://s3.example.com/bucket/a"},
		{"sftp:anna@nas:/srv/x/", "sftp:nas:/srv/x"},
		{"sftp://anna@nas:22//srv/x", "sftp:nas:22:/srv/x"},
		{"b2:bucket:path", "b2:bucket:path"},
		{"rclone:remote:path", "rclone:remote:path"},
	} {
		if got, err := Location(Repository{URL: topics.Secret(c.url)}); err != nil || got != c.want {
			t.Errorf("%s is %q, %v, want %q", c.url, got, err, c.want)
		}
	}
	azure := Repository{URL: "azure:box:/", Env: map[string]topics.Secret{"AZURE_ACCOUNT_NAME": "ours"}}
	theirs := Repository{URL: "azure:box:/", Env: map[string]topics.Secret{"AZURE_ACCOUNT_NAME": "theirs"}}
	a, _ := Location(azure)
	if b, _ := Location(theirs); a == b {
		t.Error("another account is another location")
	}
	for _, url := range []string{"", "vault", "sftp:-oProxyCommand=id:/x", "rclone::sftp,ssh=id:x", "rest:x"} {
		if got, err := Location(Repository{URL: topics.Secret(url)}); err == nil {
			t.Errorf("%q is taken as %q", url, got)
		}
	}
}
