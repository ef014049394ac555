package journal

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// into reports whether w is the stream that systemd connected with its journal. A program
// that was started with another one inherits the variable all the same.
func into(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}
