package web

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

// attentionSize is how many hosts in trouble are told about one by one.
const attentionSize = 20

// A fleet is every host as the database has it at one moment: a handful of
// queries, however many hosts there are.
type fleet struct {
	all    []fleetHost // most urgent first
	byID   map[topics.HostID]*fleetHost
	tally  views.Tally
	groups map[topics.HostID]bool
	day    []store.Outcome // of the last 24 hours
}

type fleetHost struct {
	store.Host
	status views.Status
	open   *store.Job // the one at work, or the one that waits longest
}

func (s *Server) fleet(ctx context.Context) (*fleet, error) {
	rows, err := s.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	open, err := s.Store.OpenJobs(ctx, "")
	if err != nil {
		return nil, err
	}
	f := &fleet{all: make([]fleetHost, len(rows)), byID: make(map[topics.HostID]*fleetHost, len(rows)), tally: views.Tally{}}
	if f.groups, err = s.Store.HostsWithGroups(ctx); err != nil {
		return nil, err
	}
	if f.day, err = s.Store.Outcomes(ctx, "", s.Now().Add(-24*time.Hour).UnixMilli()); err != nil {
		return nil, err
	}
	busy := map[topics.HostID]*store.Job{}
	for i := range open {
		j := &open[i]
		if had := busy[j.Host]; had == nil || had.State != topics.Running && j.State == topics.Running {
			busy[j.Host] = j
		}
	}
	for i, h := range rows {
		j := busy[h.ID]
		st := views.HostStatus(statusKey(s.Presence.Status(h, j != nil && j.State == topics.Running)))
		f.all[i] = fleetHost{h, st, j}
		f.tally[st.Key]++
	}
	// Rows come by name, so the order within a rank is theirs.
	slices.SortStableFunc(f.all, func(a, b fleetHost) int { return cmp.Compare(a.status.Rank, b.status.Rank) })
	for i := range f.all {
		f.byID[f.all[i].ID] = &f.all[i]
	}
	return f, nil
}

// A filter is what the fleet page was asked for.
type filter struct {
	status, query string
	page          int
}

func filterOf(q url.Values) filter {
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil {
		page = 1
	}
	return filter{status: q.Get("status"), query: strings.TrimSpace(q.Get("q")), page: page}
}

func (x filter) matches(h fleetHost) bool {
	if x.status != "" && h.status.Key != x.status {
		return false
	}
	text := strings.ToLower(h.Name + "\x00" + h.Hostname + "\x00" + h.Platform + "\x00" + string(h.ID))
	return strings.Contains(text, strings.ToLower(x.query))
}

// page is the part of the fleet that a filter shows.
func (f *fleet) page(x filter) ([]fleetHost, views.Paging) {
	var found []fleetHost
	for _, h := range f.all {
		if x.matches(h) {
			found = append(found, h)
		}
	}
	p := views.NewPaging(len(found), x.page, x.status, x.query)
	return found[p.From:p.To], p
}

