package agent

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// newInstance names a process of an agent. It is drawn anew for each epoch of the
// journal, too, because a machine may have been copied with its memory.
func newInstance() string { return strings.ToLower(rand.Text()[:16]) }

// processBegan is about when this process did.
var processBegan = time.Now()

// machineOf is what tells this machine from a copy of it. IDs are hashed: the
// control plane needs to compare them, and to know none.
func machineOf(state string) *topics.Machine {
	m := &topics.Machine{ID: hashed(machineID()), Boot: hashed(bootID()), State: state, Started: processBegan.UnixMilli()}
	m.Hostname, _ = os.Hostname()
	addresses, _ := net.InterfaceAddrs() // what is not known is left out
	for _, a := range addresses {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() || len(m.Addresses) == topics.MaxAddresses {
			continue
		}
		m.Addresses = append(m.Addresses, n.IP.String())
	}
	slices.Sort(m.Addresses)
	return m
}

func hashed(id string) string {
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("restic-manager/1 machine " + id))
	return hex.EncodeToString(sum[:8])
}
