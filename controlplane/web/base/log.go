package base

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// JSONTime is a time in JSON, null for none.
func JSONTime(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := words.At(ms).UTC()
	return &t
}

// A LineJSON is a line of a log: n, at, level and text; or a gap: n to to, with
// the reason.
type LineJSON struct {
	N     int          `json:"n"`
	To    int          `json:"to,omitempty"`
	Gap   string       `json:"gap,omitempty"`
	At    *time.Time   `json:"at,omitempty"`
	Level topics.Level `json:"level,omitempty"`
	Text  *string      `json:"text,omitempty"`
}

// LineOf returns an entry of a log as JSON has it.
func LineOf(e store.LogEntry) LineJSON {
	if e.GapTo > 0 {
		return LineJSON{N: e.N, To: e.GapTo, Gap: e.Text}
	}
	return LineJSON{N: e.N, At: JSONTime(e.At), Level: e.Level, Text: &e.Text}
}

// LogChunk is how many lines of a log are read and sent at a time.
const LogChunk = 1000

// SendLog sends what is stored of a log after a line, as it is read. A client
// that does not take a chunk in time is not waited for.
func (p *Parts) SendLog(ctx context.Context, w http.ResponseWriter, id topics.JobID, after int, put func(*bufio.Writer, store.LogEntry)) {
	rc, out := http.NewResponseController(w), bufio.NewWriterSize(w, 32<<10)
	for {
		rows, err := p.Store.Log(ctx, id, after, LogChunk)
		if err != nil {
			p.Log.Error("reading a log failed", "job", id, "err", err)
			panic(http.ErrAbortHandler) // half a log must not look whole
		}
		_ = rc.SetWriteDeadline(Deadline(p.Timing.Answer))
		for _, e := range rows {
			put(out, e) // its error stays with the writer
			after = e.Last()
		}
		if out.Flush() != nil || len(rows) < LogChunk {
			return
		}
	}
}

// PutJSON writes an entry of a log as a line of JSON.
func PutJSON(out *bufio.Writer, e store.LogEntry) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(LineOf(e))
}

// LogEnd logs why a stream ended, if that is worth knowing: a browser that goes,
// or does not read, is neither.
func (p *Parts) LogEnd(r *http.Request, err error) {
	if err != nil {
		p.Log.Debug("a stream ended", "path", r.URL.Path, "err", err)
	}
}

// One message carries at most so many log lines and about so many bytes of
// them: over the slowest line worth having it must arrive within Timing.Write,
// or a browser that comes back for it would never have it.
const (
	MaxBatch      = 1000
	maxBatchBytes = 128 << 10
)

// BatchOf is how many of the entries go into the next message.
func BatchOf(entries []store.LogEntry) int {
	bytes := 0
	for i, e := range entries {
		if bytes += len(e.Text) + 100; i > 0 && bytes > maxBatchBytes || i == MaxBatch {
			return i
		}
	}
	return len(entries)
}
