package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAFileIsFoundAndComesBackByItsVersion looks for a file by its page, as somebody does who
// knows its name alone, and adds one of its versions to a restore; and compares snapshots.
func TestAFileIsFoundAndComesBackByItsVersion(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	attic := w.StartAgent("attic")
	letter := "letters/dear reader's $HOME.txt"
	attic.Write(letter, "first")
	attic.Write("letters/other.txt", "x")
	vault := attic.Group("all")
	w.AwaitState(attic.Backup("all"), "succeeded")
	attic.Write(letter, "second, longer")
	attic.Write("photos/cat.raw", "meow")
	if err := os.Remove(filepath.Join(attic.Home, "letters/other.txt")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.AwaitState(attic.Backup("all"), "succeeded")
	}
	saved := attic.Snapshots()
	if len(saved) != 3 {
		t.Fatalf("saved are %v", saved)
	}
	b.signIn(w)

	b.Open("/hosts/" + attic.ID)
	b.Click("summary[aria-label='More for this host']")
	b.Press("Find files…")
	b.AwaitPath("/search")
	b.Fill("#find-pattern", "*reader*")
	b.Inspect("search")
	b.Press("Search")
	b.AwaitPath("/jobs/")
	b.AwaitText("#job-header", "Succeeded")
	b.AwaitText("main", "the same in 2 snapshots")
	b.Inspect("job-find-found")
	job := strings.TrimPrefix(b.Path(), "/jobs/")
	if log := string(w.request("GET", "/api/jobs/"+job+"/log", nil).body); strings.Contains(log, "reader") {
		t.Errorf("the log, which viewers read, names what was found: %s", log)
	}
	b.Open("/jobs/" + job + "/found")
	b.AwaitText("main", "1 path")
	b.Inspect("search-found")
	b.Open("/search")
	b.AwaitText("main", "Recent searches")
	b.Inspect("search-recent")

	// A restore is begun from the older version: its draft holds that file.
	b.Open("/jobs/" + job + "/found")
	b.Click("details:not(.menu) > summary.lnk")
	older := `[...document.querySelectorAll("main a[href^='/restore/new']")].at(-1)`
	if to := Eval[string](b, older+".href"); !strings.Contains(to, saved[2]) {
		t.Errorf("the older version leads to %s, want %s", to, saved[2])
	}
	Eval[bool](b, older+".click() || true")
	b.AwaitPath("/restore/")
	b.Press("Choose files")
	b.AwaitText("#basket", "reader")
	draft := strings.TrimSuffix(b.Path(), "/files")
	b.AwaitText("#basket", saved[2][:8])

	// All versions, equal ones folded; the newest joins that draft by one click.
	b.Open("/jobs/" + job + "/found")
	Eval[bool](b, `document.querySelector("main a[href^='/versions']").click() || true`)
	b.AwaitPath("/versions")
	b.AwaitText("main", "the same in 2 snapshots")
	if n := Eval[int](b, `document.querySelectorAll("main a[href^='/restore/new']").length`); n != 2 {
		t.Errorf("%d versions are shown, want 2", n)
	}
	if n := Eval[int](b, `document.querySelectorAll("main form[action$='/basket']").length`); n != 1 {
		t.Errorf("%d versions can be added to the restore that has one of two", n)
	}
	b.Click("details.card > summary")
	b.Inspect("versions")
	byHand := Eval[[]string](b, `["plain-0-sh", "plain-2-sh"].map((id) => document.getElementById(id).textContent)`)
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", "set -e\n"+strings.Join(byHand, "\n"))
	cmd.Dir, cmd.Env = dir, append(cmd.Environ(), "RESTIC_PASSWORD="+vault.Password)
	if r := command(t, cmd); r.code != 0 {
		t.Errorf("by hand, with %q: exit status %d: %s%s", byHand, r.code, r.out, r.errs)
	} else if got := contentOf(t, filepath.Join(dir, "restored", attic.Home, letter)); got != "second, longer" {
		t.Errorf("by hand comes %q", got)
	}
	Eval[bool](b, `document.querySelector("main form[action$='/basket'] button").click() || true`)
	b.AwaitPath(draft)
	b.AwaitText("#basket", saved[0][:8])

	// Two snapshots beside each other, from the list of the host's page.
	b.Open("/hosts/" + attic.ID)
	b.Click("summary[aria-label='More actions for snapshot " + saved[1][:8] + "']")
	b.Look("light", phone)
	if left := Eval[float64](b, `document.querySelector("details.menu[open] > .pop").getBoundingClientRect().left`); left < 0 {
		t.Errorf("a phone shows the menu of a snapshot %v pixels beyond its left edge", -left)
	}
	b.Look("light", desktop)
	b.Press("Compare with the one before")
	b.AwaitPath("/jobs/")
	b.AwaitText("#job-header", "Succeeded")
	b.AwaitText("#job-header", "Found 1 added, 1 removed and 1 changed files")
	for _, want := range []string{"cat.raw", "other.txt", "1 removed, 1 content changed, 2 added, with what is in it",
		"1 removed, 1 content changed"} {
		b.AwaitText("main", want)
	}
	b.Inspect("job-diff-changes")
	b.Open(b.Path() + "/changes?kind=added")
	b.AwaitText("main", "cat.raw")
	if text := b.Text("main"); strings.Contains(text, "reader") {
		t.Errorf("among what was added is %s", text)
	}
	b.Inspect("diff")
	if log := string(w.request("GET", "/api/jobs/"+strings.Split(b.Path(), "/")[2]+"/log", nil).body); strings.Contains(log, "cat.raw") {
		t.Errorf("the log, which viewers read, names what changed: %s", log)
	}
	b.MustNotHaveBeenCut()
	w.MustStopCleanly()
}

