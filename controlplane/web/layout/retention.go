package layout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// RetentionView is what a repository keeps, by its own rules or by others.
func (s *Page) RetentionView(ctx context.Context, id topics.RepositoryID, keep *store.Keep) (views.Retention, error) {
	p, err := s.Preview(ctx, id, keep)
	v := views.Retention{RepositoryID: string(id), Repository: p.Repository.Name, Rules: ruleWords(p.Keep)}
	if errors.Is(err, retention.ErrRules) {
		v.Problem = problem.Of(err).Say
		return v, nil
	} else if err != nil {
		return v, err
	}
	v.Warnings, v.Unusual, v.Listed = p.Warnings, p.Plan.Unusual, s.When(p.Repository.ListedAt)
	v.KeysKnown = p.Repository.KeysAt > 0
	now := s.Now()
	m, err := s.Moment(ctx)
	if err != nil {
		return v, err
	}
	rows := func(list []retention.Verdict) (out []views.RetentionRow) {
		for _, n := range list {
			from := n.Hostname // as restic knows the machine; ours have a host
			if h := m.Host(n.Host); h != nil {
				from = h.Name
			}
			if n.Group != "" {
				from += ", " + n.Group
			}
			out = append(
				out,
				views.RetentionRow{
					ID:      n.ID,
					Taken:   s.When(n.Time),
					Age:     now.Sub(time.UnixMilli(n.Time)).Hours(),
					From:    from,
					Reasons: n.Reasons,
					Window:  strings.HasPrefix(n.Reasons[0], "within "),
					Pinned:  n.Pinned,
				},
			)
		}
		return out
	}
	v.Keep, v.Remove, v.Flagged = rows(p.Verdicts.Keep), rows(p.Remove), rows(p.Verdicts.Flagged)
	v.Waiting = rows(p.Verdicts.Held)
	for i := range v.Flagged {
		v.Flagged[i].From = "Snapshot of " + cmp.Or(v.Flagged[i].From, "nobody")
	}
	for _, o := range p.Oddities {
		if o.Kind == "snapshot" {
			continue
		}
		v.Odd = append(
			v.Odd,
			views.RetentionRow{
				ID:      o.ID,
				Taken:   s.When(o.Time),
				From:    map[string]string{"key": "Key", "source_group": "Source group"}[o.Kind],
				Reasons: o.Reasons,
			},
		)
	}
	if h := p.Held; h != nil {
		v.Held = &views.HeldPlan{
			Hash:    h.Hash,
			Count:   len(h.Plan.V.Remove),
			Reasons: h.Plan.V.Unusual,
			Since:   s.When(h.HeldAt),
			Until:   s.When(h.ExpiresAt),
		}
		for _, g := range h.Plan.V.Held {
			v.Held.Groups = append(v.Held.Groups, g.Name)
			if g.Less() {
				v.Held.Less = append(v.Held.Less, g.Name)
			}
		}
	}
	return v, nil
}

// ruleWords says rules as a person would.
func ruleWords(k store.Keep) (list []string) {
	if k.Within != "" {
		list = append(list, "everything within "+k.Within)
	}
	if k.Last > 0 {
		list = append(list, fmt.Sprintf("the last %d", k.Last))
	}
	for _, r := range []struct {
		each   string
		within string
		count  int
	}{{"hour", k.WithinHourly, k.Hourly}, {"day", k.WithinDaily, k.Daily}, {"week", k.WithinWeekly, k.Weekly},
		{"month", k.WithinMonthly, k.Monthly}, {"year", k.WithinYearly, k.Yearly}} {
		if r.within != "" {
			list = append(list, "one a "+r.each+" within "+r.within)
		}
		if r.count > 0 {
			list = append(list, fmt.Sprintf("one a %s of the last %d", r.each, r.count))
		}
	}
	return list
}
