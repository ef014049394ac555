package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// MaxRetries is the most times a failed slot is retried.
const MaxRetries = 20

// MaxPause is how long a pause with an end can be.
const MaxPause = 10 * 366 * 24 * time.Hour

// Errors for a schedule that is not found.
var (
	ErrNoHost     = errors.New("there is no such host")
	ErrNoSchedule = errors.New("the host has no such schedule")
)

// A Service saves and removes schedules, for pages, API and command line. Each method
// is one transaction with its audit entry. It is safe for concurrent use.
type Service struct {
	Store *store.Store
	// Changed is called with the host after the commit. It may be nil and must not
	// block.
	Changed func(...topics.HostID)
	// Online reports whether a host is connected, and what it did is known here; nil is
	// that nobody knows.
	Online func(topics.HostID) bool
	Now    func() time.Time
}

// An Input changes a schedule; nil fields stay as they are. A new schedule gets the
// default in the field's comment.
type Input struct {
	Cron          *string   // five fields, or a word such as @daily; a new schedule needs it
	Zone          *string   // IANA's name; UTC
	JitterSeconds *int      // 0
	SourceGroups  *[]string // by name; a new schedule needs one
	Enabled       *bool     // true
	RetryMax      *int      // 3
	// PausedUntil is when a paused schedule goes on by itself; the zero time is never.
	// A pause that begins has none unless it is given.
	PausedUntil *time.Time

	// Unread holds errors by field from parsing the request. They are returned with
	// all other errors.
	Unread field.Errors
}

// Put adds a host's schedule, or changes the one with that name. It returns
// [field.Errors] for invalid input.
func (s *Service) Put(ctx context.Context, by string, host topics.HostID, name string, in Input) (store.Schedule, error) {
	name, err := s.called(ctx, host, name)
	if err != nil {
		return store.Schedule{}, err
	}
	return s.put(ctx, by, host, name, in, nil)
}

// Add adds a schedule. If the host has one with that name, it returns [field.Errors].
func (s *Service) Add(ctx context.Context, by string, host topics.HostID, name string, in Input) (store.Schedule, error) {
	return s.put(ctx, by, host, field.Clean(name), in, func(is store.Schedule, wrong field.Errors) error {
		if known(is) {
			wrong.Say("name", "This host has a schedule of this name already.")
		}
		return nil
	})
}

// Change changes an existing schedule, or returns [ErrNoSchedule].
func (s *Service) Change(ctx context.Context, by string, host topics.HostID, name string, in Input) (store.Schedule, error) {
	name, err := s.called(ctx, host, name)
	if err != nil {
		return store.Schedule{}, err
	}
	return s.put(ctx, by, host, name, in, func(is store.Schedule, _ field.Errors) error {
		if !known(is) {
			return ErrNoSchedule
		}
		return nil
	})
}

// Enable resumes or pauses a schedule.
func (s *Service) Enable(ctx context.Context, by string, host topics.HostID, name string, on bool) (store.Schedule, error) {
	return s.Change(ctx, by, host, name, Input{Enabled: &on})
}

// Remove deletes a schedule, or returns [ErrNoSchedule]. Its jobs go on.
func (s *Service) Remove(ctx context.Context, by string, host topics.HostID, name string) error {
	name, err := s.called(ctx, host, name)
	if err == nil {
		err = s.Store.DeleteSchedule(ctx, by, host, name)
	}
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoSchedule
	}
	if err == nil {
		s.changed(host)
	}
	return err
}

// called returns the name of a schedule that somebody means: the name as it was
// given if the host has such a schedule, else without the spaces around it.
func (s *Service) called(ctx context.Context, host topics.HostID, name string) (string, error) {
	_, err := s.Store.ScheduleNamed(ctx, host, name)
	if errors.Is(err, store.ErrNotFound) {
		return field.Clean(name), nil
	}
	return name, err
}

// Try returns a schedule as it would be saved, and [field.Errors] for everything that
// is invalid. An empty name stands for a new schedule, which has no ID yet. It saves
// nothing.
func (s *Service) Try(ctx context.Context, host topics.HostID, name string, in Input) (store.Schedule, error) {
	groups, err := s.groups(ctx, host)
	if err != nil {
		return store.Schedule{}, err
	}
	was := store.Schedule{Host: host, Since: s.Now().UnixMilli()}
	if name != "" {
		if was, err = s.Named(ctx, host, name); err != nil {
			return was, err
		}
	}
	row, wrong := was, in.unread()
	row.Groups = slices.Clone(was.Groups)
	in.apply(&row, groups, s.Now(), wrong)
	row.Replan(was, s.Now().UnixMilli())
	return row, wrong.Err()
}

