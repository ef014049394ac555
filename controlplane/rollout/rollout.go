// Package rollout brings newer versions of the agent to the hosts: one first, then a tenth
// of them, then the rest. What it does next is a function of what is known ([Next]), so it
// goes on after a restart wherever it was. Agents decide by their own keys and policies
// whether to take what they are given.
package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Jobs is what a service needs of the jobs engine.
type Jobs interface {
	AskUpdateUntil(ctx context.Context, actor string, host topics.HostID, u topics.Update, until time.Time) (
		j store.Job, fresh bool, err error)
	Cancel(ctx context.Context, actor string, id topics.JobID) error
}

// Board says how the fleet is.
type Board interface {
	Now(ctx context.Context) (*fleet.Moment, error)
}

// A Service begins rollouts, goes on with them and stops them. Without Jobs and Board it
// does so in the database alone, for a control plane that runs beside it.
type Service struct {
	Store   *store.Store
	Release func() shelf.Release
	Jobs    Jobs
	Board   Board
	// Beyond says whether a host's agent is refused for the protocol that it speaks; may be nil.
	Beyond  func(topics.HostID) (jobs.Beyond, bool)
	Changed func(hosts ...topics.HostID) // after a commit; must not block; may be nil
	Seen    func()                       // another release lies here; must not block; may be nil
	Log     *slog.Logger
	Now     func() time.Time

	turn   sync.Mutex // one turn at a time
	said   atomic.Pointer[[]notices.Notice]
	going  atomic.Bool
	began  atomic.Int64                  // when it looked first, in Unix milliseconds: it knows of no host that was away before
	lies   atomic.Pointer[shelf.Release] // as the last turn saw it
	stirs  chan struct{}
	stirer sync.Once
}

// Bounds of what people may set.
const (
	UsualAtOnce = 10
	MostAtOnce  = 50 // so many programs are handed out together
)

// Errors.
var (
	ErrNone    = rollouts.ErrNone
	ErrEnded   = rollouts.ErrEnded
	ErrNoHost  = errors.New("there is no such host")
	ErrNobody  = errors.New("no host can be updated")
	ErrRelease = errors.New("no release lies here that hosts may be given")
)

// An OverlapError is that another rollout is about some of the same hosts.
type OverlapError struct{ Other rollouts.Rollout }

func (e *OverlapError) Error() string {
	return "the rollout " + e.Other.ID + " is about some of the same hosts"
}

// A NobodyError says why nobody would be updated.
type NobodyError struct {
	Has, Cannot int
	Why         string // of the first that cannot
}

func (e *NobodyError) Error() string {
	return fmt.Sprintf("%v: %d have the release, %d cannot be updated from here", ErrNobody, e.Has, e.Cannot)
}

// Unwrap returns ErrNobody.
func (e *NobodyError) Unwrap() error { return ErrNobody }

// An Input is a rollout, or how they begin by themselves, as somebody wants it; what is nil
// is the usual, or stays as it is.
type Input struct {
	Host   string  // ID or name of the one host that it is about; "" is several
	Tag    *string // that its hosts have; "" is every host
	From   *string // HH:MM
	Until  *string // HH:MM; both alike, or both "", is at any time
	Zone   *string // in which these are read, as IANA names it
	AtOnce *int
}

var clock = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

