// Package maintenance has repositories looked after: forget, prune and check, run
// on the keeper of each at its hours, or when a person asks for it.
//
// What a forget removes is decided by package retention.
package maintenance

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Kinds is what a repository's maintenance consists of, in the order it is done.
var Kinds = []topics.JobKind{topics.ForgetJob, topics.PruneJob, topics.CheckJob}

// Spread is how long after its hour maintenance begins at the latest, so that not
// every repository's does at once.
const Spread = time.Hour

// Usual is when maintenance is due unless somebody says otherwise: forget every
// night, prune on Sundays, a twelfth of the data checked on Saturdays.
func Usual(repository topics.RepositoryID, kind topics.JobKind) store.MaintenanceHours {
	d := store.MaintenanceHours{Repository: repository, Kind: kind, Weekday: -1, Minute: 4 * 60}
	switch kind {
	case topics.PruneJob:
		d.Weekday, d.Minute = int(time.Sunday), 5*60
	case topics.CheckJob:
		d.Weekday, d.Minute, d.Slices = int(time.Saturday), 5*60, 12
	}
	return d
}

// CheckHours refuses hours and days there are not.
func CheckHours(d store.MaintenanceHours) error {
	switch {
	case d.Weekday < -1 || d.Weekday > 6:
		return fmt.Errorf("the day of the week is 0 for Sunday to 6 for Saturday, or -1 for every day, not %d", d.Weekday)
	case d.Minute < 0 || d.Minute >= 24*60:
		return fmt.Errorf("the minute of the day is 0 to 1439, not %d", d.Minute)
	case d.Slices < 0 || d.Slices > 1000:
		return fmt.Errorf("a check reads one of 1 to 1,000 slices, or none with 0, not %d", d.Slices)
	}
	return nil
}

// on is the slot of a day, if it has one.
func on(d store.MaintenanceHours, year int, month time.Month, dayOfMonth int, zone *time.Location) (time.Time, bool) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.Repository)) // never fails
	at := time.Date(year, month, dayOfMonth, 0, d.Minute, int(h.Sum32()%uint32(Spread/time.Second)), 0, zone)
	date := time.Date(year, month, dayOfMonth, 12, 0, 0, 0, zone)
	return at, d.Weekday < 0 || int(date.Weekday()) == d.Weekday
}

// LastSlot is the latest slot up to now, NextSlot the first after it. Both are in
// now's zone.
func LastSlot(d store.MaintenanceHours, now time.Time) time.Time {
	for back := 0; ; back++ {
		if at, is := on(d, now.Year(), now.Month(), now.Day()-back, now.Location()); is && !at.After(now) {
			return at
		}
	}
}

// NextSlot is the first slot after now.
func NextSlot(d store.MaintenanceHours, now time.Time) time.Time {
	for ahead := 0; ; ahead++ {
		if at, is := on(d, now.Year(), now.Month(), now.Day()+ahead, now.Location()); is && at.After(now) {
			return at
		}
	}
}

// Due is the slot that is to be served now, 0 if there is none. However many were
// missed, it is one: the latest.
func Due(d store.MaintenanceHours, now time.Time) int64 {
	slot := LastSlot(d, now).UnixMilli()
	if d.Paused || slot <= d.Served || now.UnixMilli() < d.NextAttemptAt {
		return 0
	}
	return slot
}

// Subset is the slice a check reads next, "" if it reads none.
func Subset(d store.MaintenanceHours) string {
	if d.Slices == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", d.Slice%d.Slices+1, d.Slices)
}
