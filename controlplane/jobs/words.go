package jobs

import (
	"cmp"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/outcome"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// An Explanation tells a person why a job ended as it did: the cause, what it means
// for the data, and what to do, the likeliest remedy first.
type Explanation struct {
	Cause    string
	Effect   string
	Remedies []Remedy
}

// A Remedy is one thing to do about it. If RunAgain is set, the remedy is to run the
// job again, and a page can offer a button for it. Cure says where it is done.
type Remedy struct {
	Text     string
	RunAgain bool
	Cure     Cure
	only     topics.JobKind // it fits no other
}

// A Cure is the place or the button where a remedy is carried out.
type Cure string

// The cures. Whoever shows a remedy decides by the reader's rights whether it is offered.
const (
	CureRepository Cure = "repository" // the form with its address, password and credentials
	CureGroup      Cure = "group"      // the form of the source group
	CureExclude    Cure = "exclude"    // leave out the items that could not be read
	CureUnlock     Cure = "unlock"     // remove locks that nobody holds any more, and try again
	CureSpace      Cure = "space"      // what stays in the repository, and its prune
	CureCheck      Cure = "check"      // the repository's own page, with its check and its locks
	CureRepair     Cure = "repair"     // the page that leads from a check to a repository that is whole
	CureAllow      Cure = "allow"      // a command for the host
	CureHost       Cure = "host"       // the host's page
	CureRestore    Cure = "restore"    // the form that asks for a restore
	CurePlan       Cure = "plan"       // what a forget would remove
	CureSize       Cure = "size"       // accept what the newest snapshot holds
	CureAnyway     Cure = "anyway"     // make the repository in what looks like a mount point without its disk
	CureElsewhere  Cure = "elsewhere"  // the same restore into a new folder
	CureMaking     Cure = "making"     // the job that was to make the repository
	CurePreview    Cure = "preview"    // another dry run of the restore
	CureFiles      Cure = "files"      // the files of the snapshot, to choose others
	CureSSH        Cure = "ssh"        // the page with the host's SSH key and the keys of servers
)

// Cures lists every cure.
var Cures = []Cure{CureRepository, CureGroup, CureExclude, CureUnlock, CureSpace, CureCheck, CureRepair, CureAllow, CureHost, CureRestore,
	CurePlan, CureSize, CureAnyway, CureElsewhere, CureMaking, CurePreview, CureFiles, CureSSH}

// Texts returns the remedies as plain text.
func (e Explanation) Texts() []string {
	out := make([]string, len(e.Remedies))
	for i, r := range e.Remedies {
		out[i] = r.Text
	}
	return out
}

// again is the remedy of running the job again; {it} is replaced by the kind of job.
func again(text string) Remedy { return Remedy{Text: text, RunAgain: true} }

const nothingSaved = "Nothing was saved by this run. Snapshots made before are untouched."

var (
	lookAtLog = Remedy{Text: "Read the last lines of the log below: they are restic's own words."}
	thenAgain = again("Then run {it} again.")
)

var explanations = map[topics.Cause]Explanation{
	topics.CauseLocked: {
		Cause:  "The repository is locked by another process",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Look whether another backup, check or prune of this repository is running, and wait for it to end.", Cure: CureCheck},
			{Text: "If nothing of that runs any more, have the locks removed that it left.", Cure: CureUnlock},
			thenAgain,
		},
	},
	topics.CausePassword: {
		Cause:  "The password does not open the repository",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Compare the repository's password here with the one it was made with.", Cure: CureRepository},
			{Text: "If the URL names another repository than you meant, register the right one."},
			thenAgain,
		},
	},
	topics.CauseNoRepository: {
		Cause: "The repository is not there",
		Effect: "Nothing was saved. If this repository held snapshots before, they cannot be reached now. " +
			"It is not begun anew, so that an unmounted disk does not look like a fresh start.",
		Remedies: []Remedy{
			{Text: "Check that its disk is mounted, its server is up and its path is spelled right."},
			{Text: "If it was moved, register it under its new URL.", Cure: CureRepository},
			{Text: "If it is lost and you want an empty one there, run restic init yourself."},
		},
	},
	topics.CauseUnmade: {
		Cause:  "It waits until its repository is made",
		Effect: "Nothing is lost: the backup is made as soon as one host has made the repository.",
		Remedies: []Remedy{
			{Text: "See on the repository's page which host makes it, and what was in the way.", Cure: CureCheck},
			{Text: "If it runs on no schedule, run {it} again.", RunAgain: true},
		},
	},
	topics.CauseNotMounted: {
		Cause:  "The disk that the repository is to lie on is not mounted",
		Effect: "Nothing was saved, and no repository was begun in the empty directory, where the disk would cover it later.",
		Remedies: []Remedy{
			{Text: "Mount the disk on the host; the repository is made at the next try."},
			{Text: "If a hook mounts it, name that hook before the backups.", Cure: CureGroup},
			{Text: "If the repository is to lie in this very directory, have it made there anyway.", Cure: CureAnyway},
			thenAgain,
		},
	},
	topics.CauseUnreachable: {
		Cause:  "The repository's server could not be reached",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Check from the host that the server is up and its name resolves."},
			{Text: "Check the port and any firewall in between.", Cure: CureCheck},
			thenAgain,
		},
	},
	topics.CauseCertificate: {
		Cause:  "The repository server's certificate is not trusted",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "If the server has a certificate of its own making, give the host its CA."},
			{Text: "If the certificate has expired, renew it on the server."},
			thenAgain,
		},
	},
	topics.CauseHostKey: {
		Cause:  "The host does not know the server's SSH key",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Compare the fingerprint with the one that the server's own administrator or provider names; on the server, " +
				"ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub shows it."},
			{Text: "If they are the same, accept the key for this host.", Cure: CureSSH},
			thenAgain,
		},
	},
	topics.CauseHostKeyOther: {
		Cause:  "The server shows another SSH key than the one that is known",
		Effect: nothingSaved + " Nothing went to whoever shows the other key.",
		Remedies: []Remedy{
			{Text: "This is what it looks like if somebody stands between the host and its server and reads along. It is also what it " +
				"looks like after the server was installed anew: ask who looks after it."},
			{Text: "Only if the server was given this very fingerprint: accept the new key.", Cure: CureSSH},
			{Text: "If the address leads to the wrong machine, correct it.", Cure: CureRepository},
			thenAgain,
		},
	},
	topics.CauseKeyRefused: {
		Cause:  "The server lets none of the host's SSH keys in",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Have the agent make a key pair, if it has none, and copy its public half into the file .ssh/authorized_keys of the " +
				"user of the repository's address on the server, or into the provider's page for keys.", Cure: CureSSH},
			{Text: "Compare the user in the repository's address: ssh logs in as the agent's own user if none is named.", Cure: CureRepository},
			{Text: "If the log says that a private key cannot be loaded or that others can read it, let the agent's user alone read it."},
			{Text: "A private key with a passphrase is not tried, and neither is a password of SSH: nobody is there to type them. " +
				"Use a key without " +
				"a passphrase, such as the agent's own."},
			thenAgain,
		},
	},
	topics.CauseCredentials: {
		Cause:  "The repository's server refused user and password",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Compare the user and password registered here with the server's.", Cure: CureRepository},
			{Text: "Check that this user may reach this path: a server with private repositories answers the same for a foreign one."},
			thenAgain,
		},
	},
	topics.CauseAppendOnly: {
		Cause:  "The repository accepts no deletions from this host",
		Effect: "Nothing was removed. Backups go on as before.",
		Remedies: []Remedy{
			{Text: "Run this operation with a credential that may delete, on a host you trust with it."},
		},
	},
	topics.CausePermission: {
		Cause:  "The agent may not do that on its host",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Let the agent's user read what is backed up.", only: topics.BackupJob},
			{Text: "Let the agent's user read and write the repository's folder and its own state directory."},
			thenAgain,
		},
	},
	targetTaken: {
		Cause:  "There are files in the target already",
		Effect: "Nothing was restored; the files that are there are untouched, and so is the repository.",
		Remedies: []Remedy{
			{Text: "Restore to a new folder. One is made if no target is named.", Cure: CureElsewhere},
			{Text: "Or name another target that is empty or not there yet.", Cure: CureRestore},
		},
	},
	ownSource: {
		Cause:  "The source is the repository itself, or the agent's own files",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Take the path out of the source group, or back it up into another repository.", Cure: CureGroup},
			thenAgain,
		},
	},
	takesNoWrites: {
		Cause:  "The repository takes no writes",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "If it is on a disk or a share: mount that writable again. A system mounts a disk with faults read-only by itself, " +
				"so look into the log of the machine that holds it."},
			{Text: "If it is on a server: let that take writes again. Look at its options, its quota and what this user may do there.",
				Cure: CureRepository},
			{Text: "Let the agent's user write to the repository's folder, if it is one of the host."},
			{Text: "Update the agent on the host: one of this version restores without a lock where none can be written.",
				only: topics.RestoreJob},
			thenAgain,
		},
	},
	topics.CauseDiskFull: {
		Cause:  "There is no space left where the repository is",
		Effect: "The snapshot was not written. Data that was already uploaded is used by the next run.",
		Remedies: []Remedy{
			{Text: "Have old snapshots forgotten and then pruned; only prune frees space.", Cure: CureSpace},
			{Text: "Make the disk, the quota or the bucket of the repository larger."},
			thenAgain,
		},
	},
	topics.CauseHostDisk: {
		Cause:  "There is no space left on the host",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Make room on the host, on the disk with the agent's state directory: restic keeps its cache and temporary files there."},
			thenAgain,
		},
	},
	topics.CauseSourceMissing: {
		Cause:  "None of the paths to back up exists",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Check the spelling of the paths in the source group.", Cure: CureGroup},
			{Text: "Check that the disk they are on is mounted."},
			thenAgain,
		},
	},
	topics.CauseEmptySource: {
		Cause: "There was nothing to save",
		Effect: "A snapshot exists, and there is not a single file in it, or nothing of the sources named here. " +
			"Snapshots made before are untouched.",
		Remedies: []Remedy{
			{Text: "Check on the host that the disk or share is mounted where the source group looks for it."},
			{Text: "Check that the source group's patterns do not leave out everything."},
			{Text: "If it may be empty, tick that in the source group.", Cure: CureGroup},
			thenAgain,
		},
	},
	partEmpty: {
		Cause: "Nothing of one source was saved",
		Effect: "The snapshot holds the other sources, and not a single file of what is named below. " +
			"Snapshots made before are untouched.",
		Remedies: []Remedy{
			{Text: "Check on the host that the disk or share is mounted where the source group looks for it."},
			{Text: "Check that the source group's patterns do not leave out all of it."},
			{Text: "If it is not needed any more, take it out of the source group; if it may be empty, tick that there.", Cure: CureGroup},
			thenAgain,
		},
	},
	topics.CauseFewerFiles: {
		Cause:  "Far fewer files than before",
		Effect: "The snapshot is whole: it holds what was there. If files are missing on the host, older snapshots still hold them.",
		Remedies: []Remedy{
			{Text: "Check on the host whether files were removed, or a disk below the source is not mounted."},
			{Text: "If it is as it should be, say so: the next backups are compared with the new number.", Cure: CureSize},
		},
	},
	topics.CauseNothing: {
		Cause:  "There is nothing to prove",
		Effect: "Nothing is changed anywhere. Where no backup was made, nothing can be brought back.",
		Remedies: []Remedy{
			{Text: "If the message names a source group without a snapshot, back it up first.", Cure: CureHost},
			{Text: "If each file is larger than what a drill may restore, let it take more bytes: in the drill’s plan, or in this one drill."},
			{Text: "If the newest snapshot holds no file with content, check the paths of the source group, and whether their disks are mounted."},
			thenAgain,
		},
	},
	topics.CauseProof: {
		Cause: "Something did not come back as it was saved",
		Effect: "The host's own files and the repository are untouched. What the table says about a file is true of every snapshot that " +
			"holds the same version of it: a restore would bring back the same.",
		Remedies: []Remedy{
			{Text: "Look at the files that were not proven, in the table.", Cure: CureHost},
			{Text: "Have the repository checked with all its data: that says whether it is damaged, and where.", Cure: CureCheck},
			{Text: "Look at the disk and the memory of the host: faulty memory damages what comes back as well."},
			again("Then run {it} again."),
		},
	},
	topics.CauseSourceMoved: {
		Cause:  "A symbolic link leads elsewhere than last time",
		Effect: "The snapshot is whole, and holds what the link leads to now. What it led to before is in older snapshots.",
		Remedies: []Remedy{
			{Text: "Check on the host that the link leads where it should. If it does, nothing is to be done."},
		},
	},
	topics.CauseShadowCopy: {
		Cause: "Windows made no shadow copy",
		Effect: "If the log speaks of a snapshot, it was made of the files themselves: what other programs had open may be missing from it " +
			"or be torn. Otherwise nothing was saved by this run. Snapshots made before are untouched.",
		Remedies: []Remedy{
			{Text: "See on the host in the log of applications what the source VSS says, and run vssadmin list writers there: one that failed is " +
				"mended by starting its service again."},
			noShadowCopy,
			thenAgain,
		},
	},
	topics.CauseUnreadable: {
		Cause:  "Some items could not be read",
		Effect: "A snapshot exists and holds everything else. The items named in the log are missing from it.",
		Remedies: []Remedy{
			{Text: "Look through the warnings in the log."},
			{Text: "Let the agent read these items, or exclude them from the source group.", Cure: CureExclude},
			again("Run {it} again to be complete."),
		},
	},
	allUnreadable: {
		Cause:  "Nothing of the source could be read",
		Effect: "Nothing was saved by this run. Snapshots made before are untouched.",
		Remedies: []Remedy{
			{Text: "Let the agent's user read the source: run the agent as root, or give it the right to read all files."},
			{Text: "If the log speaks of input or output errors, look at the disk or the share that the source is on."},
			{Text: "If it is not meant to be saved, change the source group.", Cure: CureGroup},
			thenAgain,
		},
	},
	topics.CauseDamaged: {
		Cause:  "The repository holds damaged data",
		Effect: "This run was not completed. Older snapshots may be affected; do not remove any before you know.",
		Remedies: []Remedy{
			{Text: "Have it checked with all its data, and repair it step by step: each step says before what it changes.", Cure: CureRepair},
			{Text: "Look at the disk and the memory of the machine that holds it."},
		},
	},
	topics.CauseNoRestic: {
		Cause:  "There is no usable restic on the host",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "Install restic 0.14 or newer on the host, for example with apt install restic."},
			{Text: "If it is in an unusual place, start the agent with --restic PATH."},
			thenAgain,
		},
	},
	topics.CauseUsage: {
		Cause:  "restic did not accept what it was asked",
		Effect: nothingSaved,
		Remedies: []Remedy{
			lookAtLog,
			{Text: "Check the repository's address and variables for something unusual.", Cure: CureRepository},
			{Text: "If the log speaks of an unknown flag, update restic on the host."},
		},
	},
	topics.CausePolicy: {
		Cause:  "The host's own policy forbids this",
		Effect: "Nothing was done on the host.",
		Remedies: []Remedy{
			{Text: "If it should be allowed, its administrator says so on the host itself; nothing here can.", Cure: CureAllow},
		},
	},
	topics.CauseRefused: {
		Cause:  "The agent did not take the job",
		Effect: "Nothing was done on the host.",
		Remedies: []Remedy{
			{Text: "Read the agent's reason above."},
			{Text: "Update the agent if it is older than the control plane."},
			thenAgain,
		},
	},
	topics.CauseHook: {
		Cause:  "A hook of the host failed",
		Effect: "Before restic: nothing was saved, and snapshots made before are untouched. After it: the snapshot exists and is whole.",
		Remedies: []Remedy{
			{Text: "Read in the log what the hook said."},
			{Text: "See in the host's policy file which program it is, and run it there by hand."},
			thenAgain,
		},
	},
	topics.CauseReview: {
		Cause:  "The plan would remove unusually much, or what stays would hold far less",
		Effect: "Nothing was removed. Backups go on as before.",
		Remedies: []Remedy{
			{Text: "Look at the plan on the repository's page: it says what would go, and why that is unusual.", Cure: CurePlan},
			{Text: "Approve exactly that plan there if it is what you want; otherwise change the rules."},
			{Text: "Left alone, nothing of the source groups it names is removed; the others go on. You are told this once."},
		},
	},
	topics.CausePreview: {
		Cause:  "The target or the selection is not as the dry run saw it",
		Effect: "Nothing was written: the target is as it was. The repository is untouched.",
		Remedies: []Remedy{
			{Text: "Do another dry run, look at what it would do now, and restore from there.", Cure: CurePreview},
			{Text: "The message above names the first file that differs: see on the host who changes it."},
		},
	},
	topics.CauseNoMatch: {
		Cause:  "Nothing of what was chosen is in the snapshot",
		Effect: "Nothing was written. The repository is untouched.",
		Remedies: []Remedy{
			{Text: "Compare the paths with what the snapshot holds: each begins with / and is spelled as it is there.", Cure: CureFiles},
			{Text: "If a file was not there yet at that time, choose a later snapshot; if it was removed before, an older one."},
		},
	},
	topics.CauseNoSnapshot: snapshotGone,
	topics.CauseTargetMoved: {
		Cause: "A folder of the target was replaced while the restore ran",
		Effect: "What came after that may be where the message above says, outside the target. The repository is untouched, and what was " +
			"written before that is in the target.",
		Remedies: []Remedy{
			{Text: "See on the host who can write to the target, and what is now where the message says."},
			{Text: "Restore into an empty folder: nobody else can enter it until the restore has ended.", Cure: CureRestore},
		},
	},
	partMatched: {
		Cause:  "Some of what was chosen is not in the snapshot",
		Effect: "Everything else of the selection is in the target. The repository is untouched.",
		Remedies: []Remedy{
			{Text: "Compare the paths that are named above with what the snapshot holds.", Cure: CureFiles},
			{Text: "If a file was not there yet at that time, choose a later snapshot; if it was removed before, an older one."},
		},
	},
	topics.CauseExpired: {
		Cause:  "The job was not started in time",
		Effect: nothingSaved,
		Remedies: []Remedy{
			{Text: "See whether the host is switched on and its agent runs.", Cure: CureHost},
			again("Run {it} again when it is online."),
		},
	},
	topics.CauseServed: {
		Cause:  "The slot was run by another job",
		Effect: "Nothing is lost: the host had begun this slot by itself, or has begun a later one.",
		Remedies: []Remedy{
			{Text: "Nothing is to be done. The message above names the job that ran."},
		},
	},
	topics.CauseCancelled: {
		Cause:  "The job was cancelled",
		Effect: "No snapshot was written. Data that was already uploaded is used by the next run.",
		Remedies: []Remedy{
			again("Run {it} again whenever you like."),
		},
	},
	topics.CauseStalled: {
		Cause:  "Nothing moved for so long that the agent ended it",
		Effect: "No snapshot was written. Data that was already uploaded is used by the next run.",
		Remedies: []Remedy{
			{Text: "See whether the repository's server answers: one that takes a connection and then says nothing looks like this. " +
				"Restart it, or the disk or cloud behind it.", Cure: CureCheck},
			{Text: "If a source lies on a network disk, see on the host whether that answers.", only: topics.BackupJob},
			thenAgain,
		},
	},
	topics.CauseHostRemoved: {
		Cause: "The host was removed before this job had ended",
		Effect: "Nobody knew then how it ends. If its agent finished it all the same, its snapshot is in the repository. It is this " +
			"job's once the host is back; until then listings show it as one that no job is known of.",
		Remedies: []Remedy{
			{Text: "If the host was removed by mistake, restore it within thirty days: Removed, on the fleet page."},
			{Text: "If it is gone for good, stop the agent on the machine."},
		},
	},
	topics.CauseReplaced: {
		Cause: "The host's machine was replaced before this job had ended",
		Effect: "The new machine knows nothing of it. A snapshot that the old one finished is in the repository; listings show it as one " +
			"that no job is known of.",
		Remedies: []Remedy{
			{Text: "Decide on the host's page what becomes of its files: backups begin again then."},
		},
	},
	topics.CauseNotOwn: {
		Cause:  "It was not sent, as its host does not have the repository any more",
		Effect: "Nothing was begun, and the host was told nothing of the repository.",
		Remedies: []Remedy{
			{Text: "Where the host backs up into another repository now, the next run goes there."},
			{Text: "If the host is to work in this repository all the same, an administrator asks anew, and gives it the repository for that."},
		},
	},
	topics.CauseSecrets: {
		Cause:  "The control plane cannot read the secrets of its repository",
		Effect: "Nothing was sent, and what the repository holds is not touched. Other repositories are not concerned.",
		Remedies: []Remedy{
			{Text: "Enter again on the repository's page, under Change, what it says cannot be read. Whoever has the recovery kit has it.",
				Cure: CureRepository},
			again("Then run {it} again."),
		},
	},
	topics.CauseTwins: {
		Cause: "The machine it ran on had the identity of another, which stays in its place",
		Effect: "Nobody knows how it ended. If it made a snapshot, that is in the repository, and listings show it as one that no job is " +
			"known of.",
		Remedies: []Remedy{
			{Text: "Enrol that machine as a host of its own: make a token on the page Add host, and give it with enroll --again there."},
			again("Run {it} again on the machine that stays."),
		},
	},
	topics.CauseKilled: {
		Cause:  "restic was ended from outside",
		Effect: "No snapshot was written. Data that was already uploaded is used by the next run.",
		Remedies: []Remedy{
			{Text: "Look into the host's system log: it may have run out of memory."},
			thenAgain,
		},
	},
	topics.CauseAgentDied: {
		Cause: "The agent stopped while the job ran",
		Effect: "No snapshot was written. Data that was already uploaded is used by the next run. " +
			"This job is not run again by itself; a schedule may ask for another.",
		Remedies: []Remedy{
			{Text: "See in the host's system log why the agent or the machine stopped."},
			again("Run {it} again."),
		},
	},
	topics.CauseAgentStopped: {
		Cause: "The agent was stopped while the job ran",
		Effect: "No snapshot was written, and restic was ended in its own way: no lock is left. Data that was already uploaded is used by the " +
			"next run. This job is not run again by itself; a schedule may ask for another.",
		Remedies: []Remedy{
			{Text: "That is as it should be after an upgrade of the agent, a shutdown of the machine, or when somebody stopped its service. If " +
				"nobody did, see in the host's system log who did."},
			again("Run {it} again."),
		},
	},
}

