// Package progress says how far a running job is: the same on pages, in the API, to
// consumers and on the command line, whatever kind it is and however old its agent.
package progress

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// A Shown is how far a job is, for people.
type Shown struct {
	Percent  float64 // of the stage, if there are several; below zero: nobody can tell
	Headline string  // instead of a percentage: "Scanning, 120,000 files", "Waiting for a lock"
	Amount   string  // "1.84 of 4.20 TiB", "7 of 14 snapshots"; "" if nothing is counted
	Stage    string  // "Stage 3 of 4: checking snapshots, trees and blobs"; "" without stages
	Span     string  // "running 41 min, last time 52 min", where there is no percentage; "" if it has just begun
	Waits    bool    // for a lock
}

// Line is all of it in one line, without the percentage.
func (s Shown) Line() string {
	var parts []string
	for _, p := range []string{s.Headline, s.Stage, s.Amount, s.Span} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ", ")
}

// Of says how far a running job is by what its agent told last, if it told anything.
func Of(j store.Job, p topics.Progress, known bool, now time.Time) Shown {
	switch {
	case !known:
		return Shown{Percent: -1, Headline: "Starting"}
	case p.Waits != nil:
		return Shown{Percent: -1, Headline: "Waiting for " + Holders(*p.Waits), Waits: true}
	case p.Mute:
		restic := strings.TrimSpace("restic " + j.ResticVersion)
		return Shown{Percent: -1, Headline: upper(restic) + " does not report progress here", Stage: stage(p), Span: span(j, now)}
	case p.Stage > 0 || p.Doing != "":
		s := Shown{Percent: -1, Stage: stage(p)}
		if p.Total > 0 {
			s.Percent = words.Percent(p.Done, p.Total)
			s.Amount = words.Number(p.Done) + " of " + words.Number(p.Total)
		} else if p.Done > 0 {
			s.Amount = words.Number(p.Done)
		}
		if s.Amount != "" {
			s.Amount += " " + p.Unit
		}
		if s.Percent < 0 {
			s.Headline, s.Stage = upper(p.Doing), number(p)
			s.Span = span(j, now)
		}
		return s
	case !p.Scanned:
		return Shown{Percent: -1, Headline: counting(p)}
	case p.TotalBytes > 0:
		return Shown{Percent: words.Percent(p.BytesDone, p.TotalBytes), Amount: words.BytesOf(p.BytesDone, p.TotalBytes)}
	case p.TotalFiles > 0: // and all of them empty
		return Shown{Percent: words.Percent(p.FilesDone, p.TotalFiles),
			Amount: words.Number(p.FilesDone) + " of " + words.Count(p.TotalFiles, "file", "files")}
	case p.Percent > 0: // of an agent that tells no stages, whose percentage falls with each
		return Shown{Percent: p.Percent, Amount: "of the stage that it is in"}
	}
	return Shown{Percent: -1, Headline: "At work", Span: span(j, now)}
}

// counting is how far a job is whose total is not known yet: restic looks for files
// and reads them at the same time.
func counting(p topics.Progress) string {
	found := words.Count(p.TotalFiles, "file", "files")
	switch {
	case p.TotalFiles == 0 && p.TotalBytes == 0 && p.BytesDone == 0:
		return "Starting"
	case p.BytesDone == 0:
		return "Scanning, " + found
	}
	return words.Bytes(p.BytesDone) + " read, " + found + " found so far"
}

// number is which stage it is of how many.
func number(p topics.Progress) string {
	switch {
	case p.Stage <= 0:
		return ""
	case p.Stages <= 0:
		return "Stage " + strconv.Itoa(p.Stage)
	}
	return "Stage " + strconv.Itoa(p.Stage) + " of " + strconv.Itoa(max(p.Stages, p.Stage))
}

func stage(p topics.Progress) string {
	n := number(p)
	switch {
	case n == "":
		return upper(p.Doing)
	case p.Doing == "":
		return n
	}
	return n + ": " + p.Doing
}

// span is how long it runs, and how long the last one like it took.
func span(j store.Job, now time.Time) string {
	var parts []string
	if d := now.Sub(time.UnixMilli(j.StartedAt)); j.StartedAt > 0 && d >= time.Minute { // to the minute, so that a row rests
		parts = append(parts, "running "+words.Span(d))
	}
	if j.LastTook > 0 {
		parts = append(parts, "last time "+words.Span(time.Duration(j.LastTook)*time.Millisecond))
	}
	return strings.Join(parts, ", ")
}

// Holders says who has the locks that a job waits for: "process 1903 of root on node01".
func Holders(w topics.LockWait) string {
	if len(w.Locks) == 0 {
		return "another's lock"
	}
	text := Holder(w.Locks[0])
	if n := len(w.Locks) - 1 + w.More; n > 0 {
		text += " and " + words.Count(uint64(n), "other", "others")
	}
	return text
}

// Holder says who has a lock.
func Holder(l topics.Lock) string {
	if l.PID == 0 && l.Host == "" {
		return "a lock that cannot be read"
	}
	text := "process " + strconv.Itoa(l.PID)
	if l.User != "" {
		text += " of " + words.Visible(l.User)
	}
	if l.Host != "" {
		text += " on " + words.Visible(l.Host)
	}
	return text
}

func upper(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	if n == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[n:]
}
