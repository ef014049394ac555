package restic

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// Restic repeats what its storage did not do: up to 0.16 ten times, from 0.17 on for 15
// minutes, and asks nothing whether it can ever succeed. S3 from 0.18 on is asked for 14
// minutes with a key that it does not know. So each of its lines is judged as it arrives.
//
// A refusal is an answer that no repetition mends: the key is unknown, the signature is
// wrong, there is no such bucket, the certificate is not trusted. It ends the run, with a
// cause of its own. How often it has to be said:
//
//   - While restic still opens the repository nothing can be lost: once, where the words
//     leave no doubt. Answers that a proxy, a clock that is just being set or rights that
//     have just been given may cause for a moment (401, 403, "access denied", "request time
//     too skewed") twice, which takes restic a second.
//   - Later, of one and the same operation, doubtTries times in a row over doubtSpan: a
//     backup of hours does not end for a moment's answer, and what was saved so far stays
//     in the repository.
//
// Everything else is trouble: it may pass, and is told until it has passed. A file that is
// not there (NoSuchKey) is neither: restic knows what to do then.
const (
	doubtTries = 5                // restic gets there after 15 s
	doubtSpan  = 30 * time.Second // of its own pauses, the sixth at the latest
	maxTried   = 64               // operations that are being repeated
	maxSaid    = 16               // lines of rclone: it does five things at a time
	stale      = 10 * time.Minute // after which a repetition that was announced is not awaited any more
)

var (
	retried = regexp.MustCompile(`^([A-Z][a-z]+\(.*?\)) returned error, retrying after ([0-9][0-9a-zµ.]*): (.*)$`)
	gaveUp  = regexp.MustCompile(`^([A-Z][a-z]+\(<?[a-z]+.*?\)) failed: (.*)$`) // from 0.17 on
)

// opens are the operations by which restic gets into a repository, whatever it does there.
var opens = regexp.MustCompile(`^(?:Stat|Load|List)\(<?(?:config|key)\b`)

// A Trouble is what the storage answers to what restic is repeating.
type Trouble struct {
	Words string // of the storage, as restic gives them; no secrets
	Code  int    // HTTP's, 0 if none is named
	Mute  bool   // it does not answer at all
	Since time.Time
	Times int       // how often it was said, of all that is repeated just now
	Again time.Time // when restic tries the next time
}

// tries are the operations of one run that restic is repeating. Its zero value is none.
type tries struct {
	of    map[string]*try
	order []string // the latest last
	since time.Time
	times int
	open  bool // restic has got into the repository

	answers string // the operation of which the storage's answer goes on in the next lines, "" if none does
	answer  answer

	rclone []string // why it failed, the latest last: what restic gets of that is a mere 500
}

// rcloneSays finds what rclone says of a file.
var rcloneSays = regexp.MustCompile(`^rclone: \S+ \S+ ERROR : (.+)$`)

// note keeps what rclone says; restic's line follows.
func (t *tries) note(line string) {
	if m := rcloneSays.FindStringSubmatch(line); m != nil {
		if len(t.rclone) == maxSaid {
			t.rclone = slices.Delete(t.rclone, 0, 1)
		}
		t.rclone = append(t.rclone, m[1])
	}
}

// said returns what rclone said last of the file that an operation is about, "" if nothing.
func (t *tries) said(subject string) string {
	m := fileOf.FindStringSubmatch(subject)
	if m == nil {
		return ""
	}
	for _, words := range slices.Backward(t.rclone) {
		if name, why, ok := strings.Cut(words, ": "); ok && strings.Contains(name, m[1]) {
			return why
		}
	}
	return ""
}

// fileOf finds the name of a file, of which restic writes the beginning.
var fileOf = regexp.MustCompile(`\(<(?:[a-z]+/)?([0-9a-z]+)/?>`)

type try struct {
	refusals int // in a row
	refused  time.Time
	words    string
	due      time.Time
}

// A refusal is why a run was ended that the storage refuses.
type refusal struct {
	cause topics.Cause
	line  string
}

func (r *refusal) Error() string { return r.line }