// Causes that are told apart here only.
const (
	targetFull    topics.Cause = "host-disk-full in the target"
	allUnreadable topics.Cause = "unreadable, all of it"
	partEmpty     topics.Cause = "empty-source, one of several"
	takesNoWrites topics.Cause = "permission of the repository"
	ownSource     topics.Cause = "usage, its own repository"
	targetTaken   topics.Cause = "policy, files in the target"
	partMatched   topics.Cause = "nothing-matched, some of it"
)

// ExplainLook says what to do about a storage that a host looked at and did not find as it is
// to be. No job was made, so nothing is said of a log.
func ExplainLook(cause topics.Cause, message string) string {
	e := ExplainJob(store.Job{Kind: topics.SnapshotsJob, State: topics.Failed, Cause: cause, Message: message})
	var texts []string
	for _, r := range e.Remedies {
		if !strings.Contains(r.Text, "log below") && !strings.Contains(r.Text, "the log speaks") && !r.RunAgain {
			texts = append(texts, r.Text)
		}
	}
	if len(texts) == 0 {
		texts = []string{"Compare address, path and credentials with the server's."}
	}
	return strings.Join(append(texts, "Then test again."), " ")
}

// ExplainJob is Explain for a job whose message and result are known: they say on whose
// disk there was no space, whether it was one source of several that was empty, and
// whether it is the repository that takes no writes.
func ExplainJob(j store.Job) Explanation {
	cause := j.Cause
	if cause == topics.CauseDiskFull || cause == topics.CauseHostDisk {
		cause = whoseDisk(j)
	}
	if n := outcome.SavedFiles(j); cause == topics.CauseEmptySource && n != nil && *n > 0 {
		cause = partEmpty
	}
	if cause == topics.CauseUsage && j.Kind == topics.BackupJob && strings.Contains(j.Message, "no backup saves th") { // the agent's words
		cause = ownSource
	}
	if taken(j) {
		cause = targetTaken
	}
	if refusesWrites(j) {
		cause = takesNoWrites
	}
	none := j.Kind == topics.BackupJob && cause == topics.CauseUnreadable && j.State == topics.Failed // not one file
	if n := nuanceOf(cause, j.Message); n != "" {
		cause = n
	}
	e := Explain(j.Kind, cause, j.State)
	if j.OfRestic() {
		e = ofRestic(e, cause, j.State)
	}
	if none {
		e.Effect = explanations[allUnreadable].Effect
		if j.SnapshotID != "" {
			e.Effect = "Nothing was saved by this run: its snapshot holds not a single file. Snapshots made before are untouched."
		}
	}
	if j.Cause == topics.CauseShadowCopy { // the group says whether there is a backup without one
		e.Effect = nothingSaved
		if j.State == topics.Warnings {
			e.Effect = savedLive
		}
	}
	if _, unmade := protocol.FailedMaking(j.Message); unmade && j.Kind == topics.BackupJob && j.StartedAt == 0 {
		return neverBegan(e, cause)
	}
	if triesOnly(j) && strings.Contains(e.Effect, "in the target") {
		e.Effect = "Nothing was written: it was a dry run. The repository and the target are untouched."
	}
	return e
}

