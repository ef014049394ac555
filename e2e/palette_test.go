package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestThePaletteGoesByKeyboardAlone from a page to a host's restore, without a hand at the
// mouse and with one on a phone.
func TestThePaletteGoesByKeyboardAlone(t *testing.T) {
	w := NewWorld(t)
	b := NewBrowser(t, w.HTTP)
	attic, _ := w.StartAgent("attic"), w.StartAgent("nas")
	b.signIn(w)
	control := func() {
		b.t.Helper()
		b.do("press Ctrl K", chromedp.KeyEvent("k", chromedp.KeyModifiers(2)))
	}
	// chosen is what Enter opens.
	chosen := `document.querySelector("#palette [aria-selected=true]")?.innerText ?? ""`
	is := func(text string) string {
		return "(" + chosen + `).startsWith("` + text + `") && document.querySelector("#palette").open`
	}

	b.Open("/jobs")
	control()
	b.awaitTrue(is("Restore files"), "what can be done, before anything is typed")
	b.Inspect("palette-open")
	b.Keys(kb.ArrowUp)
	b.awaitTrue("!("+is("Restore files")+")", "the arrow key to go on")
	b.Keys("attic")
	b.awaitTrue(is("Open attic"), "the host to be found")
	b.Inspect("palette")
	b.Keys(kb.ArrowDown)
	b.awaitTrue(is("Restore files of attic"), "the second line")
	b.Keys(kb.Escape)
	b.awaitTrue(`!document.querySelector("#palette").open`, "Esc to close it")
	if b.Path() != "/jobs" {
		t.Errorf("Esc leads to %s", b.Path())
	}

	// Whoever types and presses Enter at once does not wait for the list.
	control()
	b.awaitTrue(`document.querySelector("#palette").open`, "the dialog")
	b.Keys("restore attic" + kb.Enter)
	b.AwaitPath("/restore/new")
	if at := Eval[string](b, `location.search`); !strings.Contains(at, attic.ID) {
		t.Errorf("the restore begins with %q", at)
	}

	// Without the keys: the button, and a click.
	b.Open("/")
	b.Click("[data-palette]")
	b.Keys("nobody at all")
	b.awaitTrue(`[...document.querySelectorAll("#palette [role=option]")].map((o) => o.innerText).join() ===
		"Find files named “nobody at all”…"`,
		"nothing but a search for it")
	b.Click("[data-close]")
	b.awaitTrue(`!document.querySelector("#palette").open`, "the button to close it")

	// As a page, which needs no script.
	b.Open("/go?q=attic")
	b.Inspect("palette-page")
	b.Click(`main a[href^="/versions?host="]`)
	b.AwaitPath("/versions")
	b.Inspect("versions-form")
	w.MustStopCleanly()
}
