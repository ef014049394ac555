package plain

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/topics"
)

// odd are names that mean something to a shell, to restic or to a terminal.
var odd = []string{
	"plain.txt", "two words", " edges ", "it's", `say "hi"`, "--help", "-n", "$(touch pwned)", "`touch pwned`", "${HOME}", "$HOME",
	"a;touch pwned", "a&b", "a|b", "a>b", "a<b", "(x)", "{a,b}", "!history", "~", "#comment", "a\\b", "\\", "back\\", "*", "**", "a*b",
	"?", "a?b", "[x]", "[", "]", "[!a]", "line\nbreak", "ends\n", "\n", "tab\there", "\x1b[31mred", "bell\x07", "\x7f", "ünï", "日本語",
	"\U0001f512", "\u202etxt.exe", "%s", "%d\\n", "=", "@", "a:b", "'", `"`, "''", "'\"'\"'", "--include=x", "é", "e\u0301", "...", ".x",
}

// A shell runs each command as it is shown, on a real repository, and what comes back is
// that file byte by byte, that file alone, and nothing else that its name might mean.
func TestAShellBringsBackExactlyThatFile(t *testing.T) {
	repository := filepath.Join(t.TempDir(), "it's a repository")
	if err := resticrepo.Make(repository, "correct horse"); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	chance := rand.New(rand.NewPCG(seed, 1))
	names := slices.Clone(odd)
	for range 12 {
		var b strings.Builder
		for range 1 + chance.IntN(6) {
			b.WriteString([]string{"'", `"`, "\\", "$", "`", "\n", " ", "*", "?", "[", "]", "-", "!", "x", "ü", "\t"}[chance.IntN(16)])
		}
		if name := b.String(); !slices.Contains(names, name) && name != "." && name != ".." {
			names = append(names, name)
		}
	}
	source := filepath.Join(t.TempDir(), "so urce")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	content := func(name string) []byte { return fmt.Appendf(nil, "this is\x00 %q\r\n", name) }
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(source, name), content(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "RESTIC_") }),
		"RESTIC_PASSWORD=correct horse", "RESTIC_CACHE_DIR="+t.TempDir(), "RESTIC_PROGRESS_FPS=0.1")
	run := func(dir, script string) []byte {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", script)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("seed %d: %s\n%v\n%s", seed, script, err, out)
		}
		return out
	}
	r := Repository{Address: repository}
	setup := r.Setup().Sh + "\n"
	run(source, setup+"restic backup --quiet -- "+sh(source))
	out := run(source, setup+"restic snapshots --json")
	_, rest, _ := bytes.Cut(out, []byte(`"id":"`))
	id := string(rest[:64])

	for _, name := range names {
		if out := run(source, "printf %s "+Sh(name)+" && printf ."); string(out) != name+"." {
			t.Errorf("seed %d: %q is quoted as %s, and read as %q", seed, name, Sh(name), out)
		}
	}

	// Some alone by dump, other ones each time: a process of restic takes a while.
	each := t.TempDir()
	script := setup
	dumped := slices.Clone(names)
	chance.Shuffle(len(dumped), func(i, j int) { dumped[i], dumped[j] = dumped[j], dumped[i] })
	dumped = dumped[:16]
	for i, name := range dumped {
		script += fmt.Sprintf("mkdir %d && cd %d && %s && cd ..\n", i, i,
			r.Commands([]topics.Item{{Snapshot: id, Paths: []string{source + "/" + name}}}, true)[0].Sh)
	}
	run(each, script)
	for i, name := range dumped {
		got, err := os.ReadFile(filepath.Join(each, fmt.Sprint(i), name))
		if err != nil || !bytes.Equal(got, content(name)) {
			t.Errorf("seed %d: %q by dump: %q, %v", seed, name, got, err)
		}
		if entries, err := os.ReadDir(filepath.Join(each, fmt.Sprint(i))); err != nil || len(entries) != 1 {
			t.Errorf("seed %d: %q by dump leaves %v, %v", seed, name, entries, err)
		}
	}

	// Half of them by restore, and not the others.
	var chosen []string
	for i, name := range names {
		if i%2 == 0 {
			chosen = append(chosen, source+"/"+name)
		}
	}
	all := t.TempDir()
	run(all, setup+r.Commands([]topics.Item{{Snapshot: id, Paths: chosen}}, false)[0].Sh)
	for i, name := range names {
		got, err := os.ReadFile(filepath.Join(all, Into, source, name))
		if want := i%2 == 0; want != (err == nil) || want && !bytes.Equal(got, content(name)) {
			t.Errorf("seed %d: %q by restore: %q, %v, chosen %t", seed, name, got, err, want)
		}
	}
	if entries, err := os.ReadDir(all); err != nil || len(entries) != 1 {
		t.Errorf("beside the folder: %v, %v", entries, err)
	}
}

