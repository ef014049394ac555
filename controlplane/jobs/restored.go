package jobs

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/topics"
)

// A control plane that was restored from a copy is told again by its agents what
// happened since: see protocol. This file holds what is beside that: the epoch in
// welcomes, agents of older versions whose journals have gone on, and the hosts to which
// nothing is sent until somebody has confirmed that they are trusted still.

// afresh returns the session that a welcome has to name as known, so that an agent
// begins a new epoch: in this one nobody has the beginning any more.
func (e *Engine) afresh(host topics.HostID, s topics.Session) topics.Session {
	if e.stranded[host] != s.Epoch || s.Epoch == 0 {
		return topics.Session{}
	}
	return topics.Session{Epoch: s.Epoch, N: s.N + 1}
}

// strand has a host be asked for a new epoch at its next birth.
func (e *Engine) strand(s protocol.Stranded) {
	e.stranded[s.Host] = s.Epoch
	e.Log.Info("the host's journal has gone on since the copy this control plane was restored from, and has not kept what came between; "+
		"it begins anew", "host", s.Host)
	if e.Cut != nil {
		e.Cut(s.Host, "")
	}
}

// Of a control plane that was restored from a copy.
const (
	hear   = 10 * time.Minute // longer than agents take to come back, and longer than an init takes
	recent = 24 * time.Hour   // later starts wait no more for hosts that never came
)

// HearUntil is until when a control plane that begins now has no repository made while
// hosts have not told, in Unix milliseconds; 0 if it was not restored lately.
func HearUntil(restoredAt int64, now time.Time) int64 {
	if restoredAt == 0 || now.Sub(time.UnixMilli(restoredAt)) > recent {
		return 0
	}
	return now.Add(hear).UnixMilli()
}

// hold notes which hosts nothing is sent to, as nobody has confirmed them.
func (e *Engine) hold(ctx context.Context) {
	held, err := e.Store.UnconfirmedHosts(ctx)
	if err != nil {
		e.complain(ctx, "reading which hosts are not confirmed failed", "err", err)
		return
	}
	e.Presence.Hold(held)
}
