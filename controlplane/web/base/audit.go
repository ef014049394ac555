package base

import (
	"context"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/words"
)

// auditPeriod reads the days of a filter, the second one included, as the viewer's
// calendar has them.
func auditPeriod(ctx context.Context, from, to string) (since, until int64, wrong string) {
	day := func(text string, add int) int64 {
		if text == "" {
			return 0
		}
		t, err := words.ParseDate(ctx, text)
		if err != nil {
			if t, err = time.Parse(time.RFC3339, text); err != nil {
				wrong = "A day is written as 2026-11-20."
				return 0
			}
			return t.UnixMilli()
		}
		return t.AddDate(0, 0, add).UnixMilli()
	}
	since, until = day(from, 0), day(to, 1)
	return since, until, wrong
}

// An AuditQuery is which entries of the audit log somebody asks for.
type AuditQuery struct {
	Text     string // part of any column, or of the name of what an ID stands for
	Kind     string // of actors: people, tokens, consumers, schedules, server
	Action   string
	Actor    string
	Target   string
	From, To string // days, the second one included, or times by RFC 3339
	Before   int64  // the number of the entry behind which the answer begins
}

// AuditSearch returns what a query means to the store, and what is wrong with its
// period.
func (p *Parts) AuditSearch(ctx context.Context, q AuditQuery) (x store.AuditFilter, wrong string, err error) {
	x = store.AuditFilter{
		Action: q.Action,
		Actor:  q.Actor,
		Target: q.Target,
		Before: q.Before,
		Text:   strings.ToLower(strings.TrimSpace(q.Text)),
	}
	if q.Kind != "" {
		x.Kinds = []string{q.Kind}
	}
	x.Since, x.Until, wrong = auditPeriod(ctx, q.From, q.To)
	if x.Text == "" {
		return x, wrong, nil
	}
	x.Named, err = p.Store.TargetsNamed(ctx, x.Text, 500) // of more, SQLite would not hear the end
	return x, wrong, err
}
