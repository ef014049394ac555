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
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/launcher"
	"github.com/restic-manager/restic-manager/journal"
	"github.com/restic-manager/restic-manager/release"
)

// The exit statuses.
const (
	success = iota
	failure
	usage
)

type commands struct {
	Enroll        enroll         `cmd:"" help:"Let this host in at a control plane, with a token made there."`
	Policy        policy         `cmd:"" help:"Say what this host lets its control plane do, and allow more."`
	Run           run            `cmd:"" help:"Stay connected and run what is asked for, until stopped."`
	Install       install        `cmd:"" help:"Have the system start the agent with the machine, and again when it has ended."`
	Uninstall     uninstall      `cmd:"" help:"Stop the agent, and have the system start it no more. Its state stays."`
	Start         start          `cmd:"" help:"Start the installed agent."`
	Stop          stop           `cmd:"" help:"Stop the installed agent, once what it runs has ended."`
	Status        status         `cmd:"" help:"Say whether the installed agent runs."`
	Rollback      rollback       `cmd:"" help:"Go back to the release of the agent before the one that an update brought."`
	Restic        resticCommands `cmd:"" help:"Show which restic was fetched from the control plane, or go back from it."`
	Doctor        doctorCmd      `cmd:"" help:"Say what works here, what does not, what that means and what to do. Nothing is changed."`
	SSH           sshCommands    `cmd:"" name:"ssh" help:"Show or make this agent's SSH key, and say which servers it trusts."`
	SupportBundle supportBundle  `cmd:"" help:"Put what helps to find a fault into a file, without secrets: versions, policy, doctor, log."`
	Completion    completion     `cmd:"" help:"Print what has a shell complete commands and flags: bash, zsh or fish."`
	Man           man            `cmd:"" hidden:"" help:"Print the manual page."`
	Version       version        `cmd:"" help:"Print the version."`
}

// streams are where a command writes: out for machines, errs for people.
type streams struct {
	out, errs io.Writer
	args      []string        // of this process
	child     *launcher.Child // nil unless a launcher started it
}

type enroll struct {
	Server string `required:"" placeholder:"HOST:8883" help:"Address of the control plane's port for agents."`
	Token  string `required:"" xor:"token" placeholder:"T" help:"Enrolment token, good for one host and 15 minutes."`
	State  string `default:"${state}" placeholder:"DIR" help:"Directory for this host's identity and journal: ${default}."`
	Again  bool   `help:"Replace the identity that is there; the token has to be made for this host. Its policy stays."`
	Policy string `default:"backup" placeholder:"NAME" help:"What may be done here: backup, restore, keeper or managed."`

	TokenFile string `required:"" xor:"token" placeholder:"FILE" help:"The same from a file, so that it is on no command line."`
	IfNeeded  bool   `help:"Do nothing, and succeed, if this host is enrolled with that server already."`

	Repository     []string `placeholder:"URL" help:"A repository this host's data may go to; without one, the first backup's alone."`
	RepositoryRoot []string `placeholder:"DIR" help:"Let the first repository be a path below this directory; without one it is no path."`
	BackupRoot     []string `placeholder:"DIR" help:"Let backups read below this directory only."`
	RestoreRoot    []string `placeholder:"DIR" help:"Let restores write below this directory only, not into one beside the identity."`
}

func (c *enroll) Run(ctx context.Context, s streams) error {
	state, err := stateDir{c.State}.path()
	if err != nil {
		return err
	}
	if there, err := agent.LoadIdentity(state); c.IfNeeded && err == nil && strings.EqualFold(there.Server, c.Server) {
		fmt.Fprintf(s.errs, "This host is enrolled as %q already. Nothing was changed, and the token was not used.\n", there.Name)
		fmt.Fprintln(s.out, there.Host)
		return nil
	}
	policy, err := agent.Preset(c.Policy, state)
	if err != nil {
		return usageError{err}
	}
	if c.Policy == agent.PolicyRestore && len(c.RestoreRoot) == 0 && !c.Again {
		return usageError{errors.New("--policy restore needs --restore-root DIR: say below which directories restores may write, each " +
			"with a flag of its own")}
	}
	for _, dir := range c.RepositoryRoot {
		policy.RepositoryRoots = append(policy.RepositoryRoots, filepath.Clean(dir))
	}
	if err := policy.Narrow(c.Repository, c.BackupRoot, c.RestoreRoot); err != nil {
		return usageError{err}
	}
	token, err := c.token()
	if err != nil {
		return err
	}
	identity, err := agent.Enrolment{Server: c.Server, Token: token, State: state, Policy: policy, Again: c.Again}.Run(ctx)
	if err != nil {
		return err
	}
	if identity.Held {
		fmt.Fprintln(s.errs, "It waits until somebody approves it on the page Add host, under Many machines; nothing is backed up before.")
	}
	fmt.Fprintf(s.errs, "Enrolled as %q. Start the agent with: restic-manager-agent run --state %s\n", identity.Name, state)
	fmt.Fprintln(s.out, identity.Host)
	return nil
}

