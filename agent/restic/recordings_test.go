package restic

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// recorder is a sink that remembers.
type recorder struct {
	mu       sync.Mutex
	lines    []topics.Line
	statuses []Status
	started  []Process
	onStart  func(Process)
	onLine   func(string)
}

func (r *recorder) Line(level topics.Level, text string) {
	r.mu.Lock()
	r.lines = append(r.lines, topics.Line{Level: level, Text: text})
	f := r.onLine
	r.mu.Unlock()
	if f != nil {
		f(text)
	}
}

func (r *recorder) Status(s Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statuses = append(r.statuses, s)
}

func (r *recorder) Started(p Process) {
	r.mu.Lock()
	r.started = append(r.started, p)
	f := r.onStart
	r.mu.Unlock()
	if f != nil {
		f(p)
	}
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, l := range r.lines {
		fmt.Fprintf(&b, "%s: %s\n", l.Level, l.Text)
	}
	return b.String()
}

// recorded reads one file of a recording; a stream that was empty has none.
func recorded(t *testing.T, version, stem, ext string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "recordings", version, stem+"."+ext))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return b
}

// replay judges what restic said once as if it said it now.
func replay(t *testing.T, version, stem string) (Ending, *recorder) {
	t.Helper()
	var op operation = Backup{}
	switch {
	case strings.Contains(stem, "backup"), strings.HasPrefix(stem, "rest-server-dies"):
	case strings.Contains(stem, "init"):
		op = initialisation{}
	case strings.Contains(stem, "cat-config"):
		op = config{}
	case strings.Contains(stem, "unlock"):
		op = unlock{}
	default:
		op = Snapshots{}
	}
	v, err := ParseVersion("restic " + version)
	if err != nil {
		t.Fatal(err)
	}
	sink := &recorder{}
	o := newOutput(op, newRedactor(nil), sink, DefaultTiming)
	stdout, stderr, end := o.streams()
	stdout.Write(recorded(t, version, stem, "stdout"))
	stderr.Write(recorded(t, version, stem, "stderr"))
	end()
	code, err := strconv.Atoi(strings.TrimSpace(string(recorded(t, version, stem, "exit"))))
	if err != nil {
		t.Fatal(err)
	}
	x := exit{code: code}
	if code < 0 {
		x = exit{code: -1, signal: fmt.Sprintf("signal %d", -code)}
	}
	return o.ending(x, v, []string{"/srv/repo", "backup.example.test:8443/client01/main"}, nil), sink
}

var versions = []string{"0.14.0", "0.16.5", "0.17.3", "0.18.1", "0.19.1"}

// TestEveryRecordingEndsAsItShould reads testdata/recordings/expected.txt: a stem,
// how it ends in every version, and where a version differs.
func TestEveryRecordingEndsAsItShould(t *testing.T) {
	table, err := os.ReadFile("testdata/recordings/expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{} // version/stem
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		for _, v := range versions {
			want[v+"/"+f[0]] = f[1]
		}
		for _, other := range f[2:] {
			v, ending, _ := strings.Cut(other, "=")
			want[v+"/"+f[0]] = ending
		}
	}
	files, err := filepath.Glob("testdata/recordings/*/*.exit")
	if err != nil || len(files) < 700 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	for _, file := range files {
		version, stem := filepath.Base(filepath.Dir(file)), strings.TrimSuffix(filepath.Base(file), ".exit")
		if stem == "version" {
			if v, err := ParseVersion(string(recorded(t, version, stem, "stdout"))); err != nil || v.String() != version {
				t.Errorf("the version of %s is read as %s, %v", version, v, err)
			}
			continue
		}
		e, sink := replay(t, version, stem)
		got := string(e.State)
		if e.Cause != "" {
			got += "/" + string(e.Cause)
		}
		if got != want[version+"/"+stem] {
			t.Errorf("%s %s ended %s, want %s: %s\n%s", version, stem, got, want[version+"/"+stem], e.Message, sink.text())
		}
		if (e.Message == "") != (e.State == topics.Succeeded) || len(e.Message) > maxMessage || strings.Contains(e.Message, "Fatal: ") {
			t.Errorf("%s %s ended %s with the message %q", version, stem, got, e.Message)
		}
	}
}

