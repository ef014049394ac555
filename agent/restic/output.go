package restic

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

const (
	maxJSON     = 4 << 20  // of one JSON line; longer ones are text
	maxDocument = 32 << 20 // of an answer in one line: 30,000 snapshots and more
	maxMessage  = 1000     // bytes of an ending's message
	maxItems    = 1 << 17  // unreadable items told apart
)

// A message is any JSON object restic prints. Fields and kinds that are not
// here are ignored, and a field that is absent or not of the expected type is 0.
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
	SnapshotID          text  `json:"snapshot_id"`

	// error; its shape changed with 0.17.1
	Error  json.RawMessage `json:"error"`
	During text            `json:"during"`
	Item   text            `json:"item"`

	// exit_error, from 0.18
	Code    count `json:"code"`
	Message text  `json:"message"`
}

// The lenient types: whatever JSON holds in their place, they do not fail.
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

// output is what has come of one restic process so far. Both of its streams
// write here, each on its own goroutine; mu makes one sequence of them.
type output struct {
	operation operation
	sink      Sink
	redactor  *redactor
	pause     time.Duration // between two statuses
	now       func() time.Time

	mu       sync.Mutex
	evidence evidence
	summary  *topics.Summary
	snapshot string // as the summary names it
	listed   []topics.Snapshot
	answered bool // the operation's own answer came

	scanned    bool
	tenths     int // of the progress that the log has been told
	nextStatus time.Time

	seen        map[uint64]struct{} // unreadable items, by hash
	seed        maphash.Seed
	unread      uint64
	missing     uint64 // source paths that restic skipped
	firstUnread string
}

func newOutput(op operation, r *redactor, sink Sink, t Timing) *output {
	return &output{
		operation: op, sink: sink, redactor: r, pause: t.Status - t.Status/10, now: time.Now,
		seen: map[uint64]struct{}{}, seed: maphash.MakeSeed(),
	}
}

// streams returns where restic's stdout and stderr go. end hands on what they
// hold of unfinished lines, once both are at their end.
func (o *output) streams() (stdout, stderr *splitter, end func()) {
	stdout = &splitter{object: maxJSON, array: topics.MaxLine, line: func(l []byte, lost int) { o.read(l, lost, false) }}
	if _, ok := o.operation.(Snapshots); ok {
		stdout.array = maxDocument
	}
	stderr = &splitter{object: maxJSON, array: topics.MaxLine, line: func(l []byte, lost int) { o.read(l, lost, true) }}
	return stdout, stderr, func() { stdout.end(); stderr.end() }
}

func (o *output) read(line []byte, lost int, stderr bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if lost == 0 {
		if !stderr && o.operation.read(o, line) {
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

// safe is text without secrets and without what does not belong in a line. What
// terminal sequences kept apart may be a secret once they are gone.
func (o *output) safe(text string) string {
	return o.redactor.redact(clean(o.redactor.redact(text)))
}

// say writes one line of the log. size is what it measured before it was cut,
// 0 if it is whole.
func (o *output) say(level topics.Level, line string, size int) {
	if size == 0 && len(line) > topics.MaxLine {
		size = len(line)
	}
	if size > 0 {
		m := mark(size)
		line = cut(line, topics.MaxLine-len(m)) + m
	}
	o.sink.Line(level, line)
}

func (o *output) info(format string, args ...any) {
	o.say(topics.Info, o.safe(fmt.Sprintf(format, args...)), 0)
}

// text takes a line that is no JSON of restic's. On stderr it may be evidence.
func (o *output) text(line string, size int, shortened, stderr bool) {
	if strings.TrimSpace(line) == "" {
		return
	}
	level := topics.Info
	if stderr {
		level = o.evidence.line(line)
		if strings.HasSuffix(line, " does not exist, skipping") || strings.HasSuffix(line, " cannot be accessed, skipping") {
			o.missing++
			o.unreadable(line)
		}
	}
	if !shortened {
		size = 0
	}
	o.say(level, line, size)
}

// message takes a JSON object and reports whether its kind is known.
func (o *output) message(m message) bool {
	switch m.Type {
	case "status":
		if m.Action == "" { // before 0.16 a verbose scan_finished calls itself a status
			o.status(m)
		}
	case "verbose_status", "version", "initialized":
	case "summary":
		o.summarise(m)
	case "error":
		o.item(m)
	case "exit_error":
		level := topics.Error
		if m.Code == 3 {
			level = topics.Warn
		}
		o.evidence.exitError = nil
		for l := range strings.Lines(o.redactor.redact(string(m.Message))) { // a stack trace may follow
			if l = o.safe(strings.TrimSpace(l)); l != "" {
				if len(o.evidence.exitError) < maxNotices {
					o.evidence.exitError = append(o.evidence.exitError, cut(l, 4<<10))
				}
				o.say(level, l, 0)
			}
		}
	default:
		return false
	}
	return true
}

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
	s.Scanned = o.scanned
	if tenth := int(s.Percent / 10); o.scanned && tenth > o.tenths && tenth < 10 {
		o.tenths = tenth
		o.info("%d %%: %s of %s, %d of %d files", tenth*10, bytesInWords(s.BytesDone), bytesInWords(s.TotalBytes), s.FilesDone, s.TotalFiles)
	}
	now := o.now()
	if now.Before(o.nextStatus) {
		return
	}
	o.nextStatus = now.Add(o.pause)
	for _, f := range m.CurrentFiles[:min(len(m.CurrentFiles), 8)] {
		s.CurrentFiles = append(s.CurrentFiles, cut(o.safe(cut(f, topics.MaxLine)), 1<<10))
	}
	o.sink.Status(s)
}

func (o *output) summarise(m message) {
	o.answered = true
	o.snapshot = cut(clean(string(m.SnapshotID)), 64)
	seconds := max(0, float64(m.TotalDuration))
	o.summary = &topics.Summary{
		FilesNew: uint64(m.FilesNew), FilesChanged: uint64(m.FilesChanged), FilesUnmodified: uint64(m.FilesUnmodified),
		DataAdded: uint64(m.DataAdded), TotalFiles: uint64(m.TotalFilesProcessed), TotalBytes: uint64(m.TotalBytesProcessed),
		Seconds: seconds,
	}
	o.info("%d files new, %d changed, %d unmodified; processed %d files, %s in %.1f s, added %s to the repository",
		m.FilesNew, m.FilesChanged, m.FilesUnmodified, m.TotalFilesProcessed, bytesInWords(uint64(m.TotalBytesProcessed)),
		seconds, bytesInWords(uint64(m.DataAdded)))
}

// item is something that could not be read. restic says so twice of a directory,
// in its scan and in the backup itself.
func (o *output) item(m message) {
	why := itemError(m.Error)
	line := o.safe(string(m.Item) + ": " + why)
	if m.Item == "" {
		line = o.safe(why)
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
	o.unreadable(line)
	o.say(topics.Warn, line, 0)
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
