package restic

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// A lockless is the part of an operation that only reads and yet takes a lock. Where no
// lock can be written, because the repository is full, read-only or refuses what is new,
// the operation is run once more without one: what is in the repository can be read all
// the same.
type lockless struct {
	noLock bool // take no lock

	stop    func()    // ends the run that tries for a lock
	begun   time.Time // of that run
	tries   int       // how often restic tried to write the lock
	last    string    // the last line that is an error's text
	refused string    // why no lock can be written, in restic's words; "" if one can, or if that is not known
}

// Bounds of waiting for a lock to be written. Restic renews a lock it has after five
// minutes: then a failure is no reason to begin anew.
const (
	lockTries = 5               // restic's own tries, where it is not said that none will do
	lockAge   = 4 * time.Minute // since restic was started
)

func (l *lockless) flags() []string {
	if l.noLock {
		return []string{"--no-lock"}
	}
	return nil
}

var (
	lockFailed  = regexp.MustCompile(`^(?:Fatal: )*unable to create lock in backend(?:: (.*))?$`)
	lockRetried = regexp.MustCompile(`^Save\(<lock/[0-9a-f]+>\) (?:returned error, retrying after [^:]+|failed): (.*)$`)
	lockTrace   = regexp.MustCompile(`^\s|^(?:github\.com|golang\.org|main|runtime)[./]`)
)

// listen looks in a line of restic's for the reason why it can write no lock. If that
// is one that no waiting mends, it ends the run.
func (l *lockless) listen(line string) {
	if l.noLock || l.refused != "" {
		return
	}
	if m := lockFailed.FindStringSubmatch(line); m != nil {
		why := or(m[1], l.last) // 0.14 says why before the stack
		if verdictOf(why) != lockHeld {
			l.refused = or(why, line)
		}
		return
	}
	if m := lockRetried.FindStringSubmatch(line); m != nil {
		l.last = m[1]
		l.tries++
		v := verdictOf(m[1])
		if v == lockRefused || v == lockDoubtful && l.tries >= lockTries {
			if l.stop != nil && time.Since(l.begun) < lockAge {
				l.refused = m[1]
				l.stop()
			}
		}
		return
	}
	if strings.TrimSpace(line) != "" && !lockTrace.MatchString(line) {
		l.last = line
	}
}

// A verdict says what a failure to write a lock means.
type verdict int

const (
	lockDoubtful verdict = iota // nobody knows; restic's further tries tell
	lockRefused                 // the repository takes nothing new
	lockHeld                    // another holds the repository, or it cannot be reached: nothing can be read either
)

// lockHolds are words of failures that reading without a lock would not mend, or must
// not: another process may be removing what would be read.
var lockHolds = []string{
	"already locked",
	"invalid lock file",
	"ciphertext verification failed", // of a lock that is there
	"context canceled",
	"connection refused",
	"connection reset",
	"broken pipe",
	"no such host",
	"i/o timeout",
	"dial tcp",
	"dial unix",
	"timeout exceeded",
	"handshake timeout",
	"connection timed out",
	"network is unreachable",
	"no route to host",
	"connection lost",
	"x509:",
	"tls: ",
	"408 request timeout",
	"429 too many requests",
	"502 bad gateway",
	"503 service unavailable",
	"504 gateway timeout",
	"reduce your request rate", // S3's slow down
	": eof",
	"unexpected eof",
}

// lockRefusals are the ends of the reasons for which a repository takes nothing new,
// as systems and servers say them.
var lockRefusals = []string{
	"read-only file system",    // Linux, BSD
	"media is write protected", // Windows
	"no space left on device",  // Linux, and restic's own word of an SFTP server
	"not enough space on the disk",
	"disk quota exceeded",
	"storage quota was exceeded", // Windows
	"permission denied",
	"operation not permitted", // an immutable directory
	"access is denied",        // Windows
	"401 unauthorized",        // to write: what opens the repository was read before
	"403 forbidden",
	"405 method not allowed",
	"501 not implemented",
	"507 insufficient storage",
	"access denied",        // S3
	"accessdenied",         // S3
	"storage cap exceeded", // B2
	"quota exceeded",
	"quotaexceeded",
	"minimum free drive threshold", // MinIO
}

// verdictOf judges the reason why a lock was not written. Words of the server or the
// system stand at its end; names, which can hold anything, before them.
func verdictOf(why string) verdict {
	why = strings.ToLower(strings.TrimSpace(why))
	for _, w := range lockHolds {
		if strings.Contains(why, w) || why == "eof" {
			return lockHeld
		}
	}
	end := why
	if i := strings.LastIndex(strings.TrimSuffix(why, ": "), ": "); i >= 0 {
		end = why[i+2:]
	}
	for _, w := range lockRefusals {
		if strings.Contains(end, w) {
			return lockRefused
		}
	}
	return lockDoubtful
}

var errNoLock = errors.New("no lock can be written")

// A locker is an operation that only reads and takes a lock all the same.
type locker interface {
	operation
	lock() *lockless
	anew() locker // the same, as it was before it was run
}

func (l *lockless) lock() *lockless { return l }

// unlocked runs an operation, and once more without a lock if none can be written.
// Ending.Result says so, if there is one. done says what is done: "restored".
func (b Binary) unlocked(ctx context.Context, place Place, repository Repository, op locker, done string, sink Sink) Ending {
	trying, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	second, l := op.anew(), op.lock()
	l.begun, l.stop = time.Now(), func() { cancel(errNoLock) }
	e := b.run(trying, place, repository, op, sink)
	if l.refused == "" || ctx.Err() != nil || e.State != topics.Failed && e.State != topics.Cancelled {
		return e
	}
	why := cut(l.refused, maxMessage/2)
	sink.Line(topics.Warn, done+" without a lock, since none could be written: "+why+". The repository can be read all the same; "+
		"a prune at the same time could remove what is being read")
	second.lock().noLock = true
	e = b.run(ctx, place, repository, second, sink)
	if e.Result != nil {
		e.Result.NoLock = why
	}
	return e
}
