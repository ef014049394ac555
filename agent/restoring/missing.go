package restoring

import (
	"os"
	"path/filepath"
	"slices"
)

// Made are directories that were not there before a job, the outermost first. Its links
// were resolved.
type Made []string

// Missing lists the directories that have to be made for a path to be one.
func Missing(path string) (made Made) {
	if !filepath.IsAbs(path) {
		return nil
	}
	for at := filepath.Clean(path); ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); err == nil {
			real, err := filepath.EvalSymlinks(at)
			if err != nil {
				return nil
			}
			for i, p := range made {
				made[i] = filepath.Join(real, p[len(at):])
			}
			slices.Reverse(made)
			return made
		} else if !os.IsNotExist(err) || at == filepath.Dir(at) {
			return nil
		}
		made = append(made, at)
	}
}

// Tidy removes those that are empty.
func (m Made) Tidy() {
	for _, dir := range slices.Backward(m) {
		if removeEmpty(dir) != nil {
			return
		}
	}
}
