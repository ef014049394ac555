// Package handout gives hosts their agent: the programs and packages of a directory with
// their checksums, and the scripts that install them. What is in it is public and has no
// secret. Every address in a script is what somebody set, never what a request says.
package handout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/topics"
)

// Where they are, on the pages' port and on the agents'.
const (
	ShellPath      = "/install.sh"
	PowerShellPath = "/install.ps1"
	FilesPath      = "/download/"
	SumsName       = "SHA256SUMS"
)

// Packaged is where the packages put the agents' files.
const Packaged = "/usr/share/restic-manager/agents"

// DirsOf are the directories to hand out from: the one that somebody said, else the
// package's and one beside the data, unless anybody may make that one.
func DirsOf(said, data string) []string {
	if said != "" {
		return []string{said}
	}
	beside := filepath.Join(data, "..")
	if info, err := os.Stat(beside); err == nil && strangers(info) {
		return []string{Packaged}
	}
	return []string{Packaged, filepath.Join(beside, "agents")}
}

// Config is what a service works with.
type Config struct {
	// Dirs may have the files: the first one in which there is an agent is handed out, or
	// the last. Which one that is may change, as when the agents' package is installed.
	Dirs   []string
	Reach  *reach.Service
	Public func(context.Context) string // where people find the pages, "" if nobody said
	// Pin is the SHA-256 of the key of the agents' port, as curl's --pinnedpubkey takes it.
	Pin func() string
	Now func() time.Time // nil is time.Now
	// Restic opens a file with restic that hosts may fetch, for the agents' port alone; nil is
	// none. It returns fs.ErrNotExist for any other name.
	Restic func(ctx context.Context, name string) (sum string, modified time.Time, content io.ReadSeekCloser, err error)
}

// Service hands out.
type Service struct {
	Config

	dir      directory
	buckets  buckets
	transfer chan struct{} // what is sent at once
}

// mostTransfers is how many files are sent at once.
const mostTransfers = 64

// New returns a service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{Config: c, dir: directory{dirs: c.Dirs}, transfer: make(chan struct{}, mostTransfers)}
}

// ErrNone is that there is no such file; whoever asks gets to hear no more.
var ErrNone = errors.New("there is no such file")

// A Busy error is that somebody asked too often, or too many do at once.
type Busy struct{ Wait time.Duration }

func (b Busy) Error() string {
	return fmt.Sprintf("too many downloads: try again in %d s", b.Seconds())
}

// Seconds is how long to wait.
func (b Busy) Seconds() int { return max(1, int(math.Ceil(b.Wait.Seconds()))) }

// A Stock is what there is to hand out.
type Stock struct {
	Dir     string
	Files   []File
	Missing string // why there is nothing, "" if there is something
	Remedy  string
}

// Find is the file of a kind for a system and processor.
func (s Stock) Find(system, arch, kind string) (File, bool) {
	for _, f := range s.Files {
		if f.OS == system && f.Arch == arch && f.Kind == kind {
			return f, true
		}
	}
	return File{}, false
}

// Has reports whether there is anything for a system.
func (s Stock) Has(system string) bool {
	for _, f := range s.Files {
		if f.OS == system {
			return true
		}
	}
	return false
}

// Stock looks at what there is.
func (s *Service) Stock() Stock {
	const remedy = "Install the package restic-manager-agents, or put the files of a release there: " +
		"restic-manager-agent_1.2.3_amd64.deb, restic-manager-agent_1.2.3_windows_amd64.msi and so on, of whatever version. " +
		"Another directory is named with serve --agents-dir. " +
		"Until then, copy the agent to hosts yourself."
	out := Stock{Remedy: remedy}
	var err error
	out.Dir, out.Files, err = s.dir.list()
	if out.Dir == "" {
		out.Missing = "This server hands out no agents."
		return out
	}
	if err == nil && len(out.Files) > 0 {
		out.Remedy = ""
		return out
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		out.Missing = "There are no agents to hand out: the directory " + out.Dir + " is not there."
	case errors.Is(err, fs.ErrPermission):
		out.Missing = "There are no agents to hand out: this server may not read " + out.Dir + "."
		out.Remedy = "Let its user read the directory and the files: chmod -R a+rX " + out.Dir
	case errors.Is(err, errStrangers):
		out.Missing = "No agents are handed out: any user of this machine may write to " + out.Dir + " or to a file there, and what is there " +
			"runs as root on hosts."
		out.Remedy = "Look whether the files are those of the release, and take that right away: chmod -R o-w " + out.Dir
	case err != nil:
		out.Missing = "There are no agents to hand out: " + err.Error() + "."
	default:
		out.Missing = "There are no agents to hand out: no file in " + out.Dir + " is one."
	}
	return out
}

