package jobs

import (
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/topics"
)

// A nuance is a case of a cause that needs other words: its message names something that
// only one thing mends. Agents and other programs know the cause alone.
type nuance struct {
	of    topics.Cause
	signs []string // the message has one of them, in lower case
	Explanation
}

// nuanceOf returns the first nuance of a cause that a message names, "" if it names none.
func nuanceOf(cause topics.Cause, message string) topics.Cause {
	m := strings.ToLower(message)
	for _, n := range nuancesInOrder {
		if nuances[n].of == cause && slices.ContainsFunc(nuances[n].signs, func(s string) bool { return strings.Contains(m, s) }) {
			return n
		}
	}
	return ""
}

const (
	sshMissing    topics.Cause = "usage: ssh"
	rcloneMissing topics.Cause = "usage: rclone"
	noRemote      topics.Cause = "usage: rclone's remote"
	configLocked  topics.Cause = "usage: rclone's configuration"
	sshSetUp      topics.Cause = "usage: ssh's configuration"
	sftpOff       topics.Cause = "usage: no SFTP"
	tooLarge      topics.Cause = "usage: too large"
	notTaken      topics.Cause = "usage: not taken"
	clockWrong    topics.Cause = "credentials: clock"
	dailyCap      topics.Cause = "disk-full: daily cap"
	namesGone     topics.Cause = "unreachable: names"
	shareGone     topics.Cause = "unreachable: share"
	serverBusy    topics.Cause = "unreachable: busy"
	pageAnswered  topics.Cause = "unreachable: page"
	farPermission topics.Cause = "permission: SFTP"
	memoryGone    topics.Cause = "killed: memory"
	neverThere    topics.Cause = "repository-missing: never there"
	noSnapshot    topics.Cause = "unknown: snapshot"
	targetClosed  topics.Cause = "permission: target"
	ownersLost    topics.Cause = "permission: owners"
	shadowRights  topics.Cause = "shadow-copy: rights"
	shadowService topics.Cause = "shadow-copy: service"
	shadowVolume  topics.Cause = "shadow-copy: volume"
	heldOpen      topics.Cause = "unreadable: held open"
)

// nuancesInOrder lists all, those first that are told by more.
var nuancesInOrder = []topics.Cause{sshMissing, rcloneMissing, noRemote, configLocked, sshSetUp, sftpOff, tooLarge, notTaken, clockWrong,
	dailyCap,
	namesGone, pageAnswered, shareGone, serverBusy, farPermission, memoryGone, neverThere, noSnapshot, ownersLost, targetClosed,
	shadowRights, shadowVolume, shadowService, heldOpen}

// savedLive is what a backup has come to that read the files themselves.
const savedLive = "The snapshot exists, and was made of the files themselves: what other programs had open may be missing from it or be " +
	"torn. Snapshots made before are untouched."

var noShadowCopy = Remedy{Text: "If no shadow copy is needed, have the source group read the files themselves, always or where Windows " +
	"makes none.", Cure: CureGroup}

var passes = Remedy{Text: "This passes by itself most of the time: what a schedule owes is tried again."}

