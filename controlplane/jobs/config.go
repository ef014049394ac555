package jobs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/topics"
)

// A host's config is computed from rows of the database. If its digest differs from
// the last one it gets a new revision, and hosts with another revision in force are
// sent it. Code that changes rows therefore need not notify anybody.

// configs is what the engine caches about configs. Only Run's goroutine uses it;
// losing it costs one extra message per host.
type configs struct {
	edition store.Edition // of the database at the last comparison
	again   time.Time     // no comparison before this time
	greeted bool          // a host said hello since, and may have no config yet
	sent    map[topics.HostID]sending

	behind []store.HostBehind // the list as of this mark
	mark   int64
	listed bool
}

type sending struct {
	revision int64
	attempts int
	next     time.Time
}

// configure gives new revisions to configs that changed, and sends configs to the
// connected hosts that have another revision in force.
func (e *Engine) configure(ctx context.Context) {
	now := e.Now()
	if err := e.revise(ctx, now); err != nil {
		e.complain(ctx, "revising configs failed", "err", err)
		return
	}
	behind, err := e.behind(ctx)
	if err != nil {
		e.complain(ctx, "listing hosts with outdated config failed", "err", err)
		return
	}
	if len(behind) == 0 {
		clear(e.configs.sent)
	}
	for _, h := range behind {
		s := e.configs.sent[h.ID]
		if s.revision != h.Revision {
			s = sending{revision: h.Revision}
		}
		if now.Before(s.next) || !e.Presence.Reachable(h.ID) {
			continue
		}
		wait := e.Timing.Protocol.Resend[min(s.attempts, len(e.Timing.Protocol.Resend)-1)]
		s.attempts, s.next = s.attempts+1, now.Add(wait)
		if e.configs.sent == nil {
			e.configs.sent = map[topics.HostID]sending{}
		}
		e.configs.sent[h.ID] = s
		if err := e.sendConfig(ctx, h.ID, now); err != nil {
			e.complain(ctx, "sending config failed", "host", h.ID, "revision", h.Revision, "err", err)
		}
	}
}

// behind lists the hosts whose config is outdated. The list is cached until a host's
// row changes, because it is long when a large fleet is offline.
func (e *Engine) behind(ctx context.Context) ([]store.HostBehind, error) {
	mark, err := e.Store.FleetMark(ctx)
	if err != nil || e.configs.listed && mark == e.configs.mark {
		return e.configs.behind, err
	}
	list, err := e.Store.Behind(ctx)
	if err == nil {
		e.configs.behind, e.configs.mark, e.configs.listed = list, mark, true
	}
	return list, err
}

// revise computes the configs of all hosts and gives new revisions to those that
// changed, if anything may have changed. The larger the fleet, the less often it does
// so, as it takes longer.
func (e *Engine) revise(ctx context.Context, now time.Time) error {
	edition, err := e.Store.Edition(ctx)
	if err != nil || edition == e.configs.edition && !e.configs.greeted || now.Before(e.configs.again) {
		return err
	}
	began := time.Now()
	hosts, err := e.Store.Hosts(ctx)
	if err != nil {
		return err
	}
	sheet, err := e.planSheet(ctx, "")
	if err != nil {
		return err
	}
	var wants []store.Want
	for _, h := range hosts {
		if !h.Fires() {
			continue
		}
		c, err := sheet.config(ctx, h, now)
		if err != nil {
			return err
		}
		c.Revision, c.Digest = 0, ""
		for _, s := range c.Schedules {
			for i := range s.Groups {
				s.Groups[i].After = 0 // changes with every slot
			}
		}
		if d := sha256.Sum256(topics.Encode(c)); fmt.Sprintf("%x", d) != h.ConfigDigest {
			wants = append(wants, store.Want{Host: h.ID, Digest: d})
		}
	}
	moved, err := e.Store.Moved(ctx, slices.Collect(maps.Values(sheet.groups)))
	if err != nil {
		return err
	}
	if err := e.Store.WantConfigs(ctx, wants, edition); err != nil {
		return err
	}
	e.configs.edition, e.configs.greeted = edition, false
	for _, w := range wants {
		e.tell(w.Host)
	}
	for host, list := range sheet.schedules { // a change may result in the same config
		if slices.ContainsFunc(list, moved) {
			e.tell(host)
		}
	}
	e.configs.again = now.Add(max(e.Timing.Revise, 10*time.Since(began)))
	return nil
}

func (e *Engine) sendConfig(ctx context.Context, host topics.HostID, now time.Time) error {
	h, err := e.Store.Host(ctx, host)
	if err != nil {
		return err
	}
	sheet, err := e.planSheet(ctx, h.ID)
	if err != nil {
		return err
	}
	c, err := sheet.config(ctx, h, now)
	if err != nil {
		return err
	}
	c.Sent = now.UnixMilli()
	parts, err := c.Split()
	if err != nil {
		return err
	}
	for _, p := range parts {
		e.send(h.ID, topics.Topic{Kind: topics.KindConfig, Host: h.ID}, func(s topics.Stamp) any {
			p.Stamp = s
			return p
		})
	}
	return nil
}

