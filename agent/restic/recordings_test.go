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
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// recorder is a sink that remembers.
type recorder struct {
	mu       sync.Mutex
	lines    []topics.Line
	statuses []Status
	started  []process.ID
	onStart  func(process.ID)
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

func (r *recorder) Started(p process.ID) {
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

// commands reads testdata/recordings/operations.txt: a stem, and the command it is
// a recording of.
var commands = sync.OnceValues(func() (map[string]string, error) {
	table, err := os.ReadFile("testdata/recordings/operations.txt")
	all := map[string]string{}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "#" {
			all[f[0]] = strings.Join(f[1:], " ")
		}
	}
	return all, err
})

func operationOf(t *testing.T, stem string) operation {
	t.Helper()
	all, err := commands()
	if err != nil {
		t.Fatal(err)
	}
	switch all[stem] {
	case "backup":
		return Backup{}
	case "init":
		return initialisation{}
	case "cat config":
		return &config{}
	case "unlock":
		return &unlock{}
	case "snapshots", "nosuchcommand":
		return &snapshots{}
	case "key list":
		return &keys{}
	case "list locks":
		return &lockIDs{}
	case "cat lock":
		return &lockText{id: strings.Repeat("a", 64)}
	case "check":
		return &check{}
	case "forget":
		return &forget{}
	case "prune":
		return &prune{}
	case "stats":
		return &stats{}
	case "diff":
		return &diff{}
	case "find":
		return &find{}
	case "restore":
		return &restore{}
	case "ls":
		return &listing{node: func(Node) {}}
	}
	t.Fatalf("%s is a recording of %q, which nothing here reads", stem, all[stem])
	return nil
}

// replay judges what restic said once as if it said it now.
func replay(t *testing.T, version, stem string) (Ending, *recorder) {
	t.Helper()
	return replayAs(t, version, stem, operationOf(t, stem))
}

// replayAs does so with an operation of the caller's.
func replayAs(t *testing.T, version, stem string, op operation) (Ending, *recorder) {
	t.Helper()
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
	x := process.Exit{Code: code}
	if code < 0 {
		x = process.Exit{Code: -1, Signal: fmt.Sprintf("signal %d", -code)}
	}
	return o.ending(x, v, bounds{repository: []string{"/srv/repo", "backup.example.test:8443/client01/main"}}, nil), sink
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
	if err != nil || len(files) < 1500 {
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
		{"0.14.0", "locked-exclusive-backup-json", "unable to create lock in backend: repository is already locked exclusively by PID " +
			"1023 on node01 by root (UID 0, GID 0)"},
		{"0.18.1", "locked-exclusive-backup-json", "unable to create lock in backend: repository is already locked exclusively by PID " +
			"1766 on node01 by root (UID 0, GID 0)"},
		{"0.14.0", "backup-norepo-json", "unable to open config file: stat /srv/repo/config: no such file or directory"},
		{"0.19.1", "init-again-json", "create repository at /srv/repo failed: config file already exists"},
		{"0.17.3", "backup-unreadable-json", "2 items could not be read, the first is /srv/priv/closed: openfile for readdirnames failed: " +
			"open /srv/priv/closed: permission denied"},
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
		if s := e.Summary; s == nil || s.FilesNew != 33 || s.TotalFiles != 33 || s.TotalBytes != 6307487 || s.DataAdded == 0 ||
			s.Seconds == 0 || s.Unreadable != 0 {
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
		if len(e.Report.Snapshots) < 5 {
			t.Fatalf("%s: %d snapshots", v, len(e.Report.Snapshots))
		}
		first := e.Report.Snapshots[0]
		if len(first.ID) != 64 || first.Time != 1735787045000 || first.Host != "web01" || !slices.Equal(first.Paths, []string{"/srv/data/docs"}) {
			t.Errorf("%s: %+v", v, first)
		}
		if !slices.ContainsFunc(e.Report.Snapshots, func(s topics.Snapshot) bool { return slices.Contains(s.Tags, "plan=web") }) {
			t.Errorf("%s: no snapshot with the tag plan=web", v)
		}
		e, sink := replay(t, v, "snapshots-unknown-id-json")
		if e.State != topics.Succeeded || len(e.Report.Snapshots) != 0 || !strings.Contains(sink.text(), `Ignoring "deadbeef"`) {
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
			o := newOutput(&config{}, newRedactor(nil), &recorder{}, DefaultTiming)
			_, stderr, end := o.streams()
			stderr.Write(recorded(t, v, "rest-server-down-json", "stderr"))
			end()
			parsed, _ := ParseVersion("restic " + v)
			if e := o.ending(process.Exit{Code: 1, Cancelled: true}, parsed, bounds{}, c.why); e.State != c.state ||
				e.Cause != c.cause || e.Message == "" {
				t.Errorf("%s after %v: %+v", v, c.why, e)
			}
		}
	}
}

// TestWhatIsFoundOutIsReadInEveryVersion holds the results to what the recordings
// say themselves. What a version cannot say is 0.
func TestWhatIsFoundOutIsReadInEveryVersion(t *testing.T) {
	old := func(v string) bool { return v == "0.14.0" }
	for _, v := range versions {
		e, _ := replay(t, v, "diff-json")
		if want := (topics.Diffed{
			ChangedFiles: 2,
			AddedFiles:   1,
			RemovedFiles: 1,
			AddedBytes:   9972,
			RemovedBytes: 9893,
		}); e.Result.Diff == nil || *e.Result.Diff != want || e.Result.Count != 4 || e.Result.Truncated {
			t.Errorf("%s diff: %+v", v, e.Result)
		}
		if want := []topics.Change{
			{Path: "/srv/data/docs/hardlink.txt", Modifier: "M"},
			{Path: "/srv/data/docs/new.txt", Modifier: "+"},
			{Path: "/srv/data/docs/readme.txt", Modifier: "M"},
			{Path: "/srv/data/www/page03.html", Modifier: "-"},
		}; !slices.Equal(e.Report.Changes, want) {
			t.Errorf("%s diff: %+v", v, e.Report.Changes)
		}
		e, _ = replay(t, v, "find-one-snapshot-json")
		if m := e.Report.Matches; len(m) != 2 || e.Result.Count != 2 || m[0].Path != "/srv/data/docs/readme.txt" || m[0].Type != "file" ||
			m[0].Size != 6 || m[0].ModTime != 1760000000000 || len(m[0].Snapshot) != 64 || m[1].Snapshot != m[0].Snapshot {
			t.Errorf("%s find: %+v", v, m)
		}
		if e, _ = replay(t, v, "find-nomatch-json"); e.State != topics.Succeeded || len(e.Report.Matches) != 0 || e.Result.Count != 0 {
			t.Errorf("%s find of nothing: %+v", v, e)
		}
		if e, _ = replay(t, v, "find-ignore-case-json"); len(e.Report.Matches) == 0 ||
			slices.ContainsFunc(e.Report.Matches, func(m topics.Match) bool {
				return m.Snapshot == ""
			}) {
			t.Errorf("%s find in several snapshots: %+v", v, e.Report.Matches)
		}
		e, _ = replay(t, v, "key-list-json")
		if k := e.Report.Keys; len(k) != 1 || !k[0].Current || k[0].User != "root" || k[0].Host != "node01" ||
			k[0].Created == 0 || len(k[0].ID) < 8 {
			t.Errorf("%s keys: %+v", v, k)
		}
		o := &lockText{id: strings.Repeat("a", 64)}
		e, _ = replayAs(t, v, "locked-exclusive-cat-lock-no-lock", o)
		if l := o.lock; e.State != topics.Succeeded || !l.Exclusive || l.Host != "node01" || l.User != "root" || l.PID < 1000 ||
			l.Time == 0 || l.ID != o.id {
			t.Errorf("%s lock: %+v, %+v", v, l, e)
		}
		ids := &lockIDs{}
		if replayAs(t, v, "list-locks-after-sigkill", ids); len(ids.ids) != 1 || len(ids.ids[0]) != 64 {
			t.Errorf("%s locks: %v", v, ids.ids)
		}
		s := &stats{}
		if replayAs(t, v, "stats-restore-size-json", s); s.total.Size < 70e6 || s.total.Files < 800 || *s.total.Snapshots < 20 {
			t.Errorf("%s stats: %+v", v, s.total)
		}
		if replayAs(t, v, "stats-raw-data-json", s); s.total.Size < 29e6 || s.total.Blobs < 300 || (s.total.Uncompressed == 0) != old(v) {
			t.Errorf("%s raw stats: %+v", v, s.total)
		}
		e, sink := replay(t, v, "prune-dry-run")
		if p := e.Result.Prune; p == nil || p.FreedBytes>>20 != 28 || p.LeftBytes < 2000 || p.LeftBytes > 6000 {
			t.Errorf("%s prune: %+v", v, p)
		}
		if !strings.Contains(sink.text(), "total prune:") || !strings.Contains(sink.text(), "100.00%") || len(sink.statuses) == 0 {
			t.Errorf("%s prune:\n%s", v, sink.text())
		}
		e, _ = replay(t, v, "check-bitflip-read-data-json")
		if c := e.Result.Check; e.Cause != topics.CauseDamaged || c == nil || c.Errors != 1 || len(c.Broken) != 1 || len(c.Broken[0]) != 64 {
			t.Errorf("%s check: %+v, %+v", v, e, c)
		}
		e, _ = replay(t, v, "check-corrupt-index-json")
		if c := e.Result.Check; c == nil || c.Errors != 1 || !slices.Contains(c.Suggest, "repair index") {
			t.Errorf("%s check: %+v", v, e.Result)
		}
		if e, _ = replay(t, v, "check-json"); e.Result.Check == nil || e.Result.Check.Errors != 0 {
			t.Errorf("%s check: %+v", v, e.Result)
		}
		for _, stem := range []string{"locked-shared-check-json", "check-sigint-json"} { // a summary with an error comes with these
			if e, _ = replay(t, v, stem); e.Result != nil {
				t.Errorf("%s %s has a result: %+v", v, stem, e.Result)
			}
		}
		e, sink = replay(t, v, "restore-slow-progress-json")
		if r := e.Result; !old(v) && (r.Restore.Files != 203 || r.Restore.Bytes != 25765824 || len(sink.statuses) == 0 ||
			sink.statuses[0].TotalBytes != 25765824) {
			t.Errorf("%s restore: %+v, %+v", v, r, sink.statuses)
		}
		e, _ = replay(t, v, "restore-disk-full-json")
		if r := e.Result; e.Cause != topics.CauseHostDisk || r == nil || r.Restore.Errors < 5 {
			t.Errorf("%s restore on a full disk: %+v, %+v", v, e, r)
		}
		if v >= "0.17" {
			if e, _ = replay(t, v, "restore-overwrite-never-json"); e.Result.Restore.Files != 15 || e.Result.Restore.Skipped != 36 {
				t.Errorf("%s restore that leaves files alone: %+v", v, e.Result.Restore)
			}
		}
		e, _ = replay(t, v, "unlock-after-kill")
		if want := map[bool]int{true: 0, false: 1}[old(v)]; e.Result.Unlocked != want { // the old one is asked otherwise
			t.Errorf("%s unlock: %+v", v, e.Result)
		}
		e, _ = replay(t, v, "snapshots-json")
		if s := e.Report.Snapshots[0]; len(s.Tree) != 64 || s.Username != "root" || e.Result.Count != len(e.Report.Snapshots) {
			t.Errorf("%s snapshots: %+v", v, s)
		}
		nodes := map[string]Node{}
		replayAs(t, v, "ls-dir-recursive-json", &listing{node: func(n Node) { nodes[n.Path] = n }})
		if n := nodes["/srv/data/docs/readme.txt"]; nodes["/srv/data/docs"].Type != "dir" || len(nodes) < 15 || n.Type != "file" || n.Size != 6 ||
			!n.ModTime.Equal(time.Date(2025, 10, 9, 8, 53, 20, 0, time.UTC)) || (n.Inode > 0) != (v != "0.14.0") {
			t.Errorf("%s ls: %+v", v, nodes)
		}
		for stem, first := range map[string]topics.Failure{
			"restore-on-bitflip-json": {Path: "/srv/slow/a.bin", Why: "ciphertext verification failed"},
			"restore-again-json":      {Path: "/srv/data/docs/dangling", Why: "file exists"},
		} {
			if e, _ = replay(t, v, stem); !old(v) && v != "0.16.5" && stem == "restore-again-json" {
				continue // it can
			} else if v == "0.16.5" && stem == "restore-again-json" {
				first.Path = "/srv/data/docs/pipe"
			}
			if f := e.Report.Failures; len(f) == 0 || f[0].Path != first.Path || !strings.HasSuffix(f[0].Why, first.Why) {
				t.Errorf("%s %s: failures %+v, want %+v", v, stem, f, first)
			}
		}
		if _, sink := replay(t, v, "restore-verbose2-json"); strings.Contains(sink.text(), "verbose_status") {
			t.Errorf("%s: the log has each file of a restore:\n%s", v, sink.text())
		}
	}
}

// What restic of any version says of a restore with --verify, and of what goes wrong in it.
func TestAProofIsReadInEveryVersion(t *testing.T) {
	for _, v := range versions {
		for _, c := range []struct {
			stem  string
			state topics.JobState
			cause topics.Cause
			first topics.Failure // of a file, "" for none
		}{
			{stem: "restore-verify-json", state: topics.Succeeded},
			{stem: "restore-verify-text", state: topics.Succeeded},
			{stem: "restore-nonroot-json", state: topics.Succeeded},
			{stem: "restore-on-bitflip-json", state: topics.Failed, cause: topics.CauseDamaged,
				first: topics.Failure{Path: "/srv/slow/a.bin", Why: "ciphertext verification failed"}},
			{stem: "restore-on-missing-pack-json", state: topics.Failed, cause: topics.CauseUnknown, // what the server says of it may mean anything
				first: topics.Failure{Path: "/srv/slow/", Why: "no such file or directory"}},
			{stem: "restore-disk-full-json", state: topics.Failed, cause: topics.CauseHostDisk,
				first: topics.Failure{Path: "/srv/data/", Why: "no space left on device"}},
			{stem: "restore-unknown-snapshot-json", state: topics.Failed, cause: topics.CauseUnknown},
		} {
			e, sink := replayAs(t, v, c.stem, &bring{})
			if e.State != c.state || e.Cause != c.cause {
				t.Errorf("%s %s ended %s/%s: %s", v, c.stem, e.State, e.Cause, e.Message)
			}
			if c.first.Path != "" && (len(e.Report.Failures) == 0 || !strings.HasPrefix(e.Report.Failures[0].Path, c.first.Path) ||
				!strings.HasSuffix(e.Report.Failures[0].Why, c.first.Why)) || c.first.Path == "" && len(e.Report.Failures) > 0 {
				t.Errorf("%s %s did not bring back %v", v, c.stem, e.Report.Failures)
			}
			untroubled := slices.ContainsFunc(sink.statuses, func(s Status) bool { return s.Trouble == nil })
			if untroubled || strings.Contains(sink.text(), "message_type") || strings.Contains(sink.text(), "0 files new") {
				t.Errorf("%s %s: %v, %s", v, c.stem, sink.statuses, sink.text())
			}
		}
	}
}