// TestNamesNobodyWouldChooseAreFound looks by the command line for files whose names look like
// options or markup, hold line breaks or blanks, or are no UTF-8, and for their versions.
func TestNamesNobodyWouldChooseAreFound(t *testing.T) {
	w := NewWorld(t)
	attic := w.StartAgent("attic")
	for name, content := range map[string]string{"-rf": "1", "a\nb <b>c.txt": "22", "caf\xe9.txt": "333", "end ": "4444", "[1]*": "55555",
		"other": ""} {
		attic.Write(name, content)
	}
	attic.Group("all")
	w.AwaitState(attic.Backup("all"), "succeeded")
	saved := attic.Snapshots()
	if len(saved) != 1 {
		t.Fatalf("saved are %v", saved)
	}
	for pattern, want := range map[string]string{
		"-rf":    "/-rf\t" + saved[0] + "\t1\t",
		"*<B>*":  "/a\\nb <b>c.txt\t" + saved[0] + "\t2\t",
		"caf*":   "/caf\uFFFD.txt\t" + saved[0] + "\t3\t",
		`\[1]\*`: "/[1]*\t" + saved[0] + "\t5\t",
		"--help": "",
		"o?her":  "/other\t" + saved[0] + "\t0\t",
	} {
		r := command(t, exec.Command(program("restic-manager"), "find", "--wait", "--ignore-case", "--data", w.Data, "--", "attic", pattern))
		lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
		if r.code != 0 || len(lines) != 1 || !strings.Contains(lines[0], want) || want == "" && r.out != "" {
			t.Errorf("find %q: exit status %d, %q %s; want one line with %q", pattern, r.code, r.out, r.errs, want)
		}
	}
	for name, size := range map[string]string{"-rf": "1", "a\nb <b>c.txt": "2", "end ": "4", "[1]*": "5"} {
		r := command(t, exec.Command(program("restic-manager"), "versions", "--data", w.Data, "--", "attic", filepath.Join(attic.Home, name)))
		lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
		if r.code != 0 || len(lines) != 2 || !strings.HasPrefix(lines[1], saved[0][:8]) || !strings.Contains(lines[1], " "+size+" ") {
			t.Errorf("versions of %q: exit status %d, %q %s", name, r.code, r.out, r.errs)
		}
	}
	w.MustStopCleanly()
}

func contentOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}
