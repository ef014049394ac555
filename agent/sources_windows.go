package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// handle opens a path to ask about it, and not to read it; links are followed.
func handle(path string) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(name, windows.FILE_READ_ATTRIBUTES, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
}

// idOf identifies what a path leads to, by volume and file ID.
func idOf(path string) (fileID, bool) {
	id, _, ok := about(path)
	return id, ok
}

// about returns the identity of a file and how many names it has.
func about(path string) (id fileID, names uint32, ok bool) {
	h, err := handle(path)
	if err != nil {
		return fileID{}, 0, false
	}
	defer windows.CloseHandle(h)
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return fileID{}, 0, false
	}
	id = fileID{volume: uint64(info.VolumeSerialNumber), low: uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)}
	// ReFS numbers its files with 128 bits, of which the above are not enough.
	var wide struct {
		volume uint64
		id     [16]byte
	}
	if windows.GetFileInformationByHandleEx(h, windows.FileIdInfo, (*byte)(unsafe.Pointer(&wide)), uint32(unsafe.Sizeof(wide))) == nil {
		for i := range 8 {
			id.high = id.high<<8 | uint64(wide.id[15-i])
		}
	}
	return id, info.NumberOfLinks, true
}

// linked returns a file that has more than one name.
func linked(path string) (fileID, bool) {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return fileID{}, false
	}
	id, names, ok := about(path)
	return id, ok && names > 1
}

// elsewhere returns the other path of a directory: where it is when junctions, drives that
// stand for directories and short names are followed.
func elsewhere(dir string) []string {
	h, err := handle(dir)
	if err != nil {
		return nil
	}
	defer windows.CloseHandle(h)
	buf := make([]uint16, windows.MAX_LONG_PATH)
	n, err := windows.GetFinalPathNameByHandle(h, &buf[0], uint32(len(buf)), 0)
	if err != nil || int(n) >= len(buf) {
		return nil
	}
	if path := ordinary(windows.UTF16ToString(buf[:n])); !strings.EqualFold(path, dir) {
		return []string{path}
	}
	return nil
}

// processes is for Linux, where processes are files.
func processes() []string { return nil }

func ofProcesses(string) bool { return false }

// device is the same for all files: on Windows restic cannot stay on one file system.
func device(fs.FileInfo) uint64 { return 0 }

// junction follows a path's last part while it is a junction, which
// filepath.EvalSymlinks leaves as it is. A volume that is mounted there stays: it has
// no other path.
func junction(path string) (string, error) {
	for range maxLinks {
		info, err := os.Lstat(path)
		if err != nil {
			return path, err
		}
		if info.Mode()&(fs.ModeIrregular|fs.ModeSymlink) == 0 {
			return path, nil
		}
		to, err := os.Readlink(path)
		if err != nil || len(to) < 3 || to[1] != ':' {
			return path, nil
		}
		if path, err = filepath.EvalSymlinks(to); err != nil {
			return to, err
		}
	}
	return path, errors.New("too many links")
}

// sameDisk is for Linux, where a part of a file system may be mounted anywhere.
func sameDisk(string) []string { return nil }
