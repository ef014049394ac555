package agent

import "os"

// openForRestic opens a directory that restic is to be given open, nil if it has to be
// given its name.
func openForRestic(root *os.Root) (*os.File, error) {
	if _, err := os.Lstat("/proc/self/fd"); err != nil {
		return nil, nil //nolint:nilerr // there is no /proc here
	}
	return root.Open(".")
}
