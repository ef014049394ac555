package restic

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/restic-manager/restic-manager/since"
	"github.com/restic-manager/restic-manager/topics"
)

const (
	maxJSON    = 4 << 20 // of one JSON line, or one object of an array; longer ones are text
	maxMessage = 1000    // bytes of an ending's message
	maxItems   = 1 << 17 // unreadable items told apart
	maxFound   = 10_000  // matches, changes and the like that one run reports
)

// A message is any JSON object that restic prints. Unknown fields and kinds are
// ignored; a field that is missing or of another type is 0.
type message struct {
	Type string `json:"message_type"`

	// status
	Action           text  `json:"action"`
	PercentDone      real  `json:"percent_done"`
	TotalFiles       count `json:"total_files"`
	FilesDone        count `json:"files_done"`
	TotalBytes       count `json:"total_bytes"`
	BytesDone        count `json:"bytes_done"`
	ErrorCount       count `json:"error_count"`
	SecondsElapsed   count `json:"seconds_elapsed"`
	SecondsRemaining count `json:"seconds_remaining"`
	CurrentFiles     texts `json:"current_files"`

	// summary
	FilesNew            count `json:"files_new"`
	FilesChanged        count `json:"files_changed"`
	FilesUnmodified     count `json:"files_unmodified"`
	DataAdded           count `json:"data_added"`
	TotalFilesProcessed count `json:"total_files_processed"`
	TotalBytesProcessed count `json:"total_bytes_processed"`
	TotalDuration       real  `json:"total_duration"`
	DataAddedPacked     count `json:"data_added_packed"` // from 0.17
	SnapshotID          text  `json:"snapshot_id"`

	// status and summary of a restore, from 0.16
	FilesRestored count `json:"files_restored"`
	BytesRestored count `json:"bytes_restored"`
	FilesSkipped  count `json:"files_skipped"` // from 0.17

	// error; its shape changed with 0.17.1
	Error  json.RawMessage `json:"error"`
	During text            `json:"during"`
	Item   text            `json:"item"`

	// exit_error, from 0.18
	Code    count `json:"code"`
	Message text  `json:"message"`
}

// Lenient types: decoding them never fails, whatever the JSON holds.
type (
	count uint64
	real  float64
	text  string
	texts []string
)

func (c *count) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseUint(string(b), 10, 64); err == nil {
		*c = count(n)
	} else if f, err := strconv.ParseFloat(string(b), 64); err == nil && f > 0 && f < 1<<63 {
		*c = count(f)
	}
	return nil
}

func (r *real) UnmarshalJSON(b []byte) error {
	if f, err := strconv.ParseFloat(string(b), 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
		*r = real(f)
	}
	return nil
}

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*t = text(s)
	}
	return nil
}

func (t *texts) UnmarshalJSON(b []byte) error {
	var all []text
	if json.Unmarshal(b, &all) == nil {
		*t = make([]string, len(all))
		for i := range all {
			(*t)[i] = string(all[i])
		}
	}
	return nil
}

// output collects what one restic process prints. Both streams write to it, each on
// its own goroutine; mu puts their lines in one order.
type output struct {
	operation operation
	sink      Sink
	redactor  *redactor
	pause     time.Duration // between two statuses
	now       func() time.Time
	silence   *silence                // nil: nobody minds
	stop      context.CancelCauseFunc // ends restic; nil in tests
	latest    string                  // the latest status, without what the clock alone changes
	version   Version                 // of restic; its zero value is an old one
	track     *track                  // of the stages that restic's text tells
	begun     time.Time               // when restic was started
	works     chan struct{}           // closed once restic has said what it says of its work: it waits for nobody's lock
	locked    chan struct{}           // gets a value when restic says that it waits for a lock
	waited    *topics.LockWait        // what it waited for last

	mu       sync.Mutex
	evidence evidence
	summary  *topics.Summary
	snapshot string // as the summary names it
	live     string // why the files of a volume were read as they are
	answered bool   // the operation's own answer came
	bounds   bounds
	tries    tries
	stack    stack  // of calls, on stderr
	told     Status // the last one

	scanned    bool
	tenths     int // of the progress that the log has been told
	nextStatus time.Time

	vanished string // a snapshot that it needs and that is not there
	barred   string // the first path of the source that restic may not look at

	seen        map[uint64]struct{} // unreadable items, by hash
	seed        maphash.Seed
	unread      uint64
	missing     uint64 // source paths that restic skipped
	healed      uint64 // files that it called unreadable and saved; see storesAgain
	firstUnread string
	items       []string         // the first of them that can be named
	failures    []topics.Failure // of a restore
	itemCause   topics.Cause     // what the system said of an item, of the first for which that means something
}

