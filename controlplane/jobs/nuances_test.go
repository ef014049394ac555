package jobs

import (
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// Each has the neighbour that is not it.
func TestAMessageThatNamesWhatToDoGetsItsOwnWords(t *testing.T) {
	for _, c := range []struct {
		cause   topics.Cause
		message string
		want    topics.Cause
		says    string
	}{
		{topics.CauseUsage, `unable to open repository at sftp:nas: exec: "ssh": executable file not found in $PATH`, sshMissing,
			"openssh-client"},
		{topics.CauseUsage, `unable to open repository at rclone:drive:a: exec: "rclone": executable file not found in $PATH`, rcloneMissing,
			"apt install rclone"},
		{topics.CauseUsage, `exec: "no-such-program": executable file not found in $PATH`, "", ""},
		{topics.CauseUsage, `rclone: Failed to create file system for "drive:a": didn't find section in config file`, noRemote, "rclone config"},
		{topics.CauseUsage, "rclone: ERROR : Couldn't decrypt configuration, most likely wrong password.", configLocked, "encrypted"},
		{topics.CauseUsage, "subprocess ssh: /root/.ssh/config: line 3: Bad configuration option: hostnam", sshSetUp, ".ssh/config"},
		{topics.CauseUsage, "subprocess ssh: subsystem request failed on channel 0", sftpOff, "sshd_config"},
		{topics.CauseUsage, `u@nas says something in the place of SFTP: "Welcome"`, sftpOff, "login scripts"},
		{topics.CauseUsage, "unable to save snapshot: server response unexpected: 413 Request Entity Too Large (413)", tooLarge,
			"client_max_body_size"},
		{topics.CauseUsage, "unable to open config file: unexpected HTTP response (400): 400 Bad Request", notTaken, "https where the server"},
		{topics.CauseUsage, "unable to open config file: unexpected HTTP response (405): 405 Method Not Allowed", notTaken, "web site"},
		{topics.CauseUsage, "unknown flag: --no-such-flag", "", ""},
		{topics.CauseCredentials, "Stat: The difference between the request time and the server's time is too large.", clockWrong, "clock"},
		{topics.CauseCredentials, "Stat: Access Denied.", "", ""},
		{topics.CauseDiskFull, "b2_download_file_by_name: 403: Cannot download file, download bandwidth or transaction (Class B) cap exceeded.",
			dailyCap, "Raise the cap"},
		{topics.CauseDiskFull, "b2_upload_file: 403: Cannot upload files, storage cap exceeded.", "", ""},
		{topics.CauseUnreachable, "dial tcp: lookup nas on 127.0.0.53:53: server misbehaving", namesGone, "other names"},
		{topics.CauseUnreachable, "subprocess ssh: ssh: Could not resolve hostname nas: Name or service not known", namesGone, "other names"},
		{topics.CauseUnreachable, "dial tcp 192.0.2.9:443: connect: connection refused", "", ""},
		{topics.CauseUnreachable, "Decode: invalid character '<' looking for beginning of value", pageAnswered, "curl"},
		{topics.CauseUnreachable, "write /mnt/r/data/00/x: stale NFS file handle", shareGone, "mounted"},
		{topics.CauseUnreachable, "write /mnt/r/data/00/x: input/output error", shareGone, "failing"},
		{topics.CauseUnreachable, "client.PutObject: Please reduce your request rate.", serverBusy, "passes by itself"},
		{topics.CauseUnreachable, "unexpected HTTP response (500): 500 Internal Server Error", "", ""},
		{topics.CausePermission, `OpenFile: sftp: "Permission denied" (SSH_FX_PERMISSION_DENIED)`, farPermission, "on the server"},
		{topics.CausePermission, "open /srv/r/config: permission denied", "", ""},
		{topics.CauseKilled, "fatal error: runtime: out of memory", memoryGone, "memory"},
		{topics.CauseKilled, "restic was ended by a signal: terminated", "", ""},
		{topics.CauseNoRepository, "Fatal: unable to open config file. " + topics.NeverThere, neverThere, "each host to a repository of its own"},
		{topics.CauseNoRepository, "Fatal: unable to open config file", "", ""},
		{topics.CauseUnknown, "the repository has no snapshot deadbeef", noSnapshot, "choose another"},
		{topics.CauseUnknown, "the source group has no snapshot", "", ""},
		{topics.CauseUnknown, "Could not resolve hostname", "", ""}, // the cause comes first
	} {
		if got := nuanceOf(c.cause, c.message); got != c.want {
			t.Errorf("%s, %q: %q, want %q", c.cause, c.message, got, c.want)
		}
		for _, kind := range topics.AllKinds {
			e := ExplainJob(store.Job{Kind: kind, State: topics.Failed, Cause: c.cause, Message: c.message})
			text := e.Cause + " " + e.Effect + " " + strings.Join(e.Texts(), " ")
			if !strings.Contains(text, c.says) || strings.Contains(text, "{") {
				t.Errorf("%s, %s, %q: %s", kind, c.cause, c.message, text)
			}
			if kind != topics.BackupJob && (strings.Contains(text, "Nothing was saved") || strings.Contains(text, "the backup again")) {
				t.Errorf("a %s speaks of a backup: %s", kind, text)
			}
		}
	}
	for n, words := range nuances {
		if !slices.Contains(nuancesInOrder, n) || words.Cause == "" || words.Effect == "" || len(words.Remedies) == 0 ||
			!slices.Contains(topics.Causes, words.of) || slices.Contains(topics.Causes, n) {
			t.Errorf("%s: %+v", n, words)
		}
	}
}

// TestWhatKeepsARestoreFromItsTarget has words for each place at which files do not come.
func TestWhatKeepsARestoreFromItsTarget(t *testing.T) {
	for _, c := range []struct {
		state   topics.JobState
		cause   topics.Cause
		message string
		title   string
		says    string
	}{
		{topics.Failed, topics.CausePermission, "the target cannot be written: mkdir /srv/x: read-only file system",
			"The target cannot be written to", "mount it writable"},
		{topics.Failed, topics.CausePermission, "the target cannot be written: mkdir /srv/x: input/output error",
			"The target cannot be written to", "system log"},
		{topics.Failed, topics.CausePermission, "2 items could not be restored, the first is /d/a: open /srv/x/d/a: read-only file system",
			"The target cannot be written to", "another target"},
		{topics.Failed, topics.CausePermission, "Fatal: unable to open config file: open /srv/repo/config: permission denied",
			"The agent may not do that on its host", ""},
		{topics.Failed, topics.CausePermission, "unable to create lock in backend: open /srv/repo/locks/1: read-only file system",
			"The repository takes no writes", ""},
		{topics.Warnings, topics.CausePermission, "2 items came without the owner they had, the first is /d/a: lchown: operation not permitted",
			"Files came back without their owners", "restore without owners"},
		{topics.Warnings, topics.CausePermission, "2 items could not be restored, the first is /d/a: open: permission denied",
			"The agent may not do that on its host", ""},
		{topics.Failed, topics.CauseHostDisk, "the target cannot be written: mkdir /srv/x: disk quota exceeded",
			"There is no space left where the target is", "Make room"},
		{topics.Failed, topics.CauseHostDisk, "what is restored cannot be written down: write /a/restores/1.list: no space left on device",
			"There is no space left on the host", "state directory"},
		{topics.Failed, topics.CauseUsage, "/proc is not mounted on this host, and without it nothing can be given to the owner of the target",
			"restic could not do what the restore asked for", ""},
	} {
		e := ExplainJob(store.Job{Kind: topics.RestoreJob, State: c.state, Cause: c.cause, Message: c.message})
		text := e.Effect + " " + strings.Join(e.Texts(), " ")
		if e.Cause != c.title || !strings.Contains(text, c.says) || len(e.Remedies) == 0 {
			t.Errorf("%q: %s: %s", c.message, e.Cause, text)
		}
	}
}

// TestALookIsExplainedWithoutALog: a test of a storage makes no job.
func TestALookIsExplainedWithoutALog(t *testing.T) {
	for _, c := range []struct {
		cause         topics.Cause
		message, says string
	}{
		{topics.CauseUsage, `rclone says: Failed to create file system for "nas:b": didn't find section in config file`, "rclone config"},
		{topics.CauseUnreachable, "A web page answers, and not S3. Look at the endpoint.", "curl"},
		{topics.CauseUnreachable, "dial tcp 192.0.2.9:443: connect: connection refused", "firewall"},
		{topics.CauseUnknown, "Somebody answers, and not as a REST server for restic does: 302 Found.", "Compare address"},
	} {
		got := ExplainLook(c.cause, c.message)
		if !strings.Contains(got, c.says) || !strings.HasSuffix(got, "Then test again.") || strings.Contains(got, "log ") ||
			strings.Contains(got, "Then run it again") {
			t.Errorf("%s, %q: %q", c.cause, c.message, got)
		}
	}
	for _, cause := range topics.Causes {
		if got := ExplainLook(cause, ""); strings.Contains(got, "log below") || strings.Contains(got, "{") {
			t.Errorf("%s: %q", cause, got)
		}
	}
}
