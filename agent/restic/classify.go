package restic

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// evidence is what restic's stderr says of a failure, in bounded memory.
type evidence struct {
	exitError []string // lines of the final JSON message of 0.18 and later
	fatal     []string // the last line that begins with Fatal, and what follows it
	ssh       []string // ssh's own words, which neither restic nor the server had a hand in
	notices   []string // the other lines: the first ones and the last ones
	signalled bool     // restic says a signal ended it
	ofFile    bool     // the last line named a file, whose name may go on in the next

	answer answer    // what is still to come of one of several lines, which counts as one
	to     *[]string // of the lines to whose last one it belongs
	loud   topics.Level
}

const maxNotices = 32

// ofFiles lists how the lines begin that name a file of the source or of a target. A
// name may hold anything, the end of a line as well: what follows is the name's until a
// line begins as one of restic's own does.
var (
	ofFiles  = []string{"scan: ", "ignoring error for ", "incomplete metadata for "}
	ofRestic = regexp.MustCompile(`^(Fatal: |Warning: |Ignoring |unable to |subprocess |rclone: |repository |signal |panic: |fatal error: |` +
		`runtime: |[A-Z][a-z]+\(<?[a-z]+)`)
)

// succeeded is what restic says of an operation that it had to repeat, from 0.17 on.
var succeeded = regexp.MustCompile(`^(.+\(.*\)) operation successful after \d+ retries`)

// successOf returns the operation that a line says has succeeded at last.
func successOf(line string) (operation string, yes bool) {
	if !strings.Contains(line, "operation successful after ") {
		return "", false
	}
	m := succeeded.FindStringSubmatch(line)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// line takes one line and says how loud it is. Lines that name files of the
// source are no evidence, a name can say anything.
func (e *evidence) line(line string) topics.Level {
	if len(line) > 4<<10 {
		line = cut(line, 4<<10)
	}
	ofFile := slices.ContainsFunc(ofFiles, func(p string) bool { return strings.HasPrefix(line, p) })
	if e.ofFile = ofFile || e.ofFile && !ofRestic.MatchString(line); e.ofFile {
		return topics.Warn
	}
	if said, ours := e.answer.takes(line); ours {
		if said != "" {
			last := len(*e.to) - 1
			(*e.to)[last] = cut((*e.to)[last]+": "+said, 4<<10)
		}
		return e.loud
	}
	level := e.first(line)
	if e.answer.begins(line) {
		if e.to, e.loud = &e.notices, level; len(e.fatal) > 0 {
			e.to = &e.fatal
		}
		if n := len(*e.to); n == 0 || (*e.to)[n-1] != line {
			e.answer = answer{} // it is no evidence
		}
	}
	return level
}

// first takes a line that is no part of one before it.
func (e *evidence) first(line string) topics.Level {
	what, passed := successOf(line)
	switch {
	case strings.HasSuffix(line, ", skipping"), strings.HasPrefix(line, "error: "), strings.HasPrefix(line, "Warning: "),
		strings.HasPrefix(line, "Ignoring "):
		return topics.Warn
	case strings.Contains(line, "signal ") && strings.Contains(line, " received, cleaning up"):
		e.signalled = true
		return topics.Warn
	case strings.HasPrefix(line, "unable to open cache"):
		return topics.Warn
	case passed: // what was tried before
		what += " "
		e.notices = slices.DeleteFunc(e.notices, func(n string) bool { return strings.HasPrefix(n, what) })
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

// judge finds the cause and the line that speaks for it: the first line that tells what
// happened, of restic's last word, then of what was said before; then the first that only
// says that something broke off.
func (e *evidence) judge(in bounds) (topics.Cause, string) {
	candidates := slices.Concat(e.exitError, e.fatal, e.ssh, e.notices)
	best := ""
	for _, signs := range [][]sign{telling, vague} {
		for _, l := range candidates {
			if l = strip(l); l == "" {
				continue
			}
			best = cmp.Or(best, l)
			if cause := ask(signs, in.mask(l)); cause != topics.CauseUnknown {
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

// classify returns the cause that one line speaks for, CauseUnknown if it speaks for none.
func classify(line string, in bounds) topics.Cause {
	line = in.mask(line)
	if cause := ask(telling, line); cause != topics.CauseUnknown {
		return cause
	}
	return ask(vague, line)
}

// ask returns the cause of the first sign that is in a line, in which paths are masked.
// What ssh prints may be the server's greeting, which says anything: only ssh's own words
// count there.
func ask(signs []sign, line string) topics.Cause {
	line = strings.TrimSpace(strings.ToLower(line))
	codes := statuses(line)
	ssh := strings.HasPrefix(line, "subprocess ")
	for _, s := range signs {
		if (!ssh || strings.Contains(s.from, "ssh")) && s.in(line, codes) {
			return s.cause
		}
	}
	return topics.CauseUnknown
}

// bounds are the places that lines of a run name. A name below one of them is no
// evidence, and a full disk is the disk of the place that the line names.
type bounds struct {
	repository []string // forms of its location, as they turn up in restic's and rclone's messages
	host       []string // the directories for temporary files and the cache
	source     []string // what is saved, or what is restored to
}

// mask puts a sign for each path below one of the places, which ends at a quote or a
// colon before a space. Names of a source may hold such a colon, too.
func (in bounds) mask(line string) string {
	type place struct{ root, mark string }
	var places []place
	add := func(mark string, roots []string) {
		for _, r := range roots {
			if r = strings.TrimRight(r, `/\`); len(r) > 1 {
				places = append(places, place{r, mark})
			}
		}
	}
	add(atRepository, in.repository)
	add(atHost, in.host)
	add(atSource, in.source)
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(len(b.root), len(a.root)) })
	for _, p := range places {
		from := 0
		for {
			i := strings.Index(line[from:], p.root)
			if i < 0 {
				break
			}
			begin := from + i
			end := begin + len(p.root)
			if from = end; begin > 0 && !strings.ContainsRune(" \"'`:(<=@/", rune(line[begin-1])) ||
				end < len(line) && !strings.ContainsRune(" \"'`:,)>/\\?", rune(line[end])) {
				continue // part of another name
			}
			if end < len(line) && (line[end] == '/' || line[end] == '\\') {
				if n := strings.IndexAny(line[end:], "\"'`"); n >= 0 {
					end += n
				} else {
					end = len(line)
				}
				n := strings.Index(line[begin:end], ": ")
				if p.mark == atSource {
					n = strings.LastIndex(line[begin:end], ": ")
				}
				if n >= 0 {
					end = max(from, begin+n)
				}
			}
			line = line[:begin] + p.mark + line[end:]
			from = begin + len(p.mark)
		}
	}
	return line
}
