// Command restic-manager-agent is one host's side of restic-manager: it enrols
// the host at a control plane and runs restic when it is told to.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/restic-manager/restic-manager/agent"
)

// The exit statuses.
const (
	success = iota
	failure
	usage
)

type commands struct {
	Enroll  enroll  `cmd:"" help:"Let this host in at a control plane, with a token made there."`
	Run     run     `cmd:"" help:"Stay connected and run what is asked for, until stopped."`
	Version version `cmd:"" help:"Print the version."`
}

// streams are where a command writes: out for machines, errs for people.
type streams struct{ out, errs io.Writer }

type enroll struct {
	Server string `required:"" placeholder:"HOST:8883" help:"Address of the control plane's port for agents."`
	Token  string `required:"" placeholder:"T" help:"Enrolment token, good for one host and 15 minutes."`
	State  string `required:"" placeholder:"DIR" help:"Directory for this host's identity and journal."`
	Again  bool   `help:"Replace the identity that is there; the token has to be made for this host. Its policy stays."`
	Policy string `default:"backup" placeholder:"NAME" help:"What this host lets the control plane do: backup, restore, keeper or managed. No message can change it later."`
}

func (c *enroll) Run(ctx context.Context, s streams) error {
	if _, err := agent.ParsePolicy(c.Policy); err != nil {
		return usageError{err}
	}
	enroll := agent.Enroll
	if c.Again {
		enroll = agent.EnrollAgain
	}
	identity, err := enroll(ctx, c.Server, c.Token, c.State, c.Policy)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.errs, "Enrolled as %q. Start the agent with: restic-manager-agent run --state %s\n", identity.Name, c.State)
	fmt.Fprintln(s.out, identity.Host)
	return nil
}

type run struct {
	State  string `required:"" placeholder:"DIR" help:"Directory that enroll wrote."`
	Restic string `placeholder:"PATH" help:"The restic program; without it, the one on PATH."`

	LogLevel slog.Level `default:"info" placeholder:"LEVEL" help:"What the agent's own log says: debug, info, warn or error."`
}

func (c *run) Run(ctx context.Context, s streams) error {
	a := agent.Agent{State: c.State, Restic: c.Restic, Log: slog.New(slog.NewTextHandler(s.errs, &slog.HandlerOptions{Level: c.LogLevel}))}
	return a.Run(ctx)
}

type version struct{}

func (version) Run(s streams) error {
	_, err := fmt.Fprintf(s.out, "restic-manager-agent %s %s/%s\n", agent.Version, runtime.GOOS, runtime.GOARCH)
	return err
}

// A usageError is a command line that makes no sense.
type usageError struct{ error }

func main() {
	umask()
	if info, ok := debug.ReadBuildInfo(); ok && agent.Version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		agent.Version = info.Main.Version
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns its exit status.
func execute(ctx context.Context, args []string, out, errs io.Writer) int {
	helped := false
	parser, err := kong.New(&commands{},
		kong.Name("restic-manager-agent"),
		kong.Description("Backs this host up with restic, as its control plane asks."),
		kong.DefaultEnvars("RESTIC_MANAGER_AGENT"),
		kong.Writers(out, errs),
		kong.Exit(func(int) { helped = true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{out, errs}),
	)
	if err != nil {
		panic(err) // the structure above makes no sense
	}
	command, err := parser.Parse(args)
	if helped {
		return success
	}
	if err != nil {
		fmt.Fprintf(errs, "restic-manager-agent: %v\nTry --help.\n", err)
		return usage
	}
	if err := command.Run(); err != nil {
		fmt.Fprintf(errs, "restic-manager-agent: %v\n", err)
		if errors.As(err, new(usageError)) {
			return usage
		}
		return failure
	}
	return success
}
