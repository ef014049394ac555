package drills

import (
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// MaxAge is how old a proof may be. What was restored longer ago says little of today's
// disks, passwords and snapshots; a monthly drill that is a few days late is no reason yet.
const MaxAge = 35 * 24 * time.Hour

// A Word says whether it is proven that a host can be restored. It is another thing than
// its protection: what is saved as promised need not have been tried.
type Word string

// The words, the worst first.
const (
	Disproved Word = "failed"     // the last drill of a group did not prove it
	Unproven  Word = "not-proven" // a group was never proven, or that is longer ago than MaxAge
	Proven    Word = "proven"     // every group was, by its last drill, within MaxAge
)

// A State is whether a host is proven, since when, and by what.
type State struct {
	Word Word
	// At is when the group that was proven the longest ago was; 0 while one never was.
	At  int64
	Job topics.JobID // that says so
	Why string       // if a drill failed
	// Until is when a proof becomes too old by itself; 0 unless it is proven.
	Until int64
}

// TooOld reports whether the host was proven, and that is longer ago than [MaxAge].
func (s State) TooOld() bool { return s.Word == Unproven && s.At > 0 }

// Judge says whether a host is proven, from its source groups and what the last drills of
// them came to. A group that nobody tried makes it unproven; one that failed says so, and
// since when it was proven before stays. So does the moment of a proof that is too old.
func Judge(groups []topics.SourceGroupID, verdicts []Verdict, now time.Time) State {
	s := State{Word: Proven}
	of := map[topics.SourceGroupID]Verdict{}
	for _, v := range verdicts {
		of[v.Group] = v
	}
	never := len(groups) == 0
	for _, id := range groups {
		v, tried := of[id]
		switch {
		case !tried:
			never = true
			if s.Word == Proven {
				s.Word = Unproven
			}
			continue
		case !v.Proven && s.Word != Disproved:
			s.Word, s.Job, s.Why = Disproved, v.Job, v.Why
		}
		if v.ProvenAt == 0 {
			never = true
			continue
		}
		if s.At == 0 || v.ProvenAt < s.At {
			s.At = v.ProvenAt
			if s.Word == Proven {
				s.Job = v.ProvenJob
			}
		}
	}
	if never {
		s.At = 0
		if s.Word == Proven {
			s.Word = Unproven
		}
	}
	if s.Word == Proven {
		if s.Until = s.At + MaxAge.Milliseconds(); s.Until <= now.UnixMilli() {
			s.Word, s.Until = Unproven, 0
		}
	}
	return s
}

// Words is the state as the command line says it.
func (s State) Words() string {
	switch {
	case s.Word == Proven:
		return "Proven restorable"
	case s.Word == Disproved:
		return "The last drill failed"
	case s.TooOld():
		return "Proven restorable too long ago: a proof counts for 35 days"
	}
	return "Not proven restorable"
}