// take looks at a line of stderr. ours reports whether it speaks of a repetition, and no
// is set if the run cannot succeed any more.
func (t *tries) take(line string, in bounds, op operation, now time.Time) (ours bool, no *refusal) {
	if what, yes := successOf(line); yes {
		t.over(what)
		return true, nil
	}
	if len(t.of) > 0 && strings.Contains(line, " failed: ") {
		if m := gaveUp.FindStringSubmatch(line); m != nil && t.of[m[1]] != nil {
			t.over(m[1])
			return true, nil
		}
	}
	if !strings.Contains(line, " returned error, retrying after ") { // sooner found than that it does not match
		if strings.HasPrefix(line, "rclone: ") {
			t.note(line)
			return false, nil
		}
		return t.goesOn(line, in, op, now)
	}
	m := retried.FindStringSubmatch(line)
	if m == nil {
		return t.goesOn(line, in, op, now)
	}
	subject, why := m[1], m[3]
	if says := t.said(subject); says != "" && strings.Contains(why, "500") {
		why += "; rclone: " + says
	}
	pause, _ := time.ParseDuration(m[2]) // what is none is at once
	one := t.of[subject]
	if one == nil {
		if t.of == nil {
			t.of = map[string]*try{}
		}
		if len(t.order) == maxTried {
			t.over(t.order[0])
		}
		one = &try{}
		t.of[subject] = one
	}
	if len(t.of) == 1 && t.since.IsZero() {
		t.since, t.times = now, 0
	}
	t.order = append(slices.DeleteFunc(t.order, func(s string) bool { return s == subject }), subject)
	t.times++
	one.words, one.due = why, now.Add(pause)
	t.open = t.open || !opens.MatchString(subject)
	if t.answers = ""; t.answer.begins(why) {
		t.answers = subject
		return true, nil
	}
	return true, t.judge(subject, one, in, op, now)
}

// Azure's libraries word an answer in several lines: what was asked, a rule, the status and a
// code, a rule, the body, a rule.
var (
	azureAsked = regexp.MustCompile(`(?:^|: )(?:GET|HEAD|PUT|POST|DELETE|PATCH) https?://\S+$`)
	azureRule  = strings.Repeat("-", 80)
)

const azureCode = "ERROR CODE"

// An answer is what is still to come of one of several lines.
type answer struct{ more, rules int }

// begins reports whether what a storage answers follows a line.
func (a *answer) begins(line string) bool {
	*a = answer{}
	if azureAsked.MatchString(line) {
		*a = answer{more: 40, rules: 3}
	}
	return a.more > 0
}

// takes reports whether a line is one more of the answer. said is what it adds to the first one: the
// status and the code do, the body says nothing else.
func (a *answer) takes(line string) (said string, ours bool) {
	if a.more == 0 || ofRestic.MatchString(line) {
		*a = answer{}
		return "", false
	}
	a.more--
	switch {
	case line == azureRule:
		if a.rules--; a.rules == 0 {
			*a = answer{}
		}
	case strings.HasPrefix(line, "RESPONSE "), strings.HasPrefix(line, azureCode):
		return cut(line, maxMessage), true
	}
	return "", true
}

// goesOn takes a line that may be one more of the answer to what is repeated. The answer is
// judged once its code has come, which the first line does not have.
func (t *tries) goesOn(line string, in bounds, op operation, now time.Time) (ours bool, no *refusal) {
	one := t.of[t.answers]
	said, ours := t.answer.takes(line)
	if one == nil || !ours {
		t.answers = ""
		return false, nil
	}
	if said != "" {
		one.words += ": " + said
	}
	if strings.HasPrefix(said, azureCode) {
		return true, t.judge(t.answers, one, in, op, now)
	}
	return true, nil
}

// judge returns why the run ends that repeats an operation, nil if it goes on.
func (t *tries) judge(subject string, one *try, in bounds, op operation, now time.Time) *refusal {
	cause, certain := refuses(subject, one.words, in)
	if cause == topics.CauseNone || !matters(subject, op) {
		one.refusals = 0
		return nil
	}
	if one.refusals++; one.refusals == 1 {
		one.refused = now
	}
	if !t.open && (certain || one.refusals > 1) || one.refusals >= doubtTries && now.Sub(one.refused) >= doubtSpan {
		return &refusal{cause, one.words}
	}
	return nil
}

