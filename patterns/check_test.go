package patterns

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
)

// valid are patterns that restic takes as they are meant.
var valid = []string{
	"*", "**", "*.tmp", "*.t?p", "a", "a b", "/srv", "/srv/", "/srv/*", "/srv/**", "/home/*/.cache",
	"/home/**/.cache", "**/node_modules",
	"**/x/**/y", "srv/a", "./srv", "~", "~*", ".*", "..", "/", "[a]", "[abc]", "[a-z]", "[^a]", "[!a]",
	"[a-zA-Z0-9]*", "[[]", `[\]]`,
	`[a\-]`, `[\-a]`, `[\\]`, `\[a`, `a\[b`, `a\\`, `\\`, `\*`, `\!a`, "a]", "]", "a]b", "[z-a]",
	"!/srv/keep", "!*.keep", "!!a",
	"! a", "a!", "#a", `\#a`, "a#b", "$HOME", "$$", "${", "{a,b}", "a,b", "a//b", "/a/../b", "[é]",
	"[а-я]*", "fotos/2024 *", " a", "a ", "\ta",
	"a\u00a0", "***", "a**b", "--help", "-x", "@a", "a:b", "%a", "'a'", `"a"`, "`a`", "(a)", "[ ]",
	"[#]a", "[^^]", "[a][b]", "a/[b]/c", "?", "[?*]",
}

// invalid are patterns for which restic refuses a backup, unless they only mislead it.
var invalid = []string{
	"[", "[a", "a[b", "a[", "[]", "[^]", "[a-]", "[-a]", "[-]", "[--a]", "[a-b-c]", "[]a]", "[]]", "[^]]",
	"[a-z", "[^", "[^a", "*[", "*/**/[x",
	"**/[a", "a/[b/c]", "[a/b]", `a\`, `\`, `a/\`, `a\/b`, `\/a`, `[\`, `[\]`, `[a\]`, `a\\\`, "![a",
	"!/[", `!\`, `!a\`, "[a]/[b", "[é", `/srv/www\`, "[[]a-][",
}

// misread are patterns that restic takes and that do nothing or something else.
var misread = []string{"", " ", "\t", " \t ", "\u00a0", "!", "! ", "!\t", "a\x00b", "\x00", "a\nb",
	"a\rb", "a\r", "\n", "a\xffb", "\ufeff*.tmp"}

func TestOnlyPatternsThatResticReadsAreTaken(t *testing.T) {
	for _, p := range valid {
		if said := Check(p, false); said != "" {
			t.Errorf("%q is refused: %s", p, said)
		}
	}
	for _, p := range slices.Concat(invalid, misread) {
		if Check(p, false) == "" {
			t.Errorf("%q is taken", p)
		}
	}
	for _, c := range []struct{ pattern, says string }{ // each with what is said of it
		{"[a", `Write \[`}, {`a\`, `Write \\`}, {`a\[b\`, `Write \\`}, {`\[a[`, `Write \[`}, {" ", "blank"},
		{"!", "after !"}, {"a\x00", "NUL"},
		{"\ufeffa", "byte order mark"},
	} {
		if said := Check(c.pattern, false); !strings.Contains(said, c.says) {
			t.Errorf("of %q it says %q, want %q in it", c.pattern, said, c.says)
		}
	}
}

// On Windows a backslash parts names, and nothing takes the meaning of a character.
func TestPatternsOfWindowsEndWithABackslashAsTheyLike(t *testing.T) {
	for _, p := range []string{`C:\Data\`, `C:\`, `a\`, `\\server\share\`, "[[]a]", `C:\Users\*\AppData`,
		"[a-z]*.tmp", "!keep"} {
		if said := Check(p, true); said != "" {
			t.Errorf("%q is refused: %s", p, said)
		}
	}
	for _, p := range []string{"[a", `a\[b`, `[a\]`, `C:\[`, "", " ", "!", "a\x00"} {
		if said := Check(p, true); said == "" || strings.Contains(said, `\[`) {
			t.Errorf("of %q it says %q", p, said)
		}
	}
}

// What is refused and what is not is restic's own word: it lists all patterns that it
// cannot read before it does anything.
func TestResticRefusesTheSamePatterns(t *testing.T) {
	dir := t.TempDir()
	repository := filepath.Join(dir, "vault")
	if err := resticrepo.Make(repository, "x"); err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(valid, invalid)
	args := []string{"backup", "--repo", repository, "--dry-run"}
	for _, p := range all {
		args = append(args, "--exclude="+p)
	}
	cmd := exec.CommandContext(t.Context(), "restic", append(args, dir)...)
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=x", "HOME="+dir)
	out, err := cmd.CombinedOutput()
	_, list, found := strings.Cut(string(out), "invalid pattern(s) provided:\n")
	if err == nil || !found {
		t.Fatalf("restic: %v\n%s", err, out)
	}
	refused := strings.Split(strings.TrimSuffix(list, "\n"), "\n")
	for _, p := range all {
		if want := slices.Contains(refused, p); want != (Check(p, false) != "") {
			t.Errorf("%q: restic refuses it: %t", p, want)
		}
	}
}
