// Package sshd is a real SSH server for tests: Debian's openssh-server on a loopback port of
// its own, with its own configuration and keys, run as the test's user. It has no say in
// the machine's own ssh. Tests alone import it.
package sshd
