package store

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// BenchmarkDispatch is one look at what is due, of 1,000 hosts with a running job and
// three that wait, in repositories that ten hosts share: once where all has to wait, and
// once where as many are sent as may be. cpu is what counts on a busy machine.
func BenchmarkDispatch(b *testing.B) {
	const hosts, jobs = 1000, 4
	for _, c := range []struct {
		name   string
		online bool
	}{{"nothing to send", false}, {"all that may be sent", true}} {
		b.Run(c.name, func(b *testing.B) {
			s := open(b)
			if err := s.tx(b.Context(), func(tx *sqlx.Tx) error {
				for r := range hosts / 10 * jobs {
					if _, err := tx.Exec(`INSERT INTO repositories (id, name, location, url, password, env, created_at, ready_at)
						VALUES ($1, $1, $1, '', '', '', 1, 1)`,
						fmt.Sprintf("repo-%05d", r)); err != nil {
						return err
					}
				}
				for h := range hosts {
					host := fmt.Sprintf("host-%05d", h)
					if _, err := tx.Exec(`INSERT INTO hosts (id, name, created_at, seal_key, serial, hostname, os, arch, platform,
						agent_version, restic_version, policy) VALUES ($1, $1, 1, 'k', $1, $1, '', '', '', '', '', '')`, host); err != nil {
						return err
					}
					for j := range jobs {
						if _, err := tx.Exec(`INSERT INTO jobs (id, host, kind, source_group, repository, state, requested_by, queued_at,
							not_after) VALUES ($1, $2, 'snapshots', '', $3, 'queued', 'bench', $4, 1000000)`, fmt.Sprintf("job-%05d-%d", h, j), host,
							fmt.Sprintf("repo-%05d", h/10*jobs+j), j); err != nil {
							return err
						}
					}
				}
				if _, err := tx.Exec(`UPDATE hosts SET agent_jobs = 16`); err != nil {
					return err
				}
				_, err := tx.Exec(`UPDATE jobs SET state = 'running' WHERE queued_at = 0`)
				return err
			}); err != nil {
				b.Fatal(err)
			}
			sent := 0
			var spent time.Duration
			for b.Loop() {
				b.StopTimer()
				if _, err := s.w.ExecContext(b.Context(), `UPDATE jobs SET state = 'queued', attempts = 0 WHERE queued_at > 0`); err != nil {
					b.Fatal(err)
				}
				before := used()
				b.StartTimer()
				if err := s.Steps(context.Background(), func(tx protocol.PlaneTx) error {
					effects, err := protocol.PlaneStep(protocol.DefaultTiming(), tx, protocol.Tick{Now: 100,
						Online: func(topics.HostID) bool { return c.online }})
					sent = 0
					for _, e := range effects {
						if _, is := e.(protocol.SendRun); is {
							sent++
						}
					}
					return err
				}); err != nil {
					b.Fatal(err)
				}
				spent += used() - before
			}
			b.ReportMetric(float64(sent), "sent/op")
			b.ReportMetric(spent.Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// used is the processor time of this process.
func used() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
