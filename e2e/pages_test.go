package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

func TestANewcomersFirstBackupInTheBrowser(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)

	b.Open(w.SetupLink())
	b.Inspect("setup")
	b.Fill("#name", person)
	b.Fill("#password", passphrase)
	b.Fill("#again", passphrase)
	b.Press("Create account")
	b.AwaitPath("/start")
	b.Open("/")
	b.Inspect("fleet-empty")
	b.Click(`summary[aria-label="Account"]`)
	b.Press("Sign out")
	b.AwaitPath("/login")
	b.Inspect("login")
	b.Fill("#name", person)
	b.Fill("#password", "not the password")
	b.Press("Sign in")
	b.Refused("/login", 422)
	b.AwaitText("[role=alert]", " ")
	b.Inspect("login-refused")
	b.Fill("#name", person)
	b.Fill("#password", passphrase)
	b.Press("Sign in")
	world.Await(t, "to be signed in", func() error {
		if p := b.Path(); p != "/" {
			return fmt.Errorf("at %s: %.300s", p, b.Text("body"))
		}
		return nil
	})

	b.Press("Add host")
	b.AwaitPath("/hosts/new")
	b.Inspect("add-host")
	b.Fill("#name", "attic")
	b.Press("Create token")
	b.AwaitText("#enrol-status", "Connect")
	b.Inspect("add-host-waiting")
	b.Mark()
	a := &Agent{
		w:     w,
		Name:  "attic",
		Dir:   filepath.Join(w.Dir, "attic"),
		Home:  filepath.Join(w.Dir, "attic", "home"),
		State: filepath.Join(w.Dir, "attic", "state"),
	}
	shown := strings.Fields(b.Text("#cmd-enrol")) // as it stands there, but for the directory
	at := slices.Index(shown, "--state")
	if at < 0 || shown[0] != "restic-manager-agent" {
		t.Fatalf("the command to paste is %q", shown)
	}
	shown[at+1] = a.State
	shown = append(shown, "--repository-root", a.Dir) // what the page says of a directory on the host itself
	r := command(t, agentCommand(shown[1:]...))
	if r.code != 0 {
		t.Fatalf("the command to paste ended with exit status %d: %s", r.code, r.errs)
	}
	a.ID = strings.TrimSpace(r.out)
	standIn := NewStandIn(t, a.Dir, "words 1 40; gate look; words 41 400; gate end\nset -- --limit-upload 4096 \"$@\" --pack-size 4")
	a.Restic = standIn.Path
	a.Start()
	b.AwaitText("#enrol-status", "Connected")
	b.MustBeUnmoved()
	b.Inspect("add-host-connected")

	b.Press("Choose what to back up")
	b.AwaitPath("/hosts/" + a.ID + "/source-groups/new")
	b.Inspect("group")
	a.Write("letters/dear reader.txt", "dear reader")
	a.Noise("photo.raw", 48)
	b.Fill("#name", "letters")
	b.Fill("#paths", a.Home)
	b.Fill("#excludes", "*.tmp")
	b.Fill("#repository_name", "vault")
	b.Fill("#repository_password", password)
	b.Fill("#repository_url", filepath.Join(a.Dir, "vault"))
	b.Press("Save source group")
	b.AwaitText("#host-groups", "letters")
	b.Inspect("host-new")

	b.Press("Back up now")
	b.AwaitPath("/jobs/")
	b.Mark()
	id := strings.TrimPrefix(b.Path(), "/jobs/")
	standIn.AwaitAt("look")
	b.AwaitText("#log-stream", "word 40")
	b.AwaitText("#job-header", "Running")
	b.AwaitText("#live", "Live")
	b.Inspect("job-running")
	b.Look("light", phone) // a window that becomes smaller goes on following
	b.mustFollow()
	b.Look("light", desktop)

	// Whoever reads further up is left alone, and told what they miss.
	Eval[bool](b, `(() => { document.querySelector("#log-stream").scrollTop = 0; return true })()`)
	b.AwaitText("[data-follow]", "Follow")
	if pressed := Eval[string](b, `document.querySelector("[data-follow]").getAttribute("aria-pressed")`); pressed != "false" {
		world.Await(t, "the follow pill to be off", func() error {
			if Eval[string](b, `document.querySelector("[data-follow]").getAttribute("aria-pressed")`) != "false" {
				return fmt.Errorf("it says %s", b.Text("[data-follow]"))
			}
			return nil
		})
	}
	standIn.Open("look")
	b.AwaitText("[data-follow]", "360 new")
	if top := Eval[float64](b, `document.querySelector("#log-stream").scrollTop`); top > 5 {
		t.Errorf("the log was scrolled to %v under its reader", top)
	}
	b.Click("[data-follow]")
	b.AwaitText("[data-follow]", "Following")
	b.mustFollow()
	standIn.Open("end")
	b.AwaitText("#progress", " MiB read")
	b.AwaitText("#current-files", "photo.raw")
	b.Inspect("job-running-progress")
	b.AwaitText("#job-header", "Succeeded")
	b.AwaitText("#live", "Final")
	b.MustBeUnmoved()
	b.mustShowTheLog(w, id)
	b.Inspect("job-succeeded")
	b.Open("/jobs/" + id) // the same, from the server at once
	b.mustShowTheLog(w, id)
	b.AwaitText("#job-header", "Succeeded")

	b.Open("/")
	b.AwaitText("#hosts", "attic")
	b.Inspect("fleet")
	b.Open("/hosts/" + a.ID)
	b.AwaitText("#host-snapshots", w.Job(id).SnapshotID[:8])
	b.Inspect("host")
	b.MustNotHaveBeenCut()
	w.MustStopCleanly()
}

