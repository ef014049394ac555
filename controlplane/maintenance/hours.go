// Package maintenance has repositories looked after: forget, prune and check, run
// on the keeper of each at its hours, or when a person asks for it.
//
// What a forget removes is decided by package retention.
package maintenance

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/repositories"
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

// Input is when one kind of maintenance is to be due, as somebody wants it. What is
// nil stays as it is.
type Input struct {
	Weekday *string // one of Weekdays, or Daily
	Hour    *string // HH:MM by the control plane's clock
	Paused  *bool
	Slices  *int // check: read one of so many slices of the data each time; 0 reads none
}

// Weekdays are the days as an Input has them, and Daily is every one of them.
var Weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// Daily is every day.
const Daily = "daily"

// maxSlices is how many slices a check may divide the data into.
const maxSlices = 1000

var clockForm = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

// apply changes hours as an input says, and notes what is wrong.
func (in Input) apply(h *store.MaintenanceHours, wrong field.Errors) {
	kind := string(h.Kind)
	if in.Weekday != nil {
		h.Weekday = slices.Index(Weekdays, *in.Weekday) // -1 is every day
		if h.Weekday < 0 && *in.Weekday != Daily {
			wrong.Say(kind+".weekday", "Choose a day of the week for "+kind+", sunday to saturday, or "+Daily+".")
		}
	}
	if in.Hour != nil {
		if !clockForm.MatchString(*in.Hour) {
			wrong.Say(kind+".hour", "The hour of "+kind+" is HH:MM, 00:00 to 23:59.")
		} else if at, err := time.Parse("15:04", *in.Hour); err == nil {
			h.Minute = at.Hour()*60 + at.Minute()
		}
	}
	if in.Paused != nil {
		h.Paused = *in.Paused
	}
	if in.Slices != nil {
		if h.Slices = *in.Slices; h.Slices < 0 || h.Slices > maxSlices {
			wrong.Say(kind+".slices", fmt.Sprintf("A check reads one of 1 to %d slices of the data, or none with 0.", maxSlices))
		}
	}
}

// Hours returns when each kind of maintenance of a repository is due, whether
// anybody said so or not.
func (r *Runner) Hours(ctx context.Context, id topics.RepositoryID) (map[topics.JobKind]store.MaintenanceHours, error) {
	rows, err := r.Store.Hours(ctx, id)
	return withUsual(id, rows), err
}

func withUsual(id topics.RepositoryID, rows []store.MaintenanceHours) map[topics.JobKind]store.MaintenanceHours {
	hours := map[topics.JobKind]store.MaintenanceHours{}
	for _, kind := range Kinds {
		hours[kind] = Usual(id, kind)
	}
	for _, row := range rows {
		hours[row.Kind] = row
	}
	return hours
}

// PutHours says when maintenance of a repository is due. Kinds that are not named
// stay as they are. Bad inputs are field.Errors; then nothing is changed.
func (r *Runner) PutHours(ctx context.Context, by string, id topics.RepositoryID, in map[topics.JobKind]Input) error {
	err := r.Store.PutHours(ctx, by, id, func(rows []store.MaintenanceHours) (changed []store.MaintenanceHours, err error) {
		hours, wrong := withUsual(id, rows), field.Errors{}
		for _, kind := range Kinds {
			if in[kind] == (Input{}) {
				continue
			}
			h := hours[kind]
			if h.Served == 0 {
				h.Served = r.Now().UnixMilli() // it begins now: nothing was missed
			}
			in[kind].apply(&h, wrong)
			changed = append(changed, h)
		}
		return changed, wrong.Err()
	})
	if errors.Is(err, store.ErrNotFound) {
		return repositories.ErrNotFound
	} else if err != nil {
		return err
	}
	r.Changed(repositories.Users(context.WithoutCancel(ctx), r.Store, id)...)
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
