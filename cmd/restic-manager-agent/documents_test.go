package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/restic-manager/restic-manager/agent"
)

// A command of the documents, in a line of its own or within one.
var commandOf = regexp.MustCompile("(?m)^ {4,}(?:[a-z/]*bin/)?restic-manager-agent ([a-z][^|\n]*)$|`restic-manager-agent ([a-z][^`]*)`")

// What the documents have people type on a host is understood.
func TestTheDocumentsCommandsAreUnderstood(t *testing.T) {
	for _, name := range []string{"INSTALL.md", "OPERATIONS.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		found := commandOf.FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s has no command", name)
		}
		for _, m := range found {
			line, _, _ := strings.Cut(strings.ReplaceAll(m[1]+m[2], " …", ""), " #")
			parser := kong.Must(&commands{}, kong.Name("restic-manager-agent"), kong.Vars{"state": agent.DefaultState()})
			if _, err := parser.Parse(strings.Fields(line)); err != nil && !strings.Contains(err.Error(), "missing") &&
				!strings.Contains(err.Error(), "expected") { // what it leaves open
				t.Errorf("%s: restic-manager-agent %s: %v", name, line, err)
			}
		}
	}
}

// Secrets are in the state directory, and in no bundle.
func TestABundleTellsNoSecret(t *testing.T) {
	state := t.TempDir()
	for name, text := range map[string]string{
		"identity.json":    `{"host":"canary-1","tls_key":"canary-1"}`,
		"policy.json":      `{"policy":"backup","repositories":["rest:http://127.0.0.1:1/a"]}`,
		"log/agent.log":    "level=ERROR msg=x err=\"Get https://ada:canary-2@nas: refused\" env=RESTIC_PASSWORD=canary-3\n",
		"restored/a.txt":   "canary-4",
		"cache/canary-5":   "",
		"enrol-token.json": `{"token":"rmt1_canary-6"}`,
	} {
		path := filepath.Join(state, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("RESTIC_PASSWORD", "canary-7")
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	var out, errs bytes.Buffer
	if status := execute(t.Context(), []string{"support-bundle", file, "--state", state}, &out, &errs, nil); status != success {
		t.Fatalf("it ends with %d: %s", status, &errs)
	}
	if strings.TrimSpace(out.String()) != file {
		t.Errorf("it prints %q", &out)
	}
	packed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"versions.txt", "doctor.txt", "log.txt", "state.txt", "Policy: backup", "policy.json", "level=ERROR"} {
		if !strings.Contains(string(all), part) {
			t.Errorf("the bundle has no %s", part)
		}
	}
	if i := strings.Index(string(all), "canary-"); i >= 0 {
		t.Errorf("the bundle tells a secret: %q", all[max(0, i-100):i+20])
	}
}

// The page that packages have is the one that the command line makes.
func TestTheManualPageIsThatOfTheCommandLine(t *testing.T) {
	page, err := os.ReadFile("../../docs/man/restic-manager-agent.1")
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("the state directory is another there")
	}
	var out, errs bytes.Buffer
	status := execute(t.Context(), []string{"man"}, &out, &errs, nil)
	if status != success || out.String() != string(page) || !strings.Contains(out.String(), `support\-bundle`) {
		t.Errorf("docs/man/restic-manager-agent.1 is of another command line (%d): run make man", status)
	}
}
