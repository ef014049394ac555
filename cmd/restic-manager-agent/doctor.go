package main

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/service"
	"github.com/restic-manager/restic-manager/doctor"
)

type doctorFlags struct {
	stateDir
	Restic string `placeholder:"PATH" help:"The restic program; without it, the one on PATH."`
}

type doctorCmd struct {
	JSON bool `name:"json" help:"Print it for programs."`
	doctorFlags
}

// Run says how it is, and changes nothing. The exit status is that of the report.
func (c *doctorCmd) Run(ctx context.Context, s streams) error {
	r, err := c.report(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = r.JSON(s.out)
	} else {
		err = r.Text(s.out)
	}
	if err == nil && r.Exit() > 0 {
		return found(r.Exit())
	}
	return err
}

func (c *doctorFlags) report(ctx context.Context) (doctor.Report, error) {
	state, err := agent.Located(c.State)
	if err != nil {
		return doctor.Report{}, err
	}
	checks := append(agent.Checks(state, c.Restic), doctor.Check{Name: "service", Run: func(ctx context.Context) []doctor.Finding {
		return service.Findings(ctx, agent.Access(state))
	}})
	return doctor.Report{Program: "restic-manager-agent", Version: agent.Version, At: time.Now().UTC(), Findings: doctor.Run(ctx, checks)}, nil
}

// found is an exit status that says what was found, which was printed already.
type found int

func (found) Error() string { return "" }