func TestMessagesAreResticsBestLine(t *testing.T) {
	for _, c := range []struct{ version, stem, want string }{
		{"0.14.0", "locked-exclusive-backup-json", "unable to create lock in backend: repository is already locked exclusively by PID 1023 on node01 by root (UID 0, GID 0)"},
		{"0.18.1", "locked-exclusive-backup-json", "unable to create lock in backend: repository is already locked exclusively by PID 1766 on node01 by root (UID 0, GID 0)"},
		{"0.14.0", "backup-norepo-json", "unable to open config file: stat /srv/repo/config: no such file or directory"},
		{"0.19.1", "init-again-json", "create repository at /srv/repo failed: config file already exists"},
		{"0.17.3", "backup-unreadable-json", "2 items could not be read, the first is /srv/priv/closed: openfile for readdirnames failed: open /srv/priv/closed: permission denied"},
		{"0.14.0", "backup-unreadable-only-file-json", "1 item could not be read: /srv/priv/secret.txt: open: permission denied"},
		{"0.16.5", "backup-missing-path-one-of-two-json", "1 item could not be read: /srv/does-not-exist does not exist, skipping"},
		{"0.16.5", "rest-quota-exceeded-backup-json", "unable to save snapshot: server response unexpected: 507 Insufficient Storage (507)"},
	} {
		if e, _ := replay(t, c.version, c.stem); e.Message != c.want {
			t.Errorf("%s %s:\n got %q\nwant %q", c.version, c.stem, e.Message, c.want)
		}
	}
}

func TestABackupsSummaryAndItemsAreReadInEveryVersion(t *testing.T) {
	for _, v := range versions {
		e, sink := replay(t, v, "backup-new-json")
		if s := e.Summary; s == nil || s.FilesNew != 33 || s.TotalFiles != 33 || s.TotalBytes != 6307487 || s.DataAdded == 0 || s.Seconds == 0 || s.Unreadable != 0 {
			t.Errorf("%s: summary %+v", v, s)
		}
		if want := map[bool]int{true: 64, false: 8}[v != "0.14.0"]; len(e.SnapshotID) != want {
			t.Errorf("%s: snapshot ID %q, want %d digits", v, e.SnapshotID, want)
		}
		if len(sink.statuses) == 0 || sink.statuses[0].TotalBytes == 0 {
			t.Errorf("%s: statuses %+v", v, sink.statuses)
		}
		e, sink = replay(t, v, "backup-unreadable-json")
		if e.Summary.Unreadable != 2 || strings.Count(sink.text(), "warn: /srv/priv/closed: ") != 1 {
			t.Errorf("%s: %d unreadable, want 2, each once:\n%s", v, e.Summary.Unreadable, sink.text())
		}
		e, sink = replay(t, v, "backup-slow-progress-json")
		if !strings.Contains(sink.text(), "info: scan finished: 201 files, 40.6 MiB\n") || !strings.Contains(sink.text(), " %: ") {
			t.Errorf("%s: no word of the scan or the progress:\n%s", v, sink.text())
		}
	}
}

func TestListingsAreReadInEveryVersion(t *testing.T) {
	for _, v := range versions {
		e, _ := replay(t, v, "snapshots-json")
		if len(e.Snapshots) < 5 {
			t.Fatalf("%s: %d snapshots", v, len(e.Snapshots))
		}
		first := e.Snapshots[0]
		if len(first.ID) != 64 || first.Time != 1735787045000 || first.Host != "web01" || !slices.Equal(first.Paths, []string{"/srv/data/docs"}) {
			t.Errorf("%s: %+v", v, first)
		}
		if !slices.ContainsFunc(e.Snapshots, func(s topics.Snapshot) bool { return slices.Contains(s.Tags, "plan=web") }) {
			t.Errorf("%s: no snapshot with the tag plan=web", v)
		}
		e, sink := replay(t, v, "snapshots-unknown-id-json")
		if e.State != topics.Succeeded || len(e.Snapshots) != 0 || !strings.Contains(sink.text(), `Ignoring "deadbeef"`) {
			t.Errorf("%s: an unknown ID gives %+v\n%s", v, e, sink.text())
		}
	}
}

// TestARunThatWasCancelledSaysSo: what restic answers to SIGINT differs by version.
func TestARunThatWasCancelledSaysSo(t *testing.T) {
	for _, v := range versions {
		for _, c := range []struct {
			why   error
			state topics.JobState
			cause topics.Cause
		}{
			{context.Canceled, topics.Cancelled, topics.CauseCancelled},
			{context.DeadlineExceeded, topics.Failed, topics.CauseUnreachable},
		} {
			o := newOutput(config{}, newRedactor(nil), &recorder{}, DefaultTiming)
			_, stderr, end := o.streams()
			stderr.Write(recorded(t, v, "rest-server-down-json", "stderr"))
			end()
			parsed, _ := ParseVersion("restic " + v)
			if e := o.ending(exit{code: 1, cancelled: true}, parsed, nil, c.why); e.State != c.state || e.Cause != c.cause || e.Message == "" {
				t.Errorf("%s after %v: %+v", v, c.why, e)
			}
		}
	}
}
