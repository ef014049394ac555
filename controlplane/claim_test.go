package controlplane

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/restic-manager/restic-manager/protocol"
)

func TestADataDirectoryServesOneControlPlane(t *testing.T) {
	c := Config{Data: filepath.Join(t.TempDir(), "data"), HTTP: "127.0.0.1:0", Agents: "127.0.0.1:0", MQTT: "127.0.0.1:0",
		Log: slog.New(slog.DiscardHandler), Timing: DefaultTiming(), Logs: DefaultLogs(), Limits: protocol.DefaultLimits()}
	first, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := New(t.Context(), c); !errors.Is(err, ErrClaimed) {
		t.Errorf("beside the first, the second begins: %v", err)
		if err == nil {
			_ = second.Close()
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := New(t.Context(), c)
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}
