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
	"github.com/restic-manager/restic-manager/store/keyring"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

type cli struct {
	Config kong.ConfigFlag `placeholder:"FILE" help:"Read flags from a YAML file, one key per flag, such as data: DIR."`

	Serve       serveCmd `cmd:"" help:"Run the control plane."`
	Demo        demoCmd  `cmd:"" help:"Try it out: run a fleet of six hosts with a year of backups on this machine."`
	Ready       readyCmd `cmd:"" help:"Say by the exit status whether the control plane on this machine answers: 0 if it does."`
	EnrollToken struct {
		Create enrollTokenCmd `cmd:"" help:"Create a token that enrols one host, and print it."`
	} `cmd:"" help:"Enrol hosts."`
	EnrollKey enrollKeyCmd `cmd:"" help:"Enrol many hosts with one key: create, list, withdraw, held."`
	Host      struct {
		List     hostListCmd     `cmd:"" help:"List hosts with their tags, by name."`
		Tag      hostTagCmd      `cmd:"" help:"Show a host's tags, or give it some and take some from it: host tag attic +web site=berlin -old."`
		Rename   hostRenameCmd   `cmd:"" help:"Give a host another name."`
		Set      hostSetCmd      `cmd:"" help:"Change a host's settings."`
		Pause    hostPauseCmd    `cmd:"" help:"Pause all schedules of a host for a while; they go on by themselves."`
		Resume   hostResumeCmd   `cmd:"" help:"End the pause of a host's schedules now."`
		Retire   hostRetireCmd   `cmd:"" help:"Keep a host's snapshots, judge it no longer and fire none of its schedules; --undo takes it back."`
		Remove   hostRemoveCmd   `cmd:"" help:"Remove a host. It can be brought back for 30 days; its snapshots stay where they are."`
		Restore  hostRestoreCmd  `cmd:"" help:"Bring back a removed host with its source groups and schedules."`
		Replace  hostReplaceCmd  `cmd:"" help:"Put another machine in the place of a host's lost one: prints the command for it."`
		Replaced hostReplacedCmd `cmd:"" help:"Say what becomes of the files of a replaced machine, or list what waits."`
		Approve  hostApproveCmd  `cmd:"" help:"Trust a host that came with an enrolment key and waits for approval."`
		SSH      hostSSHCmd      `cmd:"" name:"ssh" help:"Show a host's public SSH key, and the SFTP servers it trusts or was shown a key of."`
		Accept   hostAcceptCmd   `cmd:"" name:"accept-key" help:"Have a host trust an SFTP server by a key that it was shown."`
		Twins    hostTwinsCmd    `cmd:"" help:"List the machines that use a host's identity at once, or say which one stays."`
		Revoke   hostRevokeCmd   `cmd:"" help:"Revoke a host's certificate. Only an enrolment token made for this host lets it connect again."`
	} `cmd:"" help:"Manage hosts."`
	Group struct {
		Set     groupSetCmd     `cmd:"" help:"Create or change a source group of a host. Only the given settings change."`
		Rename  groupRenameCmd  `cmd:"" help:"Give a source group another name."`
		Remove  groupRemoveCmd  `cmd:"" help:"Remove a source group. It can be brought back for 30 days; its snapshots stay where they are."`
		Restore groupRestoreCmd `cmd:"" help:"Bring back a removed source group."`
	} `cmd:"" help:"Manage what hosts back up."`
	Removed struct {
		List removedListCmd `cmd:"" help:"List hosts and repositories that can be brought back."`
	} `cmd:"" help:"Look at what was removed."`
	APIToken struct {
		Create apiTokenCreateCmd `cmd:"" help:"Create a token for a program, and print it."`
		List   apiTokenListCmd   `cmd:"" help:"List API tokens."`
		Revoke apiTokenRevokeCmd `cmd:"" help:"Revoke a token."`
	} `cmd:"" name:"api-token" help:"Manage API tokens."`
	User struct {
		Add     userAddCmd     `cmd:"" help:"Add a user."`
		List    userListCmd    `cmd:"" help:"List users."`
		Passwd  userPasswdCmd  `cmd:"" help:"Set a user's password and end all their sessions."`
		Role    userRoleCmd    `cmd:"" help:"Change a user's role and end all their sessions."`
		Zone    userZoneCmd    `cmd:"" help:"Set the time zone in which pages show moments to a user."`
		Disable userDisableCmd `cmd:"" help:"Disable a user and end all their sessions."`
		Enable  userEnableCmd  `cmd:"" help:"Enable a disabled user."`
	} `cmd:"" help:"Manage the people who may sign in."`
	MQTTUser struct {
		Create mqttUserCreateCmd `cmd:"" help:"Create credentials for an MQTT client, and print the password."`
		Change mqttUserChangeCmd `cmd:"" help:"Change what an MQTT client may do and which hosts it hears of."`
		List   mqttUserListCmd   `cmd:"" help:"List MQTT users."`
		Revoke mqttUserRevokeCmd `cmd:"" help:"Revoke the credentials of an MQTT user and close its connections."`
	} `cmd:"" name:"mqtt-user" help:"Manage the credentials of MQTT clients."`
	Repository struct {
		List        repositoryListCmd        `cmd:"" help:"List repositories."`
		Add         repositoryAddCmd         `cmd:"" help:"Add a repository, and print its ID."`
		Set         repositorySetCmd         `cmd:"" help:"Change a repository. Only the given settings change."`
		Show        repositoryShowCmd        `cmd:"" help:"Show a repository."`
		Remove      repositoryRemoveCmd      `cmd:"" help:"Remove a repository from the list. Its data stays where it is."`
		Restore     repositoryRestoreCmd     `cmd:"" help:"Bring back a removed repository, and the source groups that went with it."`
		Missing     repositoryMissingCmd     `cmd:"" help:"List snapshots of ours that are gone although no job of ours removed them."`
		Release     repositoryReleaseCmd     `cmd:"" help:"Say that the host which was to make a repository is not at work on it."`
		Acknowledge repositoryAcknowledgeCmd `cmd:"" help:"Note that you know which snapshots are missing, so that later losses stand out."`
		Plan        repositoryPlanCmd        `cmd:"" help:"Show which snapshots the next forget keeps and removes, and why."`
		Test        repositoryTestCmd        `cmd:"" help:"Have a host look where a repository is or is to be, and save nothing."`
		Import      repositoryImportCmd      `cmd:"" help:"Take in snapshots that no job here made, so that they count for a source group."`
		Mirror      repositoryMirrorCmd      `cmd:"" help:"Have a repository copied into another on schedule, or show how that goes."`
		Maintain    repositoryMaintainCmd    `cmd:"" help:"Start a forget, prune or check on the repository's keeper, and print the job's ID."`
	} `cmd:"" help:"Manage repositories."`
	Restic  resticCmd  `cmd:"" help:"Look after restic on the hosts: restic show, hosts."`
	Updates updatesCmd `cmd:"" help:"Keep agents up to date: updates show, start, stop."`
	Drill   drillCmd   `cmd:"" help:"Prove that what hosts saved can be restored: drill HOST, drill set, drill show."`
	Job     struct {
		Start  jobStartCmd  `cmd:"" help:"Start a job on a host, and print its ID."`
		Cancel jobCancelCmd `cmd:"" help:"Cancel a queued or running job."`
		List   jobListCmd   `cmd:"" help:"List jobs, newest first."`
		Show   jobShowCmd   `cmd:"" help:"Show the state or the result of a job."`
		Log    jobLogCmd    `cmd:"" help:"Print a job's log."`
	} `cmd:"" help:"Start, cancel and inspect jobs."`
	Alerts          alertsCmd          `cmd:"" help:"List alerts, and say what becomes of them: ack ID, snooze ID --for 8h, end ID."`
	Channel         channelCmd         `cmd:"" help:"Manage where people are told of alerts: mail, chats, phones, webhooks."`
	AlertRules      alertRulesCmd      `cmd:"" help:"Say who hears of which alerts."`
	AlertThresholds alertThresholdsCmd `cmd:"" help:"Say from when on conditions are alerts: of a host, a tag or the fleet."`
	AlertPause      alertPauseCmd      `cmd:"" help:"Have nobody told for a while: maintenance."`
	HomeAssistant   homeAssistantCmd   `cmd:"" help:"Tell Home Assistant by MQTT of hosts and repositories, as devices."`
	Heartbeat       heartbeatCmd       `cmd:"" help:"Tell another service that the control plane works, so that its silence is noticed."`
	Uplink          uplinkCmd          `cmd:"" help:"Publish everything public to an MQTT broker of your own, too: show, set, test, off."`
	AgentsPublic    agentsPublicCmd    `cmd:"" name:"agents-public" help:"Print or set the address that agents dial, HOST:PORT."`
	PublicURL       publicURLCmd       `cmd:"" name:"public-url" help:"Print or set the address that links in messages begin with."`

	Restore  restoreCmd  `cmd:"" help:"Bring files of a host back, to it or to another, and print the job's ID."`
	Ls       lsCmd       `cmd:"" help:"List a directory of a snapshot, by a host that is connected with the running control plane."`
	Versions versionsCmd `cmd:"" help:"List in which snapshots of a host a file or directory is."`
	Audit    struct {
		Verify auditVerifyCmd `cmd:"" help:"Verify that the audit log was not tampered with, and print its last hash."`
	} `cmd:"" help:"Inspect the audit log."`
	Key struct {
		Rotate   keyRotateCmd   `cmd:"" help:"Replace the key and encrypt every secret again, with serve stopped. Or, with --identity, the CA."`
		Identity keyIdentityCmd `cmd:"" help:"Show how many hosts use the CA that key rotate --identity made, or change its course."`
	} `cmd:"" help:"Manage the key that encrypts secrets, and the identity that hosts know the control plane by."`
	Backup      backupCmd      `cmd:"" help:"Copy the control plane's own database, also while it runs. The key is not in the copy."`
	RestoreSelf restoreSelfCmd `cmd:"" help:"Make a data directory from a copy of the control plane's database, on this machine or a new one."`
	Confirm     confirmCmd     `cmd:"" help:"After restore-self: list who is asked about, or answer."`

	Find     findCmd `cmd:"" help:"Look for files in the snapshots of a host."`
	Kit      kitCmd  `cmd:"" help:"Print the emergency kit of a repository, a host or all: secrets, and how to restore with restic alone."`
	Schedule struct {
		List scheduleListCmd `cmd:"" help:"List schedules with their next start and whether the host has applied them."`
		Set  scheduleSetCmd  `cmd:"" help:"Create or change a schedule of a host. Only the given settings change."`
		Next scheduleNextCmd `cmd:"" help:"Print the next starts of a schedule."`
	} `cmd:"" help:"Manage backup schedules."`
	Doctor        doctorCmd        `cmd:"" help:"Say what works here, what does not, what that means and what to do. Nothing is changed."`
	SupportBundle supportBundleCmd `cmd:"" help:"Put what helps to find a fault into a file without secrets: versions, settings, doctor."`
	Completion    completionCmd    `cmd:"" help:"Print what has a shell complete commands and flags: bash, zsh or fish."`
	Man           manCmd           `cmd:"" hidden:"" help:"Print the manual page."`
	Version       versionCmd       `cmd:"" help:"Print the version."`
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
// that was not understood, 3 for a key and a database that do not belong together, 4 for a job that
// was waited for and ended with warnings.
func run(ctx context.Context, args []string) int {
	var env environment
	parser := kong.Must(&cli{}, append(options(ctx), kong.PostBuild(env.narrow))...)
	command, err := parser.Parse(withTaken(args))
	env.warn(command, err)
	if err != nil {
		say(os.Stderr, "restic-manager: %v\nTry restic-manager --help.", err)
		return 2
	}
	if err := command.Run(); err != nil {
		if found := foundError(0); errors.As(err, &found) {
			return int(found)
		}
		fmt.Fprintf(os.Stderr, "restic-manager: %s\n", inWords(err))
		if errors.Is(err, keyring.ErrKey) {
			return 3
		}
		if e := new(endedError); errors.As(err, &e) {
			return e.ExitCode()
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
	return []kong.Option{
		kong.Name("restic-manager"),
		kong.Description("Manage the restic backups of a fleet."),
		kong.Vars{"kinds": strings.Join(kinds, ",")},
		kong.DefaultEnvars("RESTIC_MANAGER"),
		kong.Configuration(readSettings),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.UsageOnError(),
	}
}
