package e2e

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic/standin"
	"github.com/restic-manager/restic-manager/e2e/world"
)

// A mishap is one way a backup fails, and what its page has to say about it.
type mishap struct {
	name    string
	arrange func(t *testing.T, a *Agent)
	state   string
	cause   string
	page    []string // cause, effect and remedy, in the words a person reads
	mayHang bool     // restic 0.14 itself waits for ever once in a while after an upload has failed
}

var mishaps = []mishap{
	{"restic is missing", func(t *testing.T, a *Agent) {
		a.Env = []string{"PATH=" + t.TempDir(), "HOME=" + a.Dir}
		a.Group("all")
	}, "failed", "no-restic", []string{"There is no usable restic on the host", "Nothing was saved: the backup did not begin",
		"Install restic 0.14 or newer"}, false},

	{"the repository has gone", func(t *testing.T, a *Agent) {
		r := a.Group("all")
		a.Start()
		a.w.AwaitState(a.Backup("all"), "succeeded")
		if err := os.Rename(r.URL, r.URL+".away"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := os.Stat(r.URL); err == nil {
				t.Error("a new repository was begun in its place")
			}
		})
	}, "failed", "repository-missing", []string{"The repository is not there", "It is not begun anew", "Check that its disk is mounted"},
		false},

	{"the password is wrong", func(t *testing.T, a *Agent) {
		r := a.Group("other")
		a.PutGroup("all", a.w.AddRepository(a.Name+"-all", r.URL, "not the password"))
	}, "failed", "wrong-password", []string{"The password does not open the repository", "Nothing was saved: the backup did not begin",
		"Compare the repository's password"}, false},

	{"the repository is locked", func(t *testing.T, a *Agent) {
		// A real one waits for ten minutes before, which TestAJobSaysWhatItWaitsFor looks at.
		a.Group("all")
		a.Restic = standin.New(t, "0.17.3", func(run *standin.Run) {
			if !run.Is("backup") {
				run.Become("restic")
				return
			}
			run.Err("unable to create lock in backend: repository is already locked exclusively by PID 4711 on nas by root (UID 0, GID 0)")
			run.Err("lock was created at 2026-11-30 17:15:38 (10m4.6s ago)")
			run.Err("storage ID b8da2582")
			run.Exit(11)
		}).Path
	}, "failed", "locked", []string{"The repository is locked by another process", "Nothing was saved by this run", "wait for it to end"},
		false},

	{"the disk is full", func(t *testing.T, a *Agent) {
		disk := filepath.Join(a.Dir, "disk")
		if err := os.Mkdir(disk, 0o700); err != nil {
			t.Fatal(err)
		}
		a.Noise("photo.raw", 24)
		a.PutGroup("all", a.w.AddRepository(a.Name+"-all", filepath.Join(disk, "repository"), password))
		err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m")
		if err == nil {
			t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
			return
		}
		// Only root may mount a small disk. Anybody else takes what restic 0.14 says
		// in that place from a stand-in: a full disk cannot be had without one.
		t.Logf("no disk of 8 MiB can be mounted (%v); restic's words come from a stand-in", err)
		a.Restic = NewStandIn(t, a.Dir, `echo "Save(<data/0e1a5d7f31>) returned error, retrying after 552.330144ms: write `+disk+
			`/repository/data/0e/0e1a5d7f31-tmp-1: no space left on device" >&2
echo "Fatal: unable to save snapshot: write `+disk+`/repository/data/0e/0e1a5d7f31-tmp-2: no space left on device" >&2
exit 1`).Path
	}, "failed", "disk-full", []string{"There is no space left", "The snapshot was not written", "only prune frees space"}, true},

	{"no path is there", func(t *testing.T, a *Agent) {
		a.Group("all", filepath.Join(a.Home, "nowhere"), filepath.Join(a.Home, "neither"))
	}, "failed", "source-missing", []string{"None of the paths to back up exists", "Nothing was saved by this run",
		"Check the spelling of the paths"}, false},

	{"the server is unreachable", func(t *testing.T, a *Agent) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		closed := world.FreeAddress(t)
		a.PutGroup("all", a.w.AddRepository(a.Name+"-all", "rest:http://"+closed+"/", password))
	}, "failed", "unreachable", []string{"The repository's server could not be reached", "Nothing was saved: the backup did not begin",
		"Check the port and any firewall"}, false},
}

func TestAFailedBackupSaysWhyAndWhatToDo(t *testing.T) {
	w := NewWorld(t)
	session := w.SignIn()
	for _, m := range mishaps {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			w, session := w.In(t), session.In(t)
			a := w.Enrol(strings.ReplaceAll(m.name, " ", "-"))
			a.Write("letter.txt", "dear reader")
			m.arrange(t, a)
			if a.process == nil {
				a.Start()
			}
			id := a.Backup("all")
			for range 5 {
				if !m.mayHang || w.endsWithin(id, 20*time.Second) {
					break
				}
				t.Log("restic hangs; the job is cancelled and asked for again")
				w.API("POST", "/api/jobs/"+id+"/cancel", nil, 202, nil)
				w.AwaitState(id, "cancelled")
				id = a.Backup("all")
			}
			job := w.AwaitState(id, m.state)
			if job.Cause != m.cause || job.Message == "" || job.SnapshotID != "" {
				t.Errorf("the job is %+v, want cause %s and a message", job, m.cause)
			}
			page := session.Page("/jobs/" + id)
			for _, say := range m.page {
				if page.Missing(say) {
					t.Errorf("the page does not say %q:\n%s", say, page.Text)
				}
			}
			if page.Missing("What to do", job.Message) {
				t.Errorf("the page lacks the evidence %q:\n%s", job.Message, page.Text)
			}
			for _, p := range []string{"/", "/hosts/" + a.ID} {
				if session.Page(p).Missing(a.Name, "Failed") {
					t.Errorf("%s does not say that %s failed", p, a.Name)
				}
			}
			if strings.Contains(page.HTML, password) || strings.Contains(w.logText(id), password) {
				t.Error("the repository's password is shown")
			}
			a.MustStop()
		})
	}
	w.MustStopCleanly()
}

func TestNoSecretIsWrittenWhereItCanBeRead(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	const secret = "wer das liest ist zu neugierig"
	attic.Restic = NewStandIn(t, attic.Dir, `echo "the password is $RESTIC_PASSWORD$(cat "$RESTIC_PASSWORD_FILE" 2>/dev/null)" >&2`).Path
	attic.Write("a", "a")
	attic.PutGroup("all", w.AddRepository("all", filepath.Join(attic.Dir, "repository"), secret))
	attic.Start()
	id := attic.Backup("all")
	w.AwaitState(id, "succeeded")
	if log := w.logText(id); strings.Contains(log, secret) || !strings.Contains(log, "the password is") {
		t.Errorf("the log tells the repository's password, or nothing at all:\n%s", log)
	}
	for _, p := range []*world.Process{w.plane, attic.process} {
		if strings.Contains(p.Errs.String(), secret) {
			t.Errorf("%s logs the repository's password", p.Name)
		}
	}
	w.MustStopCleanly()
	err := filepath.WalkDir(w.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), secret) {
			err = errors.New(path + " holds the repository's password in clear")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
