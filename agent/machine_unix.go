//go:build !windows

package agent

import (
	"os"
	"strings"
)

// machineID is the system's own, "" where there is none.
func machineID() string {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if id := firstLine(path); id != "" {
			return id
		}
	}
	return ""
}

// bootID is another one after each boot.
func bootID() string { return firstLine("/proc/sys/kernel/random/boot_id") }

func firstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}
