// Package fault breaks what can break while jobs run: processes are killed at
// named points, the network is cut, stopped, slowed and chopped, the power
// fails, restic misbehaves, readers do not read. Afterwards it looks whether
// what was promised was kept: every accepted job was started at most once,
// ended exactly once, and has every line of its log.
//
// The processes are real ones, killed with SIGKILL. Each is this test's own
// program under another role, which runs the packages that the two programs
// run, with shorter waits. The package holds nothing but tests.
package fault

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/link"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/rekey"
	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/protocol"
)

// rounds is how often a test does its thing: few times, unless make soak says
// otherwise.
var rounds, soak = 20, false

func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv("RESTIC_MANAGER_SOAK")); err == nil && n > 0 {
		rounds, soak, halfOpen = n, true, 20*time.Second
	}
	role, known := map[string]func(context.Context, []string) error{
		"plane": runPlane, "agent": runAgent, "write-store": writeStore, "write-journal": writeJournal,
	}, false
	if len(os.Args) > 1 {
		_, known = role[os.Args[1]]
	}
	if !known {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := role[os.Args[1]](ctx, os.Args[2:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
		os.Exit(1)
	}
}

// swiftLink is an agent's connection that notices a fault, and is back, within
// seconds.
func swiftLink() link.Timing {
	return link.Timing{
		Connect: 5 * time.Second, Write: 3 * time.Second, Ping: 2 * time.Second, KeepAlive: 10 * time.Second,
		Welcome: 5 * time.Second, Farewell: time.Second,
		Backoff: 100 * time.Millisecond, BackoffCap: 500 * time.Millisecond, Refused: time.Second,
	}
}

func swiftProtocol() protocol.Timing {
	t := protocol.DefaultTiming()
	t.Resend, t.Retry = []time.Duration{time.Second, 2 * time.Second}, time.Second
	t.Again, t.AgainMost = time.Second, 4*time.Second
	return t
}

// spaceVariable has the control plane watch its disk, with marks for one of 96 MiB.
const spaceVariable = "FAULT_SPACE"

// runPlane is the control plane: DATA HTTP AGENTS, and the address of consumers if that matters. On SIGUSR1 it says how many
// goroutines it has, and how many clients watch a job.
func runPlane(ctx context.Context, args []string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	timing := controlplane.DefaultTiming()
	timing.Jobs.Protocol, timing.Jobs.Tick = swiftProtocol(), 200*time.Millisecond
	timing.Alerts.Gap, timing.Alerts.Every = 100*time.Millisecond, 500*time.Millisecond
	timing.Delivery.Gather, timing.Delivery.Tick, timing.Delivery.Gap = 200*time.Millisecond, 200*time.Millisecond, 50*time.Millisecond
	timing.Rekey = rekey.Timing{Look: 300 * time.Millisecond, Retry: 500 * time.Millisecond}
	timing.Web.Write = 15 * time.Second // a job has time to end before those who do not read are let go
	mqtt := "127.0.0.1:0"
	if len(args) > 3 {
		mqtt = args[3]
	}
	var room space.Limits
	if os.Getenv(spaceVariable) != "" {
		room = space.Limits{Low: 32 << 20, Scarce: 16 << 20, Reserve: 4 << 20, Every: 100 * time.Millisecond}
	}
	p, err := controlplane.New(ctx, controlplane.Config{Data: args[0], HTTP: args[1], Agents: args[2], MQTT: mqtt,
		Log: log, Timing: timing, Logs: controlplane.DefaultLogs(), Space: room,
		Connections: controlplane.Connections{Shared: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}) // a whole fleet comes from there
	if err != nil {
		return err
	}
	count := make(chan os.Signal, 1)
	signal.Notify(count, syscall.SIGUSR1)
	go func() {
		for range count {
			log.Info("counted", "goroutines", runtime.NumGoroutine(), "watching", p.Hub.Watching())
		}
	}()
	err = p.Run(ctx)
	if cerr := p.Close(); err == nil {
		err = cerr
	}
	return err
}

// runAgent is a host's: STATE RESTIC.
func runAgent(ctx context.Context, args []string) error {
	t := agent.DefaultTiming()
	t.Link, t.Protocol = swiftLink(), swiftProtocol()
	t.Restic = restic.Timing{CancelGrace: time.Second, PipeGrace: time.Second, Settled: 6 * time.Second}
	t.Heartbeat, t.Reap, t.Retry = time.Second, time.Second, 100*time.Millisecond
	a := agent.Agent{State: args[0], Restic: args[1], Timing: t, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	return a.Run(ctx)
}
