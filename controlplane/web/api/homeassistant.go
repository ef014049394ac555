package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
)

type homeAssistantOut struct {
	Body struct {
		Enabled      bool       `json:"enabled" doc:"Home Assistant is told of hosts and repositories"`
		Prefix       string     `json:"prefix" doc:"of the topics in which it looks for devices"`
		Tags         []string   `json:"tags" nullable:"false" doc:"of the hosts that it is told of; none is all hosts"`
		Buttons      bool       `json:"buttons" doc:"it gets buttons and switches, where commands are taken"`
		Version      int64      `json:"version" doc:"rises with each change"`
		Hosts        int        `json:"hosts" doc:"that it is told of, or would be"`
		Repositories int        `json:"repositories"`
		Devices      int        `json:"devices" doc:"these, and one for all of them"`
		Entities     int        `json:"entities"`
		BornAt       *time.Time `json:"born_at" doc:"when a Home Assistant last said that it is there; null for never"`
	}
}

// GetHomeAssistant answers with what Home Assistant is told.
func (a *API) GetHomeAssistant(ctx context.Context, _ *struct{}) (*homeAssistantOut, error) {
	set, version, err := a.Discovery.Get(ctx)
	if err != nil {
		return nil, err
	}
	how, err := a.Discovery.Preview(ctx, set)
	if err != nil {
		return nil, err
	}
	status, err := a.Discovery.Status(ctx)
	if err != nil {
		return nil, err
	}
	out := &homeAssistantOut{}
	b := &out.Body
	b.Enabled, b.Prefix, b.Tags, b.Buttons, b.Version = set.Enabled, set.Prefix, append([]string{}, set.Tags...), set.Buttons, version
	b.Hosts, b.Repositories, b.Devices, b.Entities = how.Hosts, how.Repositories, how.Devices, how.Entities
	b.BornAt = base.JSONTime(status.BornAt())
	return out, nil
}

type putHomeAssistantIn struct {
	Body struct {
		Enabled *bool     `json:"enabled,omitempty" doc:"left out stays; false takes back what it was told"`
		Prefix  *string   `json:"prefix,omitempty" doc:"as it is set in Home Assistant, homeassistant there and here by default; left out stays"`
		Tags    *[]string `json:"tags,omitempty" nullable:"false" doc:"of the hosts that it is told of; none is all hosts; left out stays"`
		Buttons *bool     `json:"buttons,omitempty" doc:"left out stays"`
		Version int64     `json:"version,omitempty" doc:"refused if it has another one; 0 or left out does not ask"`
	}
}

// PutHomeAssistant says what Home Assistant is told.
func (a *API) PutHomeAssistant(ctx context.Context, in *putHomeAssistantIn) (*homeAssistantOut, error) {
	set, version, err := a.Discovery.Get(ctx)
	if err != nil {
		return nil, err
	}
	b := in.Body
	if b.Enabled != nil {
		set.Enabled = *b.Enabled
	}
	if b.Prefix != nil {
		set.Prefix = *b.Prefix
	}
	if b.Tags != nil {
		set.Tags = *b.Tags
	}
	if b.Buttons != nil {
		set.Buttons = *b.Buttons
	}
	if b.Version != 0 {
		version = b.Version
	}
	if err := a.Discovery.Put(ctx, session.Of(ctx).Name, set, version); err != nil {
		return nil, problem.Saving("setting", err)
	}
	return a.GetHomeAssistant(ctx, nil)
}
