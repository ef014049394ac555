package main

import (
	"context"

	"github.com/restic-manager/restic-manager/agent"
	"github.com/restic-manager/restic-manager/agent/service"
)

// stopping is ctx for an agent, with [agent.ErrShutdown] as its cause where it ends since the
// machine goes down.
func stopping(ctx context.Context) context.Context {
	why, end := context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		if service.Down(ctx) {
			end(agent.ErrShutdown)
		}
		end(nil)
	})
	return why
}
