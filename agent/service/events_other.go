//go:build !windows

package service

import (
	"io"
	"log/slog"

	"github.com/restic-manager/restic-manager/journal"
)

// Logger is what a service says: to its manager, who keeps it.
func Logger(_ string, level slog.Level, errs io.Writer) (*slog.Logger, func() error, error) {
	return slog.New(journal.Handler(errs, level)), func() error { return nil }, nil
}
