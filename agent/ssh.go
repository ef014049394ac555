package agent

import (
	"path/filepath"

	"github.com/restic-manager/restic-manager/agent/sftp"
)

// sshOf is the directory below the agent's state with its own SSH key and the keys of the
// servers that were accepted.
func sshOf(state string) sftp.Home { return sftp.Home{Dir: filepath.Join(state, "ssh")} }
