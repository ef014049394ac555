package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// Tab opens another tab of the same browser, signed in as the first one is.
func (b *Browser) Tab() *Browser {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	n := &Browser{t: b.t, base: b.base, ctx: ctx}
	b.t.Cleanup(func() {
		cancel()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range n.complaints {
			b.t.Errorf("the second tab complains: %s", c)
		}
	})
	if err := chromedp.Listen(ctx, n.heard); err != nil {
		b.t.Fatalf("open a second tab: %v", err)
	}
	n.Look("light", desktop)
	return n
}

// Reload loads the page again and waits for it.
func (b *Browser) Reload() {
	b.t.Helper()
	b.do("reload", chromedp.Reload())
}

// Back goes back as the browser's button does, to a path that begins so.
func (b *Browser) Back(to string) {
	b.t.Helper()
	Eval[bool](b, `setTimeout(() => history.back()), true`)
	b.AwaitPath(to)
}

// tick is the box of an entry of the tree that is shown, by its name.
func tick(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#tree [data-root] li:has(> .trow)")].find((li) =>
		%s === %q && li.checkVisibility())?.querySelector("[name=tick]")`, nameOf("li"), name)
}

// nameOf is a script that reads the name of an entry of the tree from its list item.
func nameOf(li string) string {
	return li + `.querySelector(".nm > span").firstChild.textContent.trim()`
}

// Tick ticks an entry of the tree, or takes the tick away, and waits for the basket.
func (b *Browser) Tick(name string, says string) {
	b.t.Helper()
	b.awaitTrue(tick(name)+" !== undefined", "an entry "+name)
	b.press("the box of "+name, tick(name))
	b.AwaitText("#basket", says)
}

// OpenFolder opens a folder of the tree in place.
func (b *Browser) OpenFolder(name, holds string) {
	b.t.Helper()
	open := strings.Replace(tick(name), "[name=tick]", "[data-open]", 1)
	b.awaitTrue(open+" !== undefined", "a folder "+name)
	b.press("the folder "+name, open)
	b.awaitTrue(tick(holds)+" !== undefined", "what is in "+name)
}

func (b *Browser) awaitTrue(script, what string) {
	b.t.Helper()
	world.Await(b.t, what, func() error {
		if is, err := eval[bool](b, script); err != nil || !is {
			return fmt.Errorf("%s has none (%v): %.1500s", b.Path(), err, b.Text("main"))
		}
		return nil
	})
}

// ticked reports whether an entry is ticked.
func (b *Browser) ticked(name string) bool {
	b.t.Helper()
	return Eval[bool](b, tick(name)+"?.checked === true")
}

// copied copies files with all that belongs to them.
func copied(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
}

// TestARestoreIsPutTogetherInTheBrowser chooses three items in different folders of two
// snapshots, tries them, brings them back and compares. On each page the browser goes back,
// loads again, and a second tab comes between.
func TestARestoreIsPutTogetherInTheBrowser(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	attic := w.StartAgent("attic", "--policy", "managed")
	w.StartAgent("barn")
	attic.Write("letters/2026/one.txt", "first")
	attic.Write("letters/2026/two words.txt", "as it was")
	attic.Write("photos/cat.raw", strings.Repeat("meow", 1000))
	world.Tree{Files: 300, Seed: 3, Root: os.Getuid() == 0}.Plant(t, filepath.Join(attic.Home, "tree"))
	was := filepath.Join(w.Dir, "was")
	letter, kinds, cat := "letters/2026/two words.txt", "tree/kinds", "photos/cat.raw"
	copied(t, filepath.Join(attic.Home, letter), filepath.Join(was, letter))
	copied(t, filepath.Join(attic.Home, kinds), filepath.Join(was, kinds))
	vault := attic.Group("all")
	w.AwaitState(attic.Backup("all"), "succeeded")
	attic.Write(letter, "changed meanwhile")
	attic.Write(cat, strings.Repeat("purr", 1000))
	copied(t, filepath.Join(attic.Home, cat), filepath.Join(was, cat))
	w.AwaitState(attic.Backup("all"), "succeeded")
	saved := attic.Snapshots()
	if len(saved) != 2 {
		t.Fatalf("saved are %v", saved)
	}
	newer, older := saved[0], saved[1]
	b.signIn(w)

	// From which moment: one is chosen, the page is loaded again and left, and nothing is lost or kept by it.
	b.Open("/hosts/" + attic.ID)
	b.Press("Restore files")
	b.AwaitPath("/restore/new")
	b.AwaitText("main", "From which moment?")
	b.Inspect("restore-1-snapshot")
	row := func(snapshot string) string { return "[name=snapshot][value='" + vault.ID + "/" + snapshot + "']" }
	b.Reload()
	b.Back("/hosts/" + attic.ID)
	b.Press("Restore files")
	b.AwaitPath("/restore/new")
	b.Click(row(older))
	b.Press("Choose files")
	b.AwaitText("h2", "What to bring back?")
	files := b.Path()
	draft := strings.TrimSuffix(files, "/files")

	// The files: a folder opens in place; what is ticked is in the basket after a reload and in another tab.
	b.Mark()
	b.OpenFolder("home", "letters")
	b.OpenFolder("letters", "2026")
	b.OpenFolder("2026", "two words.txt")
	b.Tick("two words.txt", "two words.txt")
	b.OpenFolder("tree", "kinds")
	b.Tick("kinds", "tree/kinds")
	b.Inspect("restore-2-files")
	b.OpenFolder("kinds", "hard-1")
	if !b.ticked("hard-1") || !Eval[bool](b, tick("hard-1")+".disabled") {
		t.Error("what is below a folder that is chosen is not shown as chosen")
	}
	b.MustBeUnmoved()
	b.Reload()
	b.AwaitText("#basket", "1 file, 9 B, and 1 folder")
	other := b.Tab()
	other.Open(files)
	other.AwaitText("#basket", "tree/kinds")
	other.OpenFolder("home", "photos")
	other.Tick("photos", "home/photos")
	b.OpenFolder("home", "letters") // it knows nothing of the photos, and takes nothing away
	b.Tick("letters", "home/letters")
	b.AwaitText("#basket", "home/photos")
	if got := b.Text("#basket"); strings.Contains(got, "two words") {
		t.Errorf("a folder above does not take the place of what is in it: %s", got)
	}
	b.Tick("letters", "home/photos")
	b.awaitTrue(`!document.querySelector("#basket").innerText.includes("home/letters")`, "the letters to be gone from the basket")
	b.OpenFolder("letters", "2026")
	b.OpenFolder("2026", "two words.txt")
	b.Tick("two words.txt", "two words.txt")
	b.Tick("photos", "two words.txt")
	b.awaitTrue(`!document.querySelector("#basket").innerText.includes("photos")`, "the photos to be gone from the basket")
	other.Reload()
	other.awaitTrue(`!document.querySelector("#basket").innerText.includes("photos")`, "the other tab to know")

	// Another moment: what was ticked stays.
	b.Press("Another moment")
	b.AwaitPath(draft + "/snapshot")
	if !Eval[bool](b, `document.querySelector("`+row(older)+`").checked`) {
		t.Error("the moment that was chosen is not")
	}
	b.Click(row(newer))
	b.Press("Choose files")
	b.AwaitPath(files)
	b.AwaitText("#basket", "two words.txt")
	b.OpenFolder("home", "photos")
	b.OpenFolder("photos", "cat.raw")
	b.Tick("cat.raw", "cat.raw")
	b.AwaitText("#basket", "2 files")
	b.Back(draft + "/snapshot")
	b.Reload()
	if !Eval[bool](b, `document.querySelector("`+row(newer)+`").checked`) {
		t.Error("after Back and a reload another moment is chosen")
	}
	b.Press("Choose files")
	b.AwaitText("#basket", "2 files")
	b.Inspect("restore-2-files-two-snapshots")

	// In the tab that still shows the older one, a tick is of that one.
	other.Press("Choose destination")
	other.AwaitPath(draft + "/destination")
	b.Press("Choose destination")
	b.AwaitPath(draft + "/destination")
	b.AwaitText("main", "To which host?")
	b.Inspect("restore-3-destination")
	b.Click("#where-folder")
	b.Press("Browse…")
	b.AwaitPath(draft + "/directories")
	b.Inspect("restore-3-folder")
	b.Back(draft + "/destination")
	target := filepath.Join(w.Dir, "target")
	b.Click("#where-folder")
	b.Fill("#folder", target)
	b.Press("Preview changes")
	b.AwaitPath(draft + "/review")
	b.AwaitText("#restore-dry", "Dry run finished")
	b.AwaitText("#restore-dry", "would be new")
	b.Inspect("restore-4-review")
	b.Reload()
	b.AwaitText("#restore-dry", "Dry run finished")
	b.Press("The same with restic alone")
	b.AwaitPath(draft + "/commands")
	b.AwaitText("main", "restic restore --target=restored")
	b.Inspect("restore-commands")
	b.Back(draft + "/review")
	b.Back(draft + "/destination")
	if !Eval[bool](b, `document.querySelector("#where-folder").checked && document.querySelector("#folder").value === "`+target+`"`) {
		t.Error("after Back the destination is another")
	}
	// The other tab does not know of the folder, and does not change it unasked.
	other.Press("Preview changes")
	other.Refused(draft+"/destination", http.StatusConflict)
	other.AwaitText("main", "Another tab changed the destination")
	other.Inspect("restore-3-conflict")
	b.Open(draft)
	b.AwaitPath(draft + "/review")
	if _, err := os.Stat(target); err == nil {
		t.Error("a dry run has written")
	}

	// It counts no longer once the selection has changed.
	other.Open(files)
	other.OpenFolder("home", "letters")
	other.Tick("letters", "cat.raw") // they would go over the letter of the older snapshot
	other.Refused(draft+"/basket", http.StatusConflict)
	other.AwaitText("main", "would go to the same place")
	other.awaitTrue("!("+tick("letters")+".checked)", "a tick that was refused to be taken back")
	other.OpenFolder("letters", "2026")
	other.OpenFolder("2026", "one.txt")
	other.Tick("one.txt", "one.txt")
	b.Reload()
	b.AwaitText("#restore-dry", "counts no longer")
	b.Inspect("restore-4-stale")
	other.Tick("one.txt", "cat.raw")
	other.awaitTrue(`!document.querySelector("#basket").innerText.includes("one.txt")`, "the letter to be gone")
	b.Press("Preview again")
	b.AwaitText("#restore-dry", "Dry run finished")
	b.awaitTrue(`/Restore \d+ files/.test(document.querySelector("#restore-go button:enabled")?.innerText)`, "the button")
	b.Fill("#reason", "ticket 7")
	b.Click("#restore-go button")
	b.AwaitPath("/jobs/")
	job := filepath.Base(b.Path())
	w.AwaitState(job, "succeeded")
	b.Reload()
	b.Inspect("job-restore-wizard")
	for _, item := range []string{letter, kinds, cat} {
		for _, d := range world.Differences(filepath.Join(was, item), filepath.Join(target, attic.Home, item), world.Leave{}) {
			t.Errorf("%s: %s", item, d)
		}
	}
	if _, err := os.Stat(filepath.Join(target, attic.Home, "letters/2026/one.txt")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what nobody chose came back: %v", err)
	}
	b.Open("/restore")
	b.Inspect("restore-drafts")
	b.Click(`a[href$="/discard"]`)
	b.AwaitPath(draft + "/discard")
	b.Inspect("restore-discard")
	b.Press("Keep it")
	b.AwaitPath(draft + "/review")
	b.Press("Discard this draft…")
	b.Press("Discard the draft")
	b.AwaitText("main", "You have no drafts")
	b.Inspect("restore-no-drafts")
	w.MustStopCleanly()
}

// Keys sends keys to what has the focus.
func (b *Browser) Keys(keys string) {
	b.t.Helper()
	b.do("press keys", chromedp.KeyEvent(keys))
}

// TabTo goes on with the Tab key until what has the focus is what a script finds.
func (b *Browser) TabTo(what, is string) {
	b.t.Helper()
	for range 80 {
		if Eval[bool](b, `((e) => `+is+`)(document.activeElement)`) {
			return
		}
		b.Keys(kb.Tab)
	}
	b.t.Fatalf("the Tab key does not come to %s: it is at %s", what, Eval[string](b, `document.activeElement.outerHTML.slice(0, 300)`))
}

// says is a script that tells whether an element says exactly this.
func says(text string) string {
	return fmt.Sprintf(`e.innerText.replace(/\s+/g, " ").trim() === %q`, text)
}

// TestARestoreGoesByKeyboardAlone and by the roles that may: an operator into the host's own
// folder for restores, a viewer not at all.
func TestARestoreGoesByKeyboardAlone(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	attic := w.StartAgent("attic")
	attic.Write("letters/one.txt", "first")
	vault := attic.Group("all")
	w.AwaitState(attic.Backup("all"), "succeeded")
	b.signIn(w)
	for name, role := range map[string]string{"olga": "operator", "vera": "viewer"} {
		if r := w.typed(passphrase, "user", "add", name, "--role", role, "--password-stdin"); r.code != 0 {
			t.Fatal(r.errs)
		}
	}
	as := func(name string) *Session {
		s, in := w.signInAs(name, passphrase)
		if !in {
			t.Fatalf("%s cannot sign in", name)
		}
		return s
	}
	if p := as("vera").Page("/restore/new"); p.Status != http.StatusForbidden {
		t.Errorf("a viewer gets %d: %.300s", p.Status, p.Text)
	}

	b.Open("/hosts/" + attic.ID)
	b.TabTo("the restore", says("Restore files"))
	b.Keys(kb.Enter)
	b.AwaitPath("/restore/new")
	b.TabTo("a snapshot", `e.name === "snapshot"`)
	b.Keys(" ")
	b.TabTo("the button", says("Choose files"))
	b.Keys(kb.Enter)
	b.AwaitText("h2", "What to bring back?")
	draft := strings.TrimSuffix(b.Path(), "/files")
	b.TabTo("the folder", `e.matches("[data-open]") && `+nameOf(`e.closest("li")`)+` === "home"`)
	b.Keys(kb.Enter)
	b.awaitTrue(tick("letters")+" !== undefined", "what is in home")
	b.TabTo("the letters", `e.matches("[name=tick]") && `+nameOf(`e.closest("li")`)+` === "letters"`)
	b.Keys(" ")
	b.AwaitText("#basket", "home/letters")
	b.TabTo("what comes next", says("Choose destination"))
	b.Keys(kb.Enter)
	b.AwaitPath(draft + "/destination")
	b.TabTo("the button", says("Preview changes"))
	b.Keys(kb.Enter)
	b.AwaitPath(draft + "/review")
	b.AwaitText("#restore-go", "Restore 1 file")
	b.TabTo("the button", says("Restore 1 file, 5 B"))
	b.Keys(kb.Enter)
	b.AwaitPath("/jobs/")
	w.AwaitState(filepath.Base(b.Path()), "succeeded")
	all, err := filepath.Glob(filepath.Join(attic.State, "restored", "*", attic.Home, "letters/one.txt"))
	if err != nil || len(all) != 1 {
		t.Fatalf("restored are %v, %v", all, err)
	}
	for _, d := range world.Differences(filepath.Join(attic.Home, "letters/one.txt"), all[0], world.Leave{}) {
		t.Error(d)
	}

	// Somebody else does not see the draft, and an operator is told what they may.
	olga := as("olga")
	if p := olga.Page(draft + "/review"); p.Status != http.StatusNotFound {
		t.Errorf("another's draft: %d: %.300s", p.Status, p.Text)
	}
	p := olga.Submit("/restore/new", url.Values{"snapshot": {vault.ID + "/" + attic.Snapshots()[0]}})
	if p.Missing("What to bring back?") {
		t.Fatalf("an operator: %d: %.600s", p.Status, p.Text)
	}
	hers := strings.TrimSuffix(p.URL.Path, "/files")
	olga.Submit(hers+"/basket", url.Values{"snapshot": {attic.Snapshots()[0]}, "tick": {"d " + attic.Home}})
	if p = olga.Page(hers + "/destination"); p.Missing("the host's folder for restores. For any other: It needs the role") {
		t.Errorf("an operator reads %s", p.Text)
	}
	own := filepath.Join(attic.State, "restored")
	for folder, status := range map[string]int{"/srv": http.StatusForbidden, filepath.Join(own, "olga"): http.StatusOK} {
		p = olga.Submit(hers+"/destination", url.Values{"version": {"9"}, "host": {attic.ID}, "where": {"folder"}, "folder": {folder},
			"overwrite": {"never"}, "owners": {"1"}, "then": {"preview"}})
		if p.Status != status {
			t.Errorf("an operator to %s: %d, want %d: %.600s", folder, p.Status, status, p.Text)
		}
	}
	w.MustStopCleanly()
}
