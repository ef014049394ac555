package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Limits returns the thresholds that people set, and their version.
func (s *Service) Limits(ctx context.Context) (l conditions.Limits, version int64, err error) {
	version, err = s.setting(ctx, alerts.Thresholds, &l)
	return l, version, err
}

// limitsIn is Limits within a transaction.
func (s *Service) limitsIn(ctx context.Context, q reader) (l conditions.Limits, err error) {
	row, err := alerts.SettingIn(ctx, q, alerts.Thresholds)
	if err != nil || row.Version == 0 {
		return nil, err
	}
	if err := json.Unmarshal([]byte(row.Body), &l); err != nil {
		return nil, fmt.Errorf("read the thresholds: %w", err)
	}
	return l, nil
}

// SetLimits sets all thresholds. Version is that of those it was made from:
// [alerts.ErrMoved] if somebody set others since.
func (s *Service) SetLimits(ctx context.Context, actor string, l conditions.Limits, version int64) (int64, error) {
	hosts, err := s.hosts(ctx)
	if err != nil {
		return 0, err
	}
	if err := l.Check(func(id topics.HostID) bool { return hosts[id] }); err != nil {
		return 0, err
	}
	return s.set(ctx, actor, alerts.Thresholds, l, version, fmt.Sprintf("%d thresholds", len(l)))
}

// Rules returns who hears of what, as people set it, and its version.
func (s *Service) Rules(ctx context.Context) (r routing.Rules, version int64, err error) {
	version, err = s.setting(ctx, alerts.Rules, &r)
	return r, version, err
}

// SetRules sets who hears of what, and gives a rule without an ID one. Version is that of
// the rules it was made from: [alerts.ErrMoved] if somebody set others since.
func (s *Service) SetRules(ctx context.Context, actor string, r routing.Rules, version int64) (int64, error) {
	r.Rules = slices.Clone(r.Rules)
	for i := range r.Rules {
		if r.Rules[i].ID == "" {
			r.Rules[i].ID = topics.NewID(s.Now())
		}
	}
	known, err := s.known(ctx)
	if err != nil {
		return 0, err
	}
	if err := r.Check(known); err != nil {
		return 0, err
	}
	return s.set(ctx, actor, alerts.Rules, r, version, fmt.Sprintf("%d rules, %d digests", len(r.Rules), len(r.Digests)))
}

// known is what rules may name: what there is, and what the rules before named. A host or
// channel that was removed since does not keep anybody from saving another rule.
func (s *Service) known(ctx context.Context) (k routing.Known, err error) {
	for _, c := range conditions.Table() {
		k.Conditions = append(k.Conditions, string(c.Name))
	}
	list, err := s.Store.Channels().List(ctx)
	if err != nil {
		return k, err
	}
	for _, c := range list {
		k.Channels = append(k.Channels, c.ID)
	}
	hosts, err := s.hosts(ctx)
	if err != nil {
		return k, err
	}
	for id := range hosts {
		k.Hosts = append(k.Hosts, string(id))
	}
	was, _, err := s.Rules(ctx)
	for _, r := range was.Rules {
		k.Conditions, k.Channels, k.Hosts = append(k.Conditions, r.Conditions...), append(k.Channels, r.Channels...), append(k.Hosts, r.Hosts...)
	}
	for _, d := range was.Digests {
		k.Channels = append(k.Channels, d.Channels...)
	}
	return k, err
}

func (s *Service) hosts(ctx context.Context) (map[topics.HostID]bool, error) {
	list, err := s.Store.Hosts(ctx)
	known := make(map[topics.HostID]bool, len(list))
	for _, h := range list {
		known[h.ID] = true
	}
	return known, err
}

func (s *Service) setting(ctx context.Context, name string, into any) (version int64, err error) {
	row, err := s.rows().Setting(ctx, name)
	if err != nil || row.Version == 0 {
		return 0, err
	}
	if err := json.Unmarshal([]byte(row.Body), into); err != nil {
		return row.Version, fmt.Errorf("read the setting %s: %w", name, err)
	}
	return row.Version, nil
}

func (s *Service) set(ctx context.Context, actor, name string, v any, version int64, detail string) (int64, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", name, err)
	}
	row, err := s.rows().Set(ctx, actor, name, string(body), version, detail)
	if err == nil {
		s.changed()
		s.Stir()
	}
	return row.Version, err
}

// PublicURL is the address at which people reach the pages, without a slash at its end; ""
// is not known.
func (s *Service) PublicURL(ctx context.Context) string {
	if s.PublicFlag != "" {
		return s.PublicFlag
	}
	var address string
	if _, err := s.setting(ctx, alerts.PublicURL, &address); err != nil && ctx.Err() == nil {
		s.Log.Error("reading the public address failed", "err", err)
	}
	return address
}