// over notes that an operation is not repeated any more.
func (t *tries) over(subject string) {
	delete(t.of, subject)
	t.order = slices.DeleteFunc(t.order, func(s string) bool { return s == subject })
	if len(t.of) == 0 {
		t.since = time.Time{}
	}
}

// moved notes that restic got on. Up to 0.15 it does not say that a repetition succeeded.
func (t *tries) moved(now time.Time, says bool) {
	t.open = true
	for _, subject := range slices.Clone(t.order) {
		if due := t.of[subject].due; !says && now.After(due) || now.After(due.Add(stale)) {
			t.over(subject)
		}
	}
}

// now is what troubles the run, nil if nothing does.
func (t *tries) now() *Trouble {
	if len(t.order) == 0 {
		return nil
	}
	last := t.of[t.order[len(t.order)-1]]
	out := &Trouble{Words: cut(last.words, maxMessage), Since: t.since, Times: t.times, Again: last.due}
	low := strings.ToLower(last.words)
	if codes := statuses(low); len(codes) > 0 {
		out.Code, _ = strconv.Atoi(codes[0])
	} else if strings.Contains(low, "slow down") ||
		strings.Contains(low, "reduce your request") || strings.Contains(low, "reduce your concurrent") {
		out.Code = 503 // what S3 words that has
	}
	out.Mute = out.Code == 0 && slices.ContainsFunc(silences, func(w string) bool { return strings.Contains(low, w) })
	return out
}

// silences are the words for a server that does not answer, of whoever waited for it.
var silences = []string{"request timeout", "client.timeout", "timeout awaiting response", "i/o timeout", "deadline exceeded",
	"timed out", "no route to host"}

// refuses returns the cause if the reason of a repetition is a refusal, and whether its
// words leave no doubt.
func refuses(subject, why string, in bounds) (cause topics.Cause, certain bool) {
	low := strings.ToLower(in.mask(why))
	removes := strings.HasPrefix(subject, "Remove(")
	if removes && !strings.HasPrefix(low, "remove(") {
		low = "remove(<" + low // for the signs of whoever may not delete
	}
	codes := statuses(low)
	if missing := slices.Contains(codes, "404") || slices.Contains(codes, "410"); missing && ask(telling, low) != topics.CauseNoRepository {
		return topics.CauseNone, false
	}
	cause = ask(telling, low)
	switch cause {
	case topics.CauseCredentials, topics.CauseCertificate, topics.CausePermission, topics.CauseNoRepository, topics.CauseUsage:
	case topics.CauseAppendOnly:
		if !removes { // nothing was to be deleted
			cause = topics.CauseCredentials
		}
	default:
		return topics.CauseNone, false
	}
	for _, w := range doubtful {
		if strings.Contains(low, w) {
			return cause, false
		}
	}
	passes := slices.ContainsFunc(codes, func(c string) bool { return c[0] == '4' && c != "404" || c == "501" })
	return cause, cause != topics.CausePermission && !passes
}

// doubtful are words of refusals that a moment may cause.
var doubtful = []string{"access denied", "accessdenied", "forbidden", "unauthorized", "not authorized", "authorization failed",
	"permission denied", "too skewed", "server's time is too large", "tooskewed", "unauthenticated", "is not yet valid", "moved permanently"}

// matters reports whether a run can do without an operation that is refused. A lock that
// cannot be removed stays, and one that cannot be written is another's decision; see lockless.
func matters(subject string, op operation) bool {
	switch op := op.(type) {
	case initialisation: // not while it is half made
		return opens.MatchString(subject)
	case *unlock:
		return true
	case locker:
		if strings.HasPrefix(subject, "Save(<lock/") && !op.lock().noLock {
			return false
		}
	}
	return !strings.HasPrefix(subject, "Remove(<lock/")
}
