package health

// Advice is what a finding means for the data, and what to do about it.
type Advice struct{ Effect, Remedy string }

// advice has the words for each cause of a verdict.
var advice = map[string]Advice{
	"repository-damaged": {
		"Some snapshots may not come back whole. Backups go on, and may build on what is damaged.",
		"Remove nothing before you know which snapshots it is. Check all of the data, look at the disk and the memory of the machine " +
			"that holds it, and repair it step by step.",
	},
	"repository-unreadable": {
		"Nothing can be restored from it or added to it with the password that is registered here.",
		"Set the password that opens it. If nobody has one, what it holds is lost.",
	},
	"secrets-unread": {
		"No job of it begins, here or by its hosts' schedules. What it holds is not touched, and opens with the password it was made with.",
		"Enter again what cannot be read; the recovery kit has it. It was damaged in the database, or copied from another row.",
	},
	"maintenance-unread": {
		"Backups and restores go on. Nothing is forgotten, pruned or checked by its keeper.",
		"Enter the maintenance credential again, or take it away.",
	},
	"repository-missing": {
		"What it held cannot be restored until it is there again. It is not begun anew, " +
			"so that a disk that is not mounted does not look like a fresh start.",
		"See that its disk is mounted and its path is right, and look again. If it was moved, change its address.",
	},
	"repository-unreachable": {
		"Nothing can be restored or added until it answers. What it holds is not touched.",
		"See that its server is up and can be reached from that host, and look again.",
	},
	"repository-certificate": {
		"Nothing can be restored or added from that host. What it holds is not touched.",
		"Renew the certificate on the server, or give the host the CA that signed it.",
	},
	"repository-host-key": {
		"Nothing can be restored or added from that host. What it holds is not touched.",
		"Ask who looks after the server whether its SSH key was replaced: somebody may stand between. If it was, accept the new one.",
	},
	"repository-credentials": {
		"Nothing can be restored or added from that host. What it holds is not touched.",
		"Set the user and password that its server knows.",
	},
	"repository-permission": {
		"Nothing can be restored or added from that host. What it holds is not touched.",
		"Let the agent's user read and write the repository's folder, and look again.",
	},
	"foreign-keys": {
		"Whoever made a key that is not ours had a password of the repository, and can read every backup in it.",
		"Trust the key if you know it. If not, change the repository's passwords and the credentials of the hosts that use it.",
	},
	"foreign-snapshots": {
		"They were made by hand, by another program, or planted. They are never removed by themselves, and never count instead of one of ours.",
		"Say that you know them, or forget the unwanted ones by their IDs.",
	},
	"snapshots-missing": {
		"What they held can be restored from other snapshots at best.",
		"Find out who removed them and by which credential, then acknowledge that they are gone.",
	},
	"repository-locked": {
		"Jobs that the lock keeps out fail until it is gone. What the repository holds is not touched.",
		"See who holds it. If nobody does any more, remove it.",
	},
	"repository-full": {
		"No new snapshot is made. Those that are there can be restored.",
		"Make room where the repository is. Old snapshots free space only after a forget and a prune.",
	},
	"check-overdue": {
		"Damage that came since the last check would not be known.",
		"Check it now. A keeper does so by itself, unless its checks are paused.",
	},
	"look-overdue": {
		"Whether it can still be opened is not known.",
		"Have a host look at it now.",
	},
	"never-looked-at": {
		"Whether it can be opened is not known.",
		"Have a host look at it, or wait for the first backup.",
	},
}

// Advice returns what the verdict means for the data and what to do; nothing for a
// healthy repository.
func (v Verdict) Advice() Advice { return advice[v.Cause] }
