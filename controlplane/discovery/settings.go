package discovery

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/discoveries"
	"github.com/restic-manager/restic-manager/topics"
)

// Prefix is the first level of the topics in which Home Assistant looks for devices, unless
// somebody set another one there.
const Prefix = "homeassistant"

// Settings are what people set about Home Assistant.
type Settings struct {
	Enabled bool
	Prefix  string   // of the topics in which it looks for devices
	Tags    []string // of the hosts that it is told of; none is all hosts
	Buttons bool     // it may ask for backups and the like, where consumers may do so
}

// A Preview is how much Home Assistant would be told of.
type Preview struct {
	Hosts, Repositories int
	Devices             int // those, and one for all of them together
	Entities            int
}

// Get returns the settings, and their version: 0 if nobody set any. Whoever sets them gives
// that back.
func (s *Service) Get(ctx context.Context) (Settings, int64, error) {
	row, err := s.Store.HomeAssistant(ctx)
	if err != nil || row.Version == 0 {
		return Settings{Prefix: Prefix, Buttons: true}, 0, err
	}
	return Settings{Enabled: row.Enabled, Prefix: row.Prefix, Tags: row.Tags, Buttons: row.Buttons}, row.Version, nil
}

// Put changes the settings. [discoveries.ErrMoved] is that somebody changed them since they
// were read; [field.Errors] says what is wrong with them.
func (s *Service) Put(ctx context.Context, actor string, set Settings, version int64) error {
	set, err := checked(set)
	if err != nil {
		return err
	}
	_, err = s.Store.PutHomeAssistant(ctx, actor, discoveries.Settings{Enabled: set.Enabled, Prefix: set.Prefix, Tags: set.Tags,
		Buttons: set.Buttons, Version: version})
	if err == nil {
		s.Stir()
	}
	return err
}

// Preview counts the devices and entities that Home Assistant would be told of.
func (s *Service) Preview(ctx context.Context, set Settings) (p Preview, err error) {
	if set, err = checked(set); err != nil {
		return p, err
	}
	there, err := s.now(ctx, set)
	if err != nil {
		return p, err
	}
	commands := s.Dialects == nil
	for _, d := range s.dialects() {
		reach, err := s.reach(ctx, d.Outlet)
		if err != nil {
			return p, err
		}
		commands = commands || d.Command != nil && reach.Commands
	}
	p.Hosts, p.Repositories = len(there.hosts), len(there.repositories)
	p.Devices = p.Hosts + p.Repositories + 1
	p.Entities = p.Hosts*len(ofHost(commands && set.Buttons)) + p.Repositories*len(ofRepository) + len(ofFleet)
	return p, nil
}

// now reads what there is to be told of, on any goroutine.
func (s *Service) now(ctx context.Context, set Settings) (w world, err error) {
	var m *fleet.Moment
	if s.Fleet != nil {
		if m, err = s.Fleet.Now(ctx); err != nil {
			return w, err
		}
	}
	rows, err := s.Store.Repositories(ctx)
	if err != nil {
		return w, err
	}
	names := make(map[topics.RepositoryID]string, len(rows))
	for _, r := range rows {
		names[r.ID] = r.Name
	}
	return s.read(ctx, set, m, names)
}

// level is one level of a topic that every broker and Home Assistant take as it is.
var level = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// MaxPrefix is how long a prefix may be, in bytes.
const MaxPrefix = 100

// checked returns the settings as they are stored, or what is wrong with them.
func checked(set Settings) (Settings, error) {
	wrong := field.Errors{}
	if set.Prefix = field.Clean(set.Prefix); set.Prefix == "" {
		set.Prefix = Prefix
	}
	if bad := func(l string) bool { return !level.MatchString(l) }; len(set.Prefix) > MaxPrefix ||
		slices.ContainsFunc(strings.Split(set.Prefix, "/"), bad) {
		wrong.Say("prefix", "The prefix that is set in Home Assistant, such as homeassistant: letters, digits, . _ - and / between levels.")
	} else if ours := strings.SplitN(set.Prefix, "/", 3); ours[0] == "rm" {
		wrong.Say("prefix", "Topics that begin with rm are this program's own.")
	}
	tags := []string{}
	for _, t := range set.Tags {
		tag, say := hosts.Tag(t)
		wrong.Say("tags", say)
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	set.Tags = slices.Compact(tags)
	if len(set.Tags) > hosts.MaxTags {
		wrong.Say("tags", "At most 32 tags.")
	}
	return set, wrong.Err()
}

// wanted reports whether Home Assistant is told of a host.
func (set Settings) wanted(h store.Host) bool {
	if h.RevokedAt != 0 || h.RetiredAt != 0 || h.RemovedAt != 0 {
		return false
	}
	return len(set.Tags) == 0 || slices.ContainsFunc(set.Tags, func(t string) bool { return slices.Contains(h.Tags, t) })
}
