package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/restic-manager/restic-manager/e2e/world"
)

//go:embed testdata/axe.min.js
var axe string

// A Browser is a real one, with one tab, nobody signed in, and a list of what it
// complained of.
type Browser struct {
	t    *testing.T
	base string
	ctx  context.Context

	presses int // of buttons and links

	mu         sync.Mutex
	complaints []string
	cuts       int // network errors, which a cut connection may cause
}

// NewBrowser starts Chromium for the pages at address. When the test ends, it
// must have had nothing to complain of.
func NewBrowser(t *testing.T, address string) *Browser {
	t.Helper()
	home := t.TempDir()
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true))...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &Browser{t: t, base: "http://" + address, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			b.Shot("failed-" + strings.ReplaceAll(t.Name(), "/", "-"))
		}
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
		cancel()
		stop()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.complaints {
			t.Errorf("the browser complains: %s", c)
		}
	})
	if err := chromedp.Listen(ctx, b.heard); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	for _, err := range []error{call(b, log.Enable, cdp.Empty{}), call(b, audits.Enable, cdp.Empty{})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.Look("light", desktop)
	return b
}

func call[P, R any](b *Browser, c cdp.Command[P, R], params P) error {
	_, err := chromedp.Call(b.ctx, c, params)
	return err
}

// cutStream is what htmx says of a stream that broke, and of one that could not
// be opened again.
var cutStream = regexp.MustCompile(`^\[\{"type":"string","value":"htmx: htmx:sse:error: (network error|Failed to fetch)"`)

// leftPage is what htmx says of a request whose page was left before there was an
// answer. One that fails for any other reason has the browser's own entry, too.
var leftPage = regexp.MustCompile(`^\[\{"type":"string","value":"htmx: htmx:error: Failed to fetch"`)

func (b *Browser) countCut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cuts++
}

// heard takes an event of the tab. It runs on the goroutine that reads them.
func (b *Browser) heard(ev any) {
	var complaint string
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			words, _ := json.Marshal(e.Args) // for people
			if cutStream.Match(words) {
				b.countCut()
				return
			}
			if leftPage.Match(words) {
				return
			}
			complaint = fmt.Sprintf("console.%s: %s", e.Type, words)
		}
	case *runtime.EventExceptionThrown:
		words, _ := json.Marshal(e.ExceptionDetails) // for people
		complaint = "exception: " + string(words)
	case *log.EventEntryAdded:
		if e.Entry.Level != "error" && e.Entry.Level != "warning" {
			return
		}
		if e.Entry.Source == "network" && strings.Contains(e.Entry.Text, "net::ERR_") {
			b.countCut()
			return
		}
		complaint = fmt.Sprintf("%s %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *audits.EventIssueAdded:
		switch e.Issue.Code {
		case audits.InspectorIssueCodeContentSecurityPolicyIssue, audits.InspectorIssueCodeMixedContentIssue,
			audits.InspectorIssueCodeCookieIssue:
			words, _ := json.Marshal(e.Issue) // for people
			complaint = "issue: " + string(words)
		}
	}
	if complaint != "" {
		b.mu.Lock()
		b.complaints = append(b.complaints, complaint)
		b.mu.Unlock()
	}
}

// Refused takes a complaint back that there had to be: Chromium notes in the
// console when a page is answered with an error.
func (b *Browser) Refused(path string, status int) {
	b.t.Helper()
	world.Await(b.t, fmt.Sprintf("%s to be answered %d", path, status), func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i, c := range b.complaints {
			if strings.Contains(c, fmt.Sprintf("status of %d ", status)) && strings.HasSuffix(c, path+")") {
				b.complaints = slices.Delete(b.complaints, i, i+1)
				return nil
			}
		}
		return fmt.Errorf("there were %q", b.complaints)
	})
}

// MustNotHaveBeenCut insists that no request failed.
func (b *Browser) MustNotHaveBeenCut() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cuts > 0 {
		b.t.Errorf("%d requests of the browser failed", b.cuts)
	}
}