// neverBegan is what is said of a backup whose repository could not be made: it has no log
// of its own, the job has it that was to make the repository.
func neverBegan(e Explanation, cause topics.Cause) Explanation {
	if cause == topics.CauseUnknown {
		e.Cause = "Its repository is not there yet, and could not be made"
	}
	e.Effect = "Nothing was saved: the backup did not begin, since its repository could not be made first."
	e.Remedies = slices.DeleteFunc(e.Remedies, func(r Remedy) bool { return r.Text == lookAtLog.Text })
	at := len(e.Remedies)
	if at > 0 && e.Remedies[at-1].RunAgain {
		at--
	}
	e.Remedies = slices.Insert(e.Remedies, at,
		Remedy{Text: "Read the log of the job that was to make it: its last lines are restic's own words.", Cure: CureMaking})
	return e
}

// taken reports whether a restore was refused for files that are in its target.
func taken(j store.Job) bool {
	if j.Kind != topics.RestoreJob {
		return false
	}
	return j.Cause == topics.CausePolicy && strings.Contains(j.Message, "is not empty, and ") ||
		j.Cause == topics.CauseUsage && strings.Contains(j.Message, "would be overwritten at the target")
}

// refusesWrites reports whether a job failed since nothing can be written to its
// repository, as opposed to nothing being deleted there, or to the host's own files.
func refusesWrites(j store.Job) bool {
	m := strings.ToLower(j.Message)
	writes := strings.Contains(m, "create lock") || strings.Contains(m, "save(<") || strings.Contains(m, "unable to save")
	switch j.Cause {
	case topics.CauseAppendOnly:
		return writes || !Maintains(j.Kind) || j.Kind == topics.CheckJob
	case topics.CausePermission:
		readOnly := strings.Contains(m, "read-only file system") || strings.Contains(m, "media is write protected")
		return writes || readOnly && j.Kind != topics.RestoreJob // else it is the target
	}
	return false
}

