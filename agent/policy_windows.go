package agent

import (
	"io/fs"
	"os"

	"github.com/restic-manager/restic-manager/private"
)

// ours returns an error for a file that anybody but the administrators may have written.
// That nobody else reads it, the state directory sees to.
func ours(path string, _ fs.FileInfo) error { return private.Trusted(path) }

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
