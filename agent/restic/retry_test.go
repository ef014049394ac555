package restic

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// What a storage answers to Stat(<config/>), in the words of restic's libraries: what is a
// refusal, and whether once is enough.
func TestARefusalIsToldFromWhatMayPass(t *testing.T) {
	const none = topics.CauseNone
	for _, c := range []struct {
		why     string
		cause   topics.Cause
		certain bool
	}{
		{"Stat: The Access Key Id you provided does not exist in our records.", topics.CauseCredentials, true},
		{"Stat: The AWS Access Key Id you provided does not exist in our records.", topics.CauseCredentials, true},
		{"Stat: The request signature we calculated does not match the signature you provided. Check your key and signing method.",
			topics.CauseCredentials, true},
		{"Stat: The provided token has expired.", topics.CauseCredentials, true},
		{"Stat: The security token included in the request is invalid", topics.CauseCredentials, true},
		{"Stat: All access to this bucket has been disabled.", topics.CauseCredentials, true},
		{"Stat: Access Denied.", topics.CauseCredentials, false},
		{"Stat: The difference between the request time and the server's time is too large.", topics.CauseCredentials, false},
		{"Stat: The specified bucket does not exist", topics.CauseNoRepository, true},
		{"Stat: The specified key does not exist.", none, false},
		{"Stat: The authorization header is malformed; the region is wrong; expecting 'eu-central-1'.", topics.CauseUsage, true},
		{"Stat: The specified bucket is not valid.", topics.CauseUsage, true},
		{"Stat: The bucket you are attempting to access must be addressed using the specified endpoint.", topics.CauseUsage, true},
		{"Stat: 400 Bad Request", topics.CauseUsage, false},
		{"Stat: 301 Moved Permanently", topics.CauseUsage, false},
		{"Stat: Please reduce your request rate", none, false},
		{"Stat: We encountered an internal error, please try again.", none, false},
		{"unexpected HTTP response (400): 400 Bad Request", topics.CauseUsage, false},
		{"unexpected HTTP response (401): 401 Unauthorized", topics.CauseCredentials, false},
		{"unexpected HTTP response (403): 403 Forbidden", topics.CauseCredentials, false},
		{"unexpected HTTP response (404): 404 Not Found", none, false},
		{"unexpected HTTP response (408): 408 Request Timeout", none, false},
		{"unexpected HTTP response (429): 429 Too Many Requests", none, false},
		{"unexpected HTTP response (500): 500 Internal Server Error", none, false},
		{"unexpected HTTP response (503): 503 Service Unavailable", none, false},
		{`Head "https://nas:8000/main/config": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
			topics.CauseCertificate, true},
		{`Head "https://nas:8000/main/config": x509: certificate has expired or is not yet valid: current time 2026-01-01 is before 2026-02-01`,
			topics.CauseCertificate, false},
		{`Head "https://nas:8000/main/config": net/http: TLS handshake timeout`, none, false},
		{`Head "https://nas:8000/main/config": dial tcp 192.0.2.9:8000: connect: connection refused`, none, false},
		{`Head "https://nas:8000/main/config": read tcp 192.0.2.1:5->192.0.2.9:8000: read: connection reset by peer`, none, false},
		{"request timeout", none, false},
		{"context deadline exceeded", none, false},
		{"b2_authorize_account: 401: Invalid accountId or applicationKeyId", topics.CauseCredentials, false},
		{"b2_download_file_by_name: 404: bucket not found", topics.CauseNoRepository, true},
		{"b2_download_file_by_name: 404: File with such name does not exist", none, false},
		{"b2_download_file_by_name: 503: no tomes available", none, false},
		{"GET https://a.blob.core.windows.net/c/config\n RESPONSE 404: 404 The specified container does not exist.",
			topics.CauseNoRepository, true},
		{"GET https://a.blob.core.windows.net/c/config: RESPONSE 404: 404 The specified blob does not exist.", none, false},
		{"RESPONSE 403: 403 Server failed to authenticate the request.", topics.CauseCredentials, false},
		{"RESPONSE 503: 503 The server is busy.", none, false},
		{"googleapi: Error 403: sa@p.iam does not have storage.objects.get access to the Google Cloud Storage object.",
			topics.CauseCredentials, false},
		{"googleapi: Error 404: No such object: b/config, notFound", none, false},
		{"oauth2: cannot fetch token: 400 Bad Request", topics.CauseCredentials, false},
		{`oauth2: "invalid_grant" "Token has been expired or revoked."`, topics.CauseCredentials, true},
		{"conn.Object: Container Not Found", topics.CauseNoRepository, true},
		{"conn.Object: Object Not Found", none, false},
		{"open /srv/repo/config: permission denied", topics.CausePermission, false},
		{"open /srv/repo/config: input/output error", none, false},
	} {
		if cause, certain := refuses("Stat(<config/>)", c.why, bounds{}); cause != c.cause || certain != c.certain {
			t.Errorf("%q is %q, %v; want %q, %v", c.why, cause, certain, c.cause, c.certain)
		}
	}
	for subject, want := range map[string]topics.Cause{
		"Remove(<snapshot/0a1b>)": topics.CauseAppendOnly, "Save(<data/0a1b>)": topics.CauseCredentials,
		"List(snapshot)": topics.CauseCredentials,
	} {
		for _, why := range []string{"blob not removed, server response: 403 Forbidden (403)", "client.Do: Access Denied."} {
			if cause, certain := refuses(subject, why, bounds{}); cause != want || certain {
				t.Errorf("%s: %s is %q, %v; want %q", subject, why, cause, certain, want)
			}
		}
	}
	in := bounds{repository: []string{"/srv/access denied"}}
	if cause, _ := refuses("Stat(<config/>)", "open /srv/access denied/config: no such device", in); cause != none {
		t.Errorf("a name is a refusal: %q", cause)
	}
}

func TestHowOftenARefusalHasToBeSaid(t *testing.T) {
	const (
		unknown = "The Access Key Id you provided does not exist in our records."
		denied  = "Access Denied."
		busy    = "Please reduce your request rate"
	)
	type line struct {
		after   time.Duration
		subject string
		why     string
	}
	many := func(n int, every time.Duration, subject, why string) (all []line) {
		for i := range n {
			all = append(all, line{time.Duration(i) * every, subject, why})
		}
		return all
	}
	const config, pack, lock = "Stat(<config/>)", "Save(<data/0a1b2c>)", "Remove(<lock/0a1b2c>)"
	for what, c := range map[string]struct {
		op   operation
		open bool // restic has got on before
		said []line
		end  int // which line ends it, 0 if none does
	}{
		"no doubt, at once":                          {op: Backup{}, said: many(3, time.Second, config, unknown), end: 1},
		"a doubt, the second time":                   {op: Backup{}, said: many(3, time.Second, config, denied), end: 2},
		"a doubt that something came between":        {op: Backup{}, said: []line{{0, config, denied}, {1, config, busy}, {2, config, denied}}},
		"two doubts of two operations":               {op: Backup{}, said: []line{{0, config, denied}, {1, "Load(<key/0a>, 0, 0)", denied}}},
		"what may pass, for hours":                   {op: Backup{}, said: many(200, time.Minute, config, busy)},
		"in the middle, for a moment":                {op: Backup{}, open: true, said: many(4, 20*time.Second, pack, unknown)},
		"in the middle, five at once":                {op: Backup{}, open: true, said: many(5, time.Second, pack, denied)},
		"in the middle, for half a minute":           {op: Backup{}, open: true, said: many(9, 8*time.Second, pack, denied), end: 5},
		"in the middle, the config again":            {op: Backup{}, open: true, said: many(4, 20*time.Second, config, unknown)},
		"a first line that is no opening":            {op: Backup{}, said: many(4, 20*time.Second, pack, unknown)},
		"a lock that stays":                          {op: Backup{}, open: true, said: many(50, time.Minute, lock, denied)},
		"a lock that was to be removed":              {op: &unlock{}, open: true, said: many(9, 8*time.Second, lock, denied), end: 5},
		"a reader's lock, which it can do without":   {op: &restore{}, open: true, said: many(50, time.Minute, "Save(<lock/0a>)", denied)},
		"a repository that is being made":            {op: initialisation{}, open: true, said: many(50, time.Minute, "Save(<key/0a>)", denied)},
		"a repository that cannot be begun":          {op: initialisation{}, said: many(3, time.Second, config, denied), end: 2},
		"a key of an object that is not there, once": {op: Backup{}, said: many(3, time.Second, config, "The specified key does not exist.")},
	} {
		var all tries
		begun := time.Unix(1e9, 0)
		if c.open {
			all.moved(begun, true)
		}
		ended := 0
		for i, l := range c.said {
			ours, no := all.take(fmt.Sprintf("%s returned error, retrying after 1.18s: Stat: %s", l.subject, l.why), bounds{}, c.op,
				begun.Add(l.after))
			if !ours {
				t.Errorf("%s: line %d is no repetition", what, i+1)
			}
			if no != nil {
				ended = i + 1
				break
			}
		}
		if ended != c.end {
			t.Errorf("%s: line %d ends it, want %d", what, ended, c.end)
		}
	}
}

// Forms of all versions, and what only looks like one.
func TestTroubleIsToldUntilItHasPassed(t *testing.T) {
	var all tries
	at := time.Unix(1e9, 0)
	hear := func(line string, want bool) {
		t.Helper()
		if ours, no := all.take(line, bounds{}, Backup{}, at); ours != want || no != nil {
			t.Fatalf("%q: %v, %v", line, ours, no)
		}
	}
	hear("Save(<data/61a0b3>) returned error, retrying after 552.330144ms: server response unexpected: 503 Service Unavailable (503)", true)
	if x := all.now(); x == nil || x.Code != 503 || x.Mute || x.Times != 1 || !x.Since.Equal(at) || !x.Again.Equal(at.Add(552330144)) {
		t.Fatalf("%+v", x)
	}
	begun := at
	at = at.Add(20 * time.Second)
	hear("Save(<data/71a0b3>) returned error, retrying after 1m2.5s: client.PutObject: Please reduce your request rate", true)
	hear("Load(<index/61a0b3>, 10, 0) returned error, retrying after 1µs: request timeout", true)
	if x := all.now(); x.Code != 0 || !x.Mute || x.Times != 3 || !x.Since.Equal(begun) || x.Words != "request timeout" {
		t.Fatalf("%+v", x)
	}
	hear("Load(<index/61a0b3>, 10, 0) operation successful after 1 retries", true)
	if x := all.now(); x.Code != 503 || x.Mute {
		t.Fatalf("S3 says %+v", x)
	}
	all.moved(at.Add(5*time.Minute), true) // another operation got on
	hear("Save(<data/71a0b3>) failed: client.PutObject: Please reduce your request rate", true)
	hear("Save(<data/61a0b3>) operation successful after 1 retries", true)
	if x := all.now(); x != nil {
		t.Fatalf("what has passed: %+v", x)
	}
	hear("Save(<data/61a0b3>) returned error, retrying after 5s: 502 Bad Gateway", true)
	all.moved(at.Add(4*time.Second), false)
	if all.now() == nil {
		t.Error("it is not due yet")
	}
	all.moved(at.Add(6*time.Second), false) // of 0.14, which says no more of it
	if x := all.now(); x != nil {
		t.Errorf("of an old version: %+v", x)
	}
	for _, line := range []string{
		"Fatal: unable to open config file: Stat: Access Denied.",
		"ignoring error for /srv/Stat(<config/>) returned error, retrying after 1s: Access Denied.",
		"Remove(<snapshot/61a0b3>) failed: blob not removed, server response: 403 Forbidden (403)", // that nobody repeated
		"returned error, retrying after 1s: Access Denied.",
	} {
		hear(line, false)
	}
	for i := range 1000 {
		hear(fmt.Sprintf("Save(<data/%06x>) returned error, retrying after 1s: 503 Service Unavailable", i), true)
	}
	if len(all.of) != maxTried || len(all.order) != maxTried {
		t.Errorf("%d operations are kept", len(all.of))
	}
}

// TestAnAnswerOfSeveralLinesIsOne: what Azure's libraries say has its status and its code in
// lines of their own.
func TestAnAnswerOfSeveralLinesIsOne(t *testing.T) {
	rule := strings.Repeat("-", 80)
	in := bounds{repository: []string{"attic:/main", "/main", "main"}}
	for _, c := range []struct {
		status, code string
		cause        topics.Cause
		times        int // it is said until it ends the run, 0 if it does not
		is           int // the status that is told
	}{
		{"404: 404 The specified container does not exist.", ": ContainerNotFound", topics.CauseNoRepository, 1, 404},
		{"403: 403 Server failed to authenticate the request.", ": AuthenticationFailed", topics.CauseCredentials, 2, 403},
		{"404: 404 The specified blob does not exist.", ": BlobNotFound", topics.CauseNone, 0, 404},
		{"503: 503 The server is busy.", ": ServerBusy", topics.CauseNone, 0, 503},
		{"500: 500 Internal Server Error", " UNAVAILABLE", topics.CauseNone, 0, 500},
	} {
		var all tries
		at, ended := time.Unix(1e9, 0), 0
		for round := 1; round <= 4 && ended == 0; round++ {
			for _, line := range []string{
				"Stat(<config/>) returned error, retrying after 552ms: blob.GetProperties: HEAD https://a.blob.core.windows.net/attic/main/config",
				rule, "RESPONSE " + c.status, "ERROR CODE" + c.code, rule, "Response contained no body", rule,
			} {
				ours, no := all.take(line, in, Backup{}, at)
				if !ours {
					t.Errorf("%s: %q is none of it", c.status, line)
				}
				if no == nil {
					continue
				}
				if ended = round; no.cause != c.cause || !strings.Contains(no.line, c.status) {
					t.Errorf("%s ends it of %+v", c.status, no)
				}
				break
			}
			at = at.Add(time.Second)
		}
		if ended != c.times {
			t.Errorf("%s ends it after it was said %d times, want %d", c.status, ended, c.times)
		}
		if x := all.now(); x == nil || x.Code != c.is {
			t.Errorf("%s is told as %+v", c.status, x)
		}
		if ended > 0 {
			continue
		}
		for _, line := range []string{rule, "what restic says next"} {
			if ours, _ := all.take(line, in, Backup{}, at); ours {
				t.Errorf("after the answer, %q is one more of it", line)
			}
		}
	}
}

// restic gets a mere 500 of whatever fails in rclone, which says why in a line before.
func TestWhatRcloneSaysIsTheTroublesReason(t *testing.T) {
	at := time.Unix(1e9, 0)
	var all tries
	for _, line := range []string{
		"rclone: 2026/11/30 20:58:09 ERROR : data/31/31ff45b7fdc0: Post request put error: preallocate: file too big for remaining disk space",
		"rclone: 2026/11/30 20:58:09 ERROR : data/77/77aa000000: Post request put error: connection reset by peer",
		"rclone: 2026/11/30 20:58:09 NOTICE: Serving restic REST API",
		"Save(<data/31ff45b7fd>) returned error, retrying after 1.34s: unexpected HTTP response (500): 500 Internal Server Error",
	} {
		if _, no := all.take(line, bounds{}, Backup{}, at); no != nil {
			t.Fatal(no)
		}
	}
	got := all.now()
	if want := "500 Internal Server Error; rclone: Post request put error: preallocate: file too big for remaining disk space"; got == nil ||
		!strings.HasSuffix(got.Words, want) || got.Code != 500 {
		t.Errorf("the trouble is %+v, want %q", got, want)
	}
	if cause := classify(got.Words, bounds{}); cause != topics.CauseDiskFull {
		t.Errorf("its cause is %q", cause)
	}
	for _, line := range []string{ // of another file, or of another kind
		"Save(<data/99ff45b7fd>) returned error, retrying after 1.34s: unexpected HTTP response (500): 500 Internal Server Error",
		"Save(<data/31ff45b7fd>) returned error, retrying after 1.34s: request timeout",
	} {
		if all.take(line, bounds{}, Backup{}, at); strings.Contains(all.now().Words, "rclone") {
			t.Errorf("%s has %q", line, all.now().Words)
		}
	}
}
