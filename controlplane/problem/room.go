package problem

import "github.com/restic-manager/restic-manager/store/room"

// unwritable says why the database cannot be written, and what to do.
var unwritable = map[room.Cause]struct{ title, short, do string }{
	room.Full: {"The disk of the control plane is full", "the disk is full",
		"Make room on the disk that holds its data directory; then it goes on by itself."},
	room.ReadOnly: {"The disk of the control plane is read-only", "the disk is read-only",
		"Look into the kernel's log why, and mount the file system of the data directory for writing again."},
	room.Fault: {"The disk of the control plane answers with errors", "the disk answers with errors",
		"Look into the kernel's log, and at the disk that holds the data directory."},
	room.Locked: {"The control plane's database is busy", "the database is locked or busy",
		"Try again in a moment. If it stays, look which other process has the database open: a command of restic-manager, sqlite3, a copy."},
}

// Unwritable says in a few words why the database cannot be written.
func Unwritable(cause room.Cause) string { return unwritable[cause].short }

// ofRoom is that something was not done because the database cannot be written.
func ofRoom(cause room.Cause, err error) *Problem {
	w := unwritable[cause]
	return &Problem{Kind: Unavailable, Title: w.title, Say: "Nothing was changed: the database cannot be written now. " +
		"Pages and lists can be read, and what agents do by themselves goes on.", Do: w.do, Err: err}
}
