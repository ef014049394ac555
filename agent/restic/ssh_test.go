package restic

import (
	"testing"

	"github.com/restic-manager/restic-manager/topics"
)

// What ssh itself says, each with the neighbour that is not it.
func TestWhatSSHSaysIsNamed(t *testing.T) {
	for _, c := range []struct {
		said  []string
		cause topics.Cause
		line  string
	}{
		{[]string{"Host key verification failed."}, topics.CauseHostKey, "Host key verification failed."},
		{[]string{"No ED25519 host key is known for nas and you have requested strict checking.", "Host key verification failed."},
			topics.CauseHostKey, "No ED25519 host key is known for nas and you have requested strict checking."},
		{[]string{"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", "Host key verification failed."},
			topics.CauseHostKeyOther, "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!"},
		{[]string{"WARNING: RSA key found for host nas", "in /root/.ssh/known_hosts:3", "Host key verification failed."},
			topics.CauseHostKeyOther, "WARNING: RSA key found for host nas"},
		{[]string{"@       WARNING: REVOKED HOST KEY DETECTED!               @", "Host key verification failed."},
			topics.CauseHostKeyOther, "WARNING: REVOKED HOST KEY DETECTED!"},
		{[]string{"Warning: Permanently added 'nas' (ED25519) to the list of known hosts.", "u@nas: Permission denied (publickey)."},
			topics.CauseKeyRefused, "u@nas: Permission denied (publickey)."},
		{[]string{"Load key \"/root/.ssh/id_rsa\": Permission denied", "u@nas: Permission denied (publickey,password)."}, topics.CauseKeyRefused,
			`Load key "/root/.ssh/id_rsa": Permission denied`},
		{[]string{"ssh: Could not resolve hostname nas: Name or service not known"}, topics.CauseUnreachable,
			"ssh: Could not resolve hostname nas: Name or service not known"},
		{[]string{"ssh: connect to host nas port 22: Connection refused"}, topics.CauseUnreachable,
			"ssh: connect to host nas port 22: Connection refused"},
		{[]string{"Timeout, server nas not responding."}, topics.CauseUnreachable, "Timeout, server nas not responding."},
		{[]string{"client_loop: send disconnect: Broken pipe"}, topics.CauseUnreachable, "client_loop: send disconnect: Broken pipe"},
		{[]string{"Connection to nas closed by remote host."}, topics.CauseUnreachable, "Connection to nas closed by remote host."},
		{[]string{"subsystem request failed on channel 0"}, topics.CauseUsage, "subsystem request failed on channel 0"},
		{[]string{"Warning: Permanently added 'nas' (ED25519) to the list of known hosts."}, topics.CauseUnknown,
			"Warning: Permanently added 'nas' (ED25519) to the list of known hosts."},
		{nil, topics.CauseUnknown, ""},
	} {
		if cause, line := sshCause(c.said); cause != c.cause || line != c.line {
			t.Errorf("%q is %s by %q, want %s by %q", c.said, cause, line, c.cause, c.line)
		}
	}
}
