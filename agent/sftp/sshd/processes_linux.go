package sshd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// children are the processes below one, the youngest first.
func children(pid int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has gone
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if len(f) < 2 || f[1] != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			all = append(append(all, children(child)...), child)
		}
	}
	return all
}

func kill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }
