package pages

import (
	"context"
	"encoding/csv"
	"encoding/hex"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/restic-manager/restic-manager/controlplane/problem"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// auditAsked reads what an address asks of the audit log, and the entry before which
// its page begins, 0 for the newest.
func auditAsked(q url.Values) (f views.AuditFilter, before int64) {
	before, _ = strconv.ParseInt(q.Get("before"), 10, 64)
	return views.AuditFilter{
		Query:  q.Get("q"),
		Who:    q.Get("who"),
		Action: q.Get("action"),
		Actor:  q.Get("actor"),
		Target: q.Get("target"),
		From:   q.Get("from"),
		To:     q.Get("to"),
	}, before
}

// auditFilter returns what was asked for without what is not known, what that means
// to the store, and what is wrong with its period.
func (s *Pages) auditFilter(ctx context.Context, f views.AuditFilter, before int64) (views.AuditFilter, store.AuditFilter, string, error) {
	f.Query = strings.TrimSpace(f.Query)
	if !slices.ContainsFunc(views.AuditActors(), func(o views.Option) bool { return o.Value == f.Who }) {
		f.Who = ""
	}
	x, wrong, err := s.AuditSearch(ctx, base.AuditQuery{
		Text:   f.Query,
		Kind:   f.Who,
		Action: f.Action,
		Actor:  f.Actor,
		Target: f.Target,
		From:   f.From,
		To:     f.To,
		Before: before,
	})
	return f, x, wrong, err
}

// auditNames are what the targets of entries are called.
func (s *Pages) auditNames(ctx context.Context, rows []store.AuditEntry) (map[string]views.Link, error) {
	names := map[string]views.Link{}
	m, err := s.Moment(ctx)
	if err != nil {
		return nil, err
	}
	var jobs []topics.JobID
	var groups []topics.SourceGroupID
	var repositories []topics.RepositoryID
	for _, e := range rows {
		if strings.HasPrefix(e.Action, "job.") {
			jobs = append(jobs, topics.JobID(e.Target))
			continue
		}
		if h := m.Host(topics.HostID(e.Target)); h != nil {
			names[e.Target] = views.Link{Text: h.Name, URL: views.HostURL(e.Target)}
			continue
		}
		groups, repositories = append(groups, topics.SourceGroupID(e.Target)), append(repositories, topics.RepositoryID(e.Target))
	}
	foundJobs, err := s.Store.JobsByID(ctx, jobs)
	if err != nil {
		return nil, err
	}
	hosts := map[topics.HostID]string{} // of jobs, and removed ones
	var hostIDs []topics.HostID
	for _, j := range foundJobs {
		hostIDs = append(hostIDs, j.Host)
	}
	for _, id := range groups {
		hostIDs = append(hostIDs, topics.HostID(id))
	}
	if err := s.Store.HostNames(ctx, hostIDs, hosts); err != nil {
		return nil, err
	}
	for id, name := range hosts {
		if m.Host(id) == nil {
			names[string(id)] = views.Link{Text: name}
		}
	}
	foundNames := map[topics.SourceGroupID]string{}
	if err := s.Store.GroupNames(ctx, groups, foundNames); err != nil {
		return nil, err
	}
	for id, name := range foundNames {
		names[string(id)] = views.Link{Text: name}
	}
	for _, j := range foundJobs {
		what := string(j.Kind)
		if j.Operation.V != nil && j.Operation.V.DryRun {
			what += ", dry run,"
		}
		names[string(j.ID)] = views.Link{Text: what + " of " + hosts[j.Host], URL: views.JobURL(string(j.ID))}
	}
	foundGroups, err := s.Store.SourceGroupsByID(ctx, groups)
	if err != nil {
		return nil, err
	}
	for _, g := range foundGroups {
		names[string(g.ID)] = views.Link{Text: g.Name + " of " + m.Name(g.Host), URL: views.HostURL(string(g.Host))}
	}
	foundRepositories := map[topics.RepositoryID]string{}
	err = s.Store.RepositoryNames(ctx, repositories, foundRepositories)
	for id, name := range foundRepositories {
		names[string(id)] = views.Link{Text: name}
	}
	return names, err
}

func (s *Pages) AuditPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	asked, before := auditAsked(r.URL.Query())
	f, x, wrong, err := s.auditFilter(ctx, asked, before)
	if err != nil {
		return err
	}
	v := views.Audit{Filter: f, Problem: wrong}
	rows, err := s.Store.AuditEntries(ctx, x, views.PageSize+1)
	if err != nil {
		return err
	}
	v.Total = len(rows)
	if len(rows) > views.PageSize || x.Before > 0 {
		all := x
		all.Before = 0
		if v.Total, err = s.Store.AuditCount(ctx, all); err != nil {
			return err
		}
	}
	if len(rows) > views.PageSize {
		rows = rows[:views.PageSize]
		v.Older = views.AuditURL(f, strconv.FormatInt(rows[len(rows)-1].N, 10))
	}
	if x.Before > 0 {
		v.Newest = views.AuditURL(f, "")
	}
	names, err := s.auditNames(ctx, rows)
	if err != nil {
		return err
	}
	for _, e := range rows {
		v.Rows = append(v.Rows, s.auditRow(e, names))
	}
	head, at, broken, err := s.chain.Verify(ctx, false)
	if err != nil {
		return err
	}
	v.Chain = views.Chain{Verified: views.NewWhen(at, s.Now()), Head: head.String()}
	if broken != nil {
		v.Chain.Broken = &views.Note{Tone: "fail", Title: "The audit log is broken at entry " + strconv.FormatInt(broken.N, 10),
			Text: "There, " + broken.Why + ". Somebody changed the database past this server, or a part of it was put back from a backup; " +
				"what stands at this entry and after it cannot be trusted. " +
				"Keep a copy of the database as it is, and compare it with its backups.",
			Link: views.Link{Text: "Show the entries before it", URL: views.AuditURL(views.AuditFilter{}, strconv.FormatInt(broken.N, 10))}}
	}
	sh := s.Shell(r, "Audit log", "audit", views.Link{Text: "Audit log"})
	if x.Before == 0 { // an older page does not change
		newest := head.N
		if len(rows) > 0 {
			newest = max(newest, rows[0].N)
		}
		sh.Stream = views.AuditStream(f, strconv.FormatInt(newest, 10))
	}
	s.Render(w, r, http.StatusOK, views.AuditPage(sh, v))
	return nil
}

