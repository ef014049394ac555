//go:build unix

package main

import "syscall"

// setUmask keeps every file for its owner: the database's own library would
// make some of them readable by all.
func setUmask() { syscall.Umask(0o077) }
