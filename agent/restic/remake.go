package restic

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

// Tag changes the tags of snapshots: To says which a snapshot has afterwards that has
// these now. restic makes a new snapshot of each and removes the old one.
type Tag struct {
	IDs       []string
	Words     string // what is asked for, as in "add gold"
	Add       []string
	Remove    []string
	Set       bool // all tags are replaced; else Add and Remove say how
	To        func(tags []string) []string
	RetryLock time.Duration // how long to wait for a lock; 0.14 cannot wait
}

// Rewrite takes what patterns fit out of snapshots. restic makes a new snapshot of each and
// removes the old one; the data stays until it is pruned. Digest is what a dry run has to
// find anew before anything is changed.
type Rewrite struct {
	IDs        []string
	Exclude    []string
	IgnoreCase bool
	DryRun     bool
	Digest     string
	RetryLock  time.Duration
}

// RepairSnapshots takes out of snapshots what is lost for good. A dry run with no IDs looks
// at all of them.
type RepairSnapshots struct {
	IDs       []string
	DryRun    bool
	Digest    string
	RetryLock time.Duration
}

// lacks says that this restic is too old for something.
func (b Binary) lacks(f since.Feature) (Ending, bool) {
	if b.Version.Has(f) {
		return Ending{}, false
	}
	return failed(topics.CauseNoRestic, fmt.Errorf("restic on this host is %s, and %s takes %s or newer", b.Version, f.What, f.Since)), true
}

// tagging is one run of restic's tag.
type tagging struct {
	silent
	heard
	flags     []string
	ids       []string
	asked     string
	retryLock time.Duration
}

// heard is the part of an operation that remembers what restic said went wrong, even if it
// thinks nothing of it.
type heard struct {
	cause topics.Cause
	line  string
}

func (h *heard) found(o *output, _ *Ending) { h.cause, h.line = o.evidence.judge(o.bounds) }

func (t *tagging) found(o *output, e *Ending) { t.heard.found(o, e) }

func (t *tagging) args(v Version, _ string) ([]string, error) {
	if err := whole(t.ids); err != nil {
		return nil, err
	}
	args := []string{"tag"}
	if v.Has(since.TagJSON) {
		args = append(args, "--json")
	}
	return slices.Concat(args, retry(v, t.retryLock), t.flags, []string{"--"}, t.ids), nil
}

func (t *tagging) words() string { return "tag, " + t.asked + ", " + several(len(t.ids), "snapshot") }

// read knows the lines of 0.18 and newer; before, all is text.
func (t *tagging) read(_ *output, line []byte) bool {
	return strings.HasPrefix(string(line), `{"message_type":"changed"`) || strings.HasPrefix(string(line), `{"message_type":"summary"`)
}

// whole refuses a command line that names no snapshot: restic would take all.
func whole(ids []string) error {
	if len(ids) == 0 {
		return errors.New("there is no snapshot to work on")
	}
	for _, id := range ids {
		if len(id) != 64 || !hexID.MatchString(id) {
			return fmt.Errorf("%.80q is no whole snapshot ID", id)
		}
	}
	return nil
}

