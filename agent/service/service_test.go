package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestACommandLineIsTakenApartAsItWasPutTogether(t *testing.T) {
	for want, args := range map[string][]string{
		`"C:\Program Files\a.exe" "run" "--state" "C:\ProgramData\x"`: {`C:\Program Files\a.exe`, "run", "--state", `C:\ProgramData\x`},
		`"a" "C:\\" ""`:             {"a", `C:\`, ""},
		`"a" "say \"so\"" "b\\\"c"`: {"a", `say "so"`, `b\"c`},
		`"a" "\\server\share\\\\"`:  {"a", `\\server\share\\`}, // of which only the last ones count twice
	} {
		if got := quoted(args[0], args[1:]); got != want {
			t.Errorf("%q is spelt %s, want %s", args, got, want)
		}
	}
}

func TestAServiceNamesEverythingInFull(t *testing.T) {
	root := string(filepath.Separator)
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	good := Service{Program: filepath.Join(root, "agent"), State: filepath.Join(root, "state"), Restic: filepath.Join(root, "restic")}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	args := strings.Join(good.Arguments(), " ")
	if !strings.HasPrefix(args, "run --service --state ") || !strings.Contains(args, "--restic ") {
		t.Errorf("it is started with %s", args)
	}
	for what, spoil := range map[string]func(*Service){
		"program": func(s *Service) { s.Program = "agent" }, "state": func(s *Service) { s.State = "" },
		"restic": func(s *Service) { s.Restic = "restic" }, "holds what": func(s *Service) { s.State += "\nX" },
	} {
		s := good
		if spoil(&s); s.check() == nil || !strings.Contains(s.check().Error(), what) {
			t.Errorf("%+v: %v", s, s.check())
		}
	}
}

func TestALogBeginsAnewWhenItIsFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log", "agent.log")
	l, err := openLog(path, 30)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		if n, err := l.Write([]byte(strings.Repeat(line, 12) + "\n")); n != 13 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = openLog(path, 30); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Write([]byte("after a restart\n")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "after", ".1": "ij", ".2": "gh", ".3": "ef", ".4": ""} {
		b, _ := os.ReadFile(path + name)
		var begins strings.Builder
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "after") {
				begins.WriteString("after")
			} else {
				begins.WriteByte(line[0])
			}
		}
		if begins.String() != want {
			t.Errorf("%s%s holds %q, want %q", filepath.Base(path), name, begins.String(), want)
		}
	}
}

func TestResticIsFoundWhereItIs(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	program := filepath.Join(dir, "beside", "agent"+suffix)
	if _, err := FindRestic("", program); err == nil || !strings.Contains(err.Error(), "--restic") {
		t.Errorf("where there is none: %v", err)
	}
	if _, err := FindRestic(filepath.Join(dir, "nowhere"), program); err == nil {
		t.Error("it found what is not there")
	}
	for _, place := range []string{filepath.Join(dir, "beside"), dir} { // the latter counts first
		if err := os.MkdirAll(place, 0o700); err != nil {
			t.Fatal(err)
		}
		want := filepath.Join(place, "restic"+suffix)
		if err := os.WriteFile(want, nil, 0o700); err != nil {
			t.Fatal(err)
		}
		if got, err := FindRestic("", program); err != nil || got != want {
			t.Errorf("it found %s, %v, want %s", got, err, want)
		}
	}
}