// mustFollow insists that the end of the log is in view.
func (b *Browser) mustFollow() {
	b.t.Helper()
	world.Await(b.t, "the end of the log to be in view", func() error {
		short := Eval[float64](b,
			`(() => { const v = document.querySelector("#log-stream"); return v.scrollHeight - v.scrollTop - v.clientHeight })()`)
		if short > 24 {
			return fmt.Errorf("it is %v pixels further down; the pill says %s", short, b.Text("[data-follow]"))
		}
		return nil
	})
}

// mustShowTheLog insists that the page has every line of a job's log once, in
// order, with its text.
func (b *Browser) mustShowTheLog(w *World, id string) {
	b.t.Helper()
	want := w.Log(id, 0)
	var shown []struct {
		N    int    `json:"n"`
		Text string `json:"text"`
	}
	script := `[...document.querySelectorAll("#log-stream > *")].map((l) =>
		({n: Number(l.dataset.n), text: l.querySelector(".tx")?.textContent ?? ""}))`
	world.Await(b.t, "the last line of the log", func() error {
		shown = Eval[[]struct {
			N    int    `json:"n"`
			Text string `json:"text"`
		}](b, script)
		if len(shown) == 0 || shown[len(shown)-1].N < len(want) {
			return fmt.Errorf("%d of %d lines are there", len(shown), len(want))
		}
		return nil
	})
	if len(shown) != len(want) {
		b.t.Errorf("the page shows %d lines, want %d", len(shown), len(want))
	}
	for i := range min(len(shown), len(want)) {
		if shown[i].N != want[i].N || shown[i].Text != want[i].Text {
			b.t.Errorf("line %d on the page is %d %q, want %q", want[i].N, shown[i].N, shown[i].Text, want[i].Text)
			break
		}
	}
}

// signIn makes the account and signs in.
func (b *Browser) signIn(w *World) {
	b.t.Helper()
	w.addPerson()
	b.Open("/login")
	b.Fill("#name", person)
	b.Fill("#password", passphrase)
	b.Press("Sign in")
	world.Await(b.t, "to be signed in", func() error {
		if p := b.Path(); p != "/" {
			return fmt.Errorf("at %s: %.300s", p, b.Text("body"))
		}
		return nil
	})
}