func newOutput(op operation, r *redactor, sink Sink, t Timing) *output {
	return &output{
		operation: op, sink: sink, redactor: r, pause: t.Status - t.Status/10, now: time.Now,
		seen: map[uint64]struct{}{}, seed: maphash.MakeSeed(), track: newTrack(nil), begun: time.Now(), works: make(chan struct{}),
		locked: make(chan struct{}, 1),
	}
}

// working notes that restic has come to its work, for which it has any lock that it takes.
func (o *output) working() {
	select {
	case <-o.works:
	default:
		close(o.works)
	}
}

// worked reports whether it has come to its work.
func (o *output) worked() bool {
	select {
	case <-o.works:
		return true
	default:
		return false
	}
}

// hand hands on a status, not more often than pause says; one that must is handed on all
// the same.
func (o *output) hand(s Status, must bool) {
	s.Trouble = o.tries.now()
	if c, ok := o.operation.(*copying); ok {
		s.Stage, s.Stages = c.snapshot()
	}
	o.told = s
	if now := o.now(); must || !now.Before(o.nextStatus) {
		o.show(s, now)
	}
}

// streams returns writers for restic's stdout and stderr, and end, which handles
// their unfinished last lines when both are closed.
func (o *output) streams() (stdout, stderr *splitter, end func()) {
	stdout = &splitter{line: func(l []byte, lost int) { o.read(l, lost, false) }}
	if depths := o.operation.depths(); depths != nil {
		stdout.document = &document{depths: depths, limit: maxJSON, object: stdout.line}
	}
	stderr = &splitter{line: func(l []byte, lost int) { o.read(l, lost, true) }}
	return stdout, stderr, func() {
		stdout.end()
		stderr.end()
		o.mu.Lock()
		defer o.mu.Unlock()
		o.unwind()
	}
}

func (o *output) read(line []byte, lost int, stderr bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if lost == 0 {
		if !stderr && o.operation.read(o, line) {
			o.silence.said("")
			return
		}
		if line[0] == '{' {
			var m message
			if json.Unmarshal(line, &m) == nil && o.message(m) {
				return
			}
		}
	}
	size := len(line) + lost
	raw := string(line[:min(len(line), topics.MaxLine)])
	if size > len(raw) {
		raw = o.redactor.trim(raw)
	}
	o.text(o.safe(raw), size, size > len(line) || len(line) > topics.MaxLine, stderr)
}

// safe returns text without secrets and without characters that do not belong in a
// line. It looks for secrets again after removing terminal sequences, which may have
// split one.
func (o *output) safe(text string) string {
	return o.redactor.redact(clean(o.redactor.redact(text)))
}

// say writes one line to the log. size is its length before it was cut, 0 if it was
// not.
func (o *output) say(level topics.Level, line string, size int) {
	if size == 0 && len(line) > topics.MaxLine {
		size = len(line)
	}
	if size > 0 {
		m := mark(size)
		line = cut(line, topics.MaxLine-len(m)) + m
	}
	o.silence.said(line)
	o.sink.Line(level, line)
}

// repeats takes a line that speaks of an operation restic repeats, and reports whether it
// does. That is no sign of life. A run that is refused is ended.
func (o *output) repeats(level topics.Level, line string) bool {
	now := o.now()
	ours, no := o.tries.take(line, o.bounds, o.operation, now)
	if !ours {
		return false
	}
	o.silence.repeated(o.tries.now(), line)
	o.sink.Line(level, line)
	if no != nil && o.stop != nil {
		o.sink.Line(topics.Error, "the storage refuses this, and asking again does not mend it: restic is ended")
		o.stop(no)
		return true
	}
	had := o.told.Trouble != nil
	if o.told.Trouble = o.tries.now(); had != (o.told.Trouble != nil) || !now.Before(o.nextStatus) {
		o.show(o.told, now)
	}
	return true
}

