// Package e2e holds tests of the whole system at work: the two programs as they
// are shipped, real brokers, a real SQLite file, real restic, and for the pages a
// real browser. A stand-in plays only what is not ours: a restic that is slower
// or more talkative than the real one would be, a network that cuts.
//
// Everything listens on loopback and writes below the test's own directory.
package e2e
