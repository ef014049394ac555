package alerts

import (
	"context"
	"fmt"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/life"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
	"github.com/restic-manager/restic-manager/words"
)

// MostAtOnce is how many alerts one deed is about at most.
const MostAtOnce = 1000

// MaxReason is how many characters a reason may have.
const MaxReason = 500

// MostSnoozed is for how long an alert may be snoozed.
const MostSnoozed = life.MostSnoozed

// Acknowledge notes that somebody looks after alerts: nobody is reminded of them any more.
// Who acknowledged one first stays. Of several alerts all are acknowledged, or none: an
// [alerts.RefusedError] names those that are not there or have ended.
func (s *Service) Acknowledge(ctx context.Context, actor string, ids ...string) ([]alerts.Alert, error) {
	now := s.Now().UnixMilli()
	return s.change(ctx, ids, alerts.Deed{Actor: actor, Action: "alert.acknowledged", Do: func(a *alerts.Alert) error {
		if a.AckedAt == 0 {
			a.AckedAt, a.AckedBy = now, actor
		}
		a.SnoozedUntil, a.SnoozedBy = 0, ""
		return nil
	}})
}

// Snooze has alerts be quiet until a moment, in Unix milliseconds; then they are told
// again. ErrNotSnoozed is that one of them is of damage, which cannot wait.
func (s *Service) Snooze(ctx context.Context, actor string, until int64, ids ...string) ([]alerts.Alert, error) {
	now := s.Now()
	wrong := field.Errors{}
	switch most := now.Add(MostSnoozed).UnixMilli(); {
	case until <= now.UnixMilli():
		wrong.Say("until", "The moment has passed already: name one that is to come.")
	case until > most:
		wrong.Say("until", "An alert can be snoozed for 90 days at most. End it, or change its threshold.")
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	return s.change(ctx, ids, alerts.Deed{Actor: actor, Action: "alert.snoozed", Detail: "until " + moment(until),
		Do: func(a *alerts.Alert) error {
			if c, _ := conditions.Of(conditions.Name(a.Condition)); c.Stays {
				return fmt.Errorf("%s: %w", a.ID, ErrNotSnoozed)
			}
			a.SnoozedUntil, a.SnoozedBy = until, actor
			a.AckedAt, a.AckedBy = 0, "" // it is open again then
			return nil
		}})
}

// Wake ends the quiet of alerts that were snoozed, before its time.
func (s *Service) Wake(ctx context.Context, actor string, ids ...string) ([]alerts.Alert, error) {
	return s.change(ctx, ids, alerts.Deed{Actor: actor, Action: "alert.woken", Do: func(a *alerts.Alert) error {
		a.SnoozedUntil, a.SnoozedBy = 0, ""
		return nil
	}})
}

// End ends alerts by hand, for a reason. While the condition goes on holding they stay
// ended; once it was over, it may open another alert.
func (s *Service) End(ctx context.Context, actor, reason string, ids ...string) ([]alerts.Alert, error) {
	wrong := field.Errors{}
	reason = field.Clean(reason)
	wrong.Say("reason", reasonWrong(reason))
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	now := s.Now().UnixMilli()
	return s.change(ctx, ids, alerts.Deed{Actor: actor, Action: "alert.ended", Detail: reason,
		Do: func(a *alerts.Alert) error {
			if a.QuietAt == 0 {
				a.SeenAt = max(a.SeenAt, s.seenAt(a.ID))
			}
			a.EndedAt, a.EndedBy, a.EndedWhy = now, actor, reason
			a.SnoozedUntil, a.SnoozedBy = 0, ""
			return nil
		},
		Also: func(ctx context.Context, tx alerts.Tx, changed []alerts.Alert) error {
			changes := make([]routing.Change, 0, len(changed))
			for _, a := range changed {
				changes = append(changes, routing.Change{Alert: a, Event: channels.Recovered, At: now})
			}
			return s.note(ctx, tx, changes)
		}})
}

func reasonWrong(reason string) string {
	switch n := len([]rune(reason)); {
	case n == 0:
		return "Say why, in a few words: whoever looks later wants to know."
	case n > MaxReason:
		return fmt.Sprintf("A reason has at most %d characters; this one has %d.", MaxReason, n)
	case words.Visible(reason) != reason:
		return "A reason has only characters that can be seen, on one line."
	}
	return ""
}

func (s *Service) change(ctx context.Context, ids []string, d alerts.Deed) ([]alerts.Alert, error) {
	if len(ids) == 0 || len(ids) > MostAtOnce {
		return nil, field.Errors{"alerts": fmt.Sprintf("Name 1 to %d alerts.", MostAtOnce)}
	}
	changed, err := s.rows().Change(ctx, ids, d)
	if err == nil {
		s.changed()
		s.Stir()
	}
	return changed, err
}

func (s *Service) note(ctx context.Context, tx alerts.Tx, changes []routing.Change) error {
	if s.Note == nil || len(changes) == 0 {
		return nil
	}
	return s.Note(ctx, tx, changes)
}