// show gives a status away.
func (o *output) show(s Status, now time.Time) {
	o.nextStatus = now.Add(o.pause)
	o.told = s
	o.sink.Status(s)
}

func (o *output) info(format string, args ...any) {
	o.say(topics.Info, o.safe(fmt.Sprintf(format, args...)), 0)
}

// text handles a line that is not JSON. On stderr it may be evidence of the cause.
func (o *output) text(line string, size int, shortened, stderr bool) {
	if strings.TrimSpace(line) == "" {
		return
	}
	level := topics.Info
	if !stderr && o.progress(line) {
		return
	}
	if !stderr && strings.Contains(line, "already locked, waiting") {
		select {
		case o.locked <- struct{}{}:
		default:
		}
	}
	if stderr {
		if o.stack.take(line) { // no evidence, as it is the same whatever happened
			return
		}
		o.unwind()
		o.operation.hear(line)
		o.vanished = or(o.vanished, gone(o.operation, line))
		level = o.evidence.line(line)
		if item, ok := strings.CutPrefix(line, "ignoring error for "); ok { // a restore before 0.17.1
			path, why, _ := strings.Cut(item, ": ")
			o.itemSays(why)
			o.failed(path, why)
			o.unreadable(item)
		}
		if strings.HasSuffix(line, " does not exist, skipping") || strings.HasSuffix(line, " cannot be accessed, skipping") {
			o.missing++
			o.unreadable(line)
			if path, barred := strings.CutSuffix(line, " cannot be accessed, skipping"); barred { // from 0.19 on
				o.barred = or(o.barred, path)
			}
		}
	}
	if !shortened {
		size = 0
	}
	if stderr && size == 0 && o.repeats(level, line) {
		return
	}
	o.say(level, line, size)
}

// unwind tells the calls that stood on stderr, if any did.
func (o *output) unwind() {
	if calls := o.stack.end(); calls != "" {
		o.say(topics.Warn, o.safe(calls), 0)
	}
}

// message handles a JSON object and reports whether its kind is known.
func (o *output) message(m message) bool {
	switch m.Type {
	case "status":
		if m.FilesDone == 0 && m.BytesDone == 0 { // a restore's
			m.FilesDone, m.BytesDone = m.FilesRestored+m.FilesSkipped, m.BytesRestored
		}
		if m.Action == "" { // before 0.16 a verbose scan_finished calls itself a status
			o.status(m)
		}
	case "verbose_status", "version", "initialized":
	case "summary":
		o.summarise(m)
	case "error":
		if len(m.Error) == 0 && m.Item == "" && m.Message != "" { // of a check, from 0.18
			o.lines(string(m.Message), topics.Error, func(l string) {
				o.operation.hear(l)
				o.evidence.note(l)
			})
			return true
		}
		o.item(m)
	case "exit_error":
		level := topics.Error
		if m.Code == 3 {
			level = topics.Warn
		}
		o.evidence.exitError = nil
		o.lines(string(m.Message), level, func(l string) { // a stack trace may follow
			if op, ok := o.operation.(locker); ok {
				op.lock().listen(l)
			}
			o.vanished = or(o.vanished, gone(o.operation, l))
			if len(o.evidence.exitError) < maxNotices {
				o.evidence.exitError = append(o.evidence.exitError, cut(l, 4<<10))
			}
		})
	default:
		return false
	}
	return true
}

// moved notes what restic says of its progress, which is no news if only time went by.
func (o *output) moved(now, said string) {
	if now != o.latest {
		o.latest = now
		o.tries.moved(o.now(), o.version.Has(since.TellsAlways))
		o.silence.said(said)
		o.silence.repeated(o.tries.now(), "")
	}
}

// lines says each line of a text, and has then see it before.
func (o *output) lines(text string, level topics.Level, then func(string)) {
	var calls stack
	for l := range strings.Lines(o.redactor.redact(text)) {
		if calls.take(strings.TrimRight(l, "\r\n")) {
			continue
		}
		if l = o.safe(strings.TrimSpace(l)); l != "" {
			then(l)
			o.say(level, l, 0)
		}
	}
	if l := calls.end(); l != "" {
		o.say(level, o.safe(l), 0)
	}
}

