//go:build !windows

package agent

import (
	"os"
	"runtime"
	"strings"
)

// platform is what the system calls itself.
func platform() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return runtime.GOOS
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			name = strings.Trim(strings.TrimSpace(name), `"'`)
			return name[:min(len(name), 100)]
		}
	}
	return runtime.GOOS
}
