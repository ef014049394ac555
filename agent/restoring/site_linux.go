package restoring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/restic-manager/restic-manager/failpoint"
)

// A site is where restic writes. restic writes by path, as root most of the time: who can
// write in a folder above could put a link in its way, and have it write elsewhere. So
// where the target is empty it writes into a stage: a directory in the target that only
// the agent can enter, which it reaches through a descriptor, wherever the target is moved
// meanwhile. What is in it goes to the target in the end, by renaming, which costs nothing.
// Where files are in the target it cannot; there a folder that was exchanged is found
// afterwards.
type site struct {
	target string   // shown
	root   *os.File // the directory that the files are below: in the stage, or the target
	into   *os.File // the target, if there is a stage
	stage  *os.File
	name   string // of the stage in the target
	head   header
}

// contents is the directory in a stage that restic is given: the target of a restore has to
// be a directory and no descriptor.
const contents = "contents"

// stagePrefix begins the name of a stage; the job's ID follows.
const stagePrefix = ".restic-manager-"

const asDirectory = unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// open makes the target if need be, and the stage if it is empty.
func (r *restoring) open() (*site, error) {
	s := &site{target: r.target}
	if !r.dirs {
		if err := makeAll(r.target, r.Operation.NoOwners); err != nil {
			return nil, err
		}
	}
	var err error
	if s.root, err = openDir(unix.AT_FDCWD, r.target); errors.Is(err, fs.ErrNotExist) { // another job that made it has removed it again
		if err = makeAll(r.target, r.Operation.NoOwners); err == nil {
			s.root, err = openDir(unix.AT_FDCWD, r.target)
		}
	}
	if err != nil {
		return nil, err
	}
	info, err := s.root.Stat()
	if err != nil {
		s.close()
		return nil, err
	}
	s.head = header{Target: r.target, NoOwners: r.Operation.NoOwners, Owner: *ownershipOf(info), All: r.look.mode == "never",
		InPlace: r.Operation.InPlace}
	if !r.empty || r.Operation.InPlace || !hasProc() || !keepsRights(r.fileSystem, s.root) {
		return s, nil
	}
	if !isEmpty(s.path()) { // it came between the look and now
		s.close()
		return nil, fmt.Errorf("%s was empty a moment ago, and is not any more", r.target)
	}
	s.into, s.root, s.name = s.root, nil, stagePrefix+string(r.Place.Job)
	s.head.Stage = s.name
	if err := unix.Mkdirat(int(s.into.Fd()), s.name, 0o700); err != nil {
		s.close()
		return nil, &os.PathError{Op: "mkdir", Path: filepath.Join(r.target, s.name), Err: err}
	}
	if err := s.enter(true); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// hasProc reports whether descriptors have names on this host: in a stage restic goes by
// one.
func hasProc() bool {
	_, err := os.Lstat("/proc/self/fd")
	return err == nil
}

// modeless are the file systems on which a directory that is made may belong to another, or
// have other rights, than it was given: there is no stage on them.
var modeless = []int64{
	unix.MSDOS_SUPER_MAGIC, // FAT
	unix.EXFAT_SUPER_MAGIC,
	0x5346544e, // NTFS
	0x7366746e, // NTFS, the driver of Linux 5.15 and newer
	unix.FUSE_SUPER_MAGIC,
	unix.CIFS_SUPER_MAGIC,
	unix.SMB2_SUPER_MAGIC,
	unix.NFS_SUPER_MAGIC, // where root is nobody
	unix.V9FS_MAGIC,
}

// keepsRights reports whether the file system of a directory keeps owners and rights. which
// says of what kind it is, nil for asking the system.
func keepsRights(which func(*os.File) int64, dir *os.File) bool {
	if which == nil {
		which = func(dir *os.File) int64 {
			var s unix.Statfs_t
			_ = unix.Fstatfs(int(dir.Fd()), &s) // then it is none of those
			return int64(uint32(s.Type))        // it is negative on some machines
		}
	}
	return !slices.Contains(modeless, which(dir))
}

// enter opens the stage, which has to be the agent's own.
func (s *site) enter(making bool) (err error) {
	if s.stage, err = openDir(int(s.into.Fd()), s.name); err != nil {
		return err
	}
	info, err := s.stage.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() || info.Mode().Perm() != 0o700 {
		return fmt.Errorf("%s is not the directory that was made", s.name)
	}
	if making {
		if err := unix.Mkdirat(int(s.stage.Fd()), contents, 0o700); err != nil {
			return &os.PathError{Op: "mkdir", Path: contents, Err: err}
		}
	}
	s.root, err = openDir(int(s.stage.Fd()), contents)
	return err
}

func reopen(h header) (*site, error) {
	s := &site{target: h.Target, head: h}
	root, err := openDir(unix.AT_FDCWD, h.Target)
	if err != nil {
		return nil, err
	}
	if s.root = root; h.Stage == "" {
		return s, nil
	}
	s.into, s.root, s.name = root, nil, h.Stage
	if err := s.enter(false); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, asDirectory, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// makeAll makes a directory and those above it. If owners are not kept, it belongs to
// whom the first directory above that was there belongs.
func makeAll(dir string, inherit bool) error {
	if info, err := os.Lstat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := makeAll(filepath.Dir(dir), inherit); err != nil {
		return err
	}
	parent, err := openDir(unix.AT_FDCWD, filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer parent.Close()
	name := filepath.Base(dir)
	if err := unix.Mkdirat(int(parent.Fd()), name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "mkdir", Path: dir, Err: err}
	} else if err != nil || !inherit {
		return nil
	}
	info, err := parent.Stat()
	if err != nil {
		return err
	}
	o := ownershipOf(info)
	if int(o.UID) == os.Geteuid() && int(o.GID) == os.Getegid() {
		return nil
	}
	return unix.Fchownat(int(parent.Fd()), name, int(o.UID), int(o.GID), unix.AT_SYMLINK_NOFOLLOW)
}

// writable says why nothing can be made in a directory, nil if it can.
func writable(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK, unix.AT_EACCESS)
}

// removeEmpty removes an empty directory, and goes through no link to it.
func removeEmpty(dir string) error {
	parent, err := unix.Openat2(unix.AT_FDCWD, filepath.Dir(dir), &unix.OpenHow{
		Flags:   unix.O_PATH | asDirectory,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	return unix.Unlinkat(parent, filepath.Base(dir), unix.AT_REMOVEDIR)
}

// Inherit gives a new directory to whom the one above belongs.
func Inherit(root *os.Root, path string) error {
	info, err := root.Lstat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if o := ownershipOf(info); int(o.UID) != os.Geteuid() || int(o.GID) != os.Getegid() {
		return root.Lchown(path, int(o.UID), int(o.GID))
	}
	return nil
}

// path is the target that restic is given; files has the descriptor that it goes through.
func (s *site) path() string {
	if s.stage == nil {
		return s.target
	}
	return "/proc/self/fd/3/" + contents
}

func (s *site) files() []*os.File {
	if s.stage == nil {
		return nil
	}
	return []*os.File{s.stage}
}

// base is where the agent itself finds the files.
func (s *site) base() string {
	if s.stage == nil && !hasProc() {
		return s.target
	}
	return fmt.Sprintf("/proc/self/fd/%d", s.root.Fd())
}

func (s *site) header() header { return s.head }

// settle does what is due when restic has ended, see give. swapped says that a folder was
// exchanged, kept what could not be given to its owner.
func (s *site) settle(r *restoring) (swapped, kept error) {
	err := s.give(r.record, s.head)
	if errors.As(err, new(*exchanged)) {
		return err, nil
	}
	if away := s.away(); away != nil {
		return away, nil
	}
	return nil, err
}

// away finds that the target is not where it was, nil if it is. What restic wrote into a
// stage is then wherever the target is; else it went by the target's path.
func (s *site) away() error {
	target, gone := s.into, "what came is in the folder that was there before"
	if target == nil {
		target, gone = s.root, "what came after that may have gone there"
	}
	was, err := target.Stat()
	if err != nil {
		return err
	}
	switch now, err := os.Lstat(s.target); {
	case err == nil && os.SameFile(was, now):
		return nil
	case err == nil && now.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%s was replaced by a link while the restore ran: %s", s.target, gone)
	case err == nil:
		return fmt.Errorf("%s was replaced while the restore ran: %s", s.target, gone)
	}
	return fmt.Errorf("%s was moved while the restore ran, and what came with it", s.target)
}

// give looks whether the folders are those that they have to be, gives those that were there
// and were not chosen what they had before, and if owners are not kept gives what was
// restored to the owner of the target, without set-user-ID, set-group-ID and capabilities.
// It follows no link.
func (s *site) give(r *record, h header) error {
	w := walker{root: s.root}
	defer w.forget()
	owner := h.Owner
	var first error
	note := func(p string, err error) {
		if err != nil && first == nil && !errors.Is(err, fs.ErrNotExist) {
			first = fmt.Errorf("%s: %w", filepath.Join(h.Target, p), err)
		}
	}
	var folders []entry // the deepest last: what is in them first, since their rights may be less
	err := r.each(func(e entry) error {
		switch e.Fate {
		case folder, replaced, standing, above, made:
			folders = append(folders, e)
			return nil
		case kept:
			return nil
		}
		if !h.NoOwners || e.Fate == same && e.Was == nil {
			return nil
		}
		if h.InPlace {
			owner = w.ownerAbove(e.Path, h.Owner, folders)
		}
		err := w.at(e.Path, func(fd int) error {
			if e.Fate == same && (!ambiguous(e.Path) || e.Was.is(fd)) {
				return e.Was.disown(fd)
			}
			return disown(fd, owner)
		})
		var moved *exchanged
		if errors.As(err, &moved) {
			moved.path = filepath.Join(h.Target, moved.path)
			return moved
		}
		note(e.Path, err)
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(folders) {
		err := w.at(e.Path, func(fd int) error {
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil {
				return err
			}
			if st.Mode&unix.S_IFMT != unix.S_IFDIR {
				if ambiguous(e.Path) {
					return nil
				}
				return &exchanged{e.Path, leads(fd)}
			}
			if e.Was != nil && (e.Was.Dev != uint64(st.Dev) || e.Was.Inode != st.Ino) {
				if ambiguous(e.Path) {
					return nil // it is listed by the same name
				}
				return &exchanged{e.Path, "another folder"}
			}
			switch {
			case e.Fate == above, e.Fate == standing && (h.All || h.NoOwners):
				return e.Was.putBack(fd, st)
			case h.NoOwners:
				if h.InPlace {
					return disown(fd, w.ownerAbove(e.Path, h.Owner, folders))
				}
				return disown(fd, h.Owner)
			}
			return nil
		})
		var moved *exchanged
		if errors.As(err, &moved) {
			moved.path = filepath.Join(h.Target, moved.path)
			return moved
		}
		note(e.Path, err)
	}
	return first
}

// A walker opens entries below a directory without following a link.
type walker struct {
	root   *os.File
	parent string // whose descriptor is fd
	fd     int
	open   bool
}

func (w *walker) forget() {
	if w.open {
		unix.Close(w.fd)
		w.open = false
	}
}

// at calls f with a descriptor of an entry, itself if it is a link; of all entries that are
// listed by this path, if there are several.
func (w *walker) at(path string, f func(fd int) error) error {
	if ambiguous(path) {
		root, err := unix.Openat(int(w.root.Fd()), ".", unix.O_PATH|asDirectory, 0)
		if err != nil {
			return err
		}
		defer unix.Close(root)
		return each(root, strings.Split(strings.Trim(path, "/"), "/"), f)
	}
	dir, base := filepath.Split(filepath.FromSlash(path))
	if err := w.enter(strings.Trim(dir, "/")); err != nil {
		return err
	}
	fd, err := unix.Openat(w.fd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return f(fd)
}

// each calls f with each entry below a directory that is listed by these names, one in the
// other.
func each(dir int, names []string, f func(fd int) error) error {
	real := listedAs(fmt.Sprintf("/proc/self/fd/%d", dir), names[0])
	var errs []error
	for _, n := range real {
		fd, err := unix.Openat(dir, n, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		var st unix.Stat_t
		switch err = unix.Fstat(fd, &st); {
		case err != nil:
		case len(names) == 1:
			err = f(fd)
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			err = each(fd, names[1:], f)
		case len(real) == 1:
			err = &exchanged{n, leads(fd)}
		}
		unix.Close(fd)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (w *walker) enter(dir string) error {
	if w.open && w.parent == dir {
		return nil
	}
	w.forget()
	fd, err := unix.Openat(int(w.root.Fd()), ".", unix.O_PATH|asDirectory, 0)
	if err != nil {
		return err
	}
	way := ""
	for part := range strings.SplitSeq(dir, "/") {
		if part == "" {
			continue
		}
		way += "/" + part
		next, err := unix.Openat(fd, part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			unix.Close(fd)
			return err
		}
		unix.Close(fd)
		fd = next
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			what := leads(fd)
			unix.Close(fd)
			return &exchanged{way, what}
		}
	}
	w.fd, w.parent, w.open = fd, dir, true
	return nil
}

// leads says what an entry is that should be a folder.
func leads(fd int) string {
	buf := make([]byte, 4096)
	if n, err := unix.Readlinkat(fd, "", buf); err == nil {
		return "a link to " + strings.ToValidUTF8(string(buf[:n]), "\uFFFD")
	}
	return "what is no folder"
}

// ownerAbove is the owner of the first folder above a path that the restore has not made.
func (w *walker) ownerAbove(path string, root ownership, folders []entry) ownership {
	for i := len(folders) - 1; i >= 0; i-- {
		if e := folders[i]; e.Was != nil && strings.HasPrefix(path, e.Path+"/") {
			return *e.Was
		}
	}
	return root
}

// disown gives an entry to an owner and takes what it could do for another from it.
func disown(fd int, o ownership) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Uid != o.UID || st.Gid != o.GID {
		if err := unix.Fchownat(fd, "", int(o.UID), int(o.GID), unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil
	}
	mode := st.Mode & 0o1777
	acl, err := attribute(named(fd), accessList)
	if err != nil {
		return err
	}
	if len(acl) > 0 { // the rights of the group are the most that anybody named there has
		mode = mode&^0o070 | groupOf(acl)<<3
		err = set(fd, accessList, nil)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = errors.Join(err, set(fd, defaultList, nil))
	}
	if err != nil {
		return err
	}
	if st.Mode&0o7777 != mode {
		if err := unix.Chmod(named(fd), mode); err != nil {
			return err
		}
	}
	return incapable(fd, st)
}

// incapable takes the capabilities from a file.
func incapable(fd int, st unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	return set(fd, "security.capability", nil)
}

// Access lists give rights to users and groups that they name, and a default list gives them
// in what is made in a folder. restic restores both.
const (
	accessList  = "system.posix_acl_access"
	defaultList = "system.posix_acl_default"
)

// named is a descriptor's name, which leads to what was opened.
func named(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// attribute returns an extended attribute of a file, nil if it has none.
func attribute(path, name string) ([]byte, error) {
	for {
		n, err := unix.Getxattr(path, name, nil)
		if err == nil && n > 0 {
			value := make([]byte, n)
			if n, err = unix.Getxattr(path, name, value); errors.Is(err, unix.ERANGE) {
				continue // it has grown
			} else if err == nil {
				return value[:n], nil
			}
		}
		if err == nil || errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			return nil, nil
		}
		return nil, err
	}
}

// set gives an open file or folder an extended attribute, and takes it away if the value is
// nil.
func set(fd int, name string, value []byte) error {
	if value != nil {
		return unix.Setxattr(named(fd), name, value, 0)
	}
	err := unix.Removexattr(named(fd), name)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// groupOf returns the rights that an access list gives to the file's own group: a version,
// and entries of kind, rights and ID.
func groupOf(acl []byte) (rights uint32) {
	const group, mask = 0x04, 0x10
	limit := uint32(7)
	for i := 4; i+8 <= len(acl); i += 8 {
		switch perm := uint32(binary.LittleEndian.Uint16(acl[i+2:])); binary.LittleEndian.Uint16(acl[i:]) {
		case group:
			rights = perm
		case mask:
			limit = perm
		}
	}
	return rights & limit & 7
}

// finish moves what came from the stage to the target, if there is one.
func (s *site) finish() error {
	if s.stage == nil {
		return nil
	}
	names, err := os.ReadDir(s.base())
	if err != nil {
		return err
	}
	for _, n := range names {
		err := unix.Renameat2(int(s.root.Fd()), n.Name(), int(s.into.Fd()), n.Name(), unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that cannot tell whether there is one
			err = unix.EEXIST
			if errors.Is(unix.Fstatat(int(s.into.Fd()), n.Name(), new(unix.Stat_t), unix.AT_SYMLINK_NOFOLLOW), unix.ENOENT) {
				err = unix.Renameat(int(s.root.Fd()), n.Name(), int(s.into.Fd()), n.Name())
			}
		}
		if err != nil {
			return fmt.Errorf("%s could not be moved to the target (%w): it is in %s", n.Name(), err, filepath.Join(s.target, s.name, contents))
		}
		failpoint.Here("agent-restore-moved")
	}
	if err := unix.Unlinkat(int(s.stage.Fd()), contents, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	_ = unix.Unlinkat(int(s.into.Fd()), s.name, unix.AT_REMOVEDIR) // unless somebody has moved it, and it is empty
	return nil
}

func (s *site) close() {
	for _, f := range []*os.File{s.root, s.stage, s.into} {
		if f != nil {
			f.Close()
		}
	}
}

// namesOf is how many names a file has.
func namesOf(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// changed is when a file was changed last in any way, in nanoseconds, 0 if it is not known.
func changed(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return unix.TimespecToNsec(unix.Timespec(st.Ctim))
	}
	return 0
}

// An ownership is what a folder had before.
type ownership struct {
	UID   uint32 `json:"u"`
	GID   uint32 `json:"g"`
	Mode  uint32 `json:"m"`
	Dev   uint64 `json:"d"`
	Inode uint64 `json:"i"`
	// Access and Default are its access lists, nil for none; nobody has looked for them
	// unless Listed is set.
	Access  []byte `json:"a,omitempty"`
	Default []byte `json:"f,omitempty"`
	Listed  bool   `json:"l,omitempty"`
}

func ownershipOf(info fs.FileInfo) *ownership {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return &ownership{UID: st.Uid, GID: st.Gid, Mode: st.Mode & 0o7777, Dev: uint64(st.Dev), Inode: st.Ino}
}

// ownershipAt is that of what is at a path, with its access lists.
func ownershipAt(path string, info fs.FileInfo) *ownership {
	o := ownershipOf(info)
	if o == nil || info.Mode()&fs.ModeSymlink != 0 {
		return o
	}
	var errs [2]error
	o.Access, errs[0] = attribute(path, accessList)
	o.Default, errs[1] = attribute(path, defaultList)
	o.Listed = errors.Join(errs[:]...) == nil
	return o
}

// disown gives a file that stays as it was its owner and rights back, which restic has set
// as they are in the snapshot.
func (o *ownership) disown(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.Fchownat(fd, "", int(o.UID), int(o.GID), unix.AT_EMPTY_PATH)
	}
	if err := o.putBack(fd, st); err != nil {
		return err
	}
	return incapable(fd, st)
}

// is reports whether an open file is the one that was there.
func (o *ownership) is(fd int) bool {
	var st unix.Stat_t
	return o != nil && unix.Fstat(fd, &st) == nil && o.Dev == uint64(st.Dev) && o.Inode == st.Ino
}

// putBack gives a folder or a file what it had.
func (o *ownership) putBack(fd int, now unix.Stat_t) error {
	if o == nil {
		return nil
	}
	changed := now.Uid != o.UID || now.Gid != o.GID
	if changed {
		if err := unix.Fchownat(fd, "", int(o.UID), int(o.GID), unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if o.Listed {
		for name, was := range map[string][]byte{accessList: o.Access, defaultList: o.Default} {
			is, err := attribute(named(fd), name)
			if err == nil && !bytes.Equal(is, was) {
				err, changed = set(fd, name, was), true
			}
			if err != nil {
				return err
			}
		}
	}
	if changed || now.Mode&0o7777 != o.Mode {
		return unix.Chmod(named(fd), o.Mode)
	}
	return nil
}
