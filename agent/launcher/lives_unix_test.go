//go:build !windows

package launcher

import (
	"fmt"
	"os"
	"strings"
)

// lives reports whether a process runs; one that has ended and was not collected does not.
func lives(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z")
}
