//go:build !windows

package main

import "syscall"

// umask keeps what the agent writes from everybody else.
func umask() { syscall.Umask(0o077) }
