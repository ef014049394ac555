package views

import (
	"strconv"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

// A Job is one run of one operation on one host, at any moment of its life.
type Job struct {
	ID, ShortID       string
	Kind              string // "backup"
	DryRun            bool
	Did               string // what it really did: "Would restore 1 file, 48.8 KiB; nothing was written"
	HostID, Host      string
	Group, Repository string
	Status            Status
	AtWord            string // "Asked for", "Started"
	At                When
	By                string // who asked
	Took              string // "2 h 51 min so far", "took 1 min 17 s"; "" before it runs
	Ended             bool
	CanCancel         bool
	CancelEffect      string        // what cancelling keeps and loses, in a sentence or two
	CanRunAgain       bool          // the same again: the host and group still exist
	Restore           string        // where a restore from its snapshot begins, "" if it has none
	Next              Link          // what one goes on with; URL is "" if nothing stands out
	Write             *Write        // of a dry run: the restore that goes by it
	NotAgain          string        // why the host's policy forbids the same again
	Waiting           *Waiting      // until it runs
	Silent            *Note         // it runs, but says nothing, or cannot
	Trouble           *Note         // it runs, and tries again what its storage did not do
	Progress          *Progress     // while it runs
	Figures           []Figure      // what an ended job did
	Results           []ResultTable // what it found out
	Found             *Found        // by a search; nil for who may not see names of files
	Diff              *Diff
	Proofs            *Proofs
	Asked             []Fact // what was asked for, besides the kind
	RepositoryURL     string
	Ending            *Ending  // why it ended other than well; nil if it succeeded or goes on
	Files             []string // what is being read now
	Facts             []Fact   // "So far" while it runs, and afterwards
	Steps             []Step
	Log               Log
}

// A Write is the restore that goes by a dry run.
type Write struct {
	Text    string // of the button
	Confirm string // the host's name, to be typed first; "" if nothing has to be
}

// Waiting says what a job waits for: "Waiting for the agent to answer", "Queued
// until attic connects".
type Waiting struct {
	Title, Text string
	Link        Link // to the job it waits for, if it is one
	// Release is the repository whose making can be taken from the job's host, "" if it
	// cannot.
	Release string
}

// Progress is how far a running job is.
type Progress struct {
	Percent  float64 // of the stage, if there are several; below zero while nobody can tell
	Headline string  // instead of a percentage then: "Scanning, 120,000 files"
	Amount   string  // "1.84 of 4.20 TiB read"
	Files    string  // "212,908 of 486,113 files", "Stage 3 of 4", "running 41 min, last time 52 min"
	Left     string  // "3 h 41 min left"; "" until it is steady
	Ends     When    // about when, with Left
}

// A Figure is one number of an ended job.
type Figure struct {
	Name, Value, Unit, Detail string
	Mono                      bool
}

// An Ending is why a job did not simply succeed: the cause in words, what it
// means for the data, what to do, and the evidence.
type Ending struct {
	Status    Status
	Title     string // the cause: "The repository is locked by a job that no longer runs"
	Effect    string // on the data: "Nothing was written and earlier snapshots are intact."
	Remedies  []Remedy
	Evidence  string // restic's own line, raw
	ExitCode  string // "11, failed to lock"; "" where there was none
	FirstLine uint64 // the log line to look at; 0 for none
}

// A Remedy is one thing to do about it.
type Remedy struct {
	Title, Text string
	Link        Link     // optional
	RunAgain    bool     // offers to start the same job again
	Unlock      bool     // offers to remove stale locks and start it again
	Elsewhere   bool     // offers to restore the same to a new folder
	Exclude     []string // offers to leave out these items from now on
	Command     string   // for the host
	Anyway      string   // offers to make this repository where a disk seems to be missing
	Small       string   // offers to accept the size of this snapshot, the newest of its group
}

// Log is the job's output as the page first shows it.
type Log struct {
	Lines      []LogLine
	Earlier    uint64 // lines before the first shown, that are kept
	EarlierURL string
	Info       int // lines by level, all that are kept
	Warnings   int
	Errors     int
	Note       string // why there are no (more) lines: "The log was removed on 2 Nov."
}

// A LogLine is one line of output, or a gap where lines were not kept.
type LogLine struct {
	N, To uint64 // its number; a gap is N to To
	At    When
	Level string // "info", "warn", "error", "debug", "file"
	Text  string // of a gap: the reason
	Gap   bool
}

// NewLogLine is line n as it was at.
func NewLogLine(n uint64, at time.Time, level, text string) LogLine {
	return LogLine{N: n, To: n, At: NewWhen(at, at), Level: level, Text: text}
}

// NewLogGap stands for the lines from to to, of which only the reason is kept.
func NewLogGap(from, to uint64, reason string) LogLine {
	return LogLine{N: from, To: to, Text: reason, Gap: true}
}

func (l LogLine) gapText() string {
	lines := "Lines " + words.Number(l.N) + "–" + words.Number(l.To)
	if l.N == l.To {
		lines = "Line " + words.Number(l.N)
	}
	if l.Text == "" {
		return lines + " not kept"
	}
	return lines + " not kept: " + words.Visible(l.Text)
}

func (l LogLine) level() string {
	switch l.Level {
	case "warn", "warning":
		return "warn"
	case "error", "fatal":
		return "error"
	case "file", "debug":
		return l.Level
	}
	return "info"
}

func lineID(n uint64) string { return "L" + strconv.FormatUint(n, 10) }

// LogURL is a job's log as a file, "txt" or "ndjson".
func LogURL(id, format string) string { return JobURL(id) + "/log." + format }

func follows(j Job) string {
	if j.Ended {
		return "ended"
	}
	return "follow"
}