// Tag changes tags and looks what became of each snapshot, into Ending.Result.Remade and
// Ending.Report: restic succeeds even where a server lets it remove nothing, and each
// snapshot is there twice then.
func (b Binary) Tag(ctx context.Context, place Place, repository Repository, how Tag, sink Sink) Ending {
	before, e := b.before(ctx, place, repository, sink)
	if e.State != topics.Succeeded {
		return e
	}
	m := remaking{chosen: how.IDs, before: before, fits: func(old, now topics.Snapshot) bool {
		return now.Tree == old.Tree && sameTags(now.Tags, how.To(old.Tags))
	}}
	groups := map[string][]string{} // by what they are to have, where that is said whole
	var order []string
	for _, id := range how.IDs {
		old, there := before[id]
		if !there || sameTags(old.Tags, how.To(old.Tags)) {
			continue
		}
		key := ""
		if how.Set {
			key = strings.Join(how.To(old.Tags), ",")
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], id)
		m.meant = append(m.meant, id)
	}
	var op *tagging
	for _, key := range order {
		var flags []string
		if how.Set {
			flags = append(flags, "--set="+key)
		}
		for _, t := range how.Add {
			flags = append(flags, "--add="+t)
		}
		for _, t := range how.Remove {
			flags = append(flags, "--remove="+t)
		}
		for ids := range slices.Chunk(groups[key], perForget) {
			e = b.patient(ctx, place, repository, topics.ExclusiveLock, how.RetryLock, sink, func() Ending {
				op = &tagging{flags: flags, ids: ids, asked: how.Words, retryLock: how.RetryLock}
				return b.run(ctx, place, repository, op, sink)
			})
			if e.State != topics.Succeeded {
				return b.settle(ctx, place, repository, m, e, op.heard, sink)
			}
		}
	}
	if op == nil {
		return b.settle(ctx, place, repository, m, Ending{State: topics.Succeeded}, heard{}, sink)
	}
	return b.settle(ctx, place, repository, m, e, op.heard, sink)
}

// sameTags compares tags in whatever order.
func sameTags(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// A remaking is a job that has restic make new snapshots of old ones.
type remaking struct {
	chosen []string                   // snapshots, by their whole IDs
	meant  []string                   // of them, those that are to be another afterwards
	before map[string]topics.Snapshot // what there was
	items  map[string]uint64          // what each of them loses
	// fits reports whether a snapshot is what an old one was to become; nil is any that was
	// made of it.
	fits func(old, now topics.Snapshot) bool
}

// before lists what there is, for a job that is to say what it changed.
func (b Binary) before(ctx context.Context, place Place, repository Repository, sink Sink) (map[string]topics.Snapshot, Ending) {
	list := b.Snapshots(ctx, place, repository, Snapshots{}, sink)
	if list.State != topics.Succeeded {
		return nil, list
	}
	all := make(map[string]topics.Snapshot, len(list.Report.Snapshots))
	for _, s := range list.Report.Snapshots {
		all[s.ID] = s
	}
	return all, Ending{State: topics.Succeeded}
}

// settle looks what became of each snapshot, whatever restic said. e is how restic ended;
// one that was never begun changed nothing.
func (b Binary) settle(ctx context.Context, place Place, repository Repository, m remaking, e Ending, said heard, sink Sink) Ending {
	after := m.before
	if e.ExitCode != nil || e.Signal != "" {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.Timing.orDefault().Confirm)
		defer cancel()
		quiet := &hold{Sink: sink}
		list := b.Snapshots(ctx, place, repository, Snapshots{}, quiet)
		if list.State != topics.Succeeded || list.Result.Truncated || len(list.Result.Unreadable) > 0 {
			quiet.release()
			e.Report, e.Result = topics.Report{}, nil
			if e.State == topics.Succeeded {
				e.State, e.Cause = topics.Failed, list.Cause
				e.Message = cut("restic says that it is done, but what became of the snapshots could not be looked up: "+
					or(list.Message, "some of them cannot be read"), maxMessage)
			}
			return e
		}
		after = make(map[string]topics.Snapshot, len(list.Report.Snapshots))
		for _, s := range list.Report.Snapshots {
			after[s.ID] = s
		}
	} else if e.State != topics.Succeeded {
		return e
	}
	result := &topics.Remade{}
	for _, r := range m.became(after) {
		result.Count(r)
		e.Report.Replacements = append(e.Report.Replacements, r)
	}
	e.Result = &topics.Result{Remade: result, Count: len(e.Report.Replacements)}
	sink.Line(topics.Info, remadeInWords(*result))
	if bad := result.Doubled + result.Left + result.Lost; bad > 0 {
		why := fmt.Sprintf("%d of %s are not as they were to be: %s", bad, several(len(m.chosen), "snapshot"), remadeInWords(*result))
		if e.State == topics.Succeeded {
			e.State, e.Cause, e.Message = topics.Failed, said.cause, "restic says that it is done, but "+why
			if said.line != "" {
				e.Message += "; restic said: " + said.line
			}
		} else if result.Doubled+result.Lost > 0 {
			e.Message = strings.TrimSuffix(e.Message, ".") + "; " + why
		}
		e.Message = cut(e.Message, maxMessage)
	}
	return e
}

