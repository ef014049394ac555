package discovery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/outbox"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/column"
	"github.com/restic-manager/restic-manager/store/discoveries"
	"github.com/restic-manager/restic-manager/topics"
)

const fleetKey = "fleet"

func hostKey(id topics.HostID) string             { return "host:" + string(id) }
func repositoryKey(id topics.RepositoryID) string { return "repository:" + string(id) }

// A world is what there is to be told of.
type world struct {
	hosts        []store.Host
	repositories []topics.RepositoryID
	names        map[topics.RepositoryID]string
	there        map[string]bool // all devices in care, whether they are told or not
}

// read picks the hosts that Home Assistant is to be told of, of a moment or of the database,
// and their repositories, of those that have names.
func (s *Service) read(ctx context.Context, set Settings, m *fleet.Moment, names map[topics.RepositoryID]string) (w world, err error) {
	w.names, w.there = names, map[string]bool{fleetKey: true}
	used := map[topics.RepositoryID]bool{}
	if err := s.readHosts(ctx, m, func(h store.Host, repositories []topics.RepositoryID) {
		w.there[hostKey(h.ID)] = true
		if !set.wanted(h) {
			return
		}
		w.hosts = append(w.hosts, h)
		for _, r := range repositories {
			used[r] = true
		}
	}); err != nil {
		return w, err
	}
	for id := range names {
		w.there[repositoryKey(id)] = true
		if len(set.Tags) == 0 || used[id] {
			w.repositories = append(w.repositories, id)
		}
	}
	slices.SortFunc(w.repositories, func(a, b topics.RepositoryID) int { // the first of a name has it without a number
		return cmp.Or(strings.Compare(names[a], names[b]), cmp.Compare(a, b))
	})
	return w, nil
}

// readHosts calls visit for each host with the repositories that it backs up into.
func (s *Service) readHosts(ctx context.Context, m *fleet.Moment, visit func(store.Host, []topics.RepositoryID)) error {
	if m != nil {
		var into []topics.RepositoryID
		for _, e := range m.ByName() {
			into = into[:0]
			for _, g := range e.Groups {
				into = append(into, g.Repository)
			}
			visit(e.Host, into)
		}
		return nil
	}
	rows, err := s.Store.Hosts(ctx)
	if err != nil {
		return err
	}
	groups, err := s.Store.SourceGroups(ctx, "")
	if err != nil {
		return err
	}
	into := map[topics.HostID][]topics.RepositoryID{}
	for _, g := range groups {
		into[g.Host] = append(into[g.Host], g.Repository)
	}
	for _, h := range rows {
		visit(h, into[h.ID])
	}
	return nil
}

// devices are what there is to be told of as devices, that of all hosts first: the others
// refer to it.
func (s *Service) devices(w world) []device {
	list := []device{{key: fleetKey, id: s.hub(), name: "Backups", model: "Control plane", page: "/"}}
	for _, h := range w.hosts {
		list = append(list, device{key: hostKey(h.ID), id: "rm_" + string(h.ID), name: h.Name, model: modelOf(h), agent: h.AgentVersion,
			page: "/hosts/" + string(h.ID), host: h.ID})
	}
	for _, id := range w.repositories {
		list = append(list, device{key: repositoryKey(id), id: "rm_" + string(id), name: w.names[id], model: "Repository",
			page: "/repositories/" + string(id), repository: id})
	}
	return list
}

func modelOf(h store.Host) string {
	if h.OS == "" {
		return "Host"
	}
	return "Host, " + h.OS
}

func (s *Service) hub() string { return "rm_" + s.plane }

// most is how many devices are told of in one transaction.
const most = 500

