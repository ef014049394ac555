package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"

	"golang.org/x/sys/windows/svc/eventlog"
)

// Logger is what a service says: all of it to its file, and what matters to the log of
// applications as well. The second closes both.
func Logger(state string, level slog.Level, _ io.Writer) (*slog.Logger, func() error, error) {
	file, err := OpenLog(state)
	if err != nil {
		return nil, nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	all := slog.NewTextHandler(file, options)
	events, err := eventlog.Open(Name)
	if err != nil {
		log := slog.New(all)
		log.Warn("the log of applications cannot be written to", "err", err)
		return log, file.Close, nil
	}
	h := &both{file: all, log: events}
	return slog.New(h), func() error { return errors.Join(events.Close(), file.Close()) }, nil
}

// both writes to a file, and to the log of applications from warnings on.
type both struct {
	file slog.Handler
	log  *eventlog.Log
	with func(slog.Handler) slog.Handler // attributes and groups
}

const event = 1 // the only one there is

// Enabled implements slog.Handler.
func (h *both) Enabled(ctx context.Context, level slog.Level) bool { return h.file.Enabled(ctx, level) }

// Handle implements slog.Handler.
func (h *both) Handle(ctx context.Context, r slog.Record) error {
	err := h.file.Handle(ctx, r)
	if r.Level < slog.LevelWarn {
		return err
	}
	var text bytes.Buffer
	plain := slog.Handler(slog.NewTextHandler(&text, nil))
	if h.with != nil {
		plain = h.with(plain)
	}
	_ = plain.Handle(ctx, r) // a buffer takes everything
	if r.Level >= slog.LevelError {
		_ = h.log.Error(event, text.String()) // the file has it
	} else {
		_ = h.log.Warning(event, text.String())
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h *both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.and(func(s slog.Handler) slog.Handler { return s.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h *both) WithGroup(name string) slog.Handler {
	return h.and(func(s slog.Handler) slog.Handler { return s.WithGroup(name) })
}

func (h *both) and(more func(slog.Handler) slog.Handler) slog.Handler {
	before := h.with
	return &both{file: more(h.file), log: h.log, with: func(s slog.Handler) slog.Handler {
		if before != nil {
			s = before(s)
		}
		return more(s)
	}}
}