var nuances = map[topics.Cause]nuance{
	// The words of agents that have no cause for it.
	noSnapshot: {topics.CauseUnknown, []string{"the repository has no snapshot "}, snapshotGone},
	targetClosed: {topics.CausePermission, []string{"the target cannot be written", "read-only file system"}, Explanation{
		Cause:  "The target cannot be written to",
		Effect: "The repository is untouched. Files that were already brought back are in the target.",
		Remedies: []Remedy{
			{Text: "If its disk is mounted read-only, mount it writable. A system does that by itself with a disk that has faults: look into " +
				"the host's system log."},
			{Text: "Let the agent's user write there. A unit of systemd with ProtectSystem or ReadOnlyPaths keeps it out as well."},
			{Text: "Or choose another target.", Cure: CureRestore},
			thenAgain,
		},
	}},
	ownersLost: {topics.CausePermission, []string{"without the owner"}, Explanation{ // the agent's words
		Cause:  "Files came back without their owners",
		Effect: "What was restored is in the target with its content; what the log names belongs there to somebody else than before.",
		Remedies: []Remedy{
			{Text: "Disks with FAT or exFAT and many shares keep no owners. If they are not needed there, restore without owners.",
				Cure: CureRestore},
			{Text: "If they are needed, choose a target on a disk of the host itself, and let the agent run as root.", Cure: CureRestore},
		},
	}},
	shadowRights: {topics.CauseShadowCopy, []string{"sufficient backup privileges", "e_accessdenied"}, Explanation{
		Cause:  "The agent has no right to make a shadow copy",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Run the agent as the service that restic-manager-agent install makes, or in a terminal that was opened with Run as " +
				"administrator."},
			noShadowCopy,
			thenAgain,
		},
	}},
	shadowVolume: {topics.CauseShadowCopy, []string{"snapshots are not supported for volume", "vss_e_volume_not_supported"}, Explanation{
		Cause:  "There are no shadow copies of this disk",
		Effect: savedLive,
		Remedies: []Remedy{
			{Text: "Only disks of the host with NTFS or ReFS have shadow copies; FAT, exFAT and shares have none. Have the source group read " +
				"the files themselves, or give these paths a source group of their own that does.", Cure: CureGroup},
			thenAgain,
		},
	}},
	shadowService: {topics.CauseShadowCopy, []string{"service", "vssapi.dll", "vss_e_unexpected", "failed to create vss instance",
		"failed to initialize com"}, Explanation{
		Cause:  "The service for shadow copies does not answer",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "See on the host that the services Volume Shadow Copy (VSS) and Microsoft Software Shadow Copy Provider (swprv) are not " +
				"disabled: sc config VSS start= demand, and the same for swprv."},
			noShadowCopy,
			thenAgain,
		},
	}},
	heldOpen: {topics.CauseUnreadable, []string{"being used by another process", "has locked a portion of the file"}, Explanation{
		Cause:  "Files that another program had open could not be read",
		Effect: "A snapshot exists and holds everything else. The items named in the log are missing from it.",
		Remedies: []Remedy{
			{Text: "Have the source group save a shadow copy, which has them as they were at one moment: untick there that the files " +
				"themselves are read.", Cure: CureGroup},
			{Text: "If the log says that no shadow copy could be made, mend that first."},
			again("Run {it} again to be complete."),
		},
	}},
	sshMissing: {topics.CauseUsage, []string{`exec: "ssh`, "/ssh: no such file", `\ssh.exe: `}, Explanation{
		Cause:  "There is no ssh on the host",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Install OpenSSH's client on the host, for example with apt install openssh-client: SFTP repositories are reached by it."},
			thenAgain,
		},
	}},
	rcloneMissing: {topics.CauseUsage, []string{`exec: "rclone`, "/rclone: no such file", "/rclone: exec format", `\rclone.exe: `},
		Explanation{
			Cause:  "There is no rclone on the host",
			Effect: nothingSaved,
			Remedies: []Remedy{
				{Text: "Install rclone on the host, for example with apt install rclone, and set up its remote for the agent's user."},
				thenAgain,
			},
		}},
	tooLarge: {topics.CauseUsage, []string{"413 request entity too large", "413 payload too large", "413 content too large",
		"(413)"}, Explanation{
		Cause:  "A proxy in front of the repository's server takes no request of this size",
		Effect: "The snapshot was not written. Snapshots made before are untouched.",
		Remedies: []Remedy{
			{Text: "Lift the proxy's limit of a request's body for the repository: client_max_body_size 0 in nginx, LimitRequestBody 0 in Apache. " +
				"restic sends packs of 16 MiB and more, and an index may be larger."},
			{Text: "If the proxy is not yours, ask its operator, or give the repository an address that leads past it.", Cure: CureRepository},
			thenAgain,
		},
	}},
	notTaken: {topics.CauseUsage, []string{"400 bad request", "405 method not allowed", "405 not allowed", "501 not implemented",
		"421 misdirected request"},
		Explanation{
			Cause:  "Whoever answers at the repository's address does not take restic's requests",
			Effect: nothingSaved,
			Remedies: []Remedy{
				{Text: "See whether the address is right: https where the server has a certificate, its port, and for S3 the region. What answers " +
					"there may be a web site or another service.", Cure: CureRepository},
				{Text: "Where a proxy stands in front of the server, have it pass all methods and the host's name on."},
				thenAgain,
			},
		}},
	noRemote: {topics.CauseUsage, []string{"didn't find section in config file", "didn't find backend called"}, Explanation{
		Cause:  "rclone on the host does not know this remote",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Run rclone config on the host as the agent's user, and set up the remote that the repository's address names. " +
				"rclone listremotes shows those it knows."},
			{Text: "Compare the remote's name in the repository's address.", Cure: CureRepository},
			{Text: "If the log speaks of a backend that is not found, update rclone on the host."},
			thenAgain,
		},
	}},
	configLocked: {topics.CauseUsage, []string{"decrypt configuration", "configuration encryption", "failed to load config file",
		"password not set in config file"}, Explanation{
		Cause:  "rclone cannot read its configuration on the host",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "If rclone's configuration is encrypted, give its password to the repository, as the variable RCLONE_CONFIG_PASS: nobody is " +
				"there to type it.", Cure: CureRepository},
			{Text: "Let the agent's user read rclone's configuration file."},
			thenAgain,
		},
	}},
	sshSetUp: {topics.CauseUsage, []string{"bad configuration option", "bad owner or permissions", "unable to negotiate with"}, Explanation{
		Cause:  "ssh on the host and the server do not go together",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Run ssh to the server once on the host, as the agent's user: it says the same."},
			{Text: "Mend what it names in that user's .ssh/config; if it finds no common key type, update the older of both sides."},
			thenAgain,
		},
	}},
	sftpOff: {topics.CauseUsage, []string{"subsystem request failed", "packet too long", "in the place of sftp",
		"without a word of sftp"}, Explanation{
		Cause:  "The server does not speak SFTP to this user",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Turn the SFTP subsystem on in the server's sshd_config."},
			{Text: "If it is on: let the user's login scripts there print nothing, which gets in SFTP's way. An account without a shell needs " +
				"the subsystem internal-sftp."},
			thenAgain,
		},
	}},
	clockWrong: {topics.CauseCredentials, []string{"request time and the server's time", "requesttimetooskewed"}, Explanation{
		Cause:  "The host's clock is wrong, and so the repository's server refuses it",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Set the clock of the host, and let the system keep it, as with systemd-timesyncd or chrony.", Cure: CureHost},
			thenAgain,
		},
	}},
	dailyCap: {topics.CauseDiskFull, []string{"transaction (class", "bandwidth or transaction", "download bandwidth"}, Explanation{
		Cause:  "The account's cap for today is used up where the repository is",
		Effect: "The snapshot was not written. Data that was already uploaded is used by the next run.",
		Remedies: []Remedy{
			{Text: "Raise the cap in the provider's settings, or wait until it begins anew."},
			again("Then run {it} again: no space has to be made."),
		},
	}},
	namesGone: {topics.CauseUnreachable, []string{"temporary failure in name resolution", "server misbehaving", "no such host",
		"could not resolve host", "name or service not known", "nodename nor servname", "getaddrinfow"}, Explanation{
		Cause:  "The name of the repository's server could not be resolved",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "See on the host whether other names resolve: if none does, its own network or name server is in trouble."},
			{Text: "If only this one does not, compare it with the repository's address.", Cure: CureRepository},
			thenAgain,
		},
	}},
	pageAnswered: {topics.CauseUnreachable, []string{"invalid character '<'", "<html", "<!doctype", "text/html",
		"a web page answers"}, Explanation{
		Cause:  "Something else answered in the place of the repository's server",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "A page for people came where restic expected data: a proxy's error, a login page of the network, or another web server. " +
				"Open the repository's address on the host, for example with curl."},
			{Text: "If it is another server, correct the repository's address.", Cure: CureRepository},
			thenAgain,
		},
	}},
	shareGone: {topics.CauseUnreachable, []string{"stale nfs file handle", "stale file handle", "transport endpoint", "host is down",
		"input/output error", "remote i/o error", "no such device", "network path was not found", "network name", "unexpected network error",
		"device is not ready", "semaphore timeout"}, Explanation{
		Cause:  "The disk or share with the repository does not answer",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "See on the host whether it is still mounted and can be listed; mount it again if it cannot."},
			{Text: "If it is a disk of the host itself, look into the system's log: input and output errors of a disk mean that it is failing. " +
				"Then check the repository.", Cure: CureCheck},
			thenAgain,
		},
	}},
	serverBusy: {topics.CauseUnreachable, []string{"slow down", "slowdown", "request rate", "reduce your request", "too many requests",
		"429", "throttl", "rate limit", "ratelimit", "busy", "no tomes"}, Explanation{
		Cause:    "The repository's server has asked for fewer requests",
		Effect:   nothingSaved,
		Remedies: []Remedy{passes, {Text: "If it goes on, let fewer hosts start at the same minute."}, thenAgain},
	}},
	farPermission: {topics.CausePermission, []string{"ssh_fx_permission_denied"}, Explanation{
		Cause:  "The server does not let this user into the repository's folder",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Let the user of the repository's address read and write that folder on the server."},
			{Text: "Compare user and path in the repository's address.", Cure: CureRepository},
			thenAgain,
		},
	}},
	memoryGone: {topics.CauseKilled, []string{"out of memory", "cannot allocate memory", "not enough memory"}, Explanation{
		Cause:  "There was not enough memory on the host",
		Effect: "No snapshot was written. Data that was already uploaded is used by the next run.",
		Remedies: []Remedy{
			{Text: "See on the host what else uses its memory, and give it more, or swap. restic needs some of it for each file of the repository."},
			thenAgain,
		},
	}}, neverThere: {topics.CauseNoRepository, []string{strings.ToLower(topics.NeverThere)}, Explanation{
		Cause:  "There is no repository yet where this host looks for it",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "A path, and an address with the host's name in it, lead each host to a repository of its own; none was found or made at " +
				"this one's before, so none is missed. The repository's page lists which hosts have one: restore on those.", Cure: CureCheck},
			{Text: "If this host is to have one, its first backup makes it."},
			{Text: "If there should be one: check that its disk is mounted, its server is up and its path is spelled right."},
		},
	}},
}
