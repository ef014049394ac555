package fetched

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packed is "#!/bin/sh\necho restic 0.18.1 compiled with go1.25 on linux/amd64\n" by bzip2,
// which Go can read and not write.
const packed = "QlpoOTFBWSZTWVUlhesAAAVZgAAQaAH3QD7n3sAgAFDGAAmAAJhFPUNNPRM0EMRtTQpwZnR1ZtKJlh7Hm0QlJxSCnZDaFvVXSopd" +
	"eON05DQL/N2MYxWdFY/F3JFOFCQVSWF6wA=="

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func zipped(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		if _, err := w.Write([]byte("program")); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsReleasedIsUnpacked(t *testing.T) {
	bz2, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file    string
		content []byte
		holds   string // "" is an error
		says    string
	}{
		"bzip2":                  {"restic_0.18.1_linux_amd64.bz2", bz2, "echo restic 0.18.1", ""},
		"bzip2 that is cut":      {"restic_0.18.1_linux_amd64.bz2", bz2[:60], "", "unexpected EOF"},
		"a text that is called":  {"restic_0.18.1_linux_amd64.bz2", []byte("hello"), "", "bzip2"},
		"zip":                    {"restic_0.18.1_windows_amd64.zip", zipped(t, "restic_0.18.1_windows_amd64.exe"), "program", ""},
		"zip with a folder":      {"restic_0.18.1_windows_amd64.zip", zipped(t, "a/", "a/restic.exe"), "program", ""},
		"zip with two":           {"restic_0.18.1_windows_amd64.zip", zipped(t, "a.exe", "b.exe"), "", "more than one"},
		"zip with none":          {"restic_0.18.1_windows_amd64.zip", zipped(t), "", "no file"},
		"a text called zip":      {"restic_0.18.1_windows_amd64.zip", []byte("hello"), "", "zip"},
		"zip with a path upward": {"restic_0.18.1_windows_amd64.zip", zipped(t, "../../restic.exe"), "program", ""},
		"the program itself":     {"restic_0.18.1_linux_amd64", []byte("program"), "program", ""},
		"an exe":                 {"restic_0.18.1_windows_amd64.exe", []byte("program"), "program", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			to := filepath.Join(dir, "restic")
			sum, err := Unpack(write(t, c.file, c.content), c.file, to)
			if c.holds == "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v", err)
				}
				if _, err := os.Stat(to); err == nil {
					t.Error("something was left")
				}
				return
			}
			b, bad := os.ReadFile(to)
			if err != nil || bad != nil || !strings.Contains(string(b), c.holds) {
				t.Fatalf("%v, %v, %q", err, bad, b)
			}
			if now, _, err := Sum(to); err != nil || now != sum {
				t.Errorf("its sum is %s, %v, and %s was said", now, err, sum)
			}
		})
	}
}

func hold(t *testing.T, state, letter, content string) Program {
	t.Helper()
	p := Program{Name: "restic_0.18.1_linux_amd64", SHA256: strings.Repeat(letter, 64), Version: "0.18.1"}
	if err := os.MkdirAll(Held(state, p.SHA256), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Path(state, p), []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.Program, _, err = Sum(Path(state, p)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOneGoesBackToWhatWasUsedBefore(t *testing.T) {
	state := t.TempDir()
	if _, _, err := Back(state); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	a, b, c := hold(t, state, "a", "one"), hold(t, state, "b", "two"), hold(t, state, "c", "three")
	for _, p := range []Program{a, b, b, c} {
		if err := Use(state, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(Held(state, strings.Repeat("d", 64))+Partial, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Tidy(state, ""); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(Dir(state)); err != nil || len(entries) != 3 { // b, c, and the state
		t.Errorf("%v, %v", entries, err)
	}
	if from, to, err := Back(state); err != nil || from.SHA256 != c.SHA256 || to == nil || to.SHA256 != b.SHA256 {
		t.Errorf("%+v, %+v, %v", from, to, err)
	}
	if from, to, err := Back(state); err != nil || from.SHA256 != b.SHA256 || to != nil {
		t.Errorf("%+v, %+v, %v", from, to, err)
	}
	if s, err := Load(state); err != nil || s.Current != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestOneThatIsNotWholeIsNotGoneBackTo(t *testing.T) {
	state := t.TempDir()
	a, b := hold(t, state, "a", "one"), hold(t, state, "b", "two")
	for _, p := range []Program{a, b} {
		if err := Use(state, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(Path(state, a), []byte("another"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Whole(state, a); err == nil || !strings.Contains(err.Error(), "not what it was") {
		t.Error(err)
	}
	if err := Whole(state, b); err != nil {
		t.Error(err)
	}
	if _, to, err := Back(state); err != nil || to != nil {
		t.Errorf("%+v, %v", to, err)
	}
	if err := os.WriteFile(filepath.Join(Dir(state), stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, to, err := Back(state); err != nil || to != nil {
		t.Errorf("of what is damaged: %+v, %v", to, err)
	}
	if s, err := Load(state); err != nil || s.Current != nil {
		t.Errorf("of what is damaged: %+v, %v", s, err)
	}
}
