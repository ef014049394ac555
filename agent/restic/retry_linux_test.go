package restic

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic/standin"
	"github.com/restic-manager/restic-manager/e2e/s3server"
	"github.com/restic-manager/restic-manager/topics"
)

// plays is a world whose restic is a stand-in of this version.
func plays(t *testing.T, version string, does func(*standin.Run)) *world {
	t.Helper()
	w := newWorld(t)
	var err error
	if w.b, err = Probe(t.Context(), standin.New(t, version, does).Path); err != nil {
		t.Fatal(err)
	}
	return w
}

const again = "Stat(<config/>) returned error, retrying after 1.184371267s: Stat: "

// interrupted is what restic since 0.18 does when it is interrupted while it repeats.
func interrupted(run *standin.Run, signals <-chan struct{}) {
	select {
	case <-signals:
	case <-run.Gone():
	}
	run.Err("\x1b[2Ksignal interrupt received, cleaning up")
	run.Err(`{"message_type":"exit_error","code":1,` +
		`"message":"Fatal: unable to open config file: context canceled\nIs there a repository at the following location?\ns3:http://nas/b"}`)
	run.Exit(1)
}

func TestARefusalEndsTheRunAtOnce(t *testing.T) {
	for what, c := range map[string]struct {
		said  []string
		cause topics.Cause
	}{
		"an unknown key": {[]string{"The Access Key Id you provided does not exist in our records."}, topics.CauseCredentials},
		"a wrong secret": {[]string{"The request signature we calculated does not match the signature you provided."},
			topics.CauseCredentials},
		"no bucket":         {[]string{"The specified bucket does not exist"}, topics.CauseNoRepository},
		"no rights":         {[]string{"Access Denied.", "Access Denied."}, topics.CauseCredentials},
		"busy, then denied": {[]string{"Please reduce your request rate", "Access Denied.", "Access Denied."}, topics.CauseCredentials},
	} {
		w := plays(t, "0.18.1", func(run *standin.Run) {
			signals := run.Interrupted()
			for _, why := range c.said {
				run.Err(again + why)
			}
			interrupted(run, signals)
		})
		e := w.b.List(t.Context(), w.place, w.repo, w.sink)
		w.want(e, topics.Failed, c.cause)
		if e.Message != "Stat: "+c.said[len(c.said)-1] || e.Killed {
			t.Errorf("%s: it says %q, killed %v", what, e.Message, e.Killed)
		}
	}
}

// A file that is not there is for restic to judge: here it goes on and makes its snapshot.
func TestAKeyThatIsNotThereIsNoRefusal(t *testing.T) {
	w := plays(t, "0.18.1", func(run *standin.Run) {
		if run.Is("backup") {
			for range 9 {
				run.Err("Load(<index/0a1b2c>, 0, 0) returned error, retrying after 1.184371267s: The specified key does not exist.")
			}
			run.Out(`{"message_type":"summary","snapshot_id":"` + strings.Repeat("ab", 32) + `"}`)
		}
	})
	e := w.backup()
	if e.SnapshotID == "" {
		t.Errorf("ended %s/%s: %s", e.State, e.Cause, e.Message)
	}
}

// live is a sink whose statuses a test waits for.
type live struct {
	*recorder
	all chan Status
}

func (l live) Status(x Status) { l.all <- x }

func TestPassingTroubleIsShownWhileItLasts(t *testing.T) {
	shown := make(chan Status, 16)
	next := func(what string, code int) {
		t.Helper()
		s := <-shown
		if s.FilesDone != 4 || (s.Trouble != nil) != (code != 0) || code != 0 && s.Trouble.Code != code {
			t.Errorf("%s: %+v, %+v", what, s, s.Trouble)
		}
	}
	w := plays(t, "0.18.1", func(run *standin.Run) {
		if !run.Is("backup") {
			return
		}
		run.Out(`{"message_type":"status","percent_done":0.5,"total_files":9,"files_done":4,"total_bytes":100,"bytes_done":50}`)
		next("at first", 0)
		run.Err("Save(<data/61a0b3>) returned error, retrying after 12s: server response unexpected: 503 Service Unavailable (503)")
		next("while it tries again", 503)
		run.Err("Save(<data/61a0b3>) operation successful after 1 retries")
		next("when it has passed", 0)
		run.Out(`{"message_type":"summary","snapshot_id":"` + strings.Repeat("ab", 32) + `"}`)
	})
	w.b.Backup(t.Context(), w.place, w.repo, Backup{Host: "attic", Paths: []string{w.source}}, live{w.sink, shown})
	if len(shown) > 0 {
		t.Errorf("and then %+v", <-shown)
	}
}