// SetPublicURL sets the address at which people reach the pages; "" is none. A flag of the
// control plane wins over it.
func (s *Service) SetPublicURL(ctx context.Context, actor, address string) error {
	address, say := CleanURL(address)
	if say != "" {
		return field.Errors{"public_url": say}
	}
	row, err := s.rows().Setting(ctx, alerts.PublicURL)
	if err != nil {
		return err
	}
	_, err = s.set(ctx, actor, alerts.PublicURL, address, row.Version, address)
	return err
}

// CleanURL is a public address as it is kept, and what is wrong with it, "" if nothing is.
// It may have a path, for a proxy that has these pages below it.
func CleanURL(address string) (clean, wrong string) {
	address = strings.TrimRight(field.Clean(address), "/")
	if address == "" {
		return "", ""
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || !field.Visible(address) || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" ||
		strings.ContainsAny(address, "\"<>`{}|^ \\"):
		return "", "Write it as in a browser: https://backup.example.net"
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(address, "#"):
		return "", "The address has neither a user nor anything behind ? or #: https://backup.example.net"
	case u.Path != "" && path.Clean(u.Path) != u.Path:
		return "", "The path of the address has neither // nor dots in it: https://example.net/backup"
	case len(address) > 300:
		return "", "The address is too long: at most 300 characters."
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + u.EscapedPath(), ""
}

// MostPaused is how long a pause may be.
const MostPaused = 366 * 24 * time.Hour

// Pauses lists the pauses that have not ended, the first to begin first.
func (s *Service) Pauses(ctx context.Context) ([]alerts.Pause, error) {
	return s.rows().Pauses(ctx, s.Now().UnixMilli())
}

// What a pause covers.
const (
	PauseAll  = "all"
	PauseTag  = "tag"
	PauseHost = "host"
)

// Pause has nobody told of a host, of the hosts with a tag, or of anything, for a while.
// Alerts open and end meanwhile as always; what is still open when the pause ends is told
// then. Kind, Subject, Reason, From and Until count; From 0 is now.
func (s *Service) Pause(ctx context.Context, actor string, p alerts.Pause) (alerts.Pause, error) {
	now := s.Now()
	p.ID, p.CreatedAt, p.CreatedBy = topics.NewID(now), now.UnixMilli(), actor
	if p.From < p.CreatedAt {
		p.From = p.CreatedAt
	}
	p.Reason, p.Subject = field.Clean(p.Reason), field.Clean(p.Subject)
	wrong := field.Errors{}
	covers := "all alerts"
	switch p.Kind {
	case PauseAll:
		if p.Subject != "" {
			wrong.Say("subject", "A pause of everything has no subject.")
		}
	case PauseTag:
		covers = "hosts with the tag " + p.Subject
		if p.Subject == "" || len(p.Subject) > field.MaxName {
			wrong.Say("subject", "Name the tag whose hosts are meant.")
		}
	case PauseHost:
		list, err := s.Store.Hosts(ctx)
		if err != nil {
			return p, err
		}
		i := slices.IndexFunc(list, func(h store.Host) bool { return string(h.ID) == p.Subject })
		if i < 0 {
			wrong.Say("subject", "There is no host "+words.Quoted(p.Subject)+".")
		} else {
			covers = "the host " + list[i].Name
		}
	default:
		wrong.Say("kind", "A pause is of a host, of a tag, or of all: "+words.Quoted(p.Kind)+" is none of them.")
	}
	wrong.Say("reason", reasonWrong(p.Reason))
	switch {
	case p.Until <= p.CreatedAt:
		wrong.Say("until", "A pause ends: name a moment that is to come.")
	case p.Until <= p.From:
		wrong.Say("until", "A pause ends after it begins.")
	case p.Until > now.Add(MostPaused).UnixMilli():
		wrong.Say("until", "A pause is a year long at most: what is not to be told at all has its threshold switched off.")
	}
	if err := wrong.Err(); err != nil {
		return p, err
	}
	detail := covers + " from " + moment(p.From) + " until " + moment(p.Until) + ": " + p.Reason
	err := s.rows().AddPause(ctx, p, detail)
	if err == nil {
		s.changed()
		s.Stir()
	}
	return p, err
}

// Unpause ends a pause now: what is still open and was not told is told. [alerts.ErrNone]
// is that there is none that has not ended.
func (s *Service) Unpause(ctx context.Context, actor, id string) (alerts.Pause, error) {
	p, err := s.rows().EndPause(ctx, actor, id)
	if err == nil {
		s.changed()
		s.Stir()
	}
	return p, err
}
