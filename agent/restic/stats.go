package restic

import (
	"context"
	"encoding/json"

	"github.com/restic-manager/restic-manager/topics"
)

// stats counts all snapshots in one of restic's modes.
type stats struct {
	silent
	mode  string
	total struct {
		Size         count  `json:"total_size"`
		Uncompressed count  `json:"total_uncompressed_size"`
		Files        count  `json:"total_file_count"`
		Blobs        count  `json:"total_blob_count"`
		Snapshots    *count `json:"snapshots_count"`
	}
}

func (s *stats) args(Version, string) ([]string, error) {
	return []string{"stats", "--json", "--no-lock", "--mode", s.mode}, nil
}
func (s *stats) words() string { return "stats --mode " + s.mode }
func (s *stats) part() (n, of int) {
	if s.mode == "raw-data" {
		return 2, 2
	}
	return 1, 2
}
func (*stats) answers(Version) bool { return true }
func (s *stats) read(o *output, line []byte) bool {
	if line[0] != '{' || json.Unmarshal(line, &s.total) != nil || s.total.Snapshots == nil {
		return false
	}
	o.answered = true
	return true
}

// Stats measures the repository. It takes two runs, and the first reads all trees of
// all snapshots.
func (b Binary) Stats(ctx context.Context, place Place, repository Repository, sink Sink) Ending {
	whole, raw := &stats{mode: "restore-size"}, &stats{mode: "raw-data"}
	e := b.run(ctx, place, repository, whole, sink)
	if e.State != topics.Succeeded {
		return e
	}
	if e = b.run(ctx, place, repository, raw, sink); e.State != topics.Succeeded {
		return e
	}
	e.Result = &topics.Result{Stats: &topics.Stats{
		Snapshots: uint64(*whole.total.Snapshots), RestoreBytes: uint64(whole.total.Size), Files: uint64(whole.total.Files),
		StoredBytes: uint64(raw.total.Size), PlainBytes: uint64(raw.total.Uncompressed), Blobs: uint64(raw.total.Blobs),
	}}
	return e
}
