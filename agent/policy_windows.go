package agent

import (
	"io/fs"
	"os"
)

// ours accepts every file: the state directory's access list, which files inherit,
// decides who may write.
func ours(fs.FileInfo) error { return nil }

// roots is every drive there is.
func roots() []string {
	var all []string
	for d := 'A'; d <= 'Z'; d++ {
		if _, err := os.Stat(string(d) + `:\`); err == nil {
			all = append(all, string(d)+`:\`)
		}
	}
	return all
}
