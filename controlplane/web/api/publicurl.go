package api

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
)

type publicURLOut struct {
	Body struct {
		URL  string `json:"url" doc:"that counts: what links of messages begin with; empty if none was said"`
		Flag bool   `json:"flag" doc:"it comes from --public-url, which wins over what is set here"`
	}
}

// GetPublicURL answers with the address at which people find these pages.
func (a *API) GetPublicURL(ctx context.Context, _ *struct{}) (*publicURLOut, error) {
	out := &publicURLOut{}
	out.Body.URL, out.Body.Flag = a.Alerts.PublicURL(ctx), a.Alerts.PublicFlag != ""
	return out, nil
}

type putPublicURLIn struct {
	Body struct {
		URL string `json:"url" doc:"https://backups.example.net, with a path before ours if there is one; empty takes it away"`
	}
}

// PutPublicURL says at which address people find these pages.
func (a *API) PutPublicURL(ctx context.Context, in *putPublicURLIn) (*publicURLOut, error) {
	if err := a.Alerts.SetPublicURL(ctx, session.Of(ctx).Name, in.Body.URL); err != nil {
		return nil, problem.Saving("public address", err)
	}
	return a.GetPublicURL(ctx, nil)
}