// became pairs each chosen snapshot with what was made of it.
func (m remaking) became(after map[string]topics.Snapshot) (list []topics.Replacement) {
	taken := map[string]bool{}
	ids := make([]string, 0, len(after))
	for id := range after {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { // what was not there before comes first
		if _, was := m.before[a]; was != (func() bool { _, w := m.before[b]; return w })() {
			if was {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	for _, id := range m.chosen {
		r := topics.Replacement{Snapshot: id, Items: m.items[id]}
		old, was := m.before[id]
		_, still := after[id]
		if was && slices.Contains(m.meant, id) {
			for _, other := range ids {
				now := after[other]
				if other != id && !taken[other] && madeOf(old, now) && (m.fits == nil && now.Tree != old.Tree || m.fits != nil && m.fits(old, now)) {
					taken[other], r.By = true, &now
					break
				}
			}
		}
		switch {
		case !was:
			r.Became = topics.BecameMissing
		case !slices.Contains(m.meant, id) && still:
			r.Became = topics.BecameUnchanged
		case r.By != nil && !still:
			r.Became = topics.BecameChanged
		case r.By != nil:
			r.Became = topics.BecameDoubled
		case still:
			r.Became = topics.BecameLeft
		default:
			r.Became = topics.BecameLost
		}
		if r.Became != topics.BecameChanged && r.Became != topics.BecameDoubled {
			r.Items = 0
		}
		list = append(list, r)
	}
	return list
}

// madeOf reports whether restic made a snapshot of another: a tag keeps what that was made
// of itself.
func madeOf(old, now topics.Snapshot) bool {
	return now.Original != "" && (now.Original == old.ID || now.Original == old.Original) && now.Time == old.Time && now.Host == old.Host &&
		slices.Equal(now.Paths, old.Paths)
}

func remadeInWords(r topics.Remade) string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{r.Changed, "changed"}, {r.Unchanged, "as they were to be already"}, {r.Removed, "removed, as nothing was left of them"},
		{r.Doubled, "there twice, since the old one could not be removed"}, {r.Left, "as they were"}, {r.Missing, "not there any more"},
		{r.Lost, "gone without another in their place"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "no snapshot"
	}
	return strings.Join(parts, ", ")
}

// A reworking is one run of restic's rewrite or repair snapshots, which say in text what
// they take out of which snapshot.
type reworking struct {
	silent
	heard
	command   []string // "rewrite", or "repair", "snapshots"
	exclude   []string
	caseless  bool
	ids       []string // none is all there are
	dryRun    bool
	retryLock time.Duration

	at    string // the beginning of the ID of the snapshot that the lines are about
	said  map[string]*losing
	all   []topics.Taken
	count int // of what is kept of all, over all runs
}

// losing is what one snapshot loses, by the beginning of its ID.
type losing struct {
	items uint64
	saves bool // another is made
	empty bool // nothing is left
	sum   [4]uint64
}

func (r *reworking) args(v Version, dir string) ([]string, error) {
	if !r.dryRun || len(r.ids) > 0 {
		if err := whole(r.ids); err != nil {
			return nil, err
		}
	}
	args := slices.Clone(r.command)
	if len(r.exclude) > 0 {
		var lines strings.Builder
		for _, e := range r.exclude {
			line, err := excludeLine(e, "")
			if err != nil {
				return nil, err
			}
			lines.WriteString(line + "\n")
		}
		file, err := write(dir, "excludes", lines.String())
		if err != nil {
			return nil, err
		}
		flag := "--exclude-file"
		if r.caseless {
			flag = "--iexclude-file"
		}
		args = append(args, flag, file)
		if v.Has(since.SaysExcluded) { // before, it says what it takes out whoever asks
			args = append(args, "--verbose=2")
		}
	}
	if r.dryRun {
		args = append(args, "--dry-run")
	} else {
		args = append(args, "--forget")
	}
	args = append(args, retry(v, r.retryLock)...)
	if len(r.ids) > 0 {
		args = append(append(args, "--"), r.ids...)
	}
	return args, nil
}

func (r *reworking) words() string {
	s := strings.Join(r.command, " ")
	if n := len(r.exclude); n > 0 {
		s += ", " + several(n, "exclude")
	}
	if r.dryRun {
		s += ", --dry-run"
	}
	if len(r.ids) == 0 {
		return s + ", all snapshots"
	}
	return s + ", " + several(len(r.ids), "snapshot")
}

var (
	reworkAt      = regexp.MustCompile(`^snapshot ([0-9a-f]{8,64}) of `)
	reworkExclude = regexp.MustCompile(`^excluding (.+)$`)
	reworkEntry   = regexp.MustCompile(`^ *(file|dir) ("(?:[^"\\]|\\.)*"): (.+)$`)
)

// entryWhat says what happened to an entry, by restic's words.
var entryWhat = []struct{ begins, what string }{
	{"removed missing content", topics.TakenContent},
	{"replaced with empty directory", topics.TakenFolder},
	{"not readable", topics.TakenAll},
	{"removed node with invalid type", topics.TakenNode},
	{"fixed incorrect size", topics.TakenSize},
}

func (r *reworking) read(o *output, line []byte) bool {
	text := string(line)
	if m := reworkAt.FindStringSubmatch(text); m != nil {
		r.at = m[1][:8]
		if r.said[r.at] == nil {
			r.said[r.at] = &losing{}
		}
		return false
	}
	now := r.said[r.at]
	if now == nil {
		return false
	}
	switch bare := strings.TrimSpace(text); {
	case strings.HasPrefix(bare, "would save new snapshot"), strings.HasPrefix(bare, "saved new snapshot"):
		now.saves = true
		return false
	case strings.HasPrefix(bare, "would delete empty snapshot"), strings.HasPrefix(bare, "removed empty snapshot"):
		now.empty = true
		return false
	}
	path, what := "", ""
	if m := reworkExclude.FindStringSubmatch(text); m != nil {
		path, what = m[1], topics.TakenOut
	} else if m := reworkEntry.FindStringSubmatch(text); m != nil {
		path = m[2]
		for _, e := range entryWhat {
			if strings.HasPrefix(m[3], e.begins) {
				what = e.what
			}
		}
	}
	if what == "" {
		return false
	}
	if plain, err := strconv.Unquote(path); err == nil {
		path = plain
	}
	if what != topics.TakenSize {
		now.items++
	}
	now.add(path, what)
	if len(r.all) < topics.MaxListed-r.count {
		r.all = append(r.all, topics.Taken{Snapshot: r.at, Path: o.safe(path), What: what})
	}
	return now.items > 100 // the log has the first of them, the report the others
}

// add has the sum stand for one more entry, in whatever order they come.
func (l *losing) add(path, what string) {
	h := sha256.Sum256([]byte(what + "\x00" + path))
	for i := range l.sum {
		l.sum[i] += binary.BigEndian.Uint64(h[8*i:])
	}
}

func (r *reworking) found(o *output, e *Ending) { r.heard.found(o, e) }

// each is how many snapshots are looked at one by one. restic says only once what several
// snapshots that it looks at together lose in common.
const each = 40

// survey has restic say what a rewrite or repair would take out of which snapshot. apart
// says that restic says of each snapshot in full what it loses; else it is asked again for
// each alone, if they are not too many.
func (b Binary) survey(ctx context.Context, place Place, repository Repository, op *reworking, apart bool,
	before map[string]topics.Snapshot, sink Sink) (saw sight, e Ending) {
	saw = sight{losing: map[string]*losing{}, apart: apart}
	ids := op.ids
	if len(ids) == 0 {
		for id := range before {
			ids = append(ids, id)
		}
		slices.Sort(ids)
	}
	byStart := map[string]string{}
	for _, id := range ids {
		byStart[id[:8]] = id
	}
	look := func(ids []string) (e Ending) {
		one := *op
		one.ids, one.dryRun, one.said, one.all, one.at, one.count = ids, true, map[string]*losing{}, nil, "", len(saw.taken)
		if e = b.run(ctx, place, repository, &one, sink); e.State != topics.Succeeded {
			return e
		}
		for start, l := range one.said {
			if id := byStart[start]; id != "" {
				saw.losing[id] = l
			}
		}
		for _, t := range one.all {
			if t.Snapshot = byStart[t.Snapshot]; t.Snapshot != "" {
				saw.taken = append(saw.taken, t)
			}
		}
		return e
	}
	e = Ending{State: topics.Succeeded}
	for some := range slices.Chunk(ids, perForget) {
		if e = look(some); e.State != topics.Succeeded {
			return saw, e
		}
	}
	if lose := saw.loses(); !apart && len(lose) > 1 {
		if saw.atLeast = len(lose) > each; !saw.atLeast {
			saw.taken = nil
			for _, id := range lose {
				if e = look([]string{id}); e.State != topics.Succeeded {
					return saw, e
				}
			}
		}
	}
	return saw, e
}

// A sight is what a dry run saw.
type sight struct {
	losing  map[string]*losing // by whole IDs
	taken   []topics.Taken
	apart   bool // see survey
	atLeast bool
}

// loses lists the snapshots that are to be others. Of a rewrite those are only such as lose
// something: restic also makes one anew to write into it how much it holds.
func (s sight) loses() (ids []string) {
	for id, l := range s.losing {
		if l.empty || l.saves && (l.items > 0 || !s.apart) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// digest is of which snapshot loses what.
func (s sight) digest() string {
	h := sha256.New()
	for _, id := range s.loses() {
		l := s.losing[id]
		fmt.Fprintf(h, "%s %t", id, l.empty)
		if !s.atLeast {
			fmt.Fprintf(h, " %d %x", l.items, l.sum)
		}
		h.Write([]byte{'\n'})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Rewrite takes files out of snapshots, or says what that would take out of which, into
// Ending.Result.Remade and Ending.Report. Before it changes anything it looks again, and
// changes nothing if it finds anything else than the dry run that a person looked at.
func (b Binary) Rewrite(ctx context.Context, place Place, repository Repository, how Rewrite, sink Sink) Ending {
	if e, old := b.lacks(since.Rewrite); old {
		return e
	}
	op := &reworking{command: []string{"rewrite"}, exclude: how.Exclude, caseless: how.IgnoreCase, ids: how.IDs, retryLock: how.RetryLock}
	if len(how.Exclude) == 0 {
		return failed(topics.CauseUsage, errors.New("there is no pattern of what is to go"))
	}
	return b.rework(ctx, place, repository, op, true, how.DryRun, how.Digest, sink)
}

// RepairSnapshots takes out of snapshots what is lost, or says what that would be; see
// Rewrite.
func (b Binary) RepairSnapshots(ctx context.Context, place Place, repository Repository, how RepairSnapshots, sink Sink) Ending {
	if e, old := b.lacks(since.RepairSnapshots); old {
		return e
	}
	op := &reworking{command: []string{"repair", "snapshots"}, ids: how.IDs, retryLock: how.RetryLock}
	return b.rework(ctx, place, repository, op, false, how.DryRun, how.Digest, sink)
}

func (b Binary) rework(ctx context.Context, place Place, repository Repository, op *reworking, apart, dryRun bool, digest string,
	sink Sink) Ending {
	if !dryRun && digest == "" {
		return failed(topics.CauseUsage, errors.New("it is to go by a dry run, and none is named"))
	}
	before, e := b.before(ctx, place, repository, sink)
	if e.State != topics.Succeeded {
		return e
	}
	chosen := op.ids
	op.ids = slices.DeleteFunc(slices.Clone(op.ids), func(id string) bool { _, there := before[id]; return !there })
	if len(chosen) > 0 && len(op.ids) == 0 {
		return failed(topics.CauseUsage, errors.New("none of the snapshots is in the repository any more"))
	}
	saw := sight{}
	if len(before) > 0 {
		if saw, e = b.survey(ctx, place, repository, op, apart, before, sink); e.State != topics.Succeeded {
			e.Report, e.Result = topics.Report{}, nil
			return e
		}
	}
	lose := saw.loses()
	if len(chosen) == 0 {
		chosen = lose // of all there are, those are to be named
	}
	m := remaking{chosen: chosen, meant: lose, before: before, items: map[string]uint64{}}
	for _, id := range lose {
		m.items[id] = saw.losing[id].items
	}
	told := saw.digest()
	if dryRun {
		result := &topics.Remade{Digest: told, AtLeast: saw.atLeast}
		for _, id := range chosen {
			r := topics.Replacement{Snapshot: id, Became: topics.BecameUnchanged, Items: m.items[id]}
			switch l := saw.losing[id]; {
			case before[id].ID == "":
				r.Became = topics.BecameMissing
			case l != nil && l.empty:
				r.Became = topics.BecameRemoved
			case slices.Contains(lose, id):
				r.Became = topics.BecameChanged
			}
			result.Count(r)
			e.Report.Replacements = append(e.Report.Replacements, r)
		}
		e.Report.Taken = saw.taken
		e.Result = &topics.Result{Remade: result, Count: len(e.Report.Replacements) + len(saw.taken),
			Truncated: len(saw.taken) >= topics.MaxListed}
		return e
	}
	if told != digest {
		e = failed(topics.CausePreview, fmt.Errorf("now %s would lose something, and that is not what the dry run saw. Nothing was changed",
			several(len(lose), "snapshot")))
		sink.Line(topics.Error, e.Message)
		return e
	}
	e = Ending{State: topics.Succeeded}
	last := heard{}
	emptied := map[string]bool{}
	for ids := range slices.Chunk(lose, perForget) {
		one := *op
		one.ids, one.said, one.all, one.at, one.count = ids, map[string]*losing{}, nil, "", topics.MaxListed
		e = b.run(ctx, place, repository, &one, sink)
		last = one.heard
		for _, id := range ids {
			if l := one.said[id[:8]]; l != nil && l.empty {
				emptied[id] = true
			}
		}
		if e.State != topics.Succeeded {
			break
		}
	}
	e = b.settle(ctx, place, repository, m, e, last, sink)
	if e.Result != nil && e.Result.Remade != nil && len(emptied) > 0 {
		e = emptyOnes(e, emptied)
	}
	if e.Result != nil && e.Result.Remade != nil {
		e.Result.Remade.AtLeast = saw.atLeast
		e.Report.Taken = saw.taken
		e.Result.Count += len(saw.taken)
		e.Result.Truncated = e.Result.Truncated || len(saw.taken) >= topics.MaxListed
	}
	return e
}

// emptyOnes says of snapshots that restic removed, since nothing was left of them, that they
// are not lost.
func emptyOnes(e Ending, emptied map[string]bool) Ending {
	was := *e.Result.Remade
	sum := topics.Remade{}
	for i, r := range e.Report.Replacements {
		if r.Became == topics.BecameLost && emptied[r.Snapshot] {
			e.Report.Replacements[i].Became = topics.BecameRemoved
		}
		sum.Count(e.Report.Replacements[i])
	}
	*e.Result.Remade = sum
	if was.Lost > 0 && sum.Doubled+sum.Left+sum.Lost == 0 && e.State == topics.Failed && e.ExitCode != nil && *e.ExitCode == 0 {
		e.State, e.Cause, e.Message = topics.Succeeded, topics.CauseNone, ""
	}
	return e
}