// A planSheet holds the rows from which configs are computed, read in one
// transaction.
type planSheet struct {
	engine    *Engine
	schedules map[topics.HostID][]store.Schedule
	groups    map[topics.SourceGroupID]store.SourceGroup
	fired     map[store.ScheduleID][]store.Member
	opened    map[topics.RepositoryID]topics.Repository
}

func (e *Engine) planSheet(ctx context.Context, host topics.HostID) (*planSheet, error) {
	s := &planSheet{engine: e, schedules: map[topics.HostID][]store.Schedule{}, groups: map[topics.SourceGroupID]store.SourceGroup{},
		fired: map[store.ScheduleID][]store.Member{}, opened: map[topics.RepositoryID]topics.Repository{}}
	schedules, err := e.Store.Schedules(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, sc := range schedules {
		s.schedules[sc.Host] = append(s.schedules[sc.Host], sc)
	}
	groups, err := e.Store.SourceGroups(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		s.groups[g.ID] = g
	}
	plans, err := e.Store.Plans(ctx, host)
	for _, p := range plans {
		s.fired[p.Schedule] = append(s.fired[p.Schedule], p)
	}
	return s, err
}

// config computes the config of one host. It leaves out slots that the control plane
// handles itself or knows to have begun.
func (s *planSheet) config(ctx context.Context, h store.Host, now time.Time) (topics.Config, error) {
	c := topics.Config{
		Revision:     h.ConfigRevision,
		Digest:       h.ConfigDigest,
		Schedules:    []topics.Schedule{},
		Groups:       []topics.PlannedGroup{},
		Repositories: []topics.Repository{},
		JobsAtOnce:   h.JobsAtOnce,
	}
	_, paused := h.Paused(now.UnixMilli())
	resumed := int64(0) // of an agent that knows no pauses: what fell into the last one is not to be caught up with
	for _, p := range h.AllPauses() {
		if h.Able(topics.EndsPauses) {
			paused, c.Pauses = false, append(c.Pauses, topics.Pause{From: p.From, Until: p.Until})
		} else if p.Until <= now.UnixMilli() {
			resumed = p.Until
		}
	}
	var groups []topics.SourceGroupID
	for _, sc := range s.schedules[h.ID] {
		if paused {
			continue
		}
		t := topics.Schedule{
			ID:            sc.ID,
			Name:          sc.Name,
			Cron:          sc.Cron,
			Zone:          sc.Zone,
			JitterSeconds: sc.JitterSeconds,
			Groups:        []topics.ScheduledGroup{},
		}
		for _, p := range s.fired[sc.ID] { // empty if it is disabled
			t.Groups = append(t.Groups, topics.ScheduledGroup{Group: p.Group, After: min(max(sc.Since, p.Fired, resumed), now.UnixMilli())})
			if !slices.Contains(groups, p.Group) {
				groups = append(groups, p.Group)
			}
		}
		if len(t.Groups) > 0 {
			c.Schedules = append(c.Schedules, t)
		}
	}
	slices.Sort(groups)
	var repositories []topics.RepositoryID
	for _, id := range groups {
		g := s.groups[id]
		c.Groups = append(c.Groups, topics.PlannedGroup{SourceGroup: g.Topic(), Repository: g.Repository})
		if !slices.Contains(repositories, g.Repository) {
			repositories = append(repositories, g.Repository)
		}
	}
	slices.Sort(repositories)
	for _, id := range repositories {
		r, known := s.opened[id]
		if !known {
			row, a, err := s.engine.at(ctx, id, h.ID)
			// Nothing can be fired until somebody names its place, or enters what cannot be read.
			if errors.As(err, new(*places.NameError)) || errors.As(err, new(*store.UnreadableError)) {
				c.Groups = slices.DeleteFunc(c.Groups, func(g topics.PlannedGroup) bool { return g.Repository == id })
				for i := range c.Schedules {
					c.Schedules[i].Groups = slices.DeleteFunc(c.Schedules[i].Groups, func(g topics.ScheduledGroup) bool {
						return s.groups[g.Group].Repository == id
					})
				}
				continue
			} else if err != nil {
				return c, err
			}
			shared, err := s.engine.shared(ctx, row)
			if err != nil {
				return c, err
			}
			if r = everyday(row, a); shared {
				s.opened[id] = r
			}
		}
		c.Repositories = append(c.Repositories, r)
	}
	if len(c.Groups) < len(groups) {
		c.Schedules = slices.DeleteFunc(c.Schedules, func(t topics.Schedule) bool { return len(t.Groups) == 0 })
	}
	return c, nil
}