// list names the hosts of a page in their order, so that a stream can tell
// whether the page still shows what it would show now.
func list(page []fleetHost) string {
	h := fnv.New64a()
	for _, r := range page {
		_, _ = h.Write([]byte(r.ID + "\n")) // never fails
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

func (s *Server) fleetPage(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r.Context())
	if err != nil {
		return err
	}
	x := filterOf(r.URL.Query())
	page, paging := f.page(x)
	rows, err := s.fleetRows(r.Context(), f, page)
	if err != nil {
		return err
	}
	attention, err := s.attention(r.Context(), f)
	if err != nil {
		return err
	}
	v := views.Fleet{Verdict: s.verdict(f), Figures: s.figures(f), Attention: attention, Running: s.atWork(f),
		Hosts: views.Hosts{Total: len(f.all), Query: x.query, Status: x.status, Tabs: views.Tabs(f.tally, x.status, x.query), Rows: rows, Paging: paging}}
	sh := s.shell(r, "Fleet", "fleet", views.Link{Text: "Fleet"})
	q := url.Values{"view": {"fleet"}, "list": {list(page)}, "hosts": {strconv.Itoa(len(f.all))}}
	for name, value := range map[string]string{"status": x.status, "q": x.query, "page": strconv.Itoa(x.page)} {
		if value != "" {
			q.Set(name, value)
		}
	}
	sh.Stream = "/events?" + q.Encode()
	s.render(w, r, http.StatusOK, views.FleetPage(sh, v))
	return nil
}

// oldest is the host whose last good backup is the oldest, and how many have one.
func (f *fleet) oldest() (oldest *fleetHost, protected int) {
	for i := range f.all {
		h := &f.all[i]
		if h.GoodAt == 0 {
			continue
		}
		protected++
		if oldest == nil || h.GoodAt < oldest.GoodAt {
			oldest = h
		}
	}
	return oldest, protected
}

func (s *Server) verdict(f *fleet) views.Verdict {
	oldest, protected := f.oldest()
	age := ""
	if oldest != nil {
		age = words.Ago(at(oldest.GoodAt), s.Now())
	}
	return views.NewVerdict(f.tally, protected, age)
}

func (s *Server) figures(f *fleet) views.Figures {
	oldest, protected := f.oldest()
	g := views.Figures{Protected: protected, Of: len(f.all), Segments: views.Segments(f.tally), SegmentsLabel: views.SegmentsLabel(f.tally), Runs: len(f.day)}
	var added, restorable uint64
	for _, o := range f.day {
		switch o.State {
		case topics.Succeeded:
			g.Succeeded++
		case topics.Warnings:
			g.Warnings++
		case topics.Cancelled:
			g.Cancelled++
		default:
			g.Failed++
		}
		if o.Summary.V != nil {
			added += o.Summary.V.DataAdded
		}
	}
	if added > 0 {
		g.Added = words.Bytes(added)
	}
	for _, h := range f.all {
		if h.GoodAt > 0 {
			g.RestorableHosts++
			restorable += h.GoodBytes
		}
	}
	if g.RestorableHosts > 0 {
		g.Restorable = words.Bytes(restorable)
	}
	if oldest != nil {
		g.Oldest = s.when(oldest.GoodAt)
		g.OldestSpan = words.Span(s.Now().Sub(at(oldest.GoodAt)))
		g.OldestHost = views.Link{Text: oldest.Name, URL: views.HostURL(string(oldest.ID))}
	}
	return g
}

// attention lists the hosts in trouble, with the cause of each in words.
func (s *Server) attention(ctx context.Context, f *fleet) ([]views.Attention, error) {
	var bad []fleetHost
	for _, h := range f.all {
		if h.status.Key == "failed" || h.status.Key == "warning" {
			bad = append(bad, h)
		}
	}
	bad = bad[:min(len(bad), attentionSize)]
	ids := make([]topics.JobID, len(bad))
	for i, h := range bad {
		ids[i] = h.StandingJob
	}
	rows, err := s.Store.JobsByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	last := map[topics.JobID]store.Job{}
	for _, j := range rows {
		last[j.ID] = j
	}
	out := make([]views.Attention, len(bad))
	for i, h := range bad {
		j := last[h.StandingJob]
		title, text := s.trouble(h.Host, j)
		out[i] = views.Attention{HostID: string(h.ID), Host: h.Name, Status: h.status, Title: title, Text: text,
			Link: views.Link{Text: "View log", URL: views.JobURL(string(j.ID))}}
	}
	return out, nil
}

// trouble says what is wrong with a host for which job j stands.
func (s *Server) trouble(h store.Host, j store.Job) (title, text string) {
	title = jobs.Explain(j.Kind, j.Cause, j.State).Cause
	if j.State == topics.Warnings && j.Summary.V != nil && j.Summary.V.Unreadable > 0 {
		title = words.Count(j.Summary.V.Unreadable, "item", "items") + " could not be read"
	}
	text = "It ended " + words.Ago(at(j.FinishedAt), s.Now()) + ". "
	if h.GoodAt == 0 {
		return title, text + "There is no good backup yet."
	}
	return title, text + "The last good backup was " + words.Ago(at(h.GoodAt), s.Now()) + "."
}

// atWork lists the jobs that run or were sent, and those that wait.
func (s *Server) atWork(f *fleet) []views.RunningJob {
	var out []views.RunningJob
	for _, running := range []bool{true, false} {
		for _, h := range f.all {
			if h.open != nil && (h.open.State == topics.Running) == running {
				out = append(out, s.running(*h.open, h.Name))
			}
		}
	}
	return out[:min(len(out), attentionSize)]
}

// running is an open job in a list.
func (s *Server) running(j store.Job, host string) views.RunningJob {
	r := views.RunningJob{ID: string(j.ID), Host: host, Kind: string(j.Kind), Percent: -1}
	switch p, ok := s.Hub.Progress(j.ID); {
	case j.State == topics.Queued:
		r.Amount = "Queued"
		if c, _ := s.Presence.Connection(j.Host); c != hosts.Online {
			r.Amount = "Queued until it connects"
		}
	case j.State == topics.Dispatched:
		r.Amount = "Waiting for the agent to answer"
	case !ok:
		r.Amount = "Starting"
	case !p.Scanned:
		r.Amount = "Scanning, " + words.Count(p.TotalFiles, "file", "files")
	default:
		r.Percent = words.Percent(p.BytesDone, p.TotalBytes)
		r.Amount = words.BytesOf(p.BytesDone, p.TotalBytes)
		r.Left = left(p)
	}
	if d, stalled := s.silent(j); stalled {
		r.Stalled, r.Left, r.Amount = true, "", "Nothing heard of restic for "+words.Span(d)
	}
	return r
}

// left is how much longer a job takes, once restic has seen enough to tell.
func left(p topics.Progress) string {
	if p.Seconds < 10 || !p.Scanned {
		return ""
	}
	return words.Left(time.Duration(p.SecondsLeft) * time.Second)
}

// fleetRows are some hosts of the fleet, with their strips: one query for all.
func (s *Server) fleetRows(ctx context.Context, f *fleet, page []fleetHost) ([]views.HostRow, error) {
	ids := make([]topics.HostID, len(page))
	for i, h := range page {
		ids[i] = h.ID
	}
	strips, err := s.strips(ctx, ids)
	if err != nil {
		return nil, err
	}
	rows := make([]views.HostRow, len(page))
	for i, h := range page {
		r := views.HostRow{ID: string(h.ID), Name: h.Name, Status: h.status, Connection: s.connection(h.ID), OS: system(h.Host),
			LastBackup: s.when(h.GoodAt), HasGroups: f.groups[h.ID], NoBackup: whyNot(h.Host, topics.BackupJob)}
		runs := strips[h.ID]
		if h.open != nil {
			j := s.running(*h.open, h.Name)
			r.Job = &j
			runs = append(runs, views.Run{At: s.Now(), Day: views.DayRunning})
			if h.open.State == topics.Running && h.status.Key == "running" {
				r.Status = h.status.As("Backing up")
			}
		}
		r.Strip = views.NewStrip(runs, s.Now())
		if h.GoodAt > 0 {
			r.LastTook = words.Duration(time.Duration(h.GoodSeconds) * time.Second)
			r.Restorable = words.Bytes(h.GoodBytes)
		}
		rows[i] = r
	}
	return rows, nil
}

// strips are what ended on some hosts in the days that a strip shows.
func (s *Server) strips(ctx context.Context, ids []topics.HostID) (map[topics.HostID][]views.Run, error) {
	rows, err := s.Store.OutcomesOf(ctx, ids, s.Now().AddDate(0, 0, -views.StripDays).UnixMilli())
	if err != nil {
		return nil, err
	}
	runs := make(map[topics.HostID][]views.Run, len(ids))
	for _, o := range rows {
		runs[o.Host] = append(runs[o.Host], views.Run{At: at(o.FinishedAt), Day: views.JobDay(string(o.State))})
	}
	return runs, nil
}

// system is what a host runs, as far as it said.
func system(h store.Host) string {
	if h.Platform != "" {
		return h.Platform
	}
	return h.OS
}

// changedList says that the list a page shows is another one now, and in which way.
func changedList(f *fleet, x filter, shown string, hosts int) string {
	if n := len(f.all) - hosts; n > 0 && hosts >= 0 {
		return words.Count(uint64(n), "new host", "new hosts")
	}
	if page, _ := f.page(x); shown != "" && list(page) != shown {
		return "The order has changed"
	}
	return ""
}

// fleetStream draws the fleet page again as hosts change.
func (s *Server) fleetStream(q url.Values) draw {
	x, shown := filterOf(q), q.Get("list")
	count, err := strconv.Atoi(q.Get("hosts"))
	if err != nil {
		count = -1
	}
	var onPage []topics.HostID // what the page shows, as far as we know
	waiting := map[topics.HostID]bool{}
	return func(ctx context.Context, p *painter, rang map[topics.HostID]bool) error {
		f, fresh, err := s.latelyFleet.read(ctx, s.Timing.Gap, s.fleet)
		if err != nil {
			return err
		}
		attention, err := s.attention(ctx, f)
		if err != nil {
			return err
		}
		p.morph("verdict", views.FleetVerdict(s.verdict(f)))
		p.morph("figures", views.FleetFigures(s.figures(f)))
		p.morph("attention", views.FleetAttention(attention))
		p.morph("running", views.FleetRunning(s.atWork(f)))
		p.morph("hosts-changed", views.FleetChanged(changedList(f, x, shown, count)))
		if onPage == nil {
			page, _ := f.page(x)
			onPage = make([]topics.HostID, 0, len(page))
			for _, h := range page {
				onPage = append(onPage, h.ID)
			}
		}
		for id := range rang {
			waiting[id] = true
		}
		if p.full { // whatever the page shows
			for _, id := range onPage {
				waiting[id] = true
			}
		}
		// The page may be filtered otherwise by now: it ignores a row it does not
		// have. A flood of changes goes out page by page.
		var some []fleetHost
		for id := range waiting {
			if len(some) == 2*views.PageSize {
				break
			}
			delete(waiting, id)
			if h := f.byID[id]; h != nil {
				some = append(some, *h)
			}
		}
		rows, err := s.fleetRows(ctx, f, some)
		if err != nil {
			return fmt.Errorf("rows of the fleet: %w", err)
		}
		if !fresh {
			for _, h := range some {
				waiting[h.ID] = true
			}
		}
		for _, r := range rows {
			p.morph(views.ElementID("host", r.ID), views.FleetRow(r))
		}
		p.again = !fresh || len(waiting) > 0
		return nil
	}
}
