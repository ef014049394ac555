package location

import "testing"

func TestAPlaceOfWindowsHasOneSpelling(t *testing.T) {
	for path, want := range map[string]string{
		`C:\Data`: `C:\Data`, `c:\Data`: `C:\Data`, `c:/Data/x`: `C:\Data\x`, `\\?\C:\Data`: `C:\Data`, `//?/c:/Data`: `C:\Data`,
		`/C/Data`: `C:\Data`, `/c/Data/x`: `C:\Data\x`, `/C`: `C:\`, `/C/`: `C:\`, `c:`: `C:\`, `C:\`: `C:\`,
		`//?/unc/server/share/x`: `\\server\share\x`,
		`\\server\share`:         `\\server\share`, `//server/share/x`: `\\server\share\x`, `\\?\UNC\server\share\x`: `\\server\share\x`,
		`\\?\Volume{12345678-0000-0000-0000-000000000000}\x`: `\\?\Volume{12345678-0000-0000-0000-000000000000}\x`,
		`/srv/data`: `/srv/data`, `/Cx/Data`: `/Cx/Data`, `/`: `/`, "": "", `C:Data`: `C:Data`, `%TEMP%\x`: `%TEMP%\x`, "/1/x": "/1/x",
	} {
		if got := Native("windows", path); got != want {
			t.Errorf("%s is spelt %s, want %s", path, got, want)
		}
		for _, os := range []string{"linux", "darwin", ""} {
			if got := Native(os, path); got != path {
				t.Errorf("on %s, %s is spelt %s", os, path, got)
			}
		}
	}
}
