package agent

import "golang.org/x/sys/windows"

// writable reports whether the agent may make files in a directory.
func writable(dir string) bool {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return false
	}
	const addFile = 2 // FILE_ADD_FILE
	h, err := windows.CreateFile(name, addFile, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return false
	}
	_ = windows.CloseHandle(h)
	return true
}
