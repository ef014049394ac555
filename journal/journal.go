// Package journal writes a program's log so that systemd's journal knows how bad each line
// is: journalctl -p warning shows what matters, where without it every line is information.
package journal

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
)

// Handler writes lines of text to w. If they go to the journal, each begins with its
// priority, which the journal takes off.
func Handler(w io.Writer, level slog.Leveler) slog.Handler { return handler(w, level, into(w)) }

func handler(w io.Writer, level slog.Leveler, journal bool) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if !journal {
		return slog.NewTextHandler(w, options)
	}
	options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) { // the journal has both
			return slog.Attr{}
		}
		return a
	}
	out := &lines{w: w}
	return prioritised{slog.NewTextHandler(out, options), out}
}

// lines puts a priority before each line. One record is one write.
type lines struct {
	w io.Writer

	mu       sync.Mutex
	priority int
}

func (l *lines) Write(line []byte) (int, error) {
	text := append([]byte("<"+strconv.Itoa(l.priority)+">"), line...)
	if _, err := l.w.Write(text); err != nil {
		return 0, err
	}
	return len(line), nil
}

type prioritised struct {
	slog.Handler
	out *lines
}

// Handle implements slog.Handler.
func (p prioritised) Handle(ctx context.Context, r slog.Record) error {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	p.out.priority = priority(r.Level)
	return p.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (p prioritised) WithAttrs(attrs []slog.Attr) slog.Handler {
	return prioritised{p.Handler.WithAttrs(attrs), p.out}
}

// WithGroup implements slog.Handler.
func (p prioritised) WithGroup(name string) slog.Handler {
	return prioritised{p.Handler.WithGroup(name), p.out}
}

// priority is syslog's for a level.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}