// actorIcon is the picture of who did something.
func actorIcon(actor string) string {
	kind, _, named := strings.Cut(actor, ":")
	switch {
	case named && kind == "api":
		return "bot"
	case named && kind == "mqtt":
		return "radio"
	case named && kind == "schedule":
		return "calendar-clock"
	case actor == "plane":
		return "server"
	case actor == "cli":
		return "terminal"
	}
	return "user"
}

// named are subjects whose entries have the name they had at the time as their
// detail.
var named = []string{"user", "session", "api_token", "enroll_token", "host", "repository", "source_group", "schedule"}

func (s *Pages) auditRow(e store.AuditEntry, names map[string]views.Link) views.AuditRow {
	target, known := names[e.Target]
	detail := e.Detail
	subject, _, _ := strings.Cut(e.Action, ".")
	switch {
	case known && (detail == target.Text || subject == "source_group" || e.Action == "job.queued"):
		detail = "" // it says the same
	case !known && detail != "" && slices.Contains(named, subject):
		target, detail = views.Link{Text: detail}, ""
	case !known:
		target.Text = e.Target
	}
	return views.AuditRow{N: strconv.FormatInt(e.N, 10), At: s.When(e.At), Icon: actorIcon(e.Actor), Actor: e.Actor,
		By: views.AuditURL(views.AuditFilter{Actor: e.Actor}, ""), Deed: views.Deed(e.Action), Target: target, Detail: detail,
		Outcome: views.Outcome(e.Action), Remote: e.Remote}
}

// AuditStream tells an open page how many entries came since.
func (s *Pages) AuditStream(ctx context.Context, q url.Values) (layout.Draw, error) {
	asked, before := auditAsked(q)
	f, x, _, err := s.auditFilter(ctx, asked, before)
	if err != nil {
		return nil, err
	}
	x.Before = 0
	x.After, _ = strconv.ParseInt(q.Get("after"), 10, 64)
	return func(ctx context.Context, p *layout.Painter, _ map[topics.HostID]bool) error {
		n, err := s.Store.AuditCount(ctx, x)
		if err != nil {
			return err
		}
		p.Morph("audit-new", views.AuditNew(n, f))
		return nil
	}, nil
}

// VerifyAudit reads all of the chain because somebody wants to know now.
func (s *Pages) VerifyAudit(w http.ResponseWriter, r *http.Request) error {
	if _, _, _, err := s.chain.Verify(r.Context(), true); err != nil {
		return err
	}
	http.Redirect(w, r, "/audit", http.StatusSeeOther)
	return nil
}

// ExportChunk is how many entries are read and sent at a time.
const ExportChunk = 1000

// ExportAudit is what the filter finds, as a file for a spreadsheet. A client
// that does not take a chunk in time is not waited for.
func (s *Pages) ExportAudit(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	asked, before := auditAsked(r.URL.Query())
	_, x, wrong, err := s.auditFilter(ctx, asked, before)
	if err != nil {
		return err
	}
	if wrong != "" {
		return &problem.Problem{Kind: problem.Invalid, Title: "Nothing was exported", Say: wrong}
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	name := "audit-" + words.Date(ctx, s.Now()) + ".csv"
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	rc, out := http.NewResponseController(w), csv.NewWriter(w)
	out.UseCRLF = true
	// The writer keeps its error.
	_ = out.Write([]string{"number", "time", "actor", "action", "target", "name", "detail", "address", "hash"})
	for {
		var names map[string]views.Link
		rows, err := s.Store.AuditEntries(ctx, x, ExportChunk)
		if err == nil {
			names, err = s.auditNames(ctx, rows)
		}
		if err != nil {
			s.Log.Error("exporting the audit log failed", "err", err)
			panic(http.ErrAbortHandler) // half a log must not look whole
		}
		_ = rc.SetWriteDeadline(base.Deadline(s.Timing.Answer))
		for _, e := range rows {
			cells := []string{
				strconv.FormatInt(e.N, 10),
				words.ISO(base.At(e.At)),
				e.Actor,
				e.Action,
				e.Target,
				names[e.Target].Text,
				e.Detail,
				e.Remote,
				hex.EncodeToString(e.Hash),
			}
			for i := range cells {
				cells[i] = cell(cells[i])
			}
			_ = out.Write(cells)
			x.Before = e.N
		}
		if out.Flush(); out.Error() != nil || len(rows) < ExportChunk {
			return nil // a client that has gone is not our failure
		}
	}
}

// cell is a text that a spreadsheet shows and does not reckon: one that begins
// as a formula does begins with an apostrophe. What could deceive is spelt out,
// and nothing breaks the line.
func cell(s string) string {
	s = strings.ReplaceAll(words.Visible(s), "\t", " ")
	first := strings.TrimLeftFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '\'' || !unicode.IsGraphic(r) })
	if first != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(first)[0]) {
		return "'" + s
	}
	return s
}
