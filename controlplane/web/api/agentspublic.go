package api

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
)

type agentsPublicOut struct {
	Body struct {
		Address string `json:"address" doc:"that agents dial, in every command shown, HOST:PORT; SERVER stands for a name nobody has said"`
		Set     string `json:"set" doc:"what was set, or said by --agents-public; empty if neither"`
		Flag    bool   `json:"flag" doc:"it comes from --agents-public, which wins over what is set here"`
		Problem string `json:"problem,omitempty" doc:"why an agent on another machine may not reach it"`
		Remedy  string `json:"remedy,omitempty" doc:"what to do about that"`
	}
}

// GetAgentsPublic answers with the address that agents dial.
func (a *API) GetAgentsPublic(ctx context.Context, _ *struct{}) (*agentsPublicOut, error) {
	at, err := a.Reach.Of(ctx)
	if err != nil {
		return nil, err
	}
	out := &agentsPublicOut{}
	b := &out.Body
	b.Address, b.Set, b.Flag, b.Problem, b.Remedy = at.Dial, at.Set, at.Flag, at.Say, at.Do
	return out, nil
}

type putAgentsPublicIn struct {
	Body struct {
		Address string `json:"address" doc:"HOST:PORT, such as backups.example.net:8883; empty takes it away"`
	}
}

// PutAgentsPublic says at which address agents reach the control plane.
func (a *API) PutAgentsPublic(ctx context.Context, in *putAgentsPublicIn) (*agentsPublicOut, error) {
	if err := a.Reach.Set(ctx, session.Of(ctx).Name, in.Body.Address); err != nil {
		return nil, problem.Saving("address for agents", err)
	}
	return a.GetAgentsPublic(ctx, nil)
}
