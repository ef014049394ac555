// Package restic runs the restic binary: it builds the command line and the
// environment from typed fields, parses the output, and returns how the run ended, in
// the same form for every version since 0.14.
//
// Success is decided by the exit code first and the JSON second. Secrets never appear
// in an argument, a log line or a message. A run owns its process group and every
// goroutine it starts: when a method returns, restic and its children have ended and
// the sink is not called again.
//
// Another operation is another struct with an args method, which is its command
// line by version, and a read method, which knows the lines only it prints.
// A method of [Binary] with its name runs it, and whatever it takes to know that
// restic did what it says.
package restic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/agent/sftp"
	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// What [Probe] returns; its errors say what to do about it.
var (
	ErrNotFound = errors.New("there is no restic program")
	ErrTooOld   = errors.New("this restic is too old")
)

// A Version is restic's own, three numbers.
type Version = since.Version

var versionText = regexp.MustCompile(`(?m)^restic (\d{1,4})\.(\d{1,4})\.(\d{1,4})`)

// ParseVersion reads the answer of "restic version", which is text in every version.
func ParseVersion(answer string) (Version, error) {
	m := versionText.FindStringSubmatch(answer)
	if m == nil {
		return Version{}, fmt.Errorf("%.80q is no answer of restic's version command", clean(answer))
	}
	var v Version
	for i, n := range []*int{&v.Major, &v.Minor, &v.Patch} {
		*n, _ = strconv.Atoi(m[i+1]) // at most four digits
	}
	return v, nil
}

// Timing holds the timeouts of a run. Zero fields mean the default.
type Timing struct {
	CancelGrace time.Duration // from SIGINT to SIGKILL
	PipeGrace   time.Duration // how long a stray child may hold restic's output open after its end, before it is ended, too
	Open        time.Duration // how long Exists lets restic try: 0.18 and newer try for 14 minutes
	Reach       time.Duration // how long Reach tries
	Knock       time.Duration // how long ssh may take to get through, each time
	Answer      time.Duration // how long Answers waits
	Confirm     time.Duration // how long a backup's snapshot may take to be listed
	Status      time.Duration // between two Status calls
	Settled     time.Duration // how long nobody goes on with an init until it was cut short; longer than one takes
	Silence     time.Duration // how long restic may do nothing at all before it is ended
	Lock        time.Duration // until what found another's lock first tries again, where restic cannot wait itself
	Look        time.Duration // without a word until somebody looks whether restic waits for a lock
}

// DefaultTiming is what the fields of a zero [Timing] stand for. After SIGINT
// restic finishes the pack in flight, 12 s measured, and tries for up to 60 s
// more to remove its lock from a server that is gone.
var DefaultTiming = Timing{
	CancelGrace: 90 * time.Second,
	PipeGrace:   5 * time.Second,
	Open:        60 * time.Second,
	Reach:       5 * time.Second,
	Knock:       30 * time.Second,
	Answer:      3 * time.Second,
	Confirm:     60 * time.Second,
	Status:      time.Second,
	Settled:     2 * time.Minute,
	Silence:     30 * time.Minute,
	Lock:        5 * time.Second,
	Look:        5 * time.Second,
}

func (t Timing) orDefault() Timing {
	for _, f := range []struct{ field, value *time.Duration }{
		{&t.CancelGrace, &DefaultTiming.CancelGrace},
		{&t.PipeGrace, &DefaultTiming.PipeGrace},
		{&t.Open, &DefaultTiming.Open},
		{&t.Reach, &DefaultTiming.Reach},
		{&t.Knock, &DefaultTiming.Knock},
		{&t.Answer, &DefaultTiming.Answer},
		{&t.Confirm, &DefaultTiming.Confirm},
		{&t.Status, &DefaultTiming.Status},
		{&t.Settled, &DefaultTiming.Settled},
		{&t.Silence, &DefaultTiming.Silence},
		{&t.Lock, &DefaultTiming.Lock},
		{&t.Look, &DefaultTiming.Look},
	} {
		if *f.field == 0 {
			*f.field = *f.value
		}
	}
	return t
}

// A Binary is a restic program whose version is known. Its methods may be called
// from several goroutines, though only one at a time for the same job.
type Binary struct {
	Path    string // absolute
	Version Version
	Timing  Timing
	Limits  Limits
	Silence Silence
	SSH     sftp.Home // what the agent itself has for servers that are reached by SFTP

	// Ours is the job of which a process of this number was a restic at that time, "" if none
	// was or nobody knows; and whether that process runs, and not another of its number.
	// Optional.
	Ours func(pid int, at time.Time) (job topics.JobID, runs bool)
}

// Silence is what becomes of a run that does nothing at all.
type Silence struct {
	Bear bool        // it is never ended for that
	Tell func(Quiet) // is told about thirty times in Timing.Silence how long it has done nothing, 0 if it works; optional
}

// Limits restrict a run; 0 is no limit.
type Limits struct {
	UploadKiB, DownloadKiB int  // a second; a repository on a local disk is limited, too
	LowPriority            bool // of processor and disk
}

func (l Limits) flags() (flags []string) {
	if l.UploadKiB > 0 {
		flags = append(flags, "--limit-upload", strconv.Itoa(l.UploadKiB))
	}
	if l.DownloadKiB > 0 {
		flags = append(flags, "--limit-download", strconv.Itoa(l.DownloadKiB))
	}
	return flags
}

