// Package maintenance runs forget, prune and check on the keeper of each repository,
// at set hours or when a person asks for it.
//
// Package retention decides what a forget removes.
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

// Kinds lists the kinds of maintenance, in the order they run.
var Kinds = []topics.JobKind{topics.ForgetJob, topics.PruneJob, topics.CheckJob}

// Spread is the longest delay after the set hour, so that not every repository is
// maintained at once.
const Spread = time.Hour

// Usual is the default: forget every night, prune on Sundays, check a twelfth of the
// data on Saturdays.
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

// Input changes when one kind of maintenance is due; nil fields stay as they are.
type Input struct {
	Weekday *string // one of Weekdays, or Daily
	Hour    *string // HH:MM by the control plane's clock
	Paused  *bool
	Slices  *int // check: read one of this many slices of the data each time; 0 reads none
}

// Weekdays lists the days in the form of Input.
var Weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// Daily is the value for every day.
const Daily = "daily"

// maxSlices is how many slices a check may divide the data into.
const maxSlices = 1000

var clockForm = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

// apply changes hours by an input, and adds its errors.
func (in Input) apply(h *store.MaintenanceHours, wrong field.Errors) {
	kind := string(h.Kind)
	if in.Weekday != nil {
		h.Weekday = slices.Index(Weekdays, *in.Weekday) // -1 if it is Daily
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

// Hours returns when each kind of maintenance of a repository is due, with the
// default for kinds that were not set.
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

// PutHours sets when maintenance of a repository is due. Kinds that are not in the
// input stay as they are. For invalid input it returns field.Errors and changes
// nothing.
func (r *Runner) PutHours(ctx context.Context, by string, id topics.RepositoryID, in map[topics.JobKind]Input) error {
	err := r.Store.PutHours(ctx, by, id, func(rows []store.MaintenanceHours) (changed []store.MaintenanceHours, err error) {
		hours, wrong := withUsual(id, rows), field.Errors{}
		for _, kind := range Kinds {
			if in[kind] == (Input{}) {
				continue
			}
			h := hours[kind]
			if h.Served == 0 {
				h.Served = r.Now().UnixMilli() // starts now, so nothing was missed
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

// on returns the slot on a day, if it has one.
func on(d store.MaintenanceHours, year int, month time.Month, dayOfMonth int, zone *time.Location) (time.Time, bool) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.Repository)) // never fails
	at := time.Date(year, month, dayOfMonth, 0, d.Minute, int(h.Sum32()%uint32(Spread/time.Second)), 0, zone)
	date := time.Date(year, month, dayOfMonth, 12, 0, 0, 0, zone)
	return at, d.Weekday < 0 || int(date.Weekday()) == d.Weekday
}

// LastSlot returns the latest slot up to now, in now's zone.
func LastSlot(d store.MaintenanceHours, now time.Time) time.Time {
	for back := 0; ; back++ {
		if at, is := on(d, now.Year(), now.Month(), now.Day()-back, now.Location()); is && !at.After(now) {
			return at
		}
	}
}

// NextSlot returns the first slot after now, in now's zone.
func NextSlot(d store.MaintenanceHours, now time.Time) time.Time {
	for ahead := 0; ; ahead++ {
		if at, is := on(d, now.Year(), now.Month(), now.Day()+ahead, now.Location()); is && at.After(now) {
			return at
		}
	}
}

// Due returns the slot that should run now, 0 if there is none. Several missed slots
// count as one, the latest.
func Due(d store.MaintenanceHours, now time.Time) int64 {
	slot := LastSlot(d, now).UnixMilli()
	if d.Paused || slot <= d.Served || now.UnixMilli() < d.NextAttemptAt {
		return 0
	}
	return slot
}

// Subset returns the slice of the data that a check reads next, "" if it reads none.
func Subset(d store.MaintenanceHours) string {
	if d.Slices == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", d.Slice%d.Slices+1, d.Slices)
}
