package agent

import (
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/patterns"
	"github.com/restic-manager/restic-manager/topics"
)

// windowsFiles is a made-up Windows: paths in capitals or not, with short names, a
// junction, a share that is the same disk, and a copy of everything on another one.
func windowsFiles() system {
	numbers := map[string]uint64{}
	var all []string
	add := func(path string) {
		numbers[strings.ToLower(path)] = uint64(len(all) + 1)
		all = append(all, path)
	}
	for _, path := range []string{`C:`, `C:\ProgramData`, `C:\ProgramData\restic-manager-agent`,
		`C:\ProgramData\restic-manager-agent\identity.json`, `C:\ProgramData\restic-manager-agent\restored`,
		`C:\ProgramData\restic-manager-agent2`, `C:\Users`, `C:\Users\anna`, `C:\Users\anna\restic-manager-agent`,
		`D:`, `D:\ProgramData`, `D:\ProgramData\restic-manager-agent`} {
		add(path)
	}
	short := strings.NewReplacer(`progra~3`, `programdata`, `restic~1`, `restic-manager-agent`)
	plain := func(path string) string {
		path = short.Replace(strings.TrimRight(strings.ToLower(strings.ReplaceAll(path, "/", `\`)), `\`))
		for from, to := range map[string]string{`\\?\unc\localhost\c$`: `c:`, `\\localhost\c$`: `c:`, `\\127.0.0.1\c$`: `c:`,
			`\\?\volume{12ab}`: `c:`, `\\?\globalroot\device\harddiskvolumeshadowcopy4`: `c:`, `d:\junction`: `c:\programdata`} {
			if rest, ok := strings.CutPrefix(path, from); ok {
				path = to + rest
			}
		}
		return strings.TrimPrefix(path, `\\?\`)
	}
	return system{
		windows: true,
		id: func(path string) (fileID, bool) {
			n, ok := numbers[plain(path)]
			return fileID{volume: uint64(plain(path + " ")[0]), low: n}, ok
		},
		names: func(dir string) (names []string) {
			for _, path := range all {
				if rest, ok := strings.CutPrefix(strings.ToLower(path), plain(dir)+`\`); ok && !strings.Contains(rest, `\`) {
					names = append(names, path[len(path)-len(rest):])
				}
			}
			return names
		},
	}
}

// TestWindowsSpellingsOfTheAgentsFiles has each way to write a source on Windows that
// holds the agent's files, or is among them, and the neighbours that do not.
func TestWindowsSpellingsOfTheAgentsFiles(t *testing.T) {
	s := windowsFiles()
	const in, out = `\restic-manager-agent`, ""
	for _, state := range []string{`C:\ProgramData\restic-manager-agent`, `c:\programdata\RESTIC-MANAGER-AGENT`, `C:\PROGRA~3\RESTIC~1`,
		`\\localhost\c$\ProgramData\restic-manager-agent`, `D:\junction\restic-manager-agent`, `C:/ProgramData/restic-manager-agent/`} {
		all := []own{{dir: state, what: topics.OwnAgent, seen: []string{state}}}
		for _, c := range []struct {
			source string
			left   string // what is left out
			ours   bool   // the source is among them
		}{
			{`C:\ProgramData`, `C:\ProgramData` + in, false},
			{`c:\programdata`, `c:\programdata` + in, false},
			{`C:\PROGRAMDATA\`, `C:\PROGRAMDATA\restic-manager-agent`, false},
			{`C:/ProgramData`, `C:/ProgramData` + in, false},
			{`C:\PROGRA~3`, `C:\PROGRA~3` + in, false},
			{`\\?\C:\ProgramData`, `\\?\C:\ProgramData` + in, false},
			{`\\localhost\c$\ProgramData`, `\\localhost\c$\ProgramData` + in, false},
			{`\\127.0.0.1\C$\ProgramData`, `\\127.0.0.1\C$\ProgramData` + in, false},
			{`\\?\UNC\localhost\c$\ProgramData`, `\\?\UNC\localhost\c$\ProgramData` + in, false},
			{`\\?\Volume{12ab}\ProgramData`, `\\?\Volume{12ab}\ProgramData` + in, false},
			{`\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy4\ProgramData`,
				`\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy4\ProgramData` + in, false},
			{`D:\junction`, `D:\junction` + in, false},
			{`C:\ProgramData\restic-manager-agent`, out, true},
			{`c:\PROGRA~3\restic~1\Restored`, out, true},
			{`D:\junction\restic-manager-agent\identity.json`, out, true},
			{`\\localhost\c$\ProgramData\restic-manager-agent\`, out, true},
			{`C:\ProgramData\restic-manager-agent2`, out, false},
			{`C:\Users`, out, false},
			{`C:\Users\anna\restic-manager-agent`, out, false},
			{`D:\ProgramData`, out, false},
			{`D:\ProgramData\restic-manager-agent`, out, false},
			{`E:\nothing`, out, false},
		} {
			_, ours := s.beneath(c.source, state)
			if ours != c.ours {
				t.Errorf("state %s: the source %s is among them: %t", state, c.source, ours)
			}
			found := s.leftOut(all, []string{c.source})
			if ours {
				continue
			}
			if c.left == "" && len(found) > 0 || c.left != "" && (len(found) != 1 || found[0].Path != c.left) {
				t.Errorf("state %s: of %s it leaves out %v, want %q", state, c.source, found, c.left)
			}
			for _, f := range found {
				left := patterns.Parse([]string{plain(f.Path, true)}, true)
				if left.Excludes(f.Path) == "" || left.Excludes(f.Path+"2") != "" || left.Excludes(`C:\Users\anna\restic-manager-agent`) != "" {
					t.Errorf("%q does not leave out %s alone", plain(f.Path, true), f.Path)
				}
			}
		}
		both := s.leftOut(all, []string{`C:\`, `c:\programdata`})
		if len(both) == 0 || slices.ContainsFunc(both, func(o topics.Own) bool { return !strings.HasSuffix(o.Path, "restic-manager-agent") }) {
			t.Errorf("state %s: of the whole disk it leaves out %v", state, both)
		}
	}
}

// TestWindowsPathsThatMeanTwoFiles are refused, and those beside them are not.
func TestWindowsPathsThatMeanTwoFiles(t *testing.T) {
	for path, says := range map[string]string{
		`C:\ProgramData.`:                         "ends in a dot",
		`C:\ProgramData \x`:                       "ends in a dot",
		`C:\ProgramData\x. . .`:                   "ends in a dot",
		`\\?\C:\ProgramData.\x`:                   "ends in a dot",
		`\\server\share\x.`:                       "ends in a dot",
		`C:/ProgramData./x`:                       "ends in a dot",
		`C:\ProgramData\...\x`:                    "ends in a dot",
		`C:\x\identity.json::$DATA`:               "colon",
		`C:\x\identity.json:other`:                "colon",
		`C:\x::$INDEX_ALLOCATION\y`:               "colon",
		`\\.\C:\x`:                                "neither a drive",
		`\\.\PhysicalDrive0`:                      "neither a drive",
		`\\?\C:`:                                  "neither a drive",
		`\\?\GLOBALROOT\Device\HarddiskVolume3\x`: "neither a drive",
		`\\?\PhysicalDrive0\`:                     "neither a drive",
		`\??\C:\x`:                                "neither a drive",
		`C:x`:                                     "neither a drive",
		`x`:                                       "neither a drive",
		`/x`:                                      "neither a drive",
		`C:\`:                                     "",
		`C:\Program Files (x86)\a.b`:              "",
		`c:/programdata/x`:                        "",
		`C:\.hidden\..x`:                          "",
		`C:\a\..\b\.`:                             "",
		`\\server\share`:                          "",
		`\\server\c$\x`:                           "",
		`\\?\C:\x`:                                "",
		`\\?\UNC\server\share\x`:                  "",
		`\\?\Volume{1234-ab}\x`:                   "",
		`\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy12\x`: "",
	} {
		if got := misspelt(path); (got == "") != (says == "") || !strings.Contains(got, says) {
			t.Errorf("%s: %q, want %q", path, got, says)
		}
	}
	for path, want := range map[string]string{
		`\\?\C:\x`: `C:\x`, `\\?\UNC\s\c\x`: `\\s\c\x`,
		`C:\x`: `C:\x`, `\\?\Volume{1}\x`: `\\?\Volume{1}\x`,
	} {
		if got := ordinary(path); got != want {
			t.Errorf("%s is ordinarily %s, want %s", path, got, want)
		}
	}
}

// TestNamesAreAsAListingSpellsThem is about file systems that take capitals for the same.
func TestNamesAreAsAListingSpellsThem(t *testing.T) {
	files := map[string]uint64{"/": 1, "/src": 2, "/src/state": 3, "/src/State2": 4, "/other": 5}
	s := system{
		id: func(path string) (fileID, bool) {
			for name, n := range files {
				if strings.EqualFold(name, path) {
					return fileID{low: n}, true
				}
			}
			return fileID{}, false
		},
		names: func(dir string) []string {
			if strings.EqualFold(dir, "/src") {
				return []string{"state", "State2"}
			}
			return []string{"src", "other"}
		},
	}
	for _, c := range []struct{ state, source, left string }{
		{"/src/state", "/src", "/src/state"},
		{"/SRC/STATE", "/src", "/src/state"},
		{"/src/STATE", "/SRC", "/SRC/state"},
		{"/src/sTATE2", "/", "/src/State2"},
		{"/src/state", "/other", ""},
		{"/src/gone", "/src", "/src/gone"}, // a repository that is not made yet
	} {
		left := ""
		for _, o := range s.leftOut([]own{{seen: []string{c.state}}}, []string{c.source}) {
			left += o.Path
		}
		if left != c.left {
			t.Errorf("state %s below %s: %q is left out, want %q", c.state, c.source, left, c.left)
		}
	}
}
