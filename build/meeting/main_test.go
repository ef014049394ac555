package main

import (
	"bytes"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

func TestGoroutinesAreFound(t *testing.T) {
	for source, want := range map[string]bool{
		`package p; func f() { go f() }`:                                              true,
		`package p; func f() { func() { go func() {}() }() }`:                         true,
		`package p; import "sync"; func f(w *sync.WaitGroup) { w.Go(func() {}) }`:     true,
		`package p; import "sync"; var mu sync.Mutex`:                                 true,
		`package p; import "sync/atomic"; var n atomic.Int64`:                         true,
		`package p; import "golang.org/x/sync/errgroup"; var g errgroup.Group`:        true,
		`package p; import "strings"; func f() string { return strings.ToLower("") }`: false,
		`package p; func f(g interface{ Go(a, b int) }) { g.Go(1, 2) }`:               false,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := starts(f) || locks(f); got != want {
			t.Errorf("%s: %t", source, got)
		}
	}
}

func TestTestsThatStartGoroutinesAreFound(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "p_test.go", `package p
		func TestAlone(t *testing.T) {}
		func TestBoth(t *testing.T) { t.Run("", func(t *testing.T) { go f() }) }
		func helper() { go f() }
		func (w world) TestOfAWorld() { go f() }`, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got := starting(f); len(got) != 1 || got[0] != "TestBoth" {
		t.Errorf("found %q", got)
	}
}

func TestEveryPackageIsRunOnceAsAWhole(t *testing.T) {
	all := []pkg{
		{path: "."},
		{path: "broker", meet: true, tests: []string{"TestOfTheBroker"}},
		{path: "controlplane/web", meet: true, tests: []string{"TestTwoAtOnce", "TestAStorm"}},
		{path: "e2e", tests: []string{"TestAKill"}},
		{path: "store", tests: []string{"TestTwoTokens"}},
	}
	for what, want := range map[string]string{
		"whole": "./broker",
		"some":  "./controlplane/web ./store",
		"tests": "^(TestTwoAtOnce|TestAStorm|TestTwoTokens)$",
		"rest":  "./. ./controlplane/web ./e2e ./store",
	} {
		var out bytes.Buffer
		if err := say(&out, what, all); err != nil || strings.TrimSpace(out.String()) != want {
			t.Errorf("%s: %q, %v", what, out.String(), err)
		}
	}
	if err := say(&bytes.Buffer{}, "", all); err == nil {
		t.Error("nothing was asked for, and that is no error")
	}
}

// TestWhatIsElsewhereIsThere: an exception for a package that is gone, or in which no
// goroutines meet, is none.
func TestWhatIsElsewhereIsThere(t *testing.T) {
	t.Chdir("../..")
	all, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	meets := map[string]bool{}
	for _, p := range all {
		meets[p.path] = p.meet
	}
	for path := range elsewhere {
		if !meets[path] {
			t.Errorf("no goroutines meet in %s", path)
		}
	}
	for _, path := range []string{"broker", "agent/link", "controlplane/jobs", "controlplane/outbox", "controlplane/uplink",
		"controlplane/public"} {
		if !meets[path] {
			t.Errorf("goroutines meet in %s, and it is not found", path)
		}
	}
}