// token is the one that was given, or the only line of the file.
func (c *enroll) token() (string, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	b, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(b), "\ufeff")), nil // editors on Windows begin a file so
}

type policy struct {
	Show                policyShow                `cmd:"" default:"withargs" help:"Say it in words."`
	AllowRepository     policyAllowRepository     `cmd:"" help:"Let this host's data go to another repository, too."`
	AllowRepositoryRoot policyAllowRepositoryRoot `cmd:"" help:"Let the first repository be a path below a directory."`
	AllowFile           policyAllowFile           `cmd:"" help:"Let a repository name a file of this host, such as its CA's certificate."`
	AllowBackup         policyAllowBackup         `cmd:"" help:"Let backups read below another directory, too."`
	AllowRestore        policyAllowRestore        `cmd:"" help:"Let restores write below another directory, too."`
	AllowOperation      policyAllowOperation      `cmd:"" help:"Let the control plane ask for another operation, such as prune."`
	AllowHook           policyAllowHook           `cmd:"" help:"Let the control plane have a program run around backups, by name."`
	AllowUpdates        policyAllowUpdates        `cmd:"" help:"Let the control plane update the agent to signed releases."`
	ForbidUpdates       policyForbidUpdates       `cmd:"" help:"Let nobody but an administrator of this host update the agent."`
	AllowRestic         policyAllowRestic         `cmd:"" help:"Let the control plane have the agent fetch a restic from there, and use it."`
	ForbidRestic        policyForbidRestic        `cmd:"" help:"Have the agent fetch no restic. One that was fetched stays in use."`
	AllowHostKeys       policyAllowHostKeys       `cmd:"" help:"Say which keys of SSH servers the control plane may have this host trust."`
}

type stateDir struct {
	State string `default:"${state}" placeholder:"DIR" help:"Directory that enroll wrote: ${default}."`
}

func (d stateDir) path() (string, error) {
	state, _, err := agent.Home(d.State)
	return state, err
}

type policyShow struct{ stateDir }

func (c *policyShow) Run(s streams) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	p, err := agent.LoadPolicy(state)
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.out, p.Words())
	return err
}

type policyAllowRepository struct {
	URL   string `arg:"" help:"As restic takes it, without a password. What else its place depends on follows as NAME=VALUE."`
	Below bool   `help:"And every repository below it: of a keeper, all of a REST server or of a bucket."`
	stateDir
}

func (c *policyAllowRepository) Run(s streams) error {
	state, err := c.path()
	if err != nil {
		return err
	}
	location, err := agent.AllowRepository(state, c.URL, c.Below)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, location)
	return err
}

type policyAllowRepositoryRoot struct {
	Dir string `arg:"" help:"The directory, in full."`
	stateDir
}

func (c *policyAllowRepositoryRoot) Run() error { return c.with(agent.AllowRepositoryRoot, c.Dir) }

type policyAllowFile struct {
	Path string `arg:"" help:"The file, in full."`
	stateDir
}

func (c *policyAllowFile) Run() error { return c.with(agent.AllowFile, c.Path) }

type policyAllowBackup struct {
	Dir string `arg:"" help:"The directory, in full."`
	stateDir
}

func (c *policyAllowBackup) Run() error { return c.with(agent.AllowBackup, c.Dir) }

type policyAllowRestore struct {
	Dir string `arg:"" help:"The directory, in full."`
	stateDir
}

func (c *policyAllowRestore) Run() error { return c.with(agent.AllowRestore, c.Dir) }

type policyAllowOperation struct {
	Kind string `arg:"" help:"Its name, such as prune."`
	stateDir
}

func (c *policyAllowOperation) Run() error { return c.with(agent.AllowOperation, c.Kind) }

type policyAllowHostKeys struct {
	Which string `arg:"" enum:"none,new,any" help:"none; new, the first of each server; or any, in the place of one that is known, too."`
	stateDir
}

func (c *policyAllowHostKeys) Run() error { return c.with(agent.AllowHostKeys, c.Which) }

// with changes the policy in the state directory.
func (d stateDir) with(allow func(state, what string) error, what string) error {
	state, err := d.path()
	if err != nil {
		return err
	}
	return allow(state, what)
}

type policyAllowHook struct {
	Name string `arg:"" help:"What the control plane calls it."`
	Path string `arg:"" help:"The program. When it changes, allow it again."`
	stateDir
}

func (c *policyAllowHook) Run() error {
	state, err := c.path()
	if err != nil {
		return err
	}
	return agent.AllowHook(state, c.Name, c.Path)
}

type run struct {
	State  string `default:"${state}" placeholder:"DIR" help:"Directory that enroll wrote: ${default}."`
	Restic string `placeholder:"PATH" help:"The restic program; without it, the one on PATH."`

	Service bool `help:"The system's service manager starts this: install says so, and nobody else."`

	LogLevel slog.Level `default:"info" placeholder:"LEVEL" help:"What the agent's own log says: debug, info, warn or error."`
}

