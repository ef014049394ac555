package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// resticsBelow lists the processes that run restic for an agent whose state is
// below dir.
func resticsBelow(dir string) (pids []int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well formed
	for _, path := range environs {
		b, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(b, []byte("RESTIC_MANAGER_JOB=")) || !bytes.Contains(b, []byte("RESTIC_CACHE_DIR="+dir)) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/environ", &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
