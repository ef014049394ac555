package rollout

import (
	"cmp"
	"context"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/shelf"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/rollouts"
	"github.com/restic-manager/restic-manager/topics"
)

// An Overview is how updates stand: what lies here, who runs what, and what goes on.
type Overview struct {
	Release  shelf.Release
	Settings rollouts.Settings
	Going    []Progress
	Versions []Version // the most hosts first
	Cannot   []Unable  // by name
	Current  int       // hosts that run the release, or a newer one
	Behind   int       // that run an older one
	Can      int       // of those, how many can be updated from here
}

// A Version is one that some hosts run.
type Version struct {
	Version       string
	Number        int64 // 0 is not known
	Hosts, Online int
}

// An Unable is a host that cannot be updated from here.
type Unable struct {
	Host    topics.HostID
	Name    string
	Why, Do string
}

// A Progress is how far a rollout is.
type Progress struct {
	rollouts.Rollout
	Name    string // of the one host that it is about
	Members []rollouts.Member
	Count   Count
	Waits   string // why nothing begins just now
}

// Overview looks at all of it.
func (s *Service) Overview(ctx context.Context) (o Overview, err error) {
	m, err := s.Board.Now(ctx)
	if err != nil {
		return o, err
	}
	o.Release = s.Release()
	if o.Settings, err = s.Settings(ctx); err != nil {
		return o, err
	}
	looks, err := s.looks(ctx, o.Release, m)
	if err != nil {
		return o, err
	}
	for _, l := range looks {
		if l.Rollout.EndedAt == 0 {
			o.Going = append(o.Going, progress(l, m))
		}
	}
	versions := map[Version]*Version{}
	for _, e := range m.ByName() {
		if e.AgentVersion == "" {
			continue // it never connected
		}
		key := Version{Version: e.AgentVersion, Number: Number(e.Host)}
		if versions[key] == nil {
			versions[key] = &Version{Version: key.Version, Number: key.Number}
		}
		versions[key].Hosts++
		if e.Connection == hosts.Online {
			versions[key].Online++
		}
		why, do := s.Cannot(e.Host, o.Release)
		_, refused := s.refused(e.ID)
		switch {
		case !Behind(e.Host, o.Release):
			o.Current++
		default:
			o.Behind++
			if why == "" {
				o.Can++
			}
		}
		if why != "" && (refused || o.Release.Number == 0 || Behind(e.Host, o.Release)) {
			o.Cannot = append(o.Cannot, Unable{Host: e.ID, Name: e.Name, Why: why, Do: do})
		}
	}
	for _, v := range versions {
		o.Versions = append(o.Versions, *v)
	}
	slices.SortFunc(o.Versions, func(a, b Version) int {
		return cmp.Or(cmp.Compare(b.Hosts, a.Hosts), cmp.Compare(b.Number, a.Number), cmp.Compare(a.Version, b.Version))
	})
	return o, nil
}

// Progress looks at one rollout, one that has ended, too. It returns ErrNone.
func (s *Service) Progress(ctx context.Context, id string) (Progress, error) {
	x, err := s.Store.Rollouts().Rollout(ctx, id)
	if err != nil {
		return Progress{}, err
	}
	m, err := s.Board.Now(ctx)
	if err != nil {
		return Progress{}, err
	}
	lies := s.Release()
	if x.EndedAt == 0 {
		looks, err := s.looks(ctx, lies, m)
		if err != nil {
			return Progress{}, err
		}
		for _, l := range looks {
			if l.Rollout.ID == id {
				return progress(l, m), nil
			}
		}
	}
	l, err := s.look(ctx, x, lies, m, nil)
	return progress(l, m), err
}

func progress(l Look, m *fleet.Moment) Progress {
	step := Next(l)
	p := Progress{Rollout: l.Rollout, Members: l.Members, Count: step.Count, Waits: step.Waits}
	p.Wave = step.Wave
	if p.Host != "" {
		p.Name = cmp.Or(m.Name(p.Host), string(p.Host))
	}
	if p.EndedAt > 0 { // what it came to is no matter of how hosts are now
		p.Count.Hosts, p.Count.Waiting, p.Waits = p.Count.Finished()+p.Count.Updating, 0, ""
	}
	p.Count.Quota = p.Count.quota(p.Wave)
	return p
}

// Update says how one host stands.
type Update struct {
	Refused bool // its agent is, for the protocol that it speaks
	Release shelf.Release
	Behind  bool
	Why, Do string            // why it cannot be updated from here, "" if it can
	Open    *store.Job        // an update that is under way
	Going   *rollouts.Rollout // that it waits for
}

// Of looks at one host of a moment.
func (s *Service) Of(ctx context.Context, e *fleet.Entry) (u Update, err error) {
	u.Release, u.Open = s.Release(), updateOf(e)
	u.Why, u.Do = s.Cannot(e.Host, u.Release)
	_, u.Refused = s.refused(e.ID)
	u.Behind = Behind(e.Host, u.Release)
	going, err := s.Store.Rollouts().Going(ctx)
	for _, x := range going {
		if x.Host == e.ID || x.Host == "" && (x.Tag == "" || slices.Contains(e.Tags, x.Tag)) {
			u.Going = &x
			break
		}
	}
	return u, err
}

// Latest is the version that a host's agent may be updated to from here: what it has, if
// that is none.
func Latest(h store.Host, lies shelf.Release) string {
	if why, _ := Cannot(h, lies); why == "" && lies.Good() && Behind(h, lies) {
		return lies.Version
	}
	return h.AgentVersion
}
