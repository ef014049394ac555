package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type sampleCLI struct {
	Config kong.ConfigFlag `placeholder:"FILE" help:"Read flags from a file."`
	Host   struct {
		List struct{} `cmd:"" help:"List hosts; it's a list."`
		Tag  struct {
			Mode string `enum:"add,drop" default:"add" help:"What to do: add or drop."`
			Data string `placeholder:"DIR" help:"Where the data is."`
			Name string `arg:"" optional:"" help:"The host."`
		} `cmd:"" help:"Tag a host."`
	} `cmd:"" help:"Manage hosts."`
	Backup struct {
		Force bool   `help:"Even if."`
		File  string `arg:"" help:"A new file."`
	} `cmd:"" help:"Copy."`
	Secret struct{} `cmd:"" hidden:"" help:"Nobody's."`
}

func script(t *testing.T, shell string) string {
	t.Helper()
	var cli sampleCLI
	parser, err := kong.New(&cli, kong.Name("a-program"), kong.Description("It does."))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Completion(&b, parser.Model, shell); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBashCompletes asks a real bash what it offers.
func TestBashCompletes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "completions")
	if err := os.WriteFile(file, []byte(script(t, "bash")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"":                        "backup host",
		"ho":                      "host",
		"host ":                   "list tag",
		"host t":                  "tag",
		"host tag --m":            "--mode",
		"host tag --mode ":        "add drop",
		"host tag --mode d":       "drop",
		"host tag --data ":        "folder",
		"host tag --data x --mo":  "--mode",
		"--config host ho":        "host", // host is the flag's, so it is no command
		"host list --":            "--config --help",
		"backup ":                 "completions folder",
		"backup --f":              "--force",
		"host tag --nothing-of":   "",
		"secret --":               "--config --help",
		"host tag --mode=add --d": "--data",
	} {
		words := strings.Split(line, " ")
		for i := range words {
			words[i] = "'" + words[i] + "'"
		}
		typed := strings.ReplaceAll(strings.Join(words, " "), "'--mode=add'", "--mode = add") // as readline breaks it
		out, err := exec.Command("bash", "-c", "cd "+dir+" && . ./completions && COMP_WORDS=(a-program "+typed+
			") && COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) && _a_program && printf '%s\\n' \"${COMPREPLY[@]}\"").CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", line, err, out)
		}
		got := strings.Fields(string(out))
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q offers %q, want %q", line, got, want)
		}
	}
}

// TestFishAndZshRead has both read their scripts, and fish say what it offers.
func TestFishAndZshRead(t *testing.T) {
	dir := t.TempDir()
	for _, shell := range []string{"fish", "zsh"} {
		file := filepath.Join(dir, "completions."+shell)
		if err := os.WriteFile(file, []byte(script(t, shell)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(shell, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s does not read it: %v\n%s", shell, err, out)
		}
	}
	for line, want := range map[string]string{"host ": "list tag", "ho": "host", "host tag --mode ": "add drop", "host tag --m": "--mode"} {
		cmd := exec.Command("fish", "--no-config", "-c", "source "+filepath.Join(dir, "completions.fish")+"; complete -C 'a-program "+line+"'")
		cmd.Env = append(os.Environ(), "HOME="+dir)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("fish: %v", err)
		}
		var got []string
		for offer := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSpace(offer), "\t")
			got = append(got, word)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("fish: %q offers %q, want %q", line, got, want)
		}
	}
}
