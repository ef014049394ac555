package broker

import (
	"context"
	"log/slog"
	"slices"
)

// quiet passes Mochi's log on at debug level, with the few attributes that are known
// not to hold a packet. Mochi logs whole packets, including passwords and payloads;
// this package logs what operators need.
type quiet struct{ to slog.Handler }

var harmless = []string{"client", "listener", "hook", "id", "version", "remote", "old_remote", "new_remote"}

func (q *quiet) Enabled(ctx context.Context, _ slog.Level) bool {
	return q.to.Enabled(ctx, slog.LevelDebug)
}

func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, slog.LevelDebug, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a, ok := cleaned(a); ok {
			clean.AddAttrs(a)
		}
		return true
	})
	return q.to.Handle(ctx, clean)
}

func (q *quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	var kept []slog.Attr
	for _, a := range attrs {
		if a, ok := cleaned(a); ok {
			kept = append(kept, a)
		}
	}
	return &quiet{q.to.WithAttrs(kept)}
}

func (q *quiet) WithGroup(name string) slog.Handler { return &quiet{q.to.WithGroup(name)} }

func cleaned(a slog.Attr) (slog.Attr, bool) {
	if err, ok := a.Value.Any().(error); ok && a.Key == "error" {
		return slog.String("err", err.Error()), true
	}
	return a, a.Value.Kind() == slog.KindString && slices.Contains(harmless, a.Key)
}
