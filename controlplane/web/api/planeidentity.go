package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
)

type planeIdentityOut struct {
	Body struct {
		Generation int64          `json:"generation" doc:"of the identity whose certificate the control plane shows; rises with each change"`
		Changing   bool           `json:"changing" doc:"two identities are accepted"`
		CalledOff  bool           `json:"called_off" doc:"the change was called off: hosts that have moved come back"`
		BeganAt    *time.Time     `json:"began_at" doc:"null: it is not being changed"`
		Until      *time.Time     `json:"until" doc:"when the identity that is left is accepted no more; null: it is not being changed"`
		Hosts      int            `json:"hosts" doc:"how many there are, without revoked ones"`
		Moved      int            `json:"moved" doc:"how many of them use the identity that stays"`
		Left       []notMovedJSON `json:"left" nullable:"false" doc:"the others, those that are connected first: at the end they are refused"`
	}
}

type notMovedJSON struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Agent  string `json:"agent" doc:"the version of its agent; older ones than the control plane may not follow, and have to be updated first"`
	Online bool   `json:"online"`
}

// GetPlaneIdentity tells how far a change of the control plane's identity has come.
func (a *API) GetPlaneIdentity(ctx context.Context, _ *struct{}) (*planeIdentityOut, error) {
	s, err := a.Desk.Succession(ctx, a.Presence.Reachable)
	if err != nil {
		return nil, err
	}
	out := &planeIdentityOut{}
	b := &out.Body
	b.Generation, b.Hosts, b.Moved, b.Left = s.Generation, s.All, s.Moved, []notMovedJSON{}
	if p := s.Plan; p != nil {
		b.Changing, b.CalledOff, b.BeganAt, b.Until = true, p.Back, base.JSONTime(p.Began), base.JSONTime(p.Until)
	}
	for _, h := range s.Left {
		b.Left = append(b.Left, notMovedJSON{ID: h.ID, Name: h.Name, Agent: h.Agent, Online: h.Online})
	}
	return out, nil
}

type planeStepIn struct {
	Body struct {
		Do          string `json:"do" doc:"begin, put-off, call-off (hosts that moved come back), go-on (they move after all) or finish"`
		For         string `json:"for,omitempty" doc:"of begin and put-off: how long both are accepted from now, an hour to 366 days, as 720h"`
		LeaveBehind bool   `json:"leave_behind,omitempty" doc:"of finish: also if hosts have not moved; each has to be enrolled again"`
	}
}

// ChangePlaneIdentity takes a step in the course of a change. Another identity at once,
// which every host has to be enrolled for again, is for the page and the command line.
func (a *API) ChangePlaneIdentity(ctx context.Context, in *planeStepIn) (*planeIdentityOut, error) {
	if in.Body.Do == enroll.StepReplace {
		return nil, problem.NotSaved("identity", field.Errors{"do": "A program cannot replace the identity at once: every host would have to " +
			"be enrolled again. It is done on the page Identity, or by restic-manager key rotate --identity --now."})
	}
	length, err := time.ParseDuration(in.Body.For)
	if err != nil {
		length = 0 // what is no time is refused like one that is out of bounds
	}
	step := enroll.Step{Do: in.Body.Do, For: length, Leave: in.Body.LeaveBehind}
	if err := a.Desk.Take(ctx, session.Of(ctx).Name, step); err != nil {
		return nil, problem.Saving("identity", err)
	}
	return a.GetPlaneIdentity(ctx, nil)
}
