package jobs

import "github.com/restic-manager/restic-manager/topics"

func init() {
	for cause, words := range updateWords {
		explanations[cause], ownEffect[cause] = words, true
	}
	others[topics.UpdateJob] = updateOthers
}

// updateWords are of the causes that only an update of an agent ends for.
var updateWords = map[topics.Cause]Explanation{
	topics.CauseUpdateRefused: {
		Cause:  "The host takes no updates from here",
		Effect: notUpdated,
		Remedies: []Remedy{
			{Text: "If its policy forbids them and shall not: run on the host restic-manager-agent policy allow-updates.", Cure: CureHost},
			{Text: "If its agent has no release key, install a package of it that was built with one, or name the key in the host's policy: " +
				"restic-manager-agent policy allow-updates --key KEY.", Cure: CureHost},
			{Text: "Or update it by hand, as it was installed."},
		},
	},
	topics.CauseSignature: {
		Cause:  "None of the host's release keys signed this release",
		Effect: notUpdated,
		Remedies: []Remedy{
			{Text: "Compare the key that the host names with the one that signs your releases.", Cure: CureHost},
			{Text: "Put manifest.json and manifest.json.minisig of the same release into the directory of agents, as they were published. " +
				"If they were exchanged by somebody, look who could write there."},
		},
	},
	topics.CauseOldManifest: {
		Cause:  "The release is not newer than what the host has had",
		Effect: notUpdated,
		Remedies: []Remedy{
			{Text: "Put the newest release into the directory of agents."},
			{Text: "To go back to an older one, run on the host: restic-manager-agent rollback. No message does that."},
		},
	},
	topics.CauseNoProgram: {
		Cause:  "The release has no agent for this host's system",
		Effect: notUpdated,
		Remedies: []Remedy{
			{Text: "Build a release with a program for its system and processor, or update this host by hand."},
		},
	},
	topics.CauseChecksum: {
		Cause:  "The program that was downloaded is not the one that was signed",
		Effect: notUpdated,
		Remedies: []Remedy{
			{Text: "Put the programs of the release into the directory of agents again, as they were published, with their manifest."},
			{Text: "If they are right there, look at what is between this server and the host."},
		},
	},
	topics.CauseCannotRun: {
		Cause:  "The new agent does not run on the host",
		Effect: notUpdated,
		Remedies: []Remedy{
			{Text: "If the agent's state directory is mounted noexec, mount it with exec, or update this host by its package.", Cure: CureHost},
			{Text: "If the message speaks of the program itself, see whether it was built for this system and processor."},
			{Text: "If something on the host stops new programs (SELinux, AppArmor, AppLocker), allow those below the agent's state directory."},
		},
	},
	topics.CauseNotWelcomed: {
		Cause:  "The new agent did not reach the control plane in time",
		Effect: "It was on trial, and the host went back to the agent that it ran before; its backups go on. No repository was touched.",
		Remedies: []Remedy{
			{Text: "If the control plane was away or busy at that time, update the host again."},
			{Text: "See in the agent's log on the host what kept the new one from connecting.", Cure: CureHost},
		},
	},
	topics.CauseLostRestic: {
		Cause:  "The new agent found no restic, and the one before it did",
		Effect: "It was on trial, and the host went back to the agent that it ran before; its backups go on. No repository was touched.",
		Remedies: []Remedy{
			{Text: "See on the host whether restic runs: restic-manager-agent doctor.", Cure: CureHost},
			{Text: "If the new release wants a newer restic, install that first."},
		},
	},
	topics.CauseRolledBack: {
		Cause:  "Somebody on the host went back to the agent before",
		Effect: "The host runs the agent that it ran before; its backups go on. No repository was touched.",
		Remedies: []Remedy{
			{Text: "Ask who looks after the host why. It takes this release no more, and a newer one as any other host."},
		},
	},
}

// notFetched is the effect of a restic that was not fetched.
const notFetched = "The host uses the restic that it used before; its backups go on. No repository was touched."

// resticWords are of causes where a restic was to be fetched.
var resticWords = map[topics.Cause]Explanation{
	topics.CauseUpdateRefused: {Cause: "The host's policy does not take this restic from here", Remedies: []Remedy{
		{Text: "If it shall: run on the host restic-manager-agent policy allow-restic, or with --sha256 for this file alone.", Cure: CureHost},
		{Text: "Or install restic on the host by its package."},
	}},
	topics.CauseChecksum: {Cause: "What was downloaded is not the file whose checksum was confirmed", Remedies: []Remedy{
		{Text: "Compare the file on this server with restic's SHA256SUMS. If it was exchanged, look who could write there."},
		{Text: "If it is right there, look at what is between this server and the host."},
	}},
	topics.CauseNoProgram: {Cause: "The file is for another system", Remedies: []Remedy{
		{Text: "Put the file for the host's system and processor beside the others, and confirm its checksum."},
	}},
	topics.CauseCannotRun: {Cause: "What is in the file does not run on the host as restic", Remedies: []Remedy{
		{Text: "See whether the file is what restic released for this system, whole and unchanged."},
		{Text: "If the agent's state directory is mounted noexec, mount it with exec, or install restic by its package.", Cure: CureHost},
	}},
	topics.CauseOldManifest: {Cause: "This restic is older than the one that the host has", Remedies: []Remedy{
		{Text: "If it is to be that one all the same: ask again, and say that it may be older."},
	}},
	topics.CauseUnreachable: {Cause: "The agent could not download the file with restic", Remedies: []Remedy{
		{Text: "See on the page Updates, restic, whether the file lies here and its checksum is the one that was confirmed."},
		{Text: "Have the host fetch it again."},
	}},
	topics.CauseHostDisk: {Cause: "There is no space left on the host for the new restic", Remedies: []Remedy{
		{Text: "Make room on the disk with the agent's state directory, some 80 MB, and have the host fetch it again.", Cure: CureHost},
	}},
}

// ofRestic words why a restic was not fetched.
func ofRestic(e Explanation, cause topics.Cause, state topics.JobState) Explanation {
	if said, known := resticWords[cause]; known {
		e.Cause, e.Remedies = said.Cause, said.Remedies
	}
	e.Effect = notFetched
	return e
}

// updateOthers are words of other causes, where an update is what failed.
var updateOthers = map[topics.Cause]Explanation{
	topics.CauseUnreachable: {
		Cause: "The agent could not download the new program",
		Remedies: []Remedy{
			{Text: "See whether the directory of agents has the program that the manifest names.", Cure: CureHost},
			{Text: "Update the host again: what has come already is not fetched twice."},
		},
	},
	topics.CauseHostDisk: {
		Cause: "There is no space left on the host for the new program",
		Remedies: []Remedy{
			{Text: "Make room on the disk with the agent's state directory, some 30 MB, and update the host again.", Cure: CureHost},
		},
	},
	topics.CausePermission: {
		Remedies: []Remedy{
			{Text: "See that the agent's user may write to its own state directory, and update the host again.", Cure: CureHost},
		},
	},
	topics.CauseExpired: {
		Cause: "It was not begun in time",
		Remedies: []Remedy{
			{Text: "See whether the host is switched on, and whether a job runs there that does not end.", Cure: CureHost},
			{Text: "Update the host again when it is online."},
		},
	},
}