// step tells brokers what is not told yet, and takes back what is there no more.
func (s *Service) step(ctx context.Context) error {
	if err := s.remember(ctx); err != nil {
		return err
	}
	if err := s.noteBirths(ctx); err != nil {
		return err
	}
	set, version, err := s.Get(ctx)
	if err != nil {
		return err
	}
	was := s.view.round
	if err := s.look(ctx, set, version); err != nil {
		return err
	}
	list := s.view.list
	if s.view.round != was || !s.named {
		if err := s.name(ctx, list); err != nil {
			return err
		}
	}
	now, voices := Status{}, map[outbox.Outlet]voice{}
	for _, d := range s.dialects() {
		if !set.Enabled {
			break
		}
		if voices[d.Outlet], err = s.voice(ctx, d, set); err != nil {
			return err
		}
		entities, err := s.keep(ctx, voices[d.Outlet], list)
		if err != nil {
			return err
		}
		now.Devices, now.Entities = len(list), max(now.Entities, entities)
	}
	var gone []discoveries.Told
	for outlet, rows := range s.told {
		if _, told := voices[outlet]; told {
			continue
		}
		for _, row := range rows {
			gone = append(gone, *row)
		}
		delete(s.states, outlet)
	}
	if err := s.takeBack(ctx, gone); err != nil {
		return err
	}
	s.mu.Lock()
	s.status = now
	s.mu.Unlock()
	s.again(voices)
	return nil
}

// noteBirths writes down who said that it is there.
func (s *Service) noteBirths(ctx context.Context) error {
	s.mu.Lock()
	born := s.born
	s.born = map[outbox.Outlet]string{}
	s.mu.Unlock()
	for outlet, name := range born {
		if err := s.Store.HomeAssistantBorn(ctx, string(outlet), name); err != nil {
			return err
		}
	}
	return nil
}

// remember reads at the start what was told before.
func (s *Service) remember(ctx context.Context) error {
	if s.known {
		return nil
	}
	mark, err := s.Store.Mark(ctx)
	if err != nil {
		return err
	}
	rows, names, err := s.Store.Discovered(ctx)
	if err != nil {
		return err
	}
	s.plane, s.names, s.told = mark.Database, names, map[outbox.Outlet]map[string]*discoveries.Told{}
	s.said, s.states = map[outbox.Outlet]map[string]saying{}, map[outbox.Outlet]state{}
	for _, r := range rows {
		s.note(&r)
	}
	s.known = true
	return nil
}

func (s *Service) note(r *discoveries.Told) {
	outlet := outbox.Outlet(r.Outlet)
	if s.told[outlet] == nil {
		s.told[outlet] = map[string]*discoveries.Told{}
	}
	s.told[outlet][r.Topic] = r
}

// name finds a beginning of entity IDs for each device that has none, and frees those of
// devices that are there no more.
func (s *Service) name(ctx context.Context, list []device) error {
	s.named = false
	change, taken := store.Discovering{Name: map[string]string{}}, map[string]bool{}
	for key, slug := range s.names {
		if s.view.there == nil || s.view.there[key] {
			taken[slug] = true
		} else {
			change.Unname = append(change.Unname, key)
		}
	}
	for i, d := range list {
		if d.slug == "" {
			slug := slugOf(d)
			for n := 2; taken[slug]; n++ {
				slug = fmt.Sprintf("%s_%d", slugOf(d), n)
			}
			taken[slug], change.Name[d.key] = true, slug
			list[i].slug = slug
		}
	}
	if len(change.Name)+len(change.Unname) > 0 {
		if err := s.Store.Discover(ctx, change); err != nil {
			for i, d := range list {
				if change.Name[d.key] != "" {
					list[i].slug = ""
				}
			}
			return fmt.Errorf("name devices: %w", err)
		}
	}
	for _, d := range change.Unname {
		delete(s.names, d)
	}
	maps.Copy(s.names, change.Name)
	s.named = true
	return nil
}

func (s *Service) voice(ctx context.Context, d outbox.Dialect, set Settings) (voice, error) {
	v := voice{Dialect: d, prefix: set.Prefix, buttons: set.Buttons, version: s.Version, hub: s.hub()}
	reach, err := s.reach(ctx, d.Outlet)
	if err != nil {
		return v, err
	}
	if !reach.All {
		v.hub = ""
	}
	v.buttons = v.buttons && reach.Commands
	if s.Prefix != nil {
		v.prefix = cmp.Or(s.Prefix(ctx, d.Outlet), v.prefix)
	}
	if s.Public != nil {
		v.public = strings.TrimRight(s.Public(ctx), "/")
	}
	return v, nil
}

