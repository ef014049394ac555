// Command restic-manager is the control plane, and its operator's command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

type cli struct {
	Config kong.ConfigFlag `placeholder:"FILE" help:"Read flags from a YAML file, each by its name, as in data: DIR."`

	Serve       serveCmd `cmd:"" help:"Run the control plane."`
	Demo        demoCmd  `cmd:"" help:"Run a control plane, an agent and a repository, and take a first backup."`
	EnrollToken struct {
		Create enrollTokenCmd `cmd:"" help:"Make a token that lets one host in, and print it."`
	} `cmd:"" help:"Let hosts in."`
	Host struct {
		Revoke hostRevokeCmd `cmd:"" help:"Trust a host's agent no longer; only a token made for it lets it in again."`
	} `cmd:"" help:"Look after hosts."`
	APIToken struct {
		Create apiTokenCreateCmd `cmd:"" help:"Make a token for a program, and print it."`
		List   apiTokenListCmd   `cmd:"" help:"List the tokens."`
		Revoke apiTokenRevokeCmd `cmd:"" help:"End a token."`
	} `cmd:"" name:"api-token" help:"Let programs in."`
	User struct {
		Add     userAddCmd     `cmd:"" help:"Add a person who may sign in."`
		List    userListCmd    `cmd:"" help:"List the people."`
		Passwd  userPasswdCmd  `cmd:"" help:"Set somebody's password, and sign them out everywhere."`
		Role    userRoleCmd    `cmd:"" help:"Give somebody another role, and sign them out everywhere."`
		Disable userDisableCmd `cmd:"" help:"Shut somebody out, at once."`
		Enable  userEnableCmd  `cmd:"" help:"Let somebody in again."`
	} `cmd:"" help:"Let people in."`
	MQTTUser struct {
		Create mqttUserCreateCmd `cmd:"" help:"Make a credential for a consumer of the public broker, and print its password."`
		List   mqttUserListCmd   `cmd:"" help:"List the consumers."`
		Revoke mqttUserRevokeCmd `cmd:"" help:"End a consumer's credential, and its connections."`
	} `cmd:"" name:"mqtt-user" help:"Let consumers in."`
	Repository struct {
		List     repositoryListCmd     `cmd:"" help:"List repositories."`
		Add      repositoryAddCmd      `cmd:"" help:"Register a repository, and print its ID."`
		Set      repositorySetCmd      `cmd:"" help:"Change a repository; what is left out stays as it is."`
		Show     repositoryShowCmd     `cmd:"" help:"Say what is known of a repository."`
		Remove   repositoryRemoveCmd   `cmd:"" help:"Take a repository out of care; nothing is done to what it holds."`
		Plan     repositoryPlanCmd     `cmd:"" help:"Show what the next forget keeps and removes, and why."`
		Maintain repositoryMaintainCmd `cmd:"" help:"Have a repository's keeper forget, prune or check, and print the job's ID."`
	} `cmd:"" help:"Look after repositories."`
	Job struct {
		Start  jobStartCmd  `cmd:"" help:"Ask a host for a job, and print its ID."`
		Cancel jobCancelCmd `cmd:"" help:"End a job that waits or runs."`
		List   jobListCmd   `cmd:"" help:"List jobs, the last that were asked for first."`
		Show   jobShowCmd   `cmd:"" help:"Say how a job is, or ended."`
		Log    jobLogCmd    `cmd:"" help:"Print a job's log."`
	} `cmd:"" help:"Steer jobs."`
	Audit struct {
		Verify auditVerifyCmd `cmd:"" help:"Find out whether the audit log was tampered with, and print its end."`
	} `cmd:"" help:"Look after the audit log."`
	Key struct {
		Rotate keyRotateCmd `cmd:"" help:"Change the key, and seal every secret anew. The control plane has to be stopped."`
	} `cmd:"" help:"Look after the key of the secrets."`
	Kit      kitCmd `cmd:"" help:"Print a repository's emergency kit: its secrets, and how to have the data back with restic alone."`
	Schedule struct {
		List scheduleListCmd `cmd:"" help:"Print the schedules, when they begin next, and whether their hosts go by them."`
		Set  scheduleSetCmd  `cmd:"" help:"Say when source groups of a host are backed up; what is left out stays as it is."`
		Next scheduleNextCmd `cmd:"" help:"Print when a schedule begins next."`
	} `cmd:"" help:"Plan backups."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

type versionCmd struct{}

func (versionCmd) Run() error {
	fmt.Println(controlplane.Version)
	return nil
}

func main() {
	setUmask()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run answers with the exit status: 0, 1 for a failure, 2 for a command line
// that was not understood, 3 for a key and a database that do not belong together.
func run(ctx context.Context, args []string) int {
	parser := kong.Must(&cli{}, options(ctx)...)
	command, err := parser.Parse(args)
	if err != nil {
		say(os.Stderr, "restic-manager: %v\nTry restic-manager --help.", err)
		return 2
	}
	if err := command.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "restic-manager: %s\n", inWords(err))
		if errors.Is(err, store.ErrKey) {
			return 3
		}
		return 1
	}
	return 0
}

// inWords says why a command failed as the pages and the API say it, and as it is
// if they do not know it either.
func inWords(err error) string {
	p := problem.Of(err)
	switch {
	case p.Fields != nil:
		return failure(p.Fields)
	case p.Kind == problem.Internal || p == problem.NoPage:
		return failure(err)
	}
	return words.Visible(p.Title + ". " + p.Detail())
}

// options are how the command line is read.
func options(ctx context.Context) []kong.Option {
	var kinds []string
	for _, k := range topics.Kinds {
		kinds = append(kinds, string(k))
	}
	return []kong.Option{kong.Name("restic-manager"), kong.Vars{"kinds": strings.Join(kinds, ",")}, kong.Description("See and steer the restic backups of a fleet."),
		kong.DefaultEnvars("RESTIC_MANAGER"), kong.Configuration(readSettings), kong.BindTo(ctx, (*context.Context)(nil)), kong.UsageOnError()}
}
