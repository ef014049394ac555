package restoring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/topics"
)

// accessFor is an access list that gives somebody rights beside the owner's, rw-: the group's
// own are r--, and the most for those that are named is rwx.
func accessFor(user uint32) []byte {
	b := []byte{2, 0, 0, 0}
	for _, e := range [][3]uint32{{1, 6, 1<<32 - 1}, {2, 7, user}, {4, 4, 1<<32 - 1}, {16, 7, 1<<32 - 1}, {32, 0, 1<<32 - 1}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

// TestWithoutOwnersNobodyIsGivenRightsByAList: who is named in an access list in the snapshot
// has no rights to what is restored without owners; with owners the lists come back. Folders
// that were there keep theirs.
func TestWithoutOwnersNobodyIsGivenRightsByAList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const stranger, friend = 1003, 1004
	w.write("d/named", "a")
	w.write("d/plain", "b")
	give := func(path, name string, list []byte) {
		t.Helper()
		if err := unix.Setxattr(path, name, list, 0); err != nil {
			t.Fatalf("the file system of %s has no access lists: %v", path, err)
		}
	}
	d := filepath.Join(w.source, "d")
	give(filepath.Join(d, "named"), accessList, accessFor(stranger))
	give(d, accessList, accessFor(stranger))
	give(d, defaultList, accessFor(stranger))
	if err := os.Chmod(filepath.Join(d, "plain"), 0o664); err != nil { // it would have got one of the folder's
		t.Fatal(err)
	}
	id := w.backup()
	mode := func(path string) uint32 {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Mode & 0o7777
	}
	lists := func(path string) (access, fallback []byte) {
		t.Helper()
		access, err := attribute(path, accessList)
		fallback, also := attribute(path, defaultList)
		if err = errors.Join(err, also); err != nil {
			t.Error(err)
		}
		return access, fallback
	}
	to := filepath.Join(w.dir, "with")
	w.want(w.do(topics.Operation{Snapshot: id, Target: to}), topics.Succeeded, "")
	if access, fallback := lists(filepath.Join(to, d)); !bytes.Equal(access, accessFor(stranger)) || !bytes.Equal(fallback, access) {
		t.Errorf("with owners the lists are %x and %x", access, fallback)
	}

	to = filepath.Join(w.dir, "without")
	w.want(w.do(topics.Operation{Snapshot: id, Target: to, NoOwners: true}), topics.Succeeded, "")
	for name, want := range map[string]uint32{"": 0o640, "named": 0o640, "plain": 0o664} {
		at := filepath.Join(to, d, name)
		if access, fallback := lists(at); access != nil || fallback != nil {
			t.Errorf("without owners %s has the lists %x and %x", at, access, fallback)
		}
		if got := mode(at); got != want {
			t.Errorf("without owners %s has the rights %o, want %o", at, got, want)
		}
	}

	// Into a folder that is there, whose own lists stay; in place, so that 0.14 can.
	if err := os.Remove(filepath.Join(d, "named")); err != nil {
		t.Fatal(err)
	}
	give(d, accessList, accessFor(friend))
	if err := unix.Removexattr(d, defaultList); err != nil {
		t.Fatal(err)
	}
	was := mode(d)
	w.want(w.do(topics.Operation{Snapshot: id, InPlace: true, Paths: []string{filepath.Join(d, "named")}, NoOwners: true}),
		topics.Succeeded, "")
	if access, fallback := lists(d); !bytes.Equal(access, accessFor(friend)) || fallback != nil || mode(d) != was {
		t.Errorf("a folder that was there has %x and %x, %o, had %o", access, fallback, mode(d), was)
	}
	if access, _ := lists(filepath.Join(d, "named")); access != nil {
		t.Errorf("what came into it has the list %x", access)
	}
}

// TestRightsOfTheGroup: with an access list the group's bits of a file's mode are the most
// that those have whom it names.
func TestRightsOfTheGroup(t *testing.T) {
	list := func(entries ...[2]uint16) []byte {
		b := []byte{2, 0, 0, 0}
		for _, e := range entries {
			b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, e[0]), e[1])
			b = append(b, 0xff, 0xff, 0xff, 0xff)
		}
		return b
	}
	for name, c := range map[string]struct {
		acl  []byte
		want uint32
	}{
		"less than those that are named": {accessFor(1003), 4},
		"more than the most":             {list([2]uint16{4, 7}, [2]uint16{16, 5}), 5},
		"no most":                        {list([2]uint16{4, 6}), 6},
		"no group":                       {list([2]uint16{1, 6}, [2]uint16{16, 7}), 0},
		"nothing":                        {nil, 0},
		"cut off":                        {accessFor(1003)[:25], 0},
	} {
		if got := groupOf(c.acl); got != c.want {
			t.Errorf("%s: %o, want %o", name, got, c.want)
		}
	}
}

// TestTheCauseOfATargetThatCannotBeWritten says of each kind of trouble who mends it.
func TestTheCauseOfATargetThatCannotBeWritten(t *testing.T) {
	for code, want := range map[syscall.Errno]topics.Cause{
		unix.ENOSPC:       topics.CauseHostDisk,
		unix.EDQUOT:       topics.CauseHostDisk,
		unix.EROFS:        topics.CausePermission,
		unix.EACCES:       topics.CausePermission,
		unix.EPERM:        topics.CausePermission,
		unix.EIO:          topics.CausePermission,
		unix.ESTALE:       topics.CausePermission,
		unix.ENOTCONN:     topics.CausePermission,
		unix.ENAMETOOLONG: topics.CauseUsage,
		unix.ENOTDIR:      topics.CauseUsage,
		unix.ELOOP:        topics.CauseUsage,
		unix.EINVAL:       topics.CauseUsage, // a name that FAT does not take
	} {
		if got := CauseOf(&os.PathError{Op: "mkdir", Path: "/srv/x", Err: code}); got != want {
			t.Errorf("%v: %s, want %s", code, got, want)
		}
	}
	if got := CauseOf(errors.New("read-only file system")); got != topics.CauseUnknown {
		t.Errorf("words are %s", got)
	}
}

// TestATargetThatIsReadOnly is refused, or says what came if it becomes so half way.
func TestATargetThatIsReadOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("d/a", strings.Repeat("a", 1000))
	w.write("d/b", strings.Repeat("b", 1000))
	id := w.backup()
	disk := filepath.Join(w.dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", unix.MS_RDONLY, "size=4m"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(disk, unix.MNT_DETACH) }()
	for _, to := range []string{disk, filepath.Join(disk, "new")} {
		for _, dry := range []bool{true, false} {
			w.want(w.do(topics.Operation{Snapshot: id, Target: to, DryRun: dry}), topics.Failed, topics.CausePermission,
				"the target cannot be written", "read-only file system", "Nothing was written")
		}
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	w.through(`case " $* " in *" restore "*) mount -o remount,ro ` + disk + `;; esac; exec $REAL "$@"`)
	n := w.want(w.do(topics.Operation{Snapshot: id, Target: filepath.Join(disk, "new")}), topics.Failed, topics.CausePermission, "read-only")
	if n.Files > 0 {
		t.Errorf("it says that %+v came", n)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
}