func TestACutStreamLosesAndRepeatsNoLine(t *testing.T) {
	w := NewWorld(t)
	a := w.Enrol("attic")
	standIn := NewStandIn(t, a.Dir, "words 1 300; gate one; words 301 800; gate two; words 801 1500; gate end")
	a.Restic = standIn.Path
	a.Write("a", "a")
	a.Group("all")
	a.Start()
	network := NewProxy(t, w.HTTP)
	b := NewBrowser(t, network.Address())
	b.signIn(w)
	id := a.Backup("all")
	b.Open("/jobs/" + id)
	b.Mark()
	b.AwaitText("#log-stream", "word 300")

	if network.Cut() == 0 {
		t.Fatal("there was nothing to cut")
	}
	standIn.Open("one") // 500 lines while the page hears nothing
	world.Await(t, "the lines to be stored", func() error {
		if n := w.Job(id).Lines; n < 800 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	b.AwaitText("#live", "Not live")
	if b.Text("#stream-lost") == "" {
		t.Error("no banner says that the page is not live")
	}
	network.Mend()
	b.AwaitText("#log-stream", "word 800")
	b.AwaitText("#live", "Live")

	standIn.Open("two") // and again, in the middle of the flow
	world.Await(t, "some of the lines", func() error {
		if n := Eval[int](b, `document.querySelectorAll("#log-stream > .ln").length`); n < 820 {
			return fmt.Errorf("there are %d", n)
		}
		return nil
	})
	if network.Cut() == 0 {
		t.Fatal("there was nothing to cut")
	}
	network.Mend()
	b.AwaitText("#log-stream", "word 1500")
	standIn.Open("end")
	b.AwaitText("#job-header", "Succeeded")
	b.AwaitText("#live", "Final")
	b.MustBeUnmoved()
	w.mustBeComplete(id, 1500)
	b.mustShowTheLog(w, id)
	w.MustStopCleanly()
}

func TestEveryStateOfAJobHasAPageForEverybody(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	a := w.Enrol("attic", "--policy", "managed") // several repositories
	a.Write("letter.txt", "dear reader")
	a.Group("all")
	a.Group("half", a.Home, "/proc/self/mem")
	a.Group("nothing", filepath.Join(a.Home, "nowhere"))
	standIn := NewStandIn(t, a.Dir, `[ -e "$0.slow" ] && gate end`)
	a.Restic = standIn.Path

	waiting := a.Backup("all")
	b.Open("/jobs/" + waiting)
	b.AwaitText("#job-header", "Queued")
	b.Inspect("job-queued")
	b.Open("/hosts/" + a.ID)
	b.Inspect("host-offline")
	b.Open("/jobs/" + waiting)
	b.Press("Cancel job…")
	b.Press("Cancel backup")
	b.AwaitText("#job-header", "Cancelled")
	b.Inspect("job-cancelled")

	a.Start()
	warned := a.Backup("half")
	w.AwaitState(warned, "warnings")
	b.Open("/jobs/" + warned)
	b.AwaitText("#job-ending", "could not be read")
	b.Inspect("job-warnings")

	failed := a.Backup("nothing")
	b.Open("/jobs/" + failed)
	b.AwaitText("#job-header", "Failed")
	b.AwaitText("#job-ending", "What to do")
	b.Inspect("job-failed")
	b.Open("/hosts/" + a.ID)
	b.AwaitText("#host-header", "Failed")
	b.Inspect("host-failed")
	b.Open("/")
	b.AwaitText("#attention", "attic")
	b.Inspect("fleet-failed")

	standIn.Open("slow")
	running := a.Backup("all")
	b.Open("/")
	standIn.AwaitAt("end")
	b.AwaitText("#running", "attic")
	b.Inspect("fleet-running")
	a.Kill9()
	a.AwaitOffline()
	a.Start()
	w.AwaitState(running, "interrupted")
	b.Open("/jobs/" + running)
	b.AwaitText("#job-header", "Interrupted")
	b.Inspect("job-interrupted")

	b.Open("/hosts/" + a.ID + "/source-groups/all/edit")
	b.Inspect("group-edit")
	b.MustNotHaveBeenCut()
	w.MustStopCleanly()
}

func TestAProblemHasAPageForEverybody(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	b.Open("/jobs/0123456789abcdef")
	b.Refused("/jobs/0123456789abcdef", http.StatusNotFound)
	b.AwaitText("#problem-title", " ")
	b.Inspect("problem")
	b.Press("Go to the fleet")
	b.AwaitPath("/")
	b.MustNotHaveBeenCut()
	w.MustStopCleanly()
}
