//go:build !windows

package standin

import "syscall"

func become(program string, args, env []string) error { return syscall.Exec(program, args, env) }
