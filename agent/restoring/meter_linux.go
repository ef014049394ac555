package restoring

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"github.com/restic-manager/restic-manager/agent/process"
)

// written is how many bytes a process has written so far. restic before 0.16 gives a file
// its whole length when it begins it, so that its length says nothing.
func written(p process.ID) (n uint64, known bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.PID))
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(b) {
		if value, found := bytes.CutPrefix(line, []byte("wchar: ")); found {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