// PowerShell's rules, read from its documentation: inside single quotes only a single quote
// ends the text, straight or curly, and two of them are one.
func TestPowerShellReadsWhatWasQuoted(t *testing.T) {
	read := func(word string) (string, bool) {
		rest, ok := strings.CutPrefix(word, "'")
		if !ok {
			return word, bare(word) && !strings.ContainsAny(word, "@%") // as it is
		}
		var out strings.Builder
		r := []rune(rest)
		for i := 0; i < len(r); i++ {
			if !strings.ContainsRune("'‘’‚‛", r[i]) {
				out.WriteRune(r[i])
				continue
			}
			if i == len(r)-1 {
				return out.String(), true
			}
			if !strings.ContainsRune("'‘’‚‛", r[i+1]) {
				return "", false
			}
			out.WriteRune(r[i])
			i++
		}
		return "", false
	}
	for _, s := range append(slices.Clone(odd), "‘curly’", "‚low‛", "", "@x", "%x") {
		quoted := PowerShell(s)
		if strings.HasPrefix(quoted, "[Text.Encoding]") {
			if strings.Trim(quoted, "[]().,0123456789:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
				t.Errorf("%q: %s", s, quoted)
			}
			continue
		}
		if got, ok := read(quoted); !ok || got != s {
			t.Errorf("%q is quoted as %s, and read as %q, %t", s, quoted, got, ok)
		}
	}
}

// Each command is in both shells what it has to be, and none holds a secret.
func TestTheCommandsOfASelection(t *testing.T) {
	id, other := strings.Repeat("a", 64), strings.Repeat("b", 64)
	r := Repository{Address: "rest:https://nas/attic/", Flags: Flags(map[string]topics.Secret{
		"RESTIC_CACERT": "/etc/nas it.pem", "RESTIC_REST_PASSWORD": "hidden", "AWS_SECRET_ACCESS_KEY": "hidden"}, nil, nil)}
	pasted := Flags(nil, map[string]topics.Secret{"RESTIC_CACERT": "hidden", "GOOGLE_APPLICATION_CREDENTIALS": "hidden"},
		&map[string]string{"s3.list-objects-v1": "true"})
	if want := []string{"--cacert=restic_cacert.txt", "--option=s3.list-objects-v1=true"}; !slices.Equal(pasted, want) {
		t.Errorf("what is pasted, and options, are %q, want %q", pasted, want)
	}
	one := r.Commands([]topics.Item{{Snapshot: id, Paths: []string{`/C/Data/[a] "b".txt`}}}, true)
	if len(one) != 3 || one[0].Sh != "restic '--cacert=/etc/nas it.pem' dump "+id+` '/C/Data/[a] "b".txt' > './[a] "b".txt'` ||
		one[0].PowerShell != "restic '--cacert=/etc/nas it.pem' dump '--target=[a] _b_.txt' "+id+` '/C/Data/[a] "b".txt'` ||
		one[1].Sh != "restic '--cacert=/etc/nas it.pem' restore --target=restored "+`'--include=/C/Data/\[a] "b".txt' `+id ||
		one[1].PowerShell != "restic '--cacert=/etc/nas it.pem' restore --target=restored '--include=/C/Data/[[]a] ?b?.txt' "+id ||
		!strings.Contains(one[2].Text, "look/ids/aaaaaaaa.") || one[2].PowerShell != "" {
		t.Errorf("a file: %q", one)
	}
	two := r.Commands([]topics.Item{{Snapshot: id, Paths: []string{"/etc"}}, {Snapshot: other}}, true)
	if len(two) != 2 || strings.Count(two[0].Sh, "\n") != 1 || !strings.HasSuffix(two[0].Sh, "restore --target=restored "+other) {
		t.Errorf("a basket: %q", two)
	}
	for _, c := range slices.Concat(one, two, []Command{r.Setup()}) {
		if strings.Contains(c.Sh+c.PowerShell+c.Text, "hidden") || c.Title == "" || c.Text == "" || c.Sh == "" {
			t.Errorf("%+v", c)
		}
	}
	if s := r.Setup(); s.Sh != "export RESTIC_REPOSITORY=rest:https://nas/attic/" ||
		s.PowerShell != "$env:RESTIC_REPOSITORY = 'rest:https://nas/attic/'" {
		t.Errorf("the setup: %+v", s)
	}
}
