package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/service"
)

type install struct {
	State  string `default:"${state}" placeholder:"DIR" help:"The agent's state directory: ${default}."`
	Restic string `placeholder:"PATH" help:"The restic program; without it, the one on PATH or beside the agent."`
}

func (c *install) Run(s streams) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the agent's own program: %w", err)
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return fmt.Errorf("find the agent's own program: %w", err)
	}
	restic, err := service.FindRestic(c.Restic, program)
	if err != nil {
		return err
	}
	state, err := filepath.Abs(c.State)
	if err != nil {
		return err
	}
	state, said, err := agent.Home(state)
	tell(s, said)
	if err != nil {
		return err
	}
	settled, err := service.Settle(program)
	if err != nil {
		return fmt.Errorf("put the program where only administrators can change it: %w", err)
	}
	if settled != program {
		tell(s, []string{"the program is " + settled})
	}
	it := service.Service{Program: settled, State: state, Restic: restic}
	said, err = service.Install(it)
	tell(s, append(said, service.Recommend(it)...))
	if err != nil {
		return err
	}
	next := "restic-manager-agent start"
	if _, err := agent.LoadIdentity(state); errors.Is(err, agent.ErrNotEnrolled) {
		next = "restic-manager-agent enroll --server HOST:8883 --token T, then " + next
	}
	_, err = fmt.Fprintln(s.errs, "Next: "+next)
	return err
}

// tell says what was done, a sentence a line.
func tell(s streams, said []string) {
	for _, line := range said {
		fmt.Fprintln(s.errs, line)
	}
}

type uninstall struct{}

func (uninstall) Run(s streams) error {
	said, err := service.Uninstall()
	tell(s, said)
	if err == nil {
		tell(s, []string{"the state directory stays, with this host's identity: remove it if the host is not to come back"})
	}
	return err
}

type start struct{}

func (start) Run() error { return service.Start() }

type stop struct{}

func (stop) Run() error { return service.Stop() }

type status struct{}

// Run says how the service is; it fails unless it runs.
func (status) Run(s streams) error {
	is, err := service.Query()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(s.out, is.Words); err != nil {
		return err
	}
	if !is.Running {
		return errors.New("the agent does not run")
	}
	return nil
}

// asService runs the agent for the system's service manager.
func (c *run) asService(ctx context.Context, s streams) error {
	start := service.Run
	if s.child != nil { // the launcher is the service
		start = func(ctx context.Context, run func(context.Context) error) error { return run(ctx) }
	}
	return start(ctx, func(ctx context.Context) error {
		state, said, err := agent.Home(c.State)
		if err != nil {
			return err
		}
		log, closing, err := service.Logger(state, c.LogLevel, s.errs)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		for _, line := range said {
			log.Warn(line)
		}
		a := c.agent(state, log)
		a.Waits = true // for somebody to enrol the host, or a tool to put a file there
		err = c.launched(ctx, s, a)
		if err != nil && !errors.As(err, new(found)) {
			log.Error("the agent ends", "err", err)
		}
		return errors.Join(err, closing())
	})
}

func (c *run) agent(state string, log *slog.Logger) *agent.Agent {
	return &agent.Agent{State: state, Restic: c.Restic, Log: log}
}
