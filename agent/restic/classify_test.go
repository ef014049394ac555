package restic

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// A failure is one entry of testdata/corpus.txt.
type failure struct {
	cause       topics.Cause
	from, lines string
}

func corpus(t *testing.T) (all []failure) {
	t.Helper()
	b, err := os.ReadFile("testdata/corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSuffix(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " | ", 3)
		if len(f) != 3 || f[1] == "" || !slices.Contains(topics.Causes, topics.Cause(f[0])) {
			t.Fatalf("%q names no cause, source and text", line)
		}
		all = append(all, failure{topics.Cause(f[0]), f[1], strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace(f[2])})
	}
	return all
}

var here = bounds{
	repository: []string{"/srv/repo", "https://nas/access denied/r", "u@nas:/srv/repo", "D:\\repo", "drive:access denied"},
	host:       []string{"/var/lib/agent/tmp", "/var/lib/agent/cache"},
	source:     []string{"/srv/data"},
}

// said judges what restic wrote to its stderr.
func said(text string) (topics.Cause, string) {
	var e evidence
	for l := range strings.Lines(text) {
		e.line(strings.TrimSuffix(l, "\n"))
	}
	return e.judge(here)
}

func TestEveryKnownFailureIsNamed(t *testing.T) {
	all := corpus(t)
	if len(all) < 300 {
		t.Errorf("%d failures", len(all))
	}
	for _, f := range all {
		if cause, line := said(f.lines); cause != f.cause {
			t.Errorf("%s, %s: it is called %s, for %q\n%s", f.cause, f.from, cause, line, f.lines)
		}
	}
}

// Each sign is one that a line can have without another sign saying otherwise before it.
func TestEverySignHasACauseASourceAndWordsThatCanMatch(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range slices.Concat(telling, vague) {
		if !slices.Contains(topics.Causes, s.cause) || s.from == "" || s.words == "" && s.http == "" {
			t.Errorf("%+v", s)
		}
		if s.words != strings.ToLower(s.words) {
			t.Errorf("%q is compared with lines in lower case", s.words)
		}
		if key := s.words + s.http; seen[key] {
			t.Errorf("%q is there twice", key)
		} else {
			seen[key] = true
		}
		line := strings.ReplaceAll(s.words, " & ", " ") // in its own words, none comes before it that says otherwise
		for w := range strings.SplitSeq(s.words, " & ") {
			if strings.HasPrefix(w, "!") {
				line = strings.ReplaceAll(line, w, "")
			}
		}
		if s.http == "" {
			if got := classify(line+" …", bounds{}); got != s.cause {
				t.Errorf("%q is called %s, want %s: another sign comes first", line, got, s.cause)
			}
		}
	}
}

// Names may say anything, and are no evidence.
func TestWhatANameSaysIsNoEvidence(t *testing.T) {
	for _, text := range []string{
		// The repository's own address.
		"Fatal: unable to open config file: Head \"https://nas/access denied/r/config\": something else",
		"Fatal: unable to open repository at rclone:drive:access denied: error talking HTTP to rclone: exit status 1",
		"Fatal: something else at /srv/repo/quota exceeded/no space left/503 service unavailable",
		// Files of the source, in all the ways restic names them beside JSON.
		"Fatal: unable to save snapshot: lstat /srv/data/access denied/quota exceeded: something else",
		"Fatal: unable to save snapshot: open /srv/data/x: permission denied",
		"Fatal: unable to save snapshot: open /srv/data/a: b: permission denied",
		"Fatal: unable to save snapshot: lstat /srv/data/mnt: stale NFS file handle",
		"Fatal: unable to save snapshot: read /srv/data/x: input/output error",
		"Fatal: unable to save snapshot: lstat /srv/data/mnt: transport endpoint is not connected",
		"Fatal: unable to save snapshot: lstat /srv/data/mnt: host is down",
		"Fatal: unable to save snapshot: open /srv/data/x: disk quota exceeded",
		"scan: lstat /mnt/tmp: stale NFS file handle\nFatal: something else",
		"error: lstat /mnt/tmp: stale NFS file handle\nFatal: something else",
		"error: open /home/u/connection refused: permission denied\nFatal: something else",
		"/home/u/access denied does not exist, skipping\nFatal: something else",
		"ignoring error for /home/u/dial tcp x509: permission denied\nFatal: There were 1 errors",
		"ignoring error for /home/u/new\nline: no space left on device\nFatal: There were 1 errors",
		"incomplete metadata for /home/u/access denied: xattr.List /home/u/access denied: permission denied\nFatal: something else",
		"Warning: at least one source file could not be read: no space left\nFatal: something else",
		// What a server prints to everybody.
		"subprocess ssh: Unauthorized access is denied. Access denied, quota exceeded, 503 service unavailable.\nFatal: something else",
		"subprocess ssh: ** this system is out of memory: x509: permission denied **\nFatal: something else",
		"subprocess ssh: Warning: Permanently added 'nas' (ED25519) to the list of known hosts.\nFatal: something else",
		// Numbers that are no HTTP status.
		"Fatal: wrote 503 bytes instead of the expected 504 bytes",
		"Fatal: unable to read 0503: line 503: something else",
		"Fatal: something else after 500: it took 502 s",
		// What passed before it.
		"Save(<data/aa>) returned error, retrying after 1s: dial tcp: connection refused\n" +
			"Save(<data/aa>) operation successful after 1 retries\nFatal: something else",
	} {
		if cause, line := said(text); cause != topics.CauseUnknown {
			t.Errorf("called %s for %q:\n%s", cause, line, text)
		}
	}
}

