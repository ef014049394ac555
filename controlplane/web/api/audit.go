package api

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
)

type auditJSON struct {
	N      int64      `json:"n" doc:"rises by one with each"`
	At     *time.Time `json:"at"`
	Actor  string     `json:"actor" doc:"a person's name, or api:NAME, mqtt:NAME, schedule:NAME, cli, plane"`
	Action string     `json:"action" doc:"job.queued for example"`
	Target string     `json:"target" doc:"an ID, most often"`
	Detail string     `json:"detail"`
	Remote string     `json:"remote" doc:"the network address it was asked from, or empty"`
	Hash   string     `json:"hash" doc:"hexadecimal; audit verify --head takes N:HASH"`
}

type listAuditIn struct {
	Who    string `query:"who" enum:"people,tokens,consumers,schedules,server" doc:"only of this kind of actors"`
	Actor  string `query:"actor" doc:"only of this one, in full"`
	Action string `query:"action" doc:"only this one, or its first part: job for all that was done to jobs"`
	Target string `query:"target" doc:"only what was done to this ID"`
	From   string `query:"from" doc:"not before: a day as 2026-11-20, or a time by RFC 3339"`
	To     string `query:"to" doc:"not after this day, or before this time"`
	Query  string `query:"q" doc:"part of any of these, or of a name"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"how many at most"`
	Before int64  `query:"before" minimum:"1" doc:"the number of the last entry the client has: older ones follow"`
}

// ListAudit lists entries, the newest first.
func (a *API) ListAudit(ctx context.Context, in *listAuditIn) (*list1[auditJSON], error) {
	x, wrong, err := a.AuditSearch(ctx, base.AuditQuery{
		Text:   in.Query,
		Kind:   in.Who,
		Action: in.Action,
		Actor:  in.Actor,
		Target: in.Target,
		From:   in.From,
		To:     in.To,
		Before: in.Before,
	})
	if err != nil {
		return nil, err
	}
	if wrong != "" {
		return nil, &problem.Problem{Kind: problem.Invalid, Title: "The request does not fit", Say: wrong}
	}
	rows, err := a.Store.AuditEntries(ctx, x, in.Limit)
	out := make([]auditJSON, len(rows))
	for i, e := range rows {
		out[i] = auditJSON{
			N:      e.N,
			At:     base.JSONTime(e.At),
			Actor:  e.Actor,
			Action: e.Action,
			Target: e.Target,
			Detail: e.Detail,
			Remote: e.Remote,
			Hash:   hex.EncodeToString(e.Hash),
		}
	}
	return &list1[auditJSON]{out}, err
}
