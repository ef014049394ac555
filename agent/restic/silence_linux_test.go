package restic

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/topics"
)

// mutes is a server that accepts, and says nothing.
func mutes(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			all = append(all, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range all {
			c.Close()
		}
	})
	return l.Addr().String()
}

// ssh puts a program of this name before the real one, which does what a shell script says.
func ssh(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestAResticThatHangsIsEnded(t *testing.T) {
	for _, c := range []struct {
		what string
		url  func(t *testing.T) string
	}{
		{"a server that accepts and says nothing", func(t *testing.T) string { return "rest:http://" + mutes(t) + "/r/" }},
		{"ssh that never gets through", func(t *testing.T) string { ssh(t, "exec sleep 300"); return "sftp:user@nas:/r" }},
		{"ssh whose proxy command hangs", func(t *testing.T) string {
			ssh(t, `exec /usr/bin/ssh -o BatchMode=yes -o "ProxyCommand=sleep 300" "$@"`)
			return "sftp:user@nas:/r"
		}},
		{"a FIFO in place of the server", func(t *testing.T) string {
			fifo := filepath.Join(t.TempDir(), "fifo")
			ssh(t, "mkfifo '"+fifo+"'; exec cat '"+fifo+"'")
			return "sftp:user@nas:/r"
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			w.repo.URL = topics.Secret(c.url(t))
			w.b.Timing = Timing{Silence: 2 * time.Second, CancelGrace: 500 * time.Millisecond, PipeGrace: 500 * time.Millisecond}
			e := w.backup()
			w.want(e, topics.Failed, topics.CauseStalled)
			if !strings.HasSuffix(e.Message, topics.NeverAWord) {
				t.Errorf("it says %q", e.Message)
			}
		})
	}
}

func TestAnEndOfSilenceSaysWhatWasSeenLast(t *testing.T) {
	// A pause without another process, which would be work.
	w := standIn(t, `exec bash -c 'exec 3<> <(:)
		for ((i = 1;; i++)); do
			echo "{\"message_type\":\"status\",\"seconds_elapsed\":$i,\"files_done\":3,\"total_files\":9}"
			read -t 1 -u 3
		done' `)
	w.b.Timing.Silence = 6 * time.Second
	e := w.backup()
	w.want(e, topics.Failed, topics.CauseStalled)
	if !strings.Contains(e.Message, "3 of 9 files") {
		t.Errorf("it says %q", e.Message)
	}
}

func TestAResticThatWorksIsNotEnded(t *testing.T) {
	for _, c := range []struct{ what, script string }{
		{"processor time alone", `end=$(($(date +%s)+6))
			while [ $(date +%s) -lt $end ]; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done`},
		{"a child that works", `timeout 6 dd if=/dev/zero of=/dev/null bs=4k 2>/dev/null`},
		{"children that come and go", `for i in $(seq 60); do dd if=/dev/zero of=/dev/null bs=4k count=500 2>/dev/null; sleep 0.1; done`},
		{"a line now and then", `for i in 1 2 3 4 5 6; do echo line $i; sleep 1; done`},
		{"a file now and then", `for i in 1 2 3 4 5 6; do echo '{"message_type":"status","files_done":'$i',"total_files":9}'; sleep 1; done`},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			w := standIn(t, c.script+"\nexit 1\n")
			w.b.Timing.Silence = 4 * time.Second
			w.want(w.backup(), topics.Failed, topics.CauseUnknown)
		})
	}
}

// TestASlowServerIsNotTakenForASilentOne: it sends a few bytes at a time, for longer
// than restic may do nothing.
func TestASlowServerIsNotTakenForASilentOne(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				const answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
				for i := range answer {
					time.Sleep(90 * time.Millisecond)
					if _, err := fmt.Fprint(c, answer[i:i+1]); err != nil {
						return
					}
				}
			}()
		}
	}()
	w := newWorld(t)
	w.repo.URL = topics.Secret("rest:http://" + l.Addr().String() + "/r/")
	w.b.Timing = Timing{Silence: 4 * time.Second, Open: time.Minute}
	begun := time.Now()
	w.want(w.b.Exists(t.Context(), w.place, w.repo, w.sink), topics.Failed, topics.CauseNoRepository)
	if took := time.Since(begun); took < 5*time.Second {
		t.Errorf("it took %v, which proves nothing", took)
	}
}

// TestWhatIsNeverEndedIsTold: a prune that hangs goes on, and whoever listens is told.
func TestWhatIsNeverEndedIsTold(t *testing.T) {
	w := standIn(t, "echo 1 pack; sleep 8; exit 1")
	var mu sync.Mutex
	var told []Quiet
	w.b.Timing.Silence = time.Second
	w.b.Silence = Silence{Bear: true, Tell: func(q Quiet) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, q)
	}}
	w.want(w.b.Prune(t.Context(), w.place, w.repo, Prune{}, w.sink), topics.Failed, topics.CauseUnknown)
	mu.Lock()
	defer mu.Unlock()
	if !slices.ContainsFunc(told, func(q Quiet) bool { return q.For > 2*time.Second && q.Limit == 0 && q.Last == "1 pack" }) {
		t.Errorf("told %+v", told)
	}
}

func TestTheWholeFamilyIsMeasured(t *testing.T) {
	var mu sync.Mutex
	var last process.Usage
	x := process.Run(t.Context(), process.Spec{
		Path: "/bin/sh", Args: []string{"-c",
			`setsid dd if=/dev/zero of=/dev/null bs=1M count=300 2>/dev/null; head -c 1000000 /dev/zero; sleep 3`},
		Env: process.Inherited(), Dir: t.TempDir(), Stdout: &bounded{}, Stderr: &bounded{}, CancelGrace: time.Second, PipeGrace: time.Second,
		Every: 100 * time.Millisecond,
		Used:  func(u process.Usage) { mu.Lock(); last = u; mu.Unlock() },
	})
	mu.Lock()
	defer mu.Unlock()
	if x.Code != 0 || !last.Known || last.Read < 300<<20 || last.Written < 300<<20 || last.Written > 301<<20+500_000 {
		t.Errorf("%+v of %+v: what came to us is no work, and what a child in another session did is", last, x)
	}
}