func (b *Browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v; the page is %s: %.1500s", what, err, b.Path(), b.Text("body"))
	}
}

// Open goes to a path, or a whole URL of this server.
func (b *Browser) Open(path string) {
	b.t.Helper()
	if u, err := url.Parse(path); err == nil && u.Host != "" {
		path = u.RequestURI()
	}
	b.do("open "+path, chromedp.Navigate(b.base+path))
}

func eval[T any](b *Browser, script string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

// Eval runs script in the page and answers with what it says.
func Eval[T any](b *Browser, script string) T {
	b.t.Helper()
	v, err := eval[T](b, script)
	if err != nil {
		b.t.Fatalf("%.200s: %v", script, err)
	}
	return v
}

// Path is where the tab is.
func (b *Browser) Path() string {
	b.t.Helper()
	path, err := eval[string](b, `location.pathname`)
	if err != nil {
		return err.Error()
	}
	return path
}

// Text is what a person reads in an element, "" if there is none.
func (b *Browser) Text(css string) string {
	b.t.Helper()
	s, err := eval[string](b, fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "").replace(/\s+/g, " ").trim()`, css))
	if err != nil { // a page on its way out
		return ""
	}
	return s
}

// AwaitText waits until an element says something.
func (b *Browser) AwaitText(css, contains string) {
	b.t.Helper()
	world.Await(b.t, fmt.Sprintf("%s to say %q", css, contains), func() error {
		if s := b.Text(css); !strings.Contains(s, contains) {
			return fmt.Errorf("it says %.600q", s)
		}
		return nil
	})
}

// AwaitPath waits until the tab is at a path that begins so.
func (b *Browser) AwaitPath(prefix string) {
	b.t.Helper()
	world.Await(b.t, "the tab to be at "+prefix, func() error {
		at, err := eval[string](b, `document.readyState + " " + location.pathname`) // of one page, not of two
		if err != nil || !strings.HasPrefix(at, "complete "+prefix) {
			return errors.Join(err, fmt.Errorf("it is %s: %.600s", at, b.Text("main")))
		}
		return nil
	})
}

// Press clicks on the button or link with this text.
func (b *Browser) Press(text string) {
	b.t.Helper()
	b.press("something that says "+text, fmt.Sprintf(`[...document.querySelectorAll("a, button, summary")].find((e) =>
		e.checkVisibility() && e.innerText.replace(/\s+/g, " ").trim() === %q)`, text))
}

// Click clicks on an element.
func (b *Browser) Click(css string) {
	b.t.Helper()
	b.press(css, fmt.Sprintf(`document.querySelector(%q)`, css))
}

//go:embed aim.js
var aim string

// press clicks on what a script finds, and waits for the page that this leads to, if it
// does. A page that is live moves what is on it, and replaces it: a click that arrives at
// anything else is not taken by the page, and is tried again. Until the page that follows
// is there, the one before goes on telling what happens, so that it may say what a test
// waits for; whatever is pressed on it is lost.
func (b *Browser) press(what, find string) {
	b.t.Helper()
	b.presses++
	world.Await(b.t, what+" to press", func() error {
		at, err := eval[*struct{ X, Y float64 }](b, fmt.Sprintf(aim, find, b.presses))
		if err != nil || at == nil {
			return fmt.Errorf("%s has none (%v): %.1500s", b.Path(), err, b.Text("body"))
		}
		b.do("press "+what, chromedp.MouseClickXY(at.X, at.Y))
		hit := true
		world.Await(b.t, "where the click on "+what+" arrived", func() (err error) {
			hit, err = eval[bool](b, fmt.Sprintf(`window.pressed?.number !== %d || window.pressed.hit`, b.presses))
			return err // of a page on its way out
		})
		if !hit {
			return fmt.Errorf("%s has something else where it was: %.1500s", b.Path(), b.Text("body"))
		}
		return nil
	})
	world.Await(b.t, "the page that "+what+" leads to", func() error {
		there, err := eval[bool](b, fmt.Sprintf(`window.pressed?.number === %d ? !window.pressed.leaves
			: document.readyState === "complete"`, b.presses))
		if err != nil || !there {
			return errors.Join(err, fmt.Errorf("%s is as it was: %.600s", b.Path(), b.Text("main")))
		}
		return nil
	})
}

// Fill types into a field.
func (b *Browser) Fill(css, value string) {
	b.t.Helper()
	world.Await(b.t, css+" to fill", func() error {
		field := fmt.Sprintf(`document.querySelector(%q)`, css)
		if there, err := eval[bool](b, `(() => { const e = `+field+`; e?.focus(); e?.select(); return !!e })()`); err != nil || !there {
			return errors.Join(err, fmt.Errorf("%s has none: %.1500s", b.Path(), b.Text("body")))
		}
		b.do("fill "+css, chromedp.KeyEvent(value))
		if now, err := eval[string](b, field+`?.value`); err != nil || now != value {
			return errors.Join(err, fmt.Errorf("it holds %q", now))
		}
		return nil
	})
}

// Mark lets Unmoved tell whether the page is still the same document.
func (b *Browser) Mark() {
	b.t.Helper()
	Eval[bool](b, `window.marked = true`)
}

// MustBeUnmoved insists that the page was not loaded again since Mark.
func (b *Browser) MustBeUnmoved() {
	b.t.Helper()
	if same, err := eval[bool](b, `window.marked === true`); err != nil || !same {
		b.t.Errorf("the page was loaded again (%v)", err)
	}
}

// A size is how large the window is.
type size struct {
	name          string
	width, height int64
	mobile        bool
}

var (
	desktop = size{"desktop", 1440, 900, false}
	phone   = size{"phone", 390, 844, true}
)

// Look sets colours and size of the window.
func (b *Browser) Look(scheme string, s size) {
	b.t.Helper()
	if err := errors.Join(
		call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width:             s.width,
			Height:            s.height,
			DeviceScaleFactor: 1,
			Mobile:            s.mobile,
		}),
		call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}),
	); err != nil {
		b.t.Fatal(err)
	}
}

// Inspect insists that everybody can use the page as it is now, light and dark,
// at a desk and on a phone: axe finds nothing, and nothing sticks out. A short run looks at
// two of the four, which differ in both. With RM_SHOTS=DIR it leaves pictures there.
func (b *Browser) Inspect(name string) {
	b.t.Helper()
	Eval[bool](b, axe+"; typeof window.axe.run === 'function'")
	for _, s := range []size{desktop, phone} {
		for _, scheme := range []string{"light", "dark"} {
			if testing.Short() && os.Getenv("RM_SHOTS") == "" && (s == desktop) != (scheme == "light") {
				continue
			}
			b.Look(scheme, s)
			look := name + "-" + s.name + "-" + scheme
			// Two frames, so that what the new colours and widths move has moved.
			Eval[bool](b, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
			found := Eval[[]string](b, `axe.run(document, {resultTypes: ["violations"], preload: false}).then((r) =>
				r.violations.map((v) => v.id + ": " + v.help + " at " + v.nodes.slice(0, 5).map((n) =>
					n.target.join(" ") + " (" + (n.any[0]?.message ?? "") + ")").join("; ")))`)
			for _, v := range found {
				b.t.Errorf("%s: axe finds %s", look, v)
			}
			if wide := Eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
				b.t.Errorf("%s: the page is %d pixels wider than its window", look, wide)
			}
			b.Shot(look)
		}
	}
	b.Look("light", desktop)
}

// Shot leaves a picture in the directory that RM_SHOTS names, if it does.
func (b *Browser) Shot(name string) {
	dir := os.Getenv("RM_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
	}
	if err != nil {
		b.t.Logf("picture %s: %v", name, err)
	}
}
