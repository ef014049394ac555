package restics

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// SumsName is the file of checksums that restic releases beside its files. It may lie in the
// directory, and only says whether what lies there is as it names it: a pin is what somebody
// confirmed.
const SumsName = "SHA256SUMS"

// DirOf is where an administrator puts files with restic, below the control plane's data.
func DirOf(data string) string { return filepath.Join(data, "restic") }

// mostFiles is how many files are looked at.
const mostFiles = 200

// A File is one with restic that lies here, or was pinned and lies here no more.
type File struct {
	Name, Version, OS, Arch string
	Size                    int64  // in bytes
	SHA256                  string // of what lies here; "" if it does not
	Modified                time.Time
	Listed                  string           // its checksum as SHA256SUMS has it, "" if it does not name the file
	Pin                     *store.ResticPin // what was confirmed, nil if nothing was
	Say                     string           // why hosts are not told to fetch it, "" if they may be

	unread string // why what lies here cannot be read
}

// Good reports whether hosts may be told to fetch it.
func (f File) Good() bool { return f.Say == "" }

// A Service knows the files, and has hosts fetch them. Its methods may be called from
// several goroutines.
type Service struct {
	Store *store.Store
	Dir   string // need not be there
	Jobs  Jobs

	mu   sync.Mutex
	sums map[string]summed
}

// Jobs is what is asked of the jobs engine.
type Jobs interface {
	AskUpdate(ctx context.Context, actor string, host topics.HostID, u topics.Update) (job store.Job, fresh bool, err error)
}

type summed struct {
	size int64
	at   time.Time
	sum  string
}