// whoseDisk says which disk is full. Agents of older versions call every one of them
// the repository's; restic names what it wrote to that: a lock, a pack, the answer of a
// server.
func whoseDisk(j store.Job) topics.Cause {
	m := strings.ToLower(j.Message)
	says := func(signs ...string) bool {
		return slices.ContainsFunc(signs, func(sign string) bool { return strings.Contains(m, sign) })
	}
	own := says("cache", "journal", "temporary", "restic-temp-", "spool", "cannot be written down")
	switch {
	case j.Cause == topics.CauseDiskFull &&
		says("create lock", "unable to save", "backend", "507 ", "quota", "cap exceeded", "insufficient", "over its capacity",
			"minimum free", "sftp:", "rclone:", "-tmp-", "save(", "savesnapshot"):
		return topics.CauseDiskFull
	case j.Kind == topics.RestoreJob && !own:
		return targetFull
	case own || j.Cause == topics.CauseHostDisk || looks(j.Kind):
		return topics.CauseHostDisk
	}
	return topics.CauseDiskFull
}

// Explain returns why a job of a kind ended as it did. A cause without a text of its
// own gets none; the log and the exit code remain.
func Explain(kind topics.JobKind, cause topics.Cause, state topics.JobState) Explanation {
	if cause == topics.CauseUnreadable && state == topics.Failed && kind == topics.BackupJob {
		cause = allUnreadable
	}
	if cause == topics.CauseNoMatch && state == topics.Warnings {
		cause = partMatched
	}
	e, known := explanations[cause]
	if n, ok := nuances[cause]; ok {
		e, known = n.Explanation, true
	}
	if !known {
		how := "failed"
		if state == topics.Warnings {
			how = "ended with warnings"
		}
		e = Explanation{Cause: "The job " + how + " for a reason that is not recognised",
			Effect: "If the log does not speak of a snapshot, none was written.", Remedies: []Remedy{lookAtLog, thenAgain}}
	}
	it := "the backup"
	if kind != topics.BackupJob && kind != "" {
		it = "it"
		if effect := kinds[kind].failed; effect != "" && (!known || !ownEffect[cause]) {
			e.Effect = effect
		}
		if words, ok := others[kind][cause]; ok {
			e.Cause, e.Effect = cmp.Or(words.Cause, e.Cause), cmp.Or(words.Effect, e.Effect)
			if words.Remedies != nil {
				e.Remedies = words.Remedies
			}
		}
	}
	e.Remedies = slices.DeleteFunc(slices.Clone(e.Remedies), func(r Remedy) bool { return r.only != "" && r.only != kind })
	for i, r := range e.Remedies {
		e.Remedies[i].Text = strings.ReplaceAll(r.Text, "{it}", it)
	}
	return e
}