// A saying is what a broker was told last of a device.
type saying struct {
	device device
	tone   tone
	count  int // of its entities
	gone   map[string]string
	until  int64 // when those that are gone are named no more; 0 if none are
	sum    [sha256.Size]byte
}

// A tone is what a message depends on beside its device.
type tone struct{ root, prefix, command, public, version, hub string }

func (v voice) tone() tone {
	t := tone{root: v.Root, prefix: v.prefix, public: v.public, version: v.version, hub: v.hub}
	if v.commands() {
		t.command = v.Command("-", topics.ActionBackup)
	}
	return t
}

// A state is what a broker was told last, all in all.
type state struct {
	round    int64 // of the list
	tone     tone
	until    int64 // when that changes by time alone; 0 is never
	entities int
}

// keep tells a broker what it was not told yet. It looks for that where something changed.
func (s *Service) keep(ctx context.Context, v voice, list []device) (entities int, err error) {
	was, told := s.states[v.Outlet]
	if told && was.round == s.view.round && was.tone == v.tone() && (was.until == 0 || s.Now().UnixMilli() < was.until) {
		return was.entities, nil
	}
	delete(s.states, v.Outlet)
	now := state{round: s.view.round, tone: v.tone()}
	if now.entities, err = s.tell(ctx, v, list); err != nil {
		return 0, err
	}
	for _, one := range s.said[v.Outlet] {
		if one.until != 0 && (now.until == 0 || one.until < now.until) {
			now.until = one.until
		}
	}
	s.states[v.Outlet] = now
	return now.entities, nil
}

// tell tells a broker what it was not told yet, and takes back what is there no more. It
// returns how many entities there are.
func (s *Service) tell(ctx context.Context, v voice, list []device) (entities int, err error) {
	now, tone, wanted := s.Now(), v.tone(), make(map[string]bool, len(list))
	if s.said[v.Outlet] == nil {
		s.said[v.Outlet] = map[string]saying{}
	}
	said := s.said[v.Outlet]
	var rows []discoveries.Told
	var messages []outbox.Message
	var sayings []saying
	send := func() error {
		if len(messages) == 0 {
			return nil
		}
		// What was told is written down before it is: a row too many is taken back, one too few never.
		if err := s.Store.Discover(ctx, store.Discovering{Note: rows}); err != nil {
			return err
		}
		s.Box.Put(ctx, messages...)
		for i := range rows {
			s.note(&rows[i])
			said[rows[i].Topic] = sayings[i]
		}
		rows, messages, sayings = nil, nil, nil
		return nil
	}
	for _, d := range list {
		topic := v.topic(d)
		wanted[topic] = true
		last, known := said[topic]
		if known && last.device == d && last.tone == tone && (last.until == 0 || now.UnixMilli() < last.until) {
			entities += last.count
			continue
		}
		platforms := d.platforms(v.commands())
		gone, at := s.gone(s.told[v.Outlet][topic], platforms, now)
		payload := compose(v, d, gone)
		one := saying{device: d, tone: tone, count: len(platforms), gone: gone, sum: sha256.Sum256(payload)}
		if at != 0 {
			one.until = at + s.Timing.Settle.Milliseconds()
		}
		entities += one.count
		if known && last.sum == one.sum {
			said[topic] = one
			continue
		}
		row := discoveries.Told{Outlet: string(v.Outlet), Topic: topic, Device: d.key, GoneAt: at,
			Components: column.JSON[map[string]string]{V: &platforms}}
		if len(gone) > 0 {
			row.Gone.V = &gone
		}
		rows, sayings = append(rows, row), append(sayings, one)
		messages = append(messages, outbox.Message{Outlet: v.Outlet, Topic: "/" + topic, Payload: payload, QoS: 1, Retain: true})
		if len(messages) == most {
			if err := send(); err != nil {
				return 0, err
			}
		}
	}
	if err := send(); err != nil {
		return 0, err
	}
	var gone []discoveries.Told
	for topic, row := range s.told[v.Outlet] {
		if !wanted[topic] {
			gone = append(gone, *row)
		}
	}
	return entities, s.takeBack(ctx, gone)
}

