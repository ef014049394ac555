package process

import (
	"slices"
	"strings"
	"testing"
)

func TestAFileIsRunByHowItsNameEnds(t *testing.T) {
	const system = `C:\Windows\system32`
	for _, c := range []struct {
		path, program, line string
		args                []string
	}{
		{`C:\Hooks\dump.exe`, `C:\Hooks\dump.exe`, "", nil},
		{`C:\Hooks\DUMP.EXE`, `C:\Hooks\DUMP.EXE`, "", nil},
		{`C:\a & b\dump.cmd`, system + `\cmd.exe`, `"C:\Windows\system32\cmd.exe" /d /v:off /s /c ""C:\a & b\dump.cmd""`, nil},
		{`C:\Hooks\dump.Bat`, system + `\cmd.exe`, `"C:\Windows\system32\cmd.exe" /d /v:off /s /c ""C:\Hooks\dump.Bat""`, nil},
		{`C:\My hooks\dump.ps1`, system + `\WindowsPowerShell\v1.0\powershell.exe`, "",
			[]string{"-NoLogo", "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File", `C:\My hooks\dump.ps1`}},
	} {
		how, err := onWindows(c.path, system)
		if err != nil || how.Path != c.program || how.CommandLine != c.line || !slices.Equal(how.Args, c.args) {
			t.Errorf("%s is run as %+v, %v", c.path, how, err)
		}
	}
	for _, path := range []string{`C:\Hooks\dump.sh`, `C:\Hooks\dump`, `C:\Hooks\dump.js`, `C:\Hooks\dump.cmd.txt`, `C:\100%\dump.cmd`, ``} {
		if how, err := onWindows(path, system); err == nil {
			t.Errorf("%s is run as %+v", path, how)
		}
	}
}

func TestAHarmlessValueSaysNothingToAShell(t *testing.T) {
	for in, want := range map[string]string{
		"Documents 2.0_a-b": "Documents 2.0_a-b", "": "",
		"docs&echo pwned": "docs_echo pwned", "a|b>c<d^e%PATH%\"f'g`h$i;j\\k/l!m(n)o\n\rp\x00q\x1a~*?[]{}#=,": "",
		"Grüße": "Gr__e", "\xff": "_",
	} {
		got := Harmless(in)
		if strings.ContainsAny(got, "&|<>^%\"'`$;\\/!()\n\r\x00\x1a~*?[]{}#=,") || want != "" && got != want {
			t.Errorf("%q is told as %q", in, got)
		}
	}
}