// progress handles a line of restic's text that begins a stage, or counts what is done of
// one; those that count are logged at the end of each stage alone.
func (o *output) progress(line string) (taken bool) {
	if o.track.heard(line) {
		o.working()
		s := o.track.status()
		s.Seconds = o.seconds()
		o.hand(s, !o.track.open)
		return false
	}
	number := o.track.number
	is, whole := o.track.counted(line)
	if !is {
		return false
	}
	o.working()
	_, counted, _ := strings.Cut(line, "] ")
	o.moved(counted, strings.TrimSpace(counted))
	s := o.track.status()
	s.Seconds = o.seconds()
	o.hand(s, s.Stage != number)
	return !whole
}

// seconds is how long restic runs.
func (o *output) seconds() uint64 { return uint64(max(0, o.now().Sub(o.begun)).Seconds()) }

func (o *output) status(m message) {
	s := Status{
		Percent:    min(max(float64(m.PercentDone), 0), 1) * 100,
		TotalFiles: uint64(m.TotalFiles), FilesDone: uint64(m.FilesDone),
		TotalBytes: uint64(m.TotalBytes), BytesDone: uint64(m.BytesDone),
		Errors: uint64(m.ErrorCount), Seconds: uint64(m.SecondsElapsed), SecondsLeft: uint64(m.SecondsRemaining),
	}
	if s.SecondsLeft > 0 && !o.scanned { // restic estimates once its scanner is through
		o.scanned = true
		o.info("scan finished: %d files, %s", s.TotalFiles, bytesInWords(s.TotalBytes))
	}
	if op, ok := o.operation.(*restore); ok { // it knows its totals before it begins
		o.scanned = o.scanned || s.BytesDone > 0
		if op.current != "" {
			m.CurrentFiles = texts{op.current}
		}
	}
	s.Scanned = o.scanned
	if tenth := int(s.Percent / 10); o.scanned && tenth > o.tenths && tenth < 10 {
		o.tenths = tenth
		things := "files"
		if _, restores := o.operation.(*restore); restores { // all versions that count count folders, too
			things = "files and folders"
		}
		o.info("%d %%: %s of %s, %d of %d %s", tenth*10, bytesInWords(s.BytesDone), bytesInWords(s.TotalBytes), s.FilesDone, s.TotalFiles,
			things)
	}
	if s.TotalFiles+s.TotalBytes+s.FilesDone+s.BytesDone+s.Errors == 0 && len(m.CurrentFiles) == 0 {
		return // it has not begun: before 0.17 a backup says this each second, while it waits for a lock, too
	}
	o.working()
	o.moved(fmt.Sprint(s.FilesDone, s.BytesDone, s.TotalFiles, s.TotalBytes, s.Errors, m.CurrentFiles),
		fmt.Sprintf("%d of %d files, %s of %s", s.FilesDone, s.TotalFiles, bytesInWords(s.BytesDone), bytesInWords(s.TotalBytes)))
	for _, f := range m.CurrentFiles[:min(len(m.CurrentFiles), 8)] {
		s.CurrentFiles = append(s.CurrentFiles, cut(o.safe(cut(f, topics.MaxLine)), 1<<10))
	}
	o.hand(s, false)
}

func (o *output) summarise(m message) {
	o.answered = true
	o.working()
	o.snapshot = cut(clean(string(m.SnapshotID)), 64)
	seconds := max(0, float64(m.TotalDuration))
	o.summary = &topics.Summary{
		FilesNew:        uint64(m.FilesNew),
		FilesChanged:    uint64(m.FilesChanged),
		FilesUnmodified: uint64(m.FilesUnmodified),
		DataAdded:       uint64(m.DataAdded),
		DataAddedPacked: uint64(m.DataAddedPacked),
		TotalFiles:      uint64(m.TotalFilesProcessed),
		TotalBytes:      uint64(m.TotalBytesProcessed),
		Seconds:         seconds,
	}
	added := bytesInWords(uint64(m.DataAdded)) + " of new data before compression"
	if m.DataAddedPacked > 0 {
		added += ", " + bytesInWords(uint64(m.DataAddedPacked)) + " as stored"
	}
	o.info("%d files new, %d changed, %d unmodified; processed %d files, %s in %.1f s, added %s", m.FilesNew, m.FilesChanged,
		m.FilesUnmodified, m.TotalFilesProcessed, bytesInWords(uint64(m.TotalBytesProcessed)), seconds, added)
}

