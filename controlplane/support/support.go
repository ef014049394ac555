// Package support has what goes into a support bundle of a control plane, whether its command
// line makes it or the running program does.
package support

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/store/inspect"
)

// Counts is how much there is in the database, and which agents there are, without names.
func Counts(ctx context.Context, files inspect.Files) (string, error) {
	state, err := files.Look()
	if err == nil && !state.Fresh {
		state, err = files.Inside(ctx, state)
	}
	if err != nil {
		return "", err
	}
	type host struct {
		ID       string    `json:"id"`
		System   string    `json:"system"`
		Agent    string    `json:"agent"`
		Restic   string    `json:"restic"`
		LastSeen time.Time `json:"last_seen"`
	}
	out := struct {
		Schema  int64            `json:"schema"`
		Missing int              `json:"migrations_missing"`
		Damage  []string         `json:"damage"`
		Tables  map[string]int64 `json:"tables"`
		Hosts   []host           `json:"hosts"`
	}{Schema: state.Schema.At, Missing: len(state.Schema.Missing)}
	if !state.Fresh && out.Missing == 0 {
		v, err := files.Survey(ctx, 0)
		if err != nil {
			return "", err
		}
		out.Damage, out.Tables = v.Damage, v.Tables
		for _, h := range v.Hosts {
			out.Hosts = append(out.Hosts, host{ID: h.ID, System: h.OS + "/" + h.Arch, Agent: h.Agent, Restic: h.Restic,
				LastSeen: time.UnixMilli(h.LastSeen).UTC()})
		}
	}
	text, err := json.MarshalIndent(out, "", "  ")
	return string(text), err
}

// Notices are what a running control plane has to say of itself, a paragraph each.
func Notices(list []notices.Notice) string {
	if len(list) == 0 {
		return "none\n"
	}
	var b strings.Builder
	for _, n := range list {
		b.WriteString(string(n.Severity) + " " + n.ID + ": " + n.Say + "\n  " + n.Remedy + "\n")
	}
	return b.String()
}
