package fault

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A recording is everything a process did to its files, in order, and what it
// promised meanwhile: every line "ack …" on its stdout.
//
// From it follows what a disk may hold after the power failed at any moment:
// what was written before an fsync of its file is there, anything else may be
// there or not, or in part. An fsync of a file keeps its name as well, which
// POSIX does not promise and the file systems of Linux do.
type recording struct {
	root string
	ops  []op
}

type op struct {
	kind opKind
	file string // relative to root
	at   int64
	data []byte // of a write; of an ack, its words
	to   string // of a rename
}

type opKind int

const (
	created   opKind = iota
	written          // data at at
	truncated        // to at
	syncing          // an fsync began: what was written by now will be there
	synced           // and has ended: it is there
	unlinked
	renamed
	acked
)

// record runs a role of this program under strace to its end. dir is the
// argument it is given first, and what is recorded.
func record(t *testing.T, dir, role string, args ...string) recording {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("this test needs strace on PATH; make test installs it")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command("strace", append([]string{"-f", "-y", "-xx", "-s", "100000000", "-o", trace,
		"-e", "trace=openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,fsync,fdatasync,sync_file_range," +
			"ftruncate,truncate,fallocate,unlink,unlinkat,rename,renameat,renameat2",
		self, role, dir}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("strace: %v\n%s", err, out)
	}
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := readTrace(f, dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// cutLine takes a line of strace's apart: the thread, and what it did. Lines are
// megabytes long, too long for regular expressions.
func cutLine(line string) (thread, did string) {
	thread, did, _ = strings.Cut(line, " ")
	return thread, strings.TrimLeft(did, " ")
}

// cutCall takes "name(a, b) = 3" apart.
func cutCall(did string) (name string, args []string, result int64, ok bool) {
	end := strings.LastIndex(did, ") ")
	if end < 0 || !strings.HasPrefix(strings.TrimLeft(did[end+2:], " "), "= ") {
		return "", nil, 0, false // a signal, or the end of a thread
	}
	name, inner, ok := strings.Cut(did[:end], "(")
	if _, err := fmt.Sscanf(strings.TrimLeft(did[end+2:], " "), "= %d", &result); err != nil {
		return "", nil, 0, false // = ?, of a thread that was ended
	}
	return name, strings.Split(inner, ", "), result, ok
}

// readTrace understands what strace wrote. What it does not understand about a
// file below root is an error, so that nothing is overlooked.
func readTrace(from io.Reader, root string) (recording, error) {
	r := recording{root: root}
	offsets := map[string]int64{}     // of sequential writes, by descriptor
	unfinished := map[string]string{} // by thread
	lines := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		line = strings.TrimSuffix(line, "\n")
		thread, did := cutLine(line)
		if begun, is := strings.CutSuffix(did, " <unfinished ...>"); is {
			begun = strings.TrimSuffix(strings.TrimSuffix(begun, " "), ",")
			unfinished[thread] = begun
			name, inner, _ := strings.Cut(begun, "(")
			args := strings.Split(inner, ", ")
			switch name {
			case "fsync", "fdatasync":
				if file, _, ok := r.below(args[0]); ok {
					r.add(op{kind: syncing, file: file})
				}
			case "write": // a promise counts from where it began
				if err := r.ack(args); err != nil {
					return r, err
				}
			}
			continue
		}
		resumed := strings.HasPrefix(did, "<... ")
		if resumed {
			_, rest, _ := strings.Cut(did, " resumed>")
			if !strings.HasPrefix(rest, ")") && !strings.HasPrefix(rest, ", ") {
				rest = ", " + strings.TrimLeft(rest, " ")
			}
			did = unfinished[thread] + rest
			delete(unfinished, thread)
		}
		if name, args, result, ok := cutCall(did); ok && result >= 0 {
			if err := r.call(name, args, result, offsets, resumed); err != nil {
				return r, fmt.Errorf("%.200s: %w", did, err)
			}
		}
	}
}

func (r *recording) add(o op) { r.ops = append(r.ops, o) }

// below says which of our files a descriptor or a path is.
func (r *recording) below(arg string) (file, fd string, ok bool) {
	if fd, path, is := strings.Cut(arg, "<"); is {
		path, err := text8(strings.TrimSuffix(path, ">"))
		if err != nil {
			return "", "", false
		}
		file, ok = strings.CutPrefix(strings.TrimSuffix(path, " (deleted)"), r.root)
		return strings.TrimPrefix(file, "/"), fd, ok
	}
	path, err := text8(strings.Trim(arg, `"`))
	if err != nil {
		return "", "", false
	}
	file, ok = strings.CutPrefix(path, r.root)
	return strings.TrimPrefix(file, "/"), "", ok
}

// text8 is what \x61\x62 stands for.
func text8(s string) (string, error) {
	b := make([]byte, len(s)/4)
	for i := range b {
		if _, err := hex.Decode(b[i:i+1], []byte{s[4*i+2], s[4*i+3]}); err != nil || s[4*i:4*i+2] != `\x` {
			return "", fmt.Errorf("%.20q is no text in hexadecimal", s[4*i:])
		}
	}
	if len(s)%4 != 0 {
		return "", fmt.Errorf("%.20q is cut short", s)
	}
	return string(b), nil
}

// ack takes what was written to stdout.
func (r *recording) ack(args []string) error {
	if len(args) < 2 || !strings.HasPrefix(args[0], "1<") {
		return nil
	}
	said, err := text8(strings.Trim(args[1], `"`))
	if words, ok := strings.CutPrefix(said, "ack "); ok {
		r.add(op{kind: acked, data: []byte(strings.TrimSpace(words))})
	}
	return err
}

func (r *recording) call(name string, args []string, result int64, offsets map[string]int64, resumed bool) error {
	switch name {
	case "openat", "open", "creat":
		if name == "openat" {
			args = args[1:] // the directory that a path would be relative to
		}
		path, flags := args[0], "O_CREAT|O_TRUNC"
		if name != "creat" {
			flags = args[1]
		}
		file, _, ok := r.below(path)
		if !ok {
			return nil
		}
		offsets[fmt.Sprint(result)] = 0
		if strings.Contains(flags, "O_APPEND") {
			return errors.New("appending is not understood")
		}
		if strings.Contains(flags, "O_CREAT") {
			r.add(op{kind: created, file: file})
		}
		if strings.Contains(flags, "O_TRUNC") {
			r.add(op{kind: truncated, file: file})
		}
	case "write":
		file, fd, ok := r.below(args[0])
		if !ok {
			if resumed {
				return nil // it counted when it began
			}
			return r.ack(args)
		}
		data, err := text8(strings.Trim(args[1], `"`))
		if err != nil || int64(len(data)) < result {
			return fmt.Errorf("%d bytes of %d: %w", len(data), result, err)
		}
		r.add(op{kind: written, file: file, at: offsets[fd], data: []byte(data[:result])})
		offsets[fd] += result
	case "pwrite64":
		file, _, ok := r.below(args[0])
		if !ok {
			return nil
		}
		data, err := text8(strings.Trim(args[1], `"`))
		if err != nil || int64(len(data)) < result {
			return fmt.Errorf("%d bytes of %d: %w", len(data), result, err)
		}
		at, err := strconv.ParseInt(args[3], 10, 64)
		r.add(op{kind: written, file: file, at: at, data: []byte(data[:result])})
		return err
	case "lseek":
		if _, fd, ok := r.below(args[0]); ok {
			offsets[fd] = result
		}
	case "ftruncate":
		file, _, ok := r.below(args[0])
		if !ok {
			return nil
		}
		size, err := strconv.ParseInt(args[1], 10, 64)
		r.add(op{kind: truncated, file: file, at: size})
		return err
	case "fsync", "fdatasync":
		if file, _, ok := r.below(args[0]); ok {
			if !resumed {
				r.add(op{kind: syncing, file: file})
			}
			r.add(op{kind: synced, file: file})
		}
	case "unlink", "unlinkat":
		path := args[0]
		if name == "unlinkat" {
			path = args[1]
		}
		if file, _, ok := r.below(path); ok {
			r.add(op{kind: unlinked, file: file})
		}
	case "rename", "renameat", "renameat2":
		from, to := args[0], args[1]
		if name != "rename" {
			from, to = args[1], args[3]
		}
		file, _, ok := r.below(from)
		other, _, _ := r.below(to)
		if ok {
			r.add(op{kind: renamed, file: file, to: other})
		}
	default:
		for _, a := range args {
			if file, _, ok := r.below(a); ok {
				return fmt.Errorf("%s of %s is not understood", name, file)
			}
		}
	}
	return nil
}

// acks are the places in ops of what was promised.
func (r recording) acks() (at []int) {
	for i, o := range r.ops {
		if o.kind == acked {
			at = append(at, i)
		}
	}
	return at
}

// promised is what was promised before the cut.
func (r recording) promised(cut int) (words [][]string) {
	for _, o := range r.ops[:cut] {
		if o.kind == acked {
			words = append(words, strings.Fields(string(o.data)))
		}
	}
	return words
}

// inode is a file while the past is replayed.
type inode struct {
	durable []byte
	loose   []op // written and truncated since
	syncing int  // so many of them will be durable when the fsync ends
	named   bool // its name is durable
}

// after writes what the disk holds when the power fails before op number cut.
// Without dice, nothing is left that was not synced; with them, any part of it
// may be. ignore, if set, says of which fsyncs the disk only claimed to obey.
func (r recording) after(t *testing.T, cut int, dice *rand.Rand, ignore func(int, op) bool) (dir string) {
	t.Helper()
	files := map[string]*inode{}
	gone := map[string]*inode{} // unlinked, and it may come back
	for i, o := range r.ops[:cut] {
		f := files[o.file]
		switch o.kind {
		case created:
			if f == nil {
				files[o.file] = &inode{}
			}
		case written, truncated:
			if f == nil {
				t.Fatalf("%s is written to, and was never made", o.file)
			}
			f.loose = append(f.loose, o)
		case syncing:
			if f != nil {
				f.syncing = len(f.loose)
			}
		case synced:
			if ignore != nil && ignore(i, o) {
				continue
			}
			if f == nil { // a directory: its names are as they are
				in := func(name string) bool { return filepath.Dir(name) == filepath.Clean(o.file) }
				maps.DeleteFunc(gone, func(name string, _ *inode) bool { return in(name) })
				for name, f := range files {
					f.named = f.named || in(name)
				}
				continue
			}
			for _, o := range f.loose[:f.syncing] {
				f.durable = o.apply(f.durable)
			}
			f.loose, f.syncing, f.named = f.loose[f.syncing:], 0, true
		case unlinked:
			if f != nil && f.named {
				gone[o.file] = f
			}
			delete(files, o.file)
		case renamed:
			files[o.to] = f
			delete(files, o.file)
		}
	}
	dir = t.TempDir()
	if dice != nil {
		for _, name := range slices.Sorted(maps.Keys(gone)) {
			if files[name] == nil && dice.IntN(2) == 0 {
				files[name] = gone[name]
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		// What SQLite shares between its processes is memory, and made anew.
		if strings.HasSuffix(name, "-shm") || !f.named && (dice == nil || dice.IntN(2) == 0) {
			continue
		}
		b := slices.Clone(f.durable)
		if dice != nil {
			for _, o := range f.loose {
				b = o.perhaps(b, dice)
			}
		}
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (o op) apply(b []byte) []byte {
	end := o.at + int64(len(o.data))
	if o.kind == truncated && int64(len(b)) > o.at {
		return b[:o.at:o.at]
	}
	if int64(len(b)) < end {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[o.at:], o.data)
	return b
}

// perhaps is apply for what nobody waited for: all, nothing, or some of its
// sectors.
func (o op) perhaps(b []byte, dice *rand.Rand) []byte {
	switch dice.IntN(3) {
	case 0:
		return b
	case 1:
		return o.apply(b)
	}
	if o.kind == truncated {
		return b
	}
	const sector = 512
	for at := 0; at < len(o.data); at += sector {
		if dice.IntN(2) == 0 {
			b = op{kind: written, at: o.at + int64(at), data: o.data[at:min(at+sector, len(o.data))]}.apply(b)
		}
	}
	return b
}