// known reports whether a row exists: otherwise PutSchedule passes an empty one.
func known(row store.Schedule) bool { return row.Cron != "" }

func (s *Service) groups(ctx context.Context, host topics.HostID) ([]store.SourceGroup, error) {
	if _, err := s.Store.Host(ctx, host); errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoHost
	} else if err != nil {
		return nil, err
	}
	return s.Store.SourceGroups(ctx, host)
}

func (s *Service) put(ctx context.Context, by string, host topics.HostID, name string, in Input,
	may func(is store.Schedule, wrong field.Errors) error) (store.Schedule, error) {
	groups, err := s.groups(ctx, host)
	if err != nil {
		return store.Schedule{}, err
	}
	row, err := s.Store.PutSchedule(ctx, by, host, name, topics.ScheduleID(topics.NewID(s.Now())), func(row *store.Schedule) error {
		wrong := in.unread()
		if !known(*row) {
			wrong.Say("name", field.Name("name", name))
		}
		if may != nil {
			if err := may(*row, wrong); err != nil {
				return err
			}
		}
		in.apply(row, groups, s.Now(), wrong)
		return wrong.Err()
	})
	if err != nil {
		return store.Schedule{}, err
	}
	s.changed(host)
	return row, nil
}

func (s *Service) changed(host topics.HostID) {
	if s.Changed != nil {
		s.Changed(host)
	}
}

func (in Input) unread() field.Errors {
	wrong := field.Errors{}
	maps.Copy(wrong, in.Unread)
	return wrong
}

// apply copies an input into a row and adds its errors to wrong. groups are those of
// the host.
func (in Input) apply(row *store.Schedule, groups []store.SourceGroup, now time.Time, wrong field.Errors) {
	if !known(*row) {
		row.Zone, row.Enabled, row.RetryMax = "UTC", true, 3
	}
	if in.Cron != nil {
		row.Cron = field.Clean(*in.Cron)
	}
	if in.Zone != nil {
		row.Zone = field.Clean(*in.Zone)
	}
	if in.JitterSeconds != nil {
		row.JitterSeconds = *in.JitterSeconds
	}
	if in.Enabled != nil {
		row.Enabled = *in.Enabled
	}
	if until := in.PausedUntil; until != nil {
		row.PausedUntil = 0
		switch {
		case until.IsZero():
		case row.Enabled:
			wrong.Say("paused_until", "Only a schedule that is paused goes on at a moment: pause it, too.")
		case !until.After(now):
			wrong.Say("paused_until", "The pause has to end in the future.")
		case until.Sub(now) > MaxPause:
			wrong.Say("paused_until", "A pause ends within 10 years; leave the end out to pause it for good.")
		default:
			row.PausedUntil = until.UnixMilli()
		}
	}
	if in.RetryMax != nil {
		row.RetryMax = *in.RetryMax
	}
	if in.SourceGroups != nil {
		row.Groups = nil
		for _, name := range *in.SourceGroups {
			i := slices.IndexFunc(groups, func(g store.SourceGroup) bool { return g.Name == name })
			if i < 0 {
				wrong.Say("source_groups", fmt.Sprintf("The host has no source group %.100q. %s", name, groupHelp(groups)))
			} else if !slices.Contains(row.Groups, groups[i].ID) {
				row.Groups = append(row.Groups, groups[i].ID)
			}
		}
	}
	if len(row.Groups) == 0 {
		wrong.Say("source_groups", "Choose at least one of the host's source groups. "+groupHelp(groups))
	}
	if row.RetryMax < 0 || row.RetryMax > MaxRetries {
		wrong.Say("retry_max", fmt.Sprintf("Give a number from 0 to %d.", MaxRetries))
	}
	if most := int(slots.MaxJitter.Seconds()); row.JitterSeconds < 0 || row.JitterSeconds > most {
		wrong.Say("jitter_seconds",
			fmt.Sprintf("Runs can be spread over at most 24 hours: give 0 to %d minutes, or 0 to %d seconds.", most/60, most))
	}
	// Jitter was checked above. Check each other field separately, so that all errors
	// are returned at once.
	for _, plan := range []store.Schedule{{Cron: row.Cron, Zone: "UTC"}, {Cron: "@daily", Zone: row.Zone}} {
		var invalid *slots.Invalid
		if _, err := Of(plan); errors.As(err, &invalid) {
			wrong.Say(invalid.Field, invalid.Say+" "+invalid.Do)
		}
	}
}

func groupHelp(groups []store.SourceGroup) string {
	if len(groups) == 0 {
		return "It has none yet; add one first."
	}
	var names []string
	for _, g := range groups[:min(len(groups), 20)] {
		names = append(names, fmt.Sprintf("%q", g.Name))
	}
	return "It has " + strings.Join(names, ", ") + "."
}
