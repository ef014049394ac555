package layout

import (
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

// SSHServer is a key of a server as pages show it; when it was shown is left out.
func SSHServer(host topics.HostID, k topics.KnownServer) views.SSHServer {
	v := views.SSHServer{
		HostID:      string(host),
		Name:        k.Name,
		Type:        k.Type,
		Fingerprint: k.Fingerprint,
		Accepted:    k.Accepted,
		Changed:     k.Changed,
	}
	if k.Known != "" {
		v.Known = Said(k.Known)
	}
	return v
}
