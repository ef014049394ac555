package schedule

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
)

// A Copy is the state of a host's own copy of its schedules, which it runs by.
type Copy string

// The states of a host's copy.
const (
	CopyNone    Copy = "none"     // the host has not connected yet
	CopyTooOld  Copy = "too-old"  // its agent keeps none; the control plane runs its schedules
	CopyChanged Copy = "changed"  // changed a moment ago, and not in a revision yet
	CopyWaits   Copy = "waits"    // a revision waits until the host connects
	CopyPartly  Copy = "partly"   // in force, except for what the agent cannot handle
	CopyInForce Copy = "in-force" // the host has the current revision
	CopyEmpty   Copy = "empty"    // of a host: it has the current revision, and there is no schedule in it
)

// CopyOf returns the state of a host's copy. moved is whether something in it changed
// since the last revision, as Store.Moved reports.
func CopyOf(h store.Host, moved bool) Copy {
	switch {
	case !h.Fires() && h.HelloN == 0:
		return CopyNone
	case !h.Fires():
		return CopyTooOld
	case moved:
		return CopyChanged
	case h.ConfigApplied == 0 || h.ConfigApplied != h.ConfigRevision:
		return CopyWaits
	case h.ConfigError != "":
		return CopyPartly
	}
	return CopyInForce
}

// A Standing is the state of a schedule at one moment, for pages, API and command
// line.
type Standing struct {
	store.Schedule
	Host       store.Host
	GroupNames []string          // of what it backs up, by name
	Copy       Copy              // of the host
	Next       time.Time         // when it begins next; zero if it is paused or has no future run
	Owed       *store.PendingRun // the run it owes, nil if none
	Held       []Held            // slots that wait for what the host has in hand, by group; none of a host that is not connected
	Wrong      error             // why its plan cannot be parsed, nil if it can
}