// snapshotGone is what is said of a snapshot that is not there.
var snapshotGone = Explanation{
	Cause:  "The repository does not hold this snapshot",
	Effect: "Nothing was read or written. The repository and its other snapshots are untouched.",
	Remedies: []Remedy{
		{Text: "A rule or somebody may have removed it since it was listed here, or it is one of another repository: look at the snapshots " +
			"of the repository, and choose another."},
		{Text: "If it is to be there, have the repository checked: that says what it lacks.", Cure: CureCheck},
	},
}

// ownEffect lists the causes whose effect is the same for every kind.
var ownEffect = map[topics.Cause]bool{targetTaken: true, topics.CausePreview: true, topics.CauseNoMatch: true, topics.CauseNoSnapshot: true,
	topics.CauseTargetMoved: true, partMatched: true, ownersLost: true,
	topics.CauseAppendOnly: true, topics.CausePolicy: true, topics.CauseRefused: true}

// others holds the texts that differ for a single kind.
var others = map[topics.JobKind]map[topics.Cause]Explanation{
	topics.CheckJob: {
		topics.CauseDamaged: {
			Effect: "The check found damage. It changed nothing; snapshots that need the damaged data may not come back whole. " +
				"Do not remove any before you know.",
			Remedies: []Remedy{
				{Text: "Look at the disk and the memory of the machine that holds the repository: what damaged it damages a repair as well."},
				{Text: "Repair it step by step: each step says before what it changes. What hosts still have, their next backups heal; the rest " +
					"comes back only from another copy, such as a mirror.", Cure: CureRepair},
			},
		},
	},
	topics.RestoreJob: {
		topics.CauseLocked: { // a backup's lock is in no restore's way
			Cause: "A prune, check or forget has the repository to itself",
			Remedies: []Remedy{
				{Text: "Look whether it still runs, and wait for it to end.", Cure: CureCheck},
				{Text: "If it does not, have its lock removed. Of a host that is gone, restic counts a lock as left behind " +
					"half an hour after it was last renewed.", Cure: CureUnlock},
				thenAgain,
			},
		},
		topics.CauseUsage: {
			Cause: "restic could not do what the restore asked for",
			Remedies: []Remedy{
				{Text: "Compare the paths with what the snapshot holds: each begins with / and is spelled as it is there.", Cure: CureFiles},
				{Text: "Check that the target is a full path of this host."},
				{Text: "If files are in the way, choose an empty target; only restic 0.17 or newer leaves them as they are."},
				lookAtLog,
			},
		},
		targetFull: {
			Cause: "There is no space left where the target is",
			Remedies: []Remedy{
				{Text: "Make room on the host where the target is, or choose another target.", Cure: CureRestore},
				again("Run {it} again: files that are complete are not fetched twice."),
			},
		},
		topics.CausePermission: {
			Remedies: []Remedy{
				{Text: "Let the agent's user write to the target, or choose a target where it may.", Cure: CureRestore},
				thenAgain,
			},
		},
		topics.CauseUnreadable: {
			Cause:  "Some files could not be brought back",
			Effect: "Everything else is in the target. What the log names is missing there; the repository is untouched.",
			Remedies: []Remedy{
				{Text: "Look through the warnings in the log."},
				{Text: "Restore what is missing to another target, perhaps as another user.", Cure: CureRestore},
				{Text: "If the log speaks of damaged data, run a check of the repository.", Cure: CureCheck},
			},
		},
	},
	topics.InitJob: {
		topics.CauseNoRepository: {
			Cause: "The repository could not be set up",
			Remedies: []Remedy{
				lookAtLog,
				{Text: "Check the URL and that its folder or bucket may be written.", Cure: CureRepository},
				thenAgain,
			},
		},
	},
	topics.CopyJob: {
		topics.CauseUsage: {
			Cause: "restic cannot open these two repositories at once",
			Remedies: []Remedy{
				{Text: "Where both need credentials of one kind, use some that may read the first and write the second.", Cure: CureRepository},
				{Text: "Or reach one of the two another way, as by rclone with its own settings."},
				lookAtLog,
			},
		},
	},
	topics.SnapshotsJob: {
		topics.CauseNoRepository: {
			Cause:  "There is no repository at this address",
			Effect: "Nothing was changed. If it held snapshots before, they cannot be reached now; if it is new, it has not been set up yet.",
			Remedies: []Remedy{
				{Text: "If it is new: set it up, or let the first backup do so."},
				{Text: "If it should be there: check that its disk is mounted, its server is up and its path is spelled right."},
			},
		},
	},
}

// CancelWords returns the answer to a request to cancel j: what to expect depends on
// whether commands can reach its host.
func CancelWords(j store.Job, reachable bool) string {
	switch {
	case j.State == topics.Cancelled:
		return "The job had not been sent; it is cancelled."
	case reachable:
		return "Its host has been asked to end it. That takes up to 90 s."
	}
	return "Its host cannot be reached at the moment. It is asked to end the job as soon as it is back."
}