// A restic that does nothing but repeat is ended as one that does nothing, and the storage's
// own words are the cause.
func TestRepeatingForEverIsNoProgress(t *testing.T) {
	for why, cause := range map[string]topics.Cause{
		"server response unexpected: 503 Service Unavailable (503)": topics.CauseUnreachable,
		"request timeout": topics.CauseUnreachable,
		"server response unexpected: 507 Insufficient Storage (507)":   topics.CauseDiskFull,
		"server response unexpected: 413 Request Entity Too Large (4)": topics.CauseUsage,
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			w := plays(t, "0.18.1", func(run *standin.Run) {
				signals := run.Interrupted()
				run.Out(`{"message_type":"status","percent_done":0.5,"total_files":9,"files_done":4}`)
				for range 3 {
					run.Err("Save(<data/61a0b3>) returned error, retrying after 5m0s: " + why)
				}
				select {
				case <-signals:
				case <-run.Gone():
				}
				run.Exit(1)
			})
			w.b.Timing.Silence = 2 * time.Second
			e := w.backup()
			w.want(e, topics.Failed, cause)
			if !strings.Contains(e.Message, "but try again") || !strings.HasSuffix(e.Message, why) {
				t.Errorf("it says %q", e.Message)
			}
		})
	}
}

// Real restic, whichever is installed, and a real server that refuses.
func TestAnS3ServersRefusalIsItsOwnCause(t *testing.T) {
	for code, cause := range map[string]topics.Cause{
		s3server.InvalidAccessKeyID:    topics.CauseCredentials,
		s3server.SignatureDoesNotMatch: topics.CauseCredentials,
		s3server.AccessDenied:          topics.CauseCredentials,
		s3server.NoSuchBucket:          topics.CauseNoRepository,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			w, _ := bucket(t, code)
			w.want(w.b.List(t.Context(), w.place, w.repo, w.sink), topics.Failed, cause)
			if cause != topics.CauseNoRepository {
				w.want(w.b.Ensure(t.Context(), w.place, w.repo, may, w.sink), topics.Failed, cause)
			}
		})
	}
}

// bucket is a world whose repository is to be in a bucket that is not there yet, on a server
// that answers with code, if that is set.
func bucket(t *testing.T, code string) (*world, *s3server.Server) {
	w := newWorld(t)
	s := s3server.Start(t, "ada", "staple-battery")
	w.repo.URL = topics.Secret("s3:" + s.URL + "/letters")
	w.repo.Env = map[string]topics.Secret{"AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": "staple-battery"}
	if code != "" {
		s.Rule(func(*http.Request) string { return code })
	}
	return w, s
}

func TestABucketThatIsNotThereIsMadeWithTheRepository(t *testing.T) {
	w, _ := bucket(t, "")
	w.want(w.b.List(t.Context(), w.place, w.repo, w.sink), topics.Failed, topics.CauseNoRepository)
	w.ensure()
	w.want(w.b.List(t.Context(), w.place, w.repo, w.sink), topics.Succeeded, topics.CauseNone)

	var mu sync.Mutex
	made := false
	closed, s := bucket(t, "")
	s.Rule(func(r *http.Request) string {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut && strings.Trim(r.URL.Path, "/") == "letters" {
			made = true
			return s3server.AccessDenied
		}
		return ""
	})
	closed.want(closed.b.Ensure(t.Context(), closed.place, closed.repo, may, closed.sink), topics.Failed, topics.CauseCredentials)
	mu.Lock()
	defer mu.Unlock()
	if !made {
		t.Error("restic did not try to make the bucket")
	}
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestWhetherAServerAnswers(t *testing.T) {
	b := Binary{Timing: Timing{Answer: 3 * time.Second}} // within which ssh has to have said something, on a busy machine too
	s := s3server.Start(t, "ada", "staple-battery")
	s.Rule(func(*http.Request) string { return s3server.AccessDenied })
	for url, want := range map[string]bool{
		"/srv/repo": true, "s3:" + s.URL + "/letters": true, // a refusal is an answer
		"sftp://" + closedPort(t) + "//r": true, "sftp://" + mutes(t) + "//r": false, // and so is that nobody listens
		"rest:http://" + mutes(t) + "/r/": false, "s3:http://" + mutes(t) + "/letters": false,
	} {
		if got := b.Answers(t.Context(), Repository{URL: topics.Secret(url)}); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}
