package agent

import "golang.org/x/sys/windows"

// programData is where programs of all users keep their data, as the system knows it: a
// variable of that name is anybody's.
func programData() string {
	dir, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, 0)
	if err != nil || dir == "" {
		return `C:\ProgramData`
	}
	return dir
}
