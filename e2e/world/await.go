// Package world is what the tests of whole systems share: waiting for a condition,
// processes and what they say, ports, and connections that break. Only tests
// import it.
package world

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// Await tries for two minutes until an attempt works, and fails with the last reason.
func Await(t testing.TB, what string, attempt func() error) {
	t.Helper()
	AwaitWithin(t, 2*time.Minute, what, attempt)
}

// AwaitWithin is Await with another deadline.
func AwaitWithin(t testing.TB, within time.Duration, what string, attempt func() error) {
	t.Helper()
	began := time.Now()
	if err := Try(within, attempt); err != nil {
		t.Fatalf("waited %v in vain for %s: %v", time.Since(began).Round(time.Millisecond), what, err)
	}
}

// Try repeats an attempt until it works, there is no hope, or the time is over,
// and answers with the last reason.
func Try(within time.Duration, attempt func() error) error {
	deadline, tick := time.After(within), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		err := attempt()
		if err == nil || errors.As(err, new(stopError)) {
			return err
		}
		select {
		case <-deadline:
			return err
		case <-tick.C:
		}
	}
}

type stopError struct{ error }

// Stop says that waiting longer will not help.
func Stop(err error) error { return stopError{err} }

// FreeAddress is a port nobody listens on, and none that the kernel hands out
// for outgoing connections: it stays free while the control plane is away.
// Nobody is given it twice in this process, and it is none that other processes of tests
// like to take.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const first, all, own = 12000, 20000, 1000
	from := first + os.Getpid()%(all/own)*own
	for try := range 400 {
		port := from + rand.IntN(own)
		if try > 300 { // most of them are taken
			port = first + rand.IntN(all)
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		address := ln.Addr().String()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if _, twice := given.LoadOrStore(address, true); !twice {
			return address
		}
	}
	t.Fatal("no free port found")
	return ""
}

// given are the addresses that FreeAddress has returned.
var given sync.Map

// Reset closes a connection so that the other side takes it for broken.
func Reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it may be closed already
	}
	c.Close()
}

// Must is for what cannot fail unless the test is over anyway.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
