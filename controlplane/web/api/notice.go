package api

import (
	"context"

	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/store"
)

type NoticeJSON struct {
	ID       string `json:"id" doc:"Stays the same while the words change"`
	Severity string `json:"severity" enum:"info,warning,failure"`
	Say      string `json:"say" doc:"What is so, and what it means"`
	Remedy   string `json:"remedy" doc:"What to do; empty if nothing"`
	Page     string `json:"page" doc:"Where that is done; empty if nowhere"`
}

// ListNotices lists what the caller should know about this server, the worst first.
func (a *API) ListNotices(ctx context.Context, _ *struct{}) (*list1[NoticeJSON], error) {
	list := a.Notices.Now(ctx, session.Of(ctx).Role == store.Admin)
	out := make([]NoticeJSON, len(list))
	for i, n := range list {
		out[i] = NoticeJSON{ID: n.ID, Severity: string(n.Severity), Say: n.Say, Remedy: n.Remedy, Page: n.Link.URL}
	}
	return &list1[NoticeJSON]{out}, nil
}
