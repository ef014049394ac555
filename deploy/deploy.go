// Package deploy holds the systemd units; its tests see that they stay as narrow as
// they are.
package deploy

import _ "embed" // the unit

// AgentUnit is the agent's unit, which restic-manager-agent install writes with the
// command line that fits.
//
//go:embed restic-manager-agent.service
var AgentUnit string

// AgentBackup is the drop-in that narrows the agent's unit to the policy backup.
//
//go:embed restic-manager-agent-backup.conf
var AgentBackup string
