package jobpages

import (
	"bufio"
	"fmt"
	"mime"
	"net/http"

	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// putText is a line as "number  time  level  text", a gap as what is missing and
// why. Nothing in it can pass for another line.
func putText(out *bufio.Writer, e store.LogEntry) {
	if e.GapTo > 0 {
		_, _ = fmt.Fprintf(out, "%d-%d  not kept: %s\n", e.N, e.GapTo, words.Visible(e.Text))
		return
	}
	at := words.ISO(base.At(e.At))
	_, _ = fmt.Fprintf(out, "%d  %s  %-5s  %s\n", e.N, at, e.Level, words.Visible(e.Text))
}

// TextLog and jsonLog are a job's log as a file, as far as it is stored.
func (s *Pages) TextLog(w http.ResponseWriter, r *http.Request) error {
	return s.logFile(w, r, "txt", "text/plain; charset=utf-8", putText)
}

func (s *Pages) JsonLog(w http.ResponseWriter, r *http.Request) error {
	return s.logFile(w, r, "ndjson", "application/x-ndjson", base.PutJSON)
}

func (s *Pages) logFile(w http.ResponseWriter, r *http.Request, extension, media string, put func(*bufio.Writer, store.LogEntry)) error {
	j, err := s.Job(r.Context(), base.JobID(r))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", media)
	name := "job-" + string(j.ID) + "." + extension
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if j.LogDroppedAt > 0 {
		out := bufio.NewWriter(w)
		put(out, store.LogEntry{N: 1, GapTo: max(1, j.Lines), Text: s.dropped(j, words.ISO(base.At(j.LogDroppedAt)))})
		return base.IgnoreGone(out.Flush())
	}
	s.SendLog(r.Context(), w, j.ID, 0, put)
	return nil
}

// dropped says when, in words, and why retention removed a job's log.
func (s *Pages) dropped(j store.Job, at string) string {
	when := "The log was removed on " + at
	r := s.Settings.Retention
	switch age := base.At(j.LogDroppedAt).Sub(base.At(j.FinishedAt)); {
	case j.Kind == topics.FindJob && age >= store.SearchAge:
		return when + ": what a search found is kept, with its log, for " + words.Span(store.SearchAge) + " after it has ended."
	case r.Age > 0 && age >= r.Age:
		return when + ": logs are kept for " + words.Span(r.Age) + " after a job has ended."
	case r.Bytes > 0:
		return when + ", to make room for newer ones: " + words.Bytes(uint64(r.Bytes)) + " of logs are kept in all."
	}
	return when + ", by the bounds that held then."
}