// The neighbours of the above: the same words where they are evidence.
func TestTheSameWordsAtTheRepositoryAreEvidence(t *testing.T) {
	for text, want := range map[string]topics.Cause{
		"Fatal: unable to save snapshot: write /srv/repo/data/x: permission denied":                      topics.CausePermission,
		"Fatal: unable to save snapshot: write /srv/repo/data/x: stale NFS file handle":                  topics.CauseUnreachable,
		"Fatal: unable to save snapshot: write /srv/repo/data/x: disk quota exceeded":                    topics.CauseDiskFull,
		"Fatal: unable to save snapshot: write /srv/repo2/data/x: no space left on device":               topics.CauseDiskFull,
		"Fatal: unable to save snapshot: write /var/lib/agent/tmp/x: no space left on device":            topics.CauseHostDisk,
		"Fatal: unable to save snapshot: write /var/lib/agent/tmp/x: stale NFS file handle":              topics.CauseUnknown,
		"Fatal: unable to open config file: Head \"https://nas/access denied/r/config\": Access Denied.": topics.CauseCredentials,
		"subprocess ssh: u@nas: Permission denied (publickey).\nFatal: something else":                   topics.CauseKeyRefused,
		"Save(<data/aa>) returned error, retrying after 1s: dial tcp: connection refused\n" +
			"Save(<data/bb>) operation successful after 1 retries\nFatal: something else": topics.CauseUnreachable,
		"scan: lstat /mnt/tmp: something\nFatal: unable to save snapshot: b2_upload_file: 503: busy": topics.CauseUnreachable,
	} {
		if cause, line := said(text); cause != want {
			t.Errorf("called %s for %q, want %s:\n%s", cause, line, want, text)
		}
	}
}

// What tells comes before what is only the end of it, wherever it stands; and restic's
// last word comes before what was said earlier.
func TestTheTellingLineWins(t *testing.T) {
	const late = "Fatal: unable to open repository at sftp:u@nas:/srv/repo: unable to start the sftp session, error: EOF"
	for _, c := range []struct {
		text, line string
		want       topics.Cause
	}{
		{"subprocess ssh: Host key verification failed.\n" + late, "subprocess ssh: Host key verification failed.", topics.CauseHostKey},
		{late, strings.TrimPrefix(late, "Fatal: "), topics.CauseUnreachable},
		{"rclone: x ERROR : data/aa: Over quota\nFatal: server response unexpected: 500 Internal Server Error (500)",
			"rclone: x ERROR : data/aa: Over quota", topics.CauseDiskFull},
		{"Save(<data/aa>) returned error, retrying after 1s: dial tcp: connection refused\nFatal: wrong password or no key found",
			"wrong password or no key found", topics.CausePassword},
	} {
		if cause, line := said(c.text); cause != c.want || line != c.line {
			t.Errorf("called %s for %q, want %s for %q", cause, line, c.want, c.line)
		}
	}
}

