package copies

import "golang.org/x/sys/windows"

// free is how many bytes of a directory's disk are free for us.
func free(dir string) (free uint64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	err = windows.GetDiskFreeSpaceEx(name, &free, nil, nil)
	return free, err
}