// apply changes a plan by an input, and says what is wrong with it.
func (in Input) apply(p *rollouts.Plan, wrong field.Errors) {
	if in.Tag != nil {
		var text string
		if p.Tag = strings.TrimSpace(*in.Tag); p.Tag != "" {
			p.Tag, text = hosts.Tag(p.Tag)
		}
		wrong.Say("tag", text)
	}
	minute := func(name string, text *string, into *int) {
		if text == nil {
			return
		}
		switch at, err := time.Parse("15:04", *text); {
		case *text == "":
			*into = 0
		case !clock.MatchString(*text) || err != nil:
			wrong.Say(name, "An hour is written as 22:00.")
		default:
			*into = at.Hour()*60 + at.Minute()
		}
	}
	minute("from", in.From, &p.From)
	minute("until", in.Until, &p.Until)
	if in.From != nil && in.Until != nil && (*in.From == "") != (*in.Until == "") {
		wrong.Say("until", "Say both hours, or none for any time.")
	}
	if in.Zone != nil && *in.Zone != "" {
		p.Zone = *in.Zone
	}
	if _, err := time.LoadLocation(p.Zone); err != nil || p.Zone == "Local" {
		wrong.Say("zone", "Choose a time zone by its name, such as Europe/Berlin.")
	}
	if in.AtOnce != nil {
		p.Most = *in.AtOnce
	}
	if p.Most < 1 || p.Most > MostAtOnce {
		wrong.Say("at_once", fmt.Sprintf("From 1 to %d hosts are updated together.", MostAtOnce))
	}
}

// Usual is the plan of a rollout of which nothing is said.
func Usual() rollouts.Plan { return rollouts.Plan{Zone: "UTC", Most: UsualAtOnce} }

// Settings are how rollouts begin by themselves; off unless somebody said otherwise.
func (s *Service) Settings(ctx context.Context) (rollouts.Settings, error) {
	set, known, err := s.Store.Rollouts().Settings(ctx)
	if !known {
		set.Plan = Usual()
	}
	return set, err
}

// Put sets whether rollouts begin by themselves, and how. It returns [field.Errors].
func (s *Service) Put(ctx context.Context, actor string, automatic *bool, in Input) (rollouts.Settings, error) {
	set, err := s.Settings(ctx)
	if err != nil {
		return set, err
	}
	was, wrong := set, field.Errors{}
	in.apply(&set.Plan, wrong)
	if automatic != nil {
		set.Automatic = *automatic
	}
	if err := wrong.Err(); err != nil {
		return was, err
	}
	if set == was && set.Since > 0 {
		return set, nil
	}
	set.Since = s.Now().UnixMilli()
	says := "by hand"
	if set.Automatic {
		says = "automatically, " + PlanWords("", set.Plan)
	}
	if err := s.Store.Rollouts().PutSettings(ctx, actor, set, says); err != nil {
		return was, err
	}
	s.changed()
	return set, nil
}

// PlanWords says which hosts a plan is about, when, and how many together.
func PlanWords(host string, p rollouts.Plan) string {
	if host != "" {
		return host + " alone"
	}
	text := "every host"
	if p.Tag != "" {
		text = "hosts tagged " + p.Tag
	}
	if p.Always() {
		text += ", at any time"
	} else {
		text += ", from " + Clock(p.From) + " to " + Clock(p.Until) + " (" + p.Zone + ")"
	}
	return text + ", " + fmt.Sprint(p.Most) + " at once"
}

// Clock writes a minute of the day.
func Clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// Begin begins a rollout of the release that lies here. One to the same hosts that goes on
// is returned instead, and fresh is false. It returns [field.Errors], ErrRelease, ErrNoHost, a
// *NobodyError and an *OverlapError.
func (s *Service) Begin(ctx context.Context, actor string, in Input) (x rollouts.Rollout, fresh bool, err error) {
	return s.begin(ctx, actor, in, false)
}

