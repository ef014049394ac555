package restic

import (
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// evidence is what restic's stderr says of a failure, in bounded memory.
type evidence struct {
	exitError []string // lines of the final JSON message of 0.18 and later
	fatal     []string // the last line that begins with Fatal, and what follows it
	notices   []string // the other lines: the first ones and the last ones
	signalled bool     // restic says a signal ended it
}

const maxNotices = 32

// line takes one line and says how loud it is. Lines that name files of the
// source are no evidence, a name can say anything.
func (e *evidence) line(line string) topics.Level {
	if len(line) > 4<<10 {
		line = cut(line, 4<<10)
	}
	switch {
	case strings.HasSuffix(line, ", skipping"), strings.HasPrefix(line, "error: "), strings.HasPrefix(line, "Warning: "),
		strings.HasPrefix(line, "Ignoring "):
		return topics.Warn
	case strings.Contains(line, "signal ") && strings.Contains(line, " received, cleaning up"):
		e.signalled = true
		return topics.Warn
	case strings.HasPrefix(line, "unable to open cache"):
		return topics.Warn
	case strings.HasPrefix(line, "Fatal: "):
		e.fatal = []string{line}
		return topics.Error
	case strings.HasPrefix(line, "unable to create lock in backend"):
		e.note(line)
		return topics.Error
	case len(e.fatal) > 0 && len(e.fatal) < 8:
		e.fatal = append(e.fatal, line)
		return topics.Error
	}
	e.note(line)
	return topics.Warn
}

func (e *evidence) note(line string) {
	if len(e.notices) == maxNotices {
		copy(e.notices[maxNotices/2:], e.notices[maxNotices/2+1:])
		e.notices = e.notices[:maxNotices-1]
	}
	e.notices = append(e.notices, line)
}

// judge finds the cause and the line that speaks for it. bare are the forms of
// the repository's location: a path is no evidence either.
func (e *evidence) judge(bare []string) (topics.Cause, string) {
	candidates := [][]string{e.exitError, e.fatal}
	for _, n := range e.notices {
		candidates = append(candidates, []string{n})
	}
	best := ""
	for _, lines := range candidates {
		for _, l := range lines {
			if l = strip(l); l == "" {
				continue
			}
			if best == "" {
				best = l
			}
			if cause := classify(l, bare); cause != topics.CauseUnknown {
				return cause, l
			}
		}
	}
	return topics.CauseUnknown, best
}

// strip takes restic's own prefix out, which it may put into a line twice.
func strip(line string) string {
	return strings.TrimSpace(strings.ReplaceAll(line, "Fatal: ", ""))
}

// A sign of a cause: all of these words are in the line.
type sign struct {
	cause topics.Cause
	words []string
}

// signs are asked in this order. What the network or the server says comes before
// the missing repository, since restic calls every failure to open one "unable to
// open config file", and up to 0.18 asks "Is there a repository?" after each.
var signs = []sign{
	{topics.CauseLocked, []string{"already locked"}},
	{topics.CauseLocked, []string{"invalid lock file"}}, // blocks as a lock does, and unlock --remove-all helps
	{topics.CausePassword, []string{"wrong password or no key found"}},
	{topics.CausePassword, []string{"an empty password is not"}},
	{topics.CausePassword, []string{"maximum number of keys reached"}},
	{topics.CauseSourceMissing, []string{"all target directories/files do not exist"}},
	{topics.CauseSourceMissing, []string{"all source directories/files do not exist"}},
	{topics.CauseCredentials, []string{"401 unauthorized"}},
	{topics.CauseCredentials, []string{"unable to open config file", "403 forbidden"}}, // nothing is deleted yet: the repository is another's
	{topics.CauseCredentials, []string{"create repository at", "403 forbidden"}},
	{topics.CauseCredentials, []string{"permission denied ("}}, // ssh names its methods
	{topics.CauseCredentials, []string{"signaturedoesnotmatch"}},
	{topics.CauseCredentials, []string{"invalidaccesskeyid"}},
	{topics.CauseCredentials, []string{"access key id you provided does not exist"}},
	{topics.CauseCredentials, []string{"request signature we calculated does not match"}},
	{topics.CauseCertificate, []string{"x509:"}},
	{topics.CauseCertificate, []string{"unable to read root certificate"}},
	{topics.CauseCertificate, []string{"tls: "}},
	{topics.CauseCertificate, []string{"host key verification failed"}},
	{topics.CauseUnreachable, []string{"connection refused"}},
	{topics.CauseUnreachable, []string{"no such host"}},
	{topics.CauseUnreachable, []string{"i/o timeout"}},
	{topics.CauseUnreachable, []string{"dial tcp"}},
	{topics.CauseUnreachable, []string{"dial unix"}},
	{topics.CauseUnreachable, []string{"network is unreachable"}},
	{topics.CauseUnreachable, []string{"no route to host"}},
	{topics.CauseUnreachable, []string{"connection timed out"}},
	{topics.CauseUnreachable, []string{"connection reset by peer"}},
	{topics.CauseUnreachable, []string{"handshake timeout"}},
	{topics.CauseUnreachable, []string{"client.timeout exceeded"}},
	{topics.CauseUnreachable, []string{"server gave http response to https client"}},
	{topics.CauseUnreachable, []string{"unexpected eof", "http"}},
	{topics.CauseUnreachable, []string{"502 bad gateway"}},
	{topics.CauseUnreachable, []string{"503 service unavailable"}},
	{topics.CauseUnreachable, []string{"504 gateway timeout"}},
	{topics.CauseNoRepository, []string{"repository does not exist"}},
	{topics.CauseNoRepository, []string{"unable to open config file", "does not exist"}},
	{topics.CauseNoRepository, []string{"unable to open config file", "no such file or directory"}},
	{topics.CauseNoRepository, []string{"unable to open config file", "cannot find the"}}, // Windows, of file and path
	{topics.CauseAppendOnly, []string{"403 forbidden"}},
	{topics.CauseAppendOnly, []string{"(403)"}},
	{topics.CauseDiskFull, []string{"no space left"}},
	{topics.CauseDiskFull, []string{"507 insufficient storage"}},
	{topics.CauseDiskFull, []string{"disk quota exceeded"}},
	{topics.CauseDiskFull, []string{"not enough space on the disk"}},
	{topics.CausePermission, []string{"permission denied"}},
	{topics.CausePermission, []string{"operation not permitted"}},
	{topics.CausePermission, []string{"access is denied"}},
	{topics.CausePermission, []string{"read-only file system"}},
	{topics.CauseDamaged, []string{"is damaged"}},
	{topics.CauseDamaged, []string{"ciphertext verification failed"}},
	{topics.CauseDamaged, []string{"invalid data returned"}},
	{topics.CauseDamaged, []string{"unmarshal: "}},
	{topics.CauseDamaged, []string{"not found in index"}},
	{topics.CauseDamaged, []string{"not found in repository"}},
	{topics.CauseDamaged, []string{"packs from index missing in repo"}},
	{topics.CauseUsage, []string{"unknown flag"}},
	{topics.CauseUsage, []string{"unknown shorthand flag"}},
	{topics.CauseUsage, []string{"unknown command"}},
	{topics.CauseUsage, []string{"invalid pattern"}},
	{topics.CauseUsage, []string{"parsing repository location failed"}},
	{topics.CauseUsage, []string{"please specify repository location"}},
	{topics.CauseUsage, []string{"nothing to backup, please specify"}},
	{topics.CauseUsage, []string{"invalid value for restic_"}},
	{topics.CauseUsage, []string{"not supported on windows"}},
}

// classify is the cause one line of restic's speaks for, CauseUnknown if it
// speaks for none. The text is the same in all versions, save where it is listed.
func classify(line string, bare []string) topics.Cause {
	for _, b := range bare {
		if len(b) > 1 {
			line = strings.ReplaceAll(line, b, "…")
		}
	}
	line = strings.ToLower(line)
	for _, s := range signs {
		if all(line, s.words) {
			return s.cause
		}
	}
	return topics.CauseUnknown
}

func all(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}
