package agent

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// notMounted says why no repository is begun at an address: it is a path that leads into
// a directory on which a disk is to be mounted and is not, or into an empty one that looks
// so. "" is that it may be begun, as far as this host can see.
func notMounted(url topics.Secret) string {
	a, err := location.ParseHere(url.Reveal())
	if err != nil || a.Scheme() != location.Local {
		return ""
	}
	path := a.Path()
	if real, err := resolve(path); err == nil { // to where its links lead
		path = real
	}
	for {
		info, err := os.Stat(path)
		if err == nil && info.IsDir() {
			break
		}
		parent := filepath.Dir(path)
		if parent == path {
			return ""
		}
		path = parent
	}
	if dir, by := awaited(path); dir != "" { // whatever is in it: a note that it is not mounted, as some put there
		return fmt.Sprintf("%s is a directory that %s lists as a mount point, and nothing is mounted on it: the repository would be begun "+
			"beside the disk instead of on it", dir, by)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) > 0 {
		return ""
	}
	why := waits(path)
	if why == "" {
		return ""
	}
	return fmt.Sprintf("%s is an empty directory %s: the repository would be begun beside the disk instead of on it", path, why)
}
