package space

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/store/room"
)

// A disk of its own, of so many MiB.
func disk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Fatalf("this test mounts a disk, for which it has to be root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestEachLevelComesGoesAndIsSaid(t *testing.T) {
	dir := disk(t, 256)
	var unwritable error
	told, relieved, tries := 0, 0, 0
	c := Config{
		Dir: dir,
		Limits: Limits{
			Low:        64 << 20,
			LowPercent: 1,
			LowMost:    1 << 30,
			Scarce:     32 << 20,
			Reserve:    16 << 20,
			Every:      time.Hour,
		},
		Log:     slog.New(slog.DiscardHandler),
		Try:     func(context.Context) error { tries++; return unwritable },
		Relieve: func(context.Context) { relieved++ },
		Changed: func() { told++ },
		Now:     time.Now,
	}
	w := New(t.Context(), c)
	reserve := func() bool { _, err := os.Stat(filepath.Join(dir, ReserveName)); return err == nil }
	if !reserve() || tries > 0 {
		t.Fatalf("with room: a reserve %t, %d writes for nothing", reserve(), tries)
	}
	fill := filepath.Join(dir, "fill")
	// leave fills the disk but for so many MiB, the reserve not counted.
	leave := func(mib int64) {
		t.Helper()
		for {
			free, _, err := Measure(dir)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(fill)
			size := int64(0)
			if err == nil {
				size = info.Size()
			}
			f, err := os.OpenFile(fill, os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			more := int64(free) - mib<<20
			if more < 0 {
				err = f.Truncate(size + more)
			} else if more > 0 {
				err = allocate(f, size+more)
			}
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			if more == 0 {
				break
			}
		}
		w.look(t.Context())
	}
	for _, c := range []struct {
		left     int64 // MiB that are free
		want     Level
		reserve  bool
		holds    bool
		refuses  bool
		severity string
	}{
		{100, Well, true, false, false, ""},
		{60, Low, true, true, false, "warning"},
		{70, Low, true, true, false, "warning"}, // a quarter more ends it
		{81, Well, true, false, false, ""},
		{20, Scarce, true, true, true, "failure"},
		{39, Scarce, true, true, true, "failure"},
		{41, Low, true, true, false, "warning"},
		{7, Scarce, false, true, true, "failure"}, // the reserve is given up, and counts as not there
		{16 + 40, Low, true, true, false, "warning"},
		{120, Well, true, false, false, ""},
	} {
		leave(c.left)
		s := w.Status()
		if s.Level != c.want || reserve() != c.reserve || w.Holds() != c.holds || w.Refuses() != c.refuses {
			t.Errorf("with %d MiB left: %q, %d MiB free, a reserve %t; want %q, %t", c.left, s.Level, s.Free>>20, reserve(), c.want, c.reserve)
		}
		said := ""
		for _, n := range w.Notices(t.Context()) {
			said = string(n.Severity)
		}
		if said != c.severity {
			t.Errorf("with %d MiB left people are told %q, want %q", c.left, said, c.severity)
		}
	}
	if relieved != 1 || told != 7 {
		t.Errorf("relieved %d times, told %d times", relieved, told)
	}

	leave(60)
	for _, c := range []struct {
		err  error
		want Level
	}{{room.ErrSlow, Low}, {errors.New("the database's own fault"), Low}, {nil, Low}} {
		unwritable = c.err
		if w.look(t.Context()); w.Status().Level != c.want {
			t.Errorf("after %v it is %q", c.err, w.Status().Level)
		}
	}
}

// A watch that keeps no reserve looks at nothing.
func TestWithoutAReserveNothingIsWatched(t *testing.T) {
	for _, w := range []*Watch{nil, New(t.Context(), Config{Dir: "/nowhere"})} {
		if w.Holds() || w.Refuses() || w.Notices(t.Context()) != nil {
			t.Error("it holds, refuses or says something")
		}
	}
}