// gone lists the components that a broker was told of and that are there no more, until they
// were named for long enough, and since when.
func (s *Service) gone(was *discoveries.Told, platforms map[string]string, now time.Time) (map[string]string, int64) {
	gone, at := map[string]string{}, int64(0)
	if was == nil {
		return nil, 0
	}
	if age := now.Sub(time.UnixMilli(was.GoneAt)); was.Gone.V != nil && age >= 0 && age < s.Timing.Settle {
		at = was.GoneAt
		for key, platform := range *was.Gone.V {
			if platforms[key] != platform { // else it came back
				gone[key] = platform
			}
		}
	}
	if was.Components.V != nil {
		for key, platform := range *was.Components.V {
			if platforms[key] != platform {
				gone[key], at = platform, now.UnixMilli()
			}
		}
	}
	if len(gone) == 0 {
		return nil, 0
	}
	return gone, at
}

// takeBack clears topics.
func (s *Service) takeBack(ctx context.Context, rows []discoveries.Told) error {
	slices.SortFunc(rows, func(a, b discoveries.Told) int {
		return cmp.Or(strings.Compare(a.Outlet, b.Outlet), strings.Compare(a.Topic, b.Topic))
	})
	for part := range slices.Chunk(rows, most) {
		messages := make([]outbox.Message, len(part))
		for i, r := range part {
			messages[i] = outbox.Message{Outlet: outbox.Outlet(r.Outlet), Topic: "/" + r.Topic, QoS: 1, Retain: true}
		}
		s.Box.Put(ctx, messages...)
		if err := s.Store.Discover(ctx, store.Discovering{Forget: part}); err != nil {
			return err
		}
		for _, r := range part {
			delete(s.told[outbox.Outlet(r.Outlet)], r.Topic)
			delete(s.said[outbox.Outlet(r.Outlet)], r.Topic)
		}
	}
	return nil
}

// A repetition is something that is said again at a broker.
type repetition struct {
	voice voice
	topic string
}

// again notes that everything is said again at brokers at which a Home Assistant was started.
func (s *Service) again(voices map[outbox.Outlet]voice) {
	now := s.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for outlet, at := range s.births {
		if now.Before(at) {
			continue
		}
		delete(s.births, outlet)
		v, there := voices[outlet]
		if !there {
			continue
		}
		s.repeat = slices.DeleteFunc(s.repeat, func(r repetition) bool { return r.voice.Outlet == outlet })
		list := slices.SortedFunc(maps.Keys(s.said[outlet]), func(a, b string) int { // the one that others refer to first
			hub := v.prefix + "/device/" + s.hub() + "/config"
			return cmp.Or(cmp.Compare(b2i(b == hub), b2i(a == hub)), strings.Compare(a, b))
		})
		for _, topic := range list {
			s.repeat = append(s.repeat, repetition{v, topic})
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sayNext says again what is to be said again next, unless it was taken back meanwhile.
func (s *Service) sayNext() {
	for len(s.repeat) > 0 {
		next := s.repeat[0]
		s.repeat = s.repeat[1:]
		said, there := s.said[next.voice.Outlet][next.topic]
		if !there {
			continue
		}
		payload := compose(next.voice, said.device, said.gone)
		if sha256.Sum256(payload) != said.sum {
			continue // it was told anew after that
		}
		s.Box.Say(outbox.Message{Outlet: next.voice.Outlet, Topic: "/" + next.topic, Payload: payload})
		return
	}
}