// A Door is by which port somebody asks.
type Door int

// Doors: the scripts have files come by the pages' port only where that proves who
// answers.
const (
	PagesDoor Door = iota
	AgentsDoor
)

// Serve answers a request for a script or a file. network is whose request it is. The
// error is ErrNone, a Busy, or something for the log.
func (s *Service) Serve(w http.ResponseWriter, r *http.Request, door Door, network string) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return ErrNone
	}
	if wait := s.buckets.take(network, s.Now()); wait > 0 {
		return Busy{wait}
	}
	switch name, below := strings.CutPrefix(r.URL.Path, FilesPath); {
	case r.URL.Path == ShellPath || r.URL.Path == PowerShellPath:
		text, err := s.script(r.Context(), door, r.URL.Path)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
		return nil
	case below && name == SumsName:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.sums()))
		return nil
	case below:
		return s.send(w, r, door, name)
	}
	return ErrNone
}

// sums are the checksums of all files, as sha256sum -c reads them.
func (s *Service) sums() []byte {
	var b bytes.Buffer
	for _, f := range s.Stock().Files {
		fmt.Fprintf(&b, "%s  %s\n", f.SHA256, f.Name)
	}
	return b.Bytes()
}

// transferTime is how long the sending of one file may take.
const transferTime = 15 * time.Minute

func (s *Service) send(w http.ResponseWriter, r *http.Request, door Door, name string) error {
	select {
	case s.transfer <- struct{}{}:
		defer func() { <-s.transfer }()
	default:
		return Busy{10 * time.Second}
	}
	f, content, err := s.open(r.Context(), door, name)
	switch {
	case errors.Is(err, errChanged):
		return Busy{2 * time.Second}
	case errors.Is(err, fs.ErrNotExist):
		return ErrNone
	case err != nil:
		return err
	}
	defer content.Close()
	rc := http.NewResponseController(w) // both fail only on writers that are no connection
	_ = rc.SetReadDeadline(time.Now().Add(transferTime))
	_ = rc.SetWriteDeadline(time.Now().Add(transferTime))
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+f.Name+`"`)
	h.Set("ETag", `"`+f.SHA256+`"`)
	http.ServeContent(w, r, "", f.Modified, content)
	return nil
}

// open opens what is handed out at a door by a name.
func (s *Service) open(ctx context.Context, door Door, name string) (File, io.ReadSeekCloser, error) {
	if _, _, _, is := topics.ResticFile(name); is && s.Restic != nil && door == AgentsDoor {
		sum, modified, content, err := s.Restic(ctx, name)
		return File{Name: name, SHA256: sum, Modified: modified}, content, err
	}
	return s.dir.open(name)
}

// buckets limit how often one network may ask: a burst of two hundred, then ten a second.
// Hosts behind one address come with hundreds at a time.
type buckets struct {
	mu sync.Mutex
	m  map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

const (
	burst       = 200
	perSecond   = 10
	mostBuckets = 10_000
)

// take uses up one request and returns 0, or how long to wait for one.
func (b *buckets) take(network string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m == nil {
		b.m = map[string]bucket{}
	}
	left := float64(burst)
	if was, known := b.m[network]; known {
		left = min(burst, was.left+perSecond*max(0, now.Sub(was.at).Seconds()))
	} else if len(b.m) >= mostBuckets { // full ones say nothing; of others, any goes
		for k, old := range b.m {
			if now.Sub(old.at) > burst/perSecond*time.Second || len(b.m) >= mostBuckets {
				delete(b.m, k)
			}
		}
	}
	if left < 1 {
		return time.Duration((1 - left) / perSecond * float64(time.Second))
	}
	b.m[network] = bucket{left - 1, now}
	return 0
}