// Files lists what lies here and what was pinned, by name.
func (s *Service) Files(ctx context.Context) ([]File, error) {
	pins, err := s.Store.ResticPins(ctx)
	if err != nil {
		return nil, err
	}
	list, err := s.lies()
	if err != nil {
		return nil, err
	}
	for _, p := range pins {
		i := slices.IndexFunc(list, func(f File) bool { return f.Name == p.Name })
		if i < 0 {
			f := File{Name: p.Name, Size: p.Size}
			f.Version, f.OS, f.Arch, _ = topics.ResticFile(p.Name)
			list, i = append(list, f), len(list)
		}
		list[i].Pin = &p
	}
	for i := range list {
		list[i].Say = list[i].why()
	}
	slices.SortFunc(list, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// why is why hosts are not told to fetch it, "" if they may be.
func (f File) why() string {
	switch {
	case f.unread != "":
		return "It cannot be read here: " + f.unread + "."
	case f.SHA256 == "":
		return "It lies here no more."
	case f.Size > topics.MaxRestic || f.Size == 0:
		return "It is empty, or too large."
	case f.Pin == nil:
		return "Nobody has confirmed its checksum."
	case f.Pin.SHA256 != f.SHA256:
		return "It is another file than the one that was confirmed, whose SHA-256 is " + f.Pin.SHA256 + "."
	}
	return ""
}

// lies are the files of the directory with their checksums.
func (s *Service) lies() (list []File, err error) {
	root, err := os.OpenRoot(s.Dir)
	if errors.Is(err, fs.ErrNotExist) || s.Dir == "" {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	listed := listedSums(root)
	for _, e := range entries {
		f := File{Name: e.Name(), Listed: listed[e.Name()]}
		var ok bool
		if f.Version, f.OS, f.Arch, ok = topics.ResticFile(f.Name); !ok || len(list) >= mostFiles {
			continue
		}
		info, err := root.Stat(f.Name)
		if err != nil || !info.Mode().IsRegular() {
			continue // it was removed meanwhile
		}
		f.Size, f.Modified = info.Size(), info.ModTime()
		switch f.SHA256, err = s.sum(root, f); {
		case errors.Is(err, fs.ErrNotExist):
			continue // it was removed meanwhile
		case err != nil: // the others are given all the same
			f.unread = err.Error()
		}
		list = append(list, f)
	}
	return list, nil
}

// sum is a file's checksum, which is taken again when the file has changed. A file that is
// too large has none of its own: it is refused anyhow.
func (s *Service) sum(root *os.Root, f File) (string, error) {
	if f.Size > topics.MaxRestic {
		return strings.Repeat("0", 64), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.sums[f.Name]; known.sum != "" && known.size == f.Size && known.at.Equal(f.Modified) {
		return known.sum, nil
	}
	file, err := root.Open(f.Name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	if s.sums == nil {
		s.sums = map[string]summed{}
	}
	sum := hex.EncodeToString(h.Sum(nil))
	s.sums[f.Name] = summed{size: f.Size, at: f.Modified, sum: sum}
	return sum, nil
}

// listedSums reads SHA256SUMS, if it is there: a checksum, spaces and a name in each line.
func listedSums(root *os.Root) map[string]string {
	out := map[string]string{}
	f, err := root.Open(SumsName)
	if err != nil {
		return out
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	for lines.Scan() {
		sum, name, _ := strings.Cut(lines.Text(), " ")
		if topics.IsSHA256(sum) {
			out[strings.TrimLeft(name, " *")] = sum
		}
	}
	return out
}

// Errors.
var (
	ErrNoFile = errors.New("there is no such file with restic here")
)

// Pin confirms the checksum of a file that lies here: hosts may be told to fetch it from then
// on. A checksum that is not that of the file is refused as [field.Errors], whatever SHA256SUMS
// says; so is one that SHA256SUMS contradicts.
func (s *Service) Pin(ctx context.Context, actor, name, sum string) (File, error) {
	f, err := s.file(ctx, name)
	if err != nil {
		return f, err
	}
	sum = strings.ToLower(strings.TrimSpace(sum))
	wrong := field.Errors{}
	switch {
	case f.unread != "":
		wrong.Say("sha256", f.Say)
	case f.SHA256 == "":
		return f, ErrNoFile
	case !topics.IsSHA256(sum):
		wrong.Say("sha256", "It is 64 hexadecimal digits, as restic’s SHA256SUMS has them.")
	case f.Size > topics.MaxRestic || f.Size == 0:
		wrong.Say("sha256", "The file is empty, or too large to be restic.")
	case sum != f.SHA256:
		wrong.Say("sha256", "The file that lies here has another: "+f.SHA256+". Download it again, and compare it with restic’s SHA256SUMS.")
	case f.Listed != "" && f.Listed != f.SHA256:
		wrong.Say("sha256", "SHA256SUMS beside it names "+f.Listed+": one of the two files is not what was released.")
	}
	if err := wrong.Err(); err != nil {
		return f, err
	}
	if err := s.Store.PinRestic(ctx, actor, store.ResticPin{Name: name, SHA256: sum, Size: f.Size}); err != nil {
		return f, err
	}
	return s.file(ctx, name)
}

// Unpin has hosts be told to fetch a file no more. Those that have it keep it.
func (s *Service) Unpin(ctx context.Context, actor, name string) error {
	err := s.Store.UnpinRestic(ctx, actor, name)
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoFile
	}
	return err
}

func (s *Service) file(ctx context.Context, name string) (File, error) {
	list, err := s.Files(ctx)
	if err != nil {
		return File{}, err
	}
	for _, f := range list {
		if f.Name == name {
			return f, nil
		}
	}
	return File{}, ErrNoFile
}

// Open opens a file that hosts may be told to fetch. It returns fs.ErrNotExist for any other.
func (s *Service) Open(ctx context.Context, name string) (f File, content *os.File, err error) {
	f, err = s.file(ctx, name)
	if errors.Is(err, ErrNoFile) || err == nil && !f.Good() {
		return f, nil, fs.ErrNotExist
	} else if err != nil {
		return f, nil, err
	}
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return f, nil, err
	}
	defer root.Close()
	content, err = root.Open(name)
	return f, content, err
}