func (c *run) Run(ctx context.Context, s streams) error {
	if c.Service {
		return c.asService(ctx, s)
	}
	state, said, err := agent.Home(c.State)
	tell(s, said)
	if err != nil {
		return err
	}
	return c.launched(ctx, s, c.agent(state, slog.New(journal.Handler(s.errs, c.LogLevel))))
}

// launched runs the agent, as the release that is to run: within this process if that is
// the installed one, as it is until an update has brought another.
func (c *run) launched(ctx context.Context, s streams, a *agent.Agent) error {
	a.Launched, a.Installed = true, release.Own()
	if s.child == nil {
		l := launcher.Launcher{State: a.State, Own: release.Own(), Args: s.args, Errs: s.errs, Log: a.Log,
			Installed: func(ctx context.Context) error { return a.Run(stopping(ctx)) },
			Keys:      func() ([]string, error) { return agent.Keys(a.State) }}
		return l.Run(ctx)
	}
	a.Child, a.Installed = s.child, s.child.Installed
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-a.Child.Told:
			stop()
		case <-ctx.Done():
		}
	}()
	err := a.Run(stopping(ctx))
	if errors.Is(err, launcher.ErrReplace) {
		return found(launcher.ReplaceStatus)
	}
	return err
}

type rollback struct {
	State string `default:"${state}" placeholder:"DIR" help:"The agent's state directory: ${default}."`
}

// Run goes back to the release before the one that runs.
func (c *rollback) Run(s streams) error {
	state, err := agent.Located(c.State)
	if err != nil {
		return err
	}
	said, err := agent.Rollback(state)
	if err == nil {
		tell(s, []string{said, "the agent that runs is told to end first; jobs that run are interrupted. It takes that release no more"})
	}
	return err
}

type policyAllowUpdates struct {
	Key []string `placeholder:"KEY" help:"A public key of minisign, the line that begins with RW, in place of the one that was built in."`
	stateDir
}

func (c *policyAllowUpdates) Run() error {
	state, err := c.path()
	if err != nil {
		return err
	}
	return agent.AllowUpdates(state, c.Key)
}

type policyForbidUpdates struct{ stateDir }

func (c *policyForbidUpdates) Run() error {
	state, err := c.path()
	if err != nil {
		return err
	}
	return agent.ForbidUpdates(state)
}

type policyAllowRestic struct {
	SHA256 []string `name:"sha256" placeholder:"SUM" help:"Of a file as restic releases it, as its SHA256SUMS has it: files with these alone."`
	stateDir
}

func (c *policyAllowRestic) Run() error {
	state, err := c.path()
	if err != nil {
		return err
	}
	return agent.AllowRestic(state, c.SHA256)
}

type policyForbidRestic struct{ stateDir }

func (c *policyForbidRestic) Run() error {
	state, err := c.path()
	if err != nil {
		return err
	}
	return agent.ForbidRestic(state)
}

type resticCommands struct {
	Show     resticShow     `cmd:"" default:"withargs" help:"Say which restic was fetched and is used."`
	Rollback resticRollback `cmd:"" help:"Go back to the restic before the one that was fetched last, or to the host's own."`
}

type resticShow struct{ stateDir }

func (c *resticShow) Run(s streams) error {
	state, err := agent.Located(c.State)
	if err != nil {
		return err
	}
	said, err := agent.FetchedRestic(state)
	if err == nil {
		tell(s, []string{said})
	}
	return err
}

type resticRollback struct{ stateDir }

func (c *resticRollback) Run(s streams) error {
	state, err := agent.Located(c.State)
	if err != nil {
		return err
	}
	said, err := agent.RollbackRestic(state)
	if err == nil {
		tell(s, []string{said + " is used from the next job on"})
	}
	return err
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
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr, launcher.Attach(os.Stdin, os.Stdout)))
}

// execute runs one command line and returns its exit status.
func execute(ctx context.Context, args []string, out, errs io.Writer, child *launcher.Child) int {
	helped := false
	var env environment
	parser, err := kong.New(&commands{},
		kong.Name("restic-manager-agent"),
		kong.Description("Backs this host up with restic, as its control plane asks."),
		kong.DefaultEnvars("RESTIC_MANAGER_AGENT"),
		kong.Vars{"state": agent.DefaultState()},
		kong.PostBuild(env.narrow),
		kong.Writers(out, errs),
		kong.Exit(func(int) { helped = true }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{out: out, errs: errs, args: args, child: child}),
	)
	if err != nil {
		panic(err) // the structure above makes no sense
	}
	command, err := parser.Parse(args)
	if helped {
		return success
	}
	env.warn(errs, command, err)
	if err != nil {
		fmt.Fprintf(errs, "restic-manager-agent: %v\nTry --help.\n", err)
		return usage
	}
	if err := command.Run(); err != nil {
		if exit := found(0); errors.As(err, &exit) {
			return int(exit)
		}
		fmt.Fprintf(errs, "restic-manager-agent: %v\n", err)
		if errors.As(err, new(usageError)) {
			return usage
		}
		return failure
	}
	return success
}