// Standings returns the state of a host's schedules, by name, and all its source
// groups, scheduled or not; of every host if the ID is empty.
func (s *Service) Standings(ctx context.Context, host topics.HostID) ([]Standing, []store.SourceGroup, error) {
	rows, err := s.Store.Schedules(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	return s.stand(ctx, host, rows)
}

// Standing returns the state of one schedule of a host, or [ErrNoSchedule].
func (s *Service) Standing(ctx context.Context, host topics.HostID, name string) (Standing, error) {
	row, err := s.Named(ctx, host, name)
	if err != nil {
		return Standing{}, err
	}
	out, _, err := s.stand(ctx, host, []store.Schedule{row})
	if err != nil {
		return Standing{}, err
	}
	return out[0], nil
}

// Named returns a schedule of a host, or [ErrNoSchedule], or [ErrNoHost].
func (s *Service) Named(ctx context.Context, host topics.HostID, name string) (store.Schedule, error) {
	name, err := s.called(ctx, host, name)
	if err != nil {
		return store.Schedule{}, err
	}
	row, err := s.Store.ScheduleNamed(ctx, host, name)
	if errors.Is(err, store.ErrNotFound) {
		if _, err := s.hosts(ctx, host); err != nil {
			return row, err
		}
		return row, ErrNoSchedule
	}
	return row, err
}

// Stand returns the state of some schedules of a [Board]'s list, and the newest job
// of each of their groups. It reads only these.
func (s *Service) Stand(ctx context.Context, list []*Listed) ([]Standing, []store.Round, error) {
	var rows []store.Schedule
	var ids []topics.ScheduleID
	var groupIDs []topics.SourceGroupID
	var hostIDs []topics.HostID
	for _, r := range list {
		rows, ids, groupIDs = append(rows, r.Schedule), append(ids, r.ID), append(groupIDs, r.Groups...)
		if !slices.Contains(hostIDs, r.Host) {
			hostIDs = append(hostIDs, r.Host)
		}
	}
	groups, err := s.Store.SourceGroupsByID(ctx, groupIDs)
	if err != nil {
		return nil, nil, err
	}
	moved, err := s.Store.Moved(ctx, groups)
	if err != nil {
		return nil, nil, err
	}
	pending, err := s.Store.PendingRunsOf(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	hosts, err := byID(s.Store.HostsByID(ctx, hostIDs)) // after Moved, as it asks for
	if err != nil {
		return nil, nil, err
	}
	rounds, err := s.Store.RoundsOf(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	out, err := s.standings(ctx, rows, groups, moved, pending, hosts)
	return out, rounds, err
}

// stand returns the state of rows that were just read, of one host or of any if the
// ID is empty.
func (s *Service) stand(ctx context.Context, host topics.HostID, rows []store.Schedule) ([]Standing, []store.SourceGroup, error) {
	groups, err := s.Store.SourceGroups(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	moved, err := s.Store.Moved(ctx, groups)
	if err != nil {
		return nil, nil, err
	}
	pending, err := s.Store.PendingRuns(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	hosts, err := s.hosts(ctx, host) // after Moved, as it asks for
	if err != nil {
		return nil, nil, err
	}
	out, err := s.standings(ctx, rows, groups, moved, pending, hosts)
	return out, groups, err
}

func (s *Service) standings(ctx context.Context, rows []store.Schedule, groups []store.SourceGroup, moved func(store.Schedule) bool,
	pending []store.PendingRun, hosts map[topics.HostID]store.Host) ([]Standing, error) {
	hands, err := s.hands(ctx, rows)
	if err != nil {
		return nil, err
	}
	owed := map[store.ScheduleID]*store.PendingRun{}
	for _, p := range pending {
		owed[p.Schedule] = &p
	}
	names := map[topics.SourceGroupID]string{}
	for _, g := range groups {
		names[g.ID] = g.Name
	}
	out, now := make([]Standing, len(rows)), s.Now()
	for i, row := range rows {
		h := hosts[row.Host]
		st := Standing{Schedule: row, Host: h, GroupNames: []string{}, Copy: CopyOf(h, moved(row)), Owed: owed[row.ID]}
		if pause, paused := h.Paused(now.UnixMilli()); paused && st.Owed != nil {
			st.Owed.NextAttemptAt = max(st.Owed.NextAttemptAt, pause.Until)
		}
		for _, g := range row.Groups {
			st.GroupNames = append(st.GroupNames, names[g])
		}
		next, err := NextStarts(row, now, 1)
		if st.Wrong = err; err == nil && row.Enabled && len(next) > 0 {
			st.Next = next[0]
		}
		if p, err := Of(row); err == nil {
			st.Held = heldOf(p, hands[row.ID], now, row.Skips)
		}
		out[i] = st
	}
	return out, nil
}

// hands is what the connected hosts of some schedules have in hand.
func (s *Service) hands(ctx context.Context, rows []store.Schedule) (map[topics.ScheduleID][]slotlog.Hand, error) {
	out := map[topics.ScheduleID][]slotlog.Hand{}
	var ids []topics.ScheduleID
	for _, row := range rows {
		if s.Online != nil && s.Online(row.Host) {
			ids = append(ids, row.ID)
		}
	}
	for some := range slices.Chunk(ids, 500) {
		list, err := s.Store.SlotHands(ctx, some)
		if err != nil {
			return nil, err
		}
		for _, h := range list {
			out[h.Schedule] = append(out[h.Schedule], h)
		}
	}
	return out, nil
}

// Slots returns what became of a schedule's slots, or [ErrNoSchedule], or [ErrNoHost].
func (s *Service) Slots(ctx context.Context, host topics.HostID, name string, p slotlog.Page) ([]slotlog.Named, error) {
	row, err := s.Named(ctx, host, name)
	if err != nil {
		return nil, err
	}
	return s.Store.SlotPage(ctx, row.ID, p)
}

func (s *Service) hosts(ctx context.Context, host topics.HostID) (map[topics.HostID]store.Host, error) {
	if host != "" {
		h, err := s.Store.Host(ctx, host)
		if errors.Is(err, store.ErrNotFound) {
			err = ErrNoHost
		}
		return map[topics.HostID]store.Host{host: h}, err
	}
	return byID(s.Store.Hosts(ctx))
}

func byID(rows []store.Host, err error) (map[topics.HostID]store.Host, error) {
	out := make(map[topics.HostID]store.Host, len(rows))
	for _, h := range rows {
		out[h.ID] = h
	}
	return out, err
}

// CopyOfHost returns the state of a host's copy of its schedules.
func (s *Service) CopyOfHost(ctx context.Context, host topics.HostID) (store.Host, Copy, error) {
	rows, err := s.Store.Schedules(ctx, host)
	if err != nil {
		return store.Host{}, "", err
	}
	groups, err := s.Store.SourceGroups(ctx, host)
	if err != nil {
		return store.Host{}, "", err
	}
	moved, err := s.Store.Moved(ctx, groups)
	if err != nil {
		return store.Host{}, "", err
	}
	hosts, err := s.hosts(ctx, host)
	if err != nil {
		return store.Host{}, "", err
	}
	h := hosts[host]
	c := CopyOf(h, slices.ContainsFunc(rows, moved))
	if c == CopyInForce && len(rows) == 0 {
		c = CopyEmpty
	}
	return h, c, nil
}
