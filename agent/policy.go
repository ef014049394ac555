package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A Policy is what this host lets its control plane do. It is written when the
// host is enrolled, and no message can change it.
type Policy string

// The policies, from the least to whatever the control plane asks for.
const (
	PolicyBackup  Policy = "backup"
	PolicyRestore Policy = "restore"
	PolicyKeeper  Policy = "keeper"
	PolicyManaged Policy = "managed"
)

var policies = []Policy{PolicyBackup, PolicyRestore, PolicyKeeper, PolicyManaged}

// ParsePolicy refuses what is not the name of a policy.
func ParsePolicy(name string) (Policy, error) {
	if slices.Contains(policies, Policy(name)) {
		return Policy(name), nil
	}
	return "", fmt.Errorf("%.40q is no policy: one of %s", name, strings.Trim(fmt.Sprint(policies), "[]"))
}

const policyFile = "policy.json"

type policyJSON struct {
	Policy string `json:"policy"`
}

func loadPolicy(state string) (Policy, error) {
	path := filepath.Join(state, policyFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return PolicyBackup, nil // the narrowest
	}
	if err != nil {
		return "", fmt.Errorf("read the host's policy: %w", err)
	}
	var p policyJSON
	if err := json.Unmarshal(b, &p); err != nil {
		return "", fmt.Errorf("%s is damaged (%w): it holds {\"policy\":\"backup\"} or another policy", path, err)
	}
	policy, err := ParsePolicy(p.Policy)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return policy, nil
}

func (p Policy) save(state string) error {
	return writeFile(state, policyFile, policyJSON{string(p)})
}

// refuse says why this host will not run a job, nil if it will.
func (Policy) refuse(run topics.Run) *protocol.Refusal {
	switch run.Kind {
	case topics.BackupJob: // every policy allows it
		return nil
	}
	return &protocol.Refusal{Cause: topics.CauseRefused, Message: fmt.Sprintf("This agent does not know %.40q, update it.", string(run.Kind))}
}