// Probe finds restic at path, or on PATH if path is empty, and asks it once for
// its version. The error is [ErrNotFound], [ErrTooOld], or says how the program
// that was found misbehaved.
func Probe(ctx context.Context, path string) (Binary, error) {
	name := path
	if name == "" {
		name = "restic"
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return Binary{}, fmt.Errorf("%w at %q (%v): install restic %s or newer, or say with --restic where it is", ErrNotFound, name, err,
			since.Oldest)
	}
	if found, err = filepath.Abs(found); err != nil {
		return Binary{}, fmt.Errorf("find restic: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var said bounded
	x := process.Run(ctx, process.Spec{
		Path:        found,
		Args:        []string{"version"},
		Env:         process.Inherited(),
		Dir:         filepath.Dir(found), // which is there; where TMPDIR leads may not be, and no job needs it
		Stdout:      &said,
		Stderr:      &said,
		CancelGrace: time.Second,
		PipeGrace:   time.Second,
	})
	if x.Err != nil {
		return Binary{}, fmt.Errorf("start %s: %w", found, x.Err)
	}
	v, err := ParseVersion(said.String())
	switch {
	case ctx.Err() != nil:
		return Binary{}, fmt.Errorf("%s did not tell its version in time: %w", found, ctx.Err())
	case err != nil:
		return Binary{}, fmt.Errorf("%s is not restic: %w", found, err)
	case v.Compare(since.Oldest) < 0:
		return Binary{}, fmt.Errorf("%w: %s is %s, install %s or newer", ErrTooOld, found, v, since.Oldest)
	}
	return Binary{Path: found, Version: v}, nil
}

// Passing reports whether Probe failed of something that passes by itself: the machine
// is too busy, out of memory, processes or open files, or the program is being replaced.
func Passing(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ETXTBSY)
}

// bounded keeps the first 4 KiB of what is written to it, from both streams.
type bounded struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Buffer.Write(p[:min(len(p), max(0, b.most()-b.Len()))])
	return len(p), nil
}

func (*bounded) most() int { return 4096 }

// A Place is where a run may write. CacheDir is restic's cache, created if needed.
// Below TempDir every run creates its own directory, 0700, for restic's temporary
// files and the lists of paths, and removes it at the end; after a crash, leftovers
// may be deleted. Secrets are written there alone, 0600: what is pasted for a repository,
// and the password of a new key. Job marks every process of the run, see [Reap].
type Place struct {
	CacheDir, TempDir string
	Job               topics.JobID

	aside bool // see beside
}

// temporary makes a directory for one run. TempDir is made again if somebody cleared it
// away.
func (p Place) temporary(prefix string) (string, error) {
	if err := os.MkdirAll(p.TempDir, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(p.TempDir, prefix+string(p.Job)+"-")
}

// A Sink receives what happens during a run. Its methods are called one at a time, on
// goroutines of the run, and never after the run's method has returned. A sink that
// blocks makes restic wait.
type Sink interface {
	// Started comes once for every restic process, right after it was started;
	// one run may need several.
	Started(process.ID)
	// Line is one line of the log: UTF-8, no control characters, secrets
	// redacted, at most topics.MaxLine bytes.
	Line(level topics.Level, text string)
	// Status comes about once in Timing.Status at most, and when trouble begins or ends.
	Status(Status)
}

// Status is restic's own account of what it does. What restic leaves out is 0.
type Status struct {
	Scanned      bool    // the totals are final: restic gave an estimate
	Percent      float64 // 0 to 100, of the bytes read
	TotalFiles   uint64
	FilesDone    uint64
	TotalBytes   uint64
	BytesDone    uint64
	Errors       uint64
	Seconds      uint64   // since restic started
	SecondsLeft  uint64   // restic's estimate; 0 is unknown
	CurrentFiles []string // at most 8, each cut at 1 KiB
	Trouble      *Trouble // with the storage; nil if there is none, or none any more

	// Of what tells its progress in stages, everything but a backup and a restore.
	Stage, Stages int    // the stage, from 1, and how many there are; 0 is not known
	Doing         string // what it does in it, in words
	Done, Total   uint64 // of the stage: Percent is of that; a Total of 0 is not known
	Unit          string // what they count: "packs"
	Mute          bool   // this restic tells no progress of what it does

	// Waits is that restic waits for a lock, nil if it does not. Everything else is 0 then.
	Waits *topics.LockWait
}

// An Ending is how a run ended.
type Ending struct {
	State      topics.JobState  // Succeeded, Warnings, Failed or Cancelled
	Cause      topics.Cause     // none if State is Succeeded
	Message    string           // the best evidence in one line, restic's own words where it had some; "" if State is Succeeded
	ExitCode   *int             // nil if restic did not start or a signal ended it
	Signal     string           // that ended restic, as in "killed"
	Killed     bool             // it outlived the grace after a cancel and was killed
	Summary    *topics.Summary  // of a backup
	SnapshotID string           // as the summary names it: 8 digits from 0.14, 64 from later ones
	Snapshot   *topics.Snapshot // of a backup, as the repository lists it; if it could not be asked, as we know it from 0.15 on
	Result     *topics.Result   // of everything else; what is known of it after a failure, too
	Report     topics.Report    // its lists, in one part however long
	HostKeys   []topics.HostKey // those an SSH server showed that is not trusted
}

// LeavesLock reports whether restic had no chance to remove its own lock, so
// that an unlock is due before anything else can be done with the repository.
func (e Ending) LeavesLock() bool { return e.Killed || e.Signal != "" }

// failed returns the ending of a run in which restic was not started.
func failed(cause topics.Cause, err error) Ending {
	return Ending{State: topics.Failed, Cause: cause, Message: cut(clean(err.Error()), maxMessage)}
}
