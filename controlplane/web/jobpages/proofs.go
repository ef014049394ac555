package jobpages

import (
	"context"
	"net/http"
	"slices"

	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// verdicts are what a drill says of a file, in words.
var verdicts = map[topics.Verdict]string{
	topics.SameAsSource: "Proven: as the host has it",
	topics.SameAsSaved:  "Proven: as it was saved",
	topics.ThereAsSaved: "Proven: it came back",
	topics.Differs:      "Not proven: it differs",
	topics.NotRestored:  "Not proven: it did not come back",
}

// proofsView is a page of what a drill found out about each file; the part's kind "failed"
// leaves out what was proven.
func (s *Pages) proofsView(ctx context.Context, j store.Job, p part) (views.Proofs, error) {
	v := views.Proofs{JobID: string(j.ID), OnlyFailed: p.kind == "failed", Page: p.own}
	parts, err := s.Store.Reports(ctx, j.ID)
	if err != nil {
		return v, err
	}
	shown := topics.ProofsOf(parts)
	v.Total = len(shown)
	if v.Failed = slices.IndexFunc(shown, func(f topics.Proof) bool { return f.Verdict.Proves() }); v.Failed < 0 {
		v.Failed = len(shown)
	}
	if v.OnlyFailed {
		shown = shown[:v.Failed]
	}
	if r := j.Result.V; r != nil {
		v.Cut, v.Gone = r.Truncated, v.Total == 0 && r.Parts > 0 && r.Count > 0
	}
	v.Paging = views.PagingBy(len(shown), p.page, views.ProofRows, "file", "files",
		func(page int) string { return views.ProofsURL(v.JobID, v.OnlyFailed, page) })
	for _, f := range shown[v.Paging.From:v.Paging.To] {
		row := views.ProvenFile{Path: f.Path, Hash: f.Hash, Snapshot: layout.Short(f.Snapshot), Proven: f.Verdict.Proves(),
			Verdict: verdicts[f.Verdict], Why: f.Why}
		if row.Verdict == "" {
			row.Verdict = string(f.Verdict)
		}
		if f.Type == "file" {
			row.Size = words.Bytes(f.Bytes)
		}
		v.Rows = append(v.Rows, row)
	}
	return v, nil
}

// ProofsPage is everything that a drill found out about files, with a filter.
func (s *Pages) ProofsPage(w http.ResponseWriter, r *http.Request) error {
	j, err := s.reported(r, topics.DrillJob)
	if err != nil {
		return err
	}
	v, err := s.proofsView(r.Context(), j, partOf(r))
	if err != nil {
		return err
	}
	sh := s.Shell(r, "What the drill proved", "jobs", views.Link{Text: "Job", URL: views.JobURL(string(j.ID))}, views.Link{Text: "Files"})
	s.Render(w, r, http.StatusOK, views.ProofsPage(sh, v))
	return nil
}
