package protocol

import (
	"fmt"
	"strconv"

	"github.com/restic-manager/restic-manager/topics"
)

// A Standard is what a backup is judged by, besides what restic said of it.
type Standard struct {
	AllowEmpty bool   // its source group may be empty
	UsualFiles uint64 // the median of those before it, 0 if that is not known
}

// Judge returns how a backup ended by what it saved, since restic calls it a success
// to save an empty mount point, and so do agents of older versions. A backup of no
// files has warnings unless its group may be empty, and failed if its source could not
// be read. A success with fewer than half of the usual files has warnings, unless
// the repository itself was left out of it: backups before may have saved that. What was
// judged before stays as it is.
func Judge(f topics.Finished, by Standard) topics.Finished {
	if f.Summary == nil || f.State != topics.Succeeded && f.State != topics.Warnings {
		return f
	}
	switch files := f.Summary.TotalFiles; {
	case files == 0 && f.Cause == topics.CauseUnreadable:
		f.State, f.Message = topics.Failed, "Not one file could be read. "+f.Message
	case files == 0 && !by.AllowEmpty && f.Cause != topics.CauseEmptySource:
		if f.Message != "" { // a hook failed, too
			f.Message = " " + f.Message
		}
		f.State, f.Cause, f.Message = topics.Warnings, topics.CauseEmptySource, "The snapshot holds no file."+f.Message
	case files > 0 && !by.AllowEmpty && f.State == topics.Succeeded && files < by.UsualFiles/2+by.UsualFiles%2 &&
		!f.Summary.LeavesRepository():
		f.State, f.Cause = topics.Warnings, topics.CauseFewerFiles
		f.Message = fmt.Sprintf("The snapshot holds %s files; the median of those before it is %s.", grouped(files), grouped(by.UsualFiles))
	}
	return f
}

// grouped is a number with commas between its thousands, as in 12,345.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
