package api

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
)

type copyJSON struct {
	Path  string     `json:"path" doc:"on the control plane's machine"`
	Kind  string     `json:"kind" doc:"daily, or upgrade: before the schema was changed"`
	At    *time.Time `json:"at"`
	Bytes int64      `json:"bytes"`
}

type askedJSON struct {
	Kind string `json:"kind" enum:"user,host,token,consumer"`
	ID   string `json:"id"`
	Name string `json:"name" doc:"as the copy has it"`
	Sign string `json:"sign" doc:"the last that was heard, for people"`
}

type controlPlaneOut struct {
	Body struct {
		Copies     []copyJSON  `json:"copies" nullable:"false" doc:"the newest first"`
		CopiedAt   *time.Time  `json:"copied_at" doc:"when the last copy was made, wherever; null for never"`
		NextAt     *time.Time  `json:"next_at" doc:"null if none is made by itself"`
		Late       bool        `json:"late"`
		Failed     string      `json:"failed" doc:"why the last could not be made; empty: it was"`
		Epoch      int64       `json:"epoch" doc:"rises with each restore"`
		RestoredAt *time.Time  `json:"restored_at" doc:"null for never"`
		CopyOf     *time.Time  `json:"copy_of" doc:"when the copy was made that it was restored from"`
		Asked      []askedJSON `json:"asked" nullable:"false" doc:"whom the copy trusts, and nobody has confirmed since: they have no rights"`
	}
}

// GetControlPlane tells of the control plane's own backup.
func (a *API) GetControlPlane(ctx context.Context, _ *struct{}) (*controlPlaneOut, error) {
	st, err := a.Self.Status(ctx)
	if err != nil {
		return nil, err
	}
	open, err := a.Self.Open(ctx)
	if err != nil {
		return nil, err
	}
	signs, err := a.Self.Signs(ctx)
	if err != nil {
		return nil, err
	}
	out := &controlPlaneOut{}
	b := &out.Body
	b.Copies, b.Asked = []copyJSON{}, []askedJSON{}
	for _, c := range st.Copies {
		b.Copies = append(b.Copies, copyJSON{Path: c.Path, Kind: string(c.Kind), At: base.JSONTime(c.At.UnixMilli()), Bytes: c.Bytes})
	}
	for _, q := range open {
		b.Asked = append(b.Asked, askedJSON{Kind: q.Kind, ID: q.ID, Name: q.Name, Sign: signs[q.Kind+" "+q.ID]})
	}
	b.CopiedAt, b.Late, b.Failed, b.Epoch = base.JSONTime(st.CopiedAt), st.Late, st.Failed, st.Epoch
	b.RestoredAt, b.CopyOf = base.JSONTime(st.RestoredAt), base.JSONTime(st.LostFrom)
	if st.Every > 0 {
		b.NextAt = base.JSONTime(st.Next.UnixMilli())
	}
	return out, nil
}

type copyOut struct{ Body copyJSON }

// CopyControlPlane copies the database now.
func (a *API) CopyControlPlane(ctx context.Context, _ *struct{}) (*copyOut, error) {
	c, err := a.Self.Copy(ctx, session.Of(ctx).Name)
	if err != nil {
		return nil, err
	}
	return &copyOut{copyJSON{Path: c.Path, Kind: string(c.Kind), At: base.JSONTime(c.At.UnixMilli()), Bytes: c.Bytes}}, nil
}

type answerIn struct {
	Body struct {
		Kind    string   `json:"kind" enum:"user,host,token,consumer"`
		IDs     []string `json:"ids" nullable:"false" minItems:"1" maxItems:"1000" doc:"IDs or names"`
		Confirm bool     `json:"confirm" doc:"false: hosts are revoked, users stay disabled, tokens and consumers are removed"`
	}
}

type answerOut struct {
	Body struct {
		Answered int `json:"answered" doc:"how many had no answer before"`
	}
}

// AnswerQuestions confirms or refuses whom a restored control plane asks about.
func (a *API) AnswerQuestions(ctx context.Context, in *answerIn) (*answerOut, error) {
	n, err := a.Self.Answer(ctx, session.Of(ctx).Name, in.Body.Kind, in.Body.IDs, in.Body.Confirm)
	out := &answerOut{}
	out.Body.Answered = n
	return out, err
}