// noShadowCopy is how restic says that a volume has no shadow copy; from that on it reads
// the files of that volume as they are.
const noShadowCopy = "failed to create snapshot for ["

// storesAgain is how restic ends the error of an unchanged file whose data the repository has
// lost. It saves the whole file then: nothing is missing from the snapshot, and older ones may
// be whole again. It counts it as unreadable all the same, by exit code 3. Before 0.17.1 it
// does not say in JSON what an error is.
const storesAgain = " not found in the repository index; storing the file again"

// An unshadowed is why a backup was ended that was to read shadow copies alone.
type unshadowed struct{ why string }

func (u *unshadowed) Error() string { return u.why }

// item handles a file that could not be read. restic reports a directory twice,
// during the scan and during the backup.
func (o *output) item(m message) {
	why := itemError(m.Error)
	line := o.safe(string(m.Item) + ": " + why)
	if m.Item == "" {
		line = o.safe(why)
	}
	if strings.HasPrefix(why, noShadowCopy) { // restic reads the files themselves in its place
		o.live = or(o.live, o.safe(why))
		if b, ok := o.operation.(Backup); ok && b.ShadowOnly && o.stop != nil {
			o.say(topics.Error, o.safe(why)+": the backup is ended, since nothing is to be saved without a shadow copy", 0)
			o.stop(&unshadowed{o.live})
			return
		}
		o.say(topics.Warn, o.safe(why)+": the files themselves are read", 0)
		return
	}
	if strings.HasSuffix(why, storesAgain) {
		o.healed++
		o.say(topics.Warn, line, 0)
		return
	}
	hash := maphash.String(o.seed, string(m.Item))
	if _, known := o.seen[hash]; known {
		return
	}
	if len(o.seen) < maxItems {
		o.seen[hash] = struct{}{}
	} else if m.During == "scan" {
		return // no longer told apart: the backup will say it again
	}
	o.itemSays(why)
	o.unreadable(line)
	o.failed(string(m.Item), why)
	if item := string(m.Item); len(o.items) <= topics.MaxSources && item != "" && o.safe(item) == item {
		o.items = append(o.items, item)
	}
	o.say(topics.Warn, line, 0)
}

// itemSays uses an item's error as evidence. Only its end is the system's text; names
// come before it.
func (o *output) itemSays(why string) {
	if o.itemCause == topics.CauseNone {
		if c := classify(atItem+why[strings.LastIndex(why, ": ")+1:], bounds{}); c != topics.CauseUnknown {
			o.itemCause = c
		}
	}
}

// failed notes what a restore did not bring back, if it was one.
func (o *output) failed(path, why string) {
	switch o.operation.(type) {
	case *restore, *bring:
	default:
		return
	}
	if len(o.failures) < topics.MaxListed {
		o.failures = append(o.failures, topics.Failure{Path: cut(o.redactor.redact(path), 5000), Why: cut(o.safe(why), maxMessage)})
	}
}

func (o *output) unreadable(line string) {
	if o.unread == 0 {
		o.firstUnread = line
	}
	o.unread++
}

// itemError words the error of an item: {"message":…} from 0.17.1, before that
// {"Op":…,"Path":…,"Err":13} or nothing at all.
func itemError(raw json.RawMessage) string {
	var e struct {
		Message text  `json:"message"`
		Op      text  `json:"Op"`
		Err     count `json:"Err"`
	}
	_ = json.Unmarshal(raw, &e) // what does not fit says nothing
	switch {
	case e.Message != "":
		return string(e.Message)
	case e.Err > 0 && e.Err < 1<<16:
		return strings.TrimSpace(string(e.Op) + ": " + syscall.Errno(e.Err).Error())
	}
	var plain text
	if _ = json.Unmarshal(raw, &plain); plain != "" {
		return string(plain)
	}
	return "could not be read"
}

// bytesInWords is n in the unit a person would use.
func bytesInWords(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1024, 0
	for f >= 1024 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTPE"[unit])
}