// TestStatusesAreReadInEveryForm: each backend writes them in its own way.
func TestStatusesAreReadInEveryForm(t *testing.T) {
	for _, code := range strings.Fields(passing + " 401 403 404 507") {
		for _, form := range []string{
			"server response unexpected: # x (#)", "unexpected http response (#): # x", "list failed, server response: # x (#)",
			"stat: # service unavailable", "stat: #", "# service unavailable", "b2_upload_file: #: x", "b2_download_file_by_name: #:",
			"response #: # x", "googleapi: error #: x, y", "googleapi: got http response code # with body: x", "http error: #: # x",
			"http error # (# x) returned body: x", "https response error statuscode: #, requestid: x", "status code: #, request id: x",
			"statuscode=403, statuscode: #,", "stat: # <none>",
		} {
			if got := statuses(strings.ReplaceAll(form, "#", code)); !slices.Contains(got, code) {
				t.Errorf("%q: %v", strings.ReplaceAll(form, "#", code), got)
			}
		}
	}
	for _, none := range []string{"wrote 503 bytes", "port 503: refused", "127.0.0.1:503: refused", "line 503: x", "pid 503", "0503: x",
		"5030: x", "expected: 503 bytes", ""} {
		if got := statuses(none); len(got) > 0 {
			t.Errorf("%q: %v", none, got)
		}
	}
}

// Every cause that restic's words can mean is in the corpus.
func TestTheCorpusHasEveryCause(t *testing.T) {
	n := map[topics.Cause]int{}
	for _, f := range corpus(t) {
		n[f.cause]++
	}
	for _, s := range slices.Concat(telling, vague) {
		if n[s.cause] == 0 {
			t.Errorf("the table knows %s, and the corpus does not", s.cause)
		}
	}
}

// An answer of several lines counts as one: what it was said of may succeed at last, and its
// body is no evidence of what comes later.
func TestAnAnswerOfSeveralLinesIsOneEvidence(t *testing.T) {
	rule := strings.Repeat("-", 80)
	answer := func(first, status, code string, body ...string) string {
		return strings.Join(append([]string{first + ": HEAD https://a.blob.core.windows.net/attic/main/config", rule, "RESPONSE " + status,
			"ERROR CODE: " + code, rule}, append(body, rule)...), "\n") + "\n"
	}
	const xml = `<?xml version="1.0" encoding="utf-8"?><Error><Code>ServerBusy</Code><Message>The server is busy.</Message></Error>`
	busy := answer("Save(<data/0123456789>) returned error, retrying after 1s: blob.StageBlock", "503: 503 The server is busy.", "ServerBusy",
		xml)
	refused := answer("Fatal: unable to open config file: Stat", "403: 403 Server failed to authenticate the request.", "AuthenticationFailed",
		"Response contained no body") + "Is there a repository at the following location?\nazure:attic:/main\n"
	passed := "Save(<data/0123456789>) operation successful after 1 retries\n"
	for _, c := range []struct {
		name, text string
		cause      topics.Cause
		line       string
	}{
		{"it passed, and something else went wrong", busy + passed + "Fatal: something nobody knows\n", topics.CauseUnknown,
			"something nobody knows"},
		{"it did not pass", busy + "Fatal: something nobody knows\n", topics.CauseUnreachable, "503 The server is busy."},
		{"it is the end", refused, topics.CauseCredentials, "403 Server failed to authenticate"},
		{"another answer without an end", "Load(<index/01>): GET https://a.blob.core.windows.net/attic/main/index/01\n" + rule +
			"\nFatal: wrong password or no key found\n", topics.CausePassword, "wrong password"},
		{"it is of a file of the source", "ignoring error for /srv/data/x: GET https://a\n" + rule +
			"\nRESPONSE 503: busy\nFatal: nobody knows\n", topics.CauseUnknown, "nobody knows"},
	} {
		if cause, line := said(c.text); cause != c.cause || !strings.Contains(line, c.line) {
			t.Errorf("%s: it is called %s, for %q, want %s for %q", c.name, cause, line, c.cause, c.line)
		}
	}
}