func (s *Service) begin(ctx context.Context, actor string, in Input, automatic bool) (x rollouts.Rollout, fresh bool, err error) {
	release := s.Release()
	if !release.Good() {
		return x, false, ErrRelease
	}
	now := s.Now()
	x = rollouts.Rollout{ID: topics.NewID(now), Number: release.Number, Version: release.Version, Plan: Usual(), Automatic: automatic,
		BeganBy: actor, BeganAt: now.UnixMilli(), Wave: Canary}
	wrong := field.Errors{}
	in.apply(&x.Plan, wrong)
	if err := wrong.Err(); err != nil {
		return x, false, err
	}
	about, name := []store.Host{}, ""
	switch {
	case in.Host != "":
		h, err := s.Store.FindHost(ctx, in.Host)
		if errors.Is(err, store.ErrNotFound) {
			return x, false, ErrNoHost
		} else if err != nil {
			return x, false, err
		}
		x.Host, x.Plan, name, about = h.ID, Usual(), h.Name, []store.Host{h}
	case x.Tag != "":
		about, err = s.Store.HostsTagged(ctx, x.Tag)
	default:
		about, err = s.Store.Hosts(ctx)
	}
	if err != nil {
		return x, false, err
	}
	var open *rollouts.Rollout
	err = s.Store.Rollouts().Begin(ctx, x, "version "+x.Version+" for "+PlanWords(name, x.Plan), func(going []rollouts.Rollout) error {
		for i, other := range going {
			if other.Number == x.Number && other.Host == x.Host && other.Tag == x.Tag {
				open = &going[i]
				return errOpen
			}
		}
		if err := nobody(about, release); err != nil {
			return err
		}
		for _, other := range going {
			if overlaps(x, other, about) {
				return &OverlapError{other}
			}
		}
		return nil
	})
	if open != nil {
		return *open, false, nil
	}
	if err != nil {
		return x, false, err
	}
	s.changed()
	s.Stir()
	return x, true, nil
}

var errOpen = errors.New("it goes on already")

// overlaps reports whether a rollout would be about some of the hosts of another that goes
// on. One for a single host goes before the others, and takes its host out of theirs.
func overlaps(x, other rollouts.Rollout, about []store.Host) bool {
	if x.Host != "" || other.Host != "" {
		return false
	}
	return x.Tag == "" || other.Tag == "" || slices.ContainsFunc(about, func(h store.Host) bool { return slices.Contains(h.Tags, other.Tag) })
}

// nobody returns a *NobodyError if none of the hosts can be updated.
func nobody(about []store.Host, r shelf.Release) error {
	none := &NobodyError{}
	for _, h := range about {
		switch why, _ := Cannot(h, r); {
		case !Behind(h, r):
			none.Has++
		case why != "":
			none.Cannot++
			none.Why = cmp.Or(none.Why, words.Visible(h.Name)+": "+why)
		default:
			return nil
		}
	}
	return none
}

// Stop ends a rollout: no further host begins, and what is at work goes on. One that was
// stopped is stopped. It returns ErrNone, and ErrEnded if it ended otherwise.
func (s *Service) Stop(ctx context.Context, actor, id string) error {
	err := s.Store.Rollouts().End(ctx, actor, id, rollouts.Stopped, "Stopped by "+actor+".")
	if errors.Is(err, ErrEnded) {
		if x, gone := s.Store.Rollouts().Rollout(ctx, id); gone != nil || x.Outcome == rollouts.Stopped {
			return gone
		}
	}
	if err != nil {
		return err
	}
	s.changed()
	s.Stir()
	return nil
}

func (s *Service) changed() {
	if s.Changed != nil {
		s.Changed()
	}
}

// Notices says that a newer release lies here, and that a rollout stopped by itself.
func (s *Service) Notices(context.Context) []notices.Notice {
	if list := s.said.Load(); list != nil {
		return *list
	}
	return nil
}

// Latest is the version that a host's agent may be updated to from here, as it was seen last:
// what it has, if that is none.
func (s *Service) Latest(h store.Host) string {
	lies := s.lies.Load()
	if lies == nil {
		return h.AgentVersion
	}
	return Latest(h, *lies)
}

func (s *Service) queue() chan struct{} {
	s.stirer.Do(func() { s.stirs = make(chan struct{}, 1) })
	return s.stirs
}

// Stir has the service look at once, if a rollout goes on or was just asked for.
func (s *Service) Stir() {
	s.going.Store(true)
	s.HostChanged()
}

// HostChanged has it look at once if a rollout goes on. It does not block.
func (s *Service) HostChanged() {
	if !s.going.Load() {
		return
	}
	select {
	case s.queue() <- struct{}{}:
	default:
	}
}
