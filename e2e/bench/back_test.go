package bench

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/topics"
)

// BenchmarkAgentsComeBack restarts the control plane of 500 agents, or of AGENTS, and measures
// how long they take to be back from the moment it listens again, and how many of their
// attempts were cut off because too many shook hands at once. The agents are whole ones, in
// one process; they hear a control plane stop that is away for 3 s.
func BenchmarkAgentsComeBack(b *testing.B) {
	agents := 500
	if text := os.Getenv("AGENTS"); text != "" {
		agents = must(strconv.Atoi(text))
	}
	dir := b.TempDir()
	free := must(net.Listen("tcp", "127.0.0.1:0"))
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		b.Fatal(err)
	}
	start := func() (*controlplane.Plane, func()) {
		ctx, stop := context.WithCancel(b.Context())
		p := must(controlplane.New(ctx, controlplane.Config{Data: filepath.Join(dir, "data"), HTTP: "127.0.0.1:0", Agents: address,
			MQTT: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Timing: controlplane.DefaultTiming()}))
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		return p, func() {
			stop()
			if err := errors.Join(<-ended, p.Close()); err != nil {
				b.Error(err)
			}
		}
	}
	p, stop := start()
	args := []string{"agents", standIn(dir, "")}
	for i := range agents {
		state := filepath.Join(dir, "agent-"+strconv.Itoa(i))
		_, token, err := p.Desk.Issue(b.Context(), "bench", "", time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		must(agent.Enrolment{Server: address, Token: token.Reveal(), State: state,
			Policy: must(agent.Preset(agent.PolicyBackup, state))}.Run(b.Context()))
		args = append(args, state)
	}
	log := filepath.Join(dir, "agents.log")
	child := exec.Command(must(os.Executable()), args...)
	child.Stderr = must(os.Create(log))
	stdin := must(child.StdinPipe())
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	hellos := map[topics.HostID]uint64{}
	// back waits until so many have said hello in a session after their last one.
	back := func(n int) {
		for range time.Tick(200 * time.Millisecond) { // to look costs, too
			here := 0
			for _, h := range must(p.Store.Hosts(b.Context())) {
				if h.HelloN > hellos[h.ID] {
					here++
				}
			}
			if here >= n {
				return
			}
		}
	}
	back(agents)
	for b.Loop() {
		for _, h := range must(p.Store.Hosts(b.Context())) {
			hellos[h.ID] = h.HelloN
		}
		stop()
		said := len(must(os.ReadFile(log)))
		time.Sleep(3 * time.Second)
		p, stop = start()
		began, spent := time.Now(), cpu("self")
		for _, share := range []int{1, agents / 2, agents * 99 / 100, agents} {
			back(max(share, 1))
			b.ReportMetric(time.Since(began).Seconds(), "s-to-"+strconv.Itoa(max(share, 1)))
		}
		b.ReportMetric((cpu("self")-spent)/1e6, "plane-cpu-s")
		text := must(os.ReadFile(log))[said:]
		warned, refused := bytes.Count(text, []byte("not connected")), bytes.Count(text, []byte("connection refused"))
		b.ReportMetric(float64(warned-refused), "cut-off")
	}
	stop()
	if err := errors.Join(stdin.Close(), child.Wait()); err != nil {
		b.Error(err)
	}
}
