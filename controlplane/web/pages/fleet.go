package pages

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/live"
	"github.com/restic-manager/restic-manager/store"
	drillstore "github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

const (
	attentionHosts = 10 // of one cause that are named, and jobs at work: what is below them must be near
	waitingJobs    = 5  // that are listed
)

// filterOf is what the fleet page was asked for, and which page of it.
func filterOf(q url.Values) (f views.FleetFilter, page int) {
	page, err := strconv.Atoi(q.Get("page"))
	if err != nil {
		page = 1
	}
	return views.FleetFilter{Status: q.Get("status"), Cause: q.Get("cause"), Connection: q.Get("connection"),
		Tag:   strings.ToLower(strings.TrimSpace(q.Get("tag"))),
		Proof: q.Get("proof"),
		Query: strings.TrimSpace(q.Get("q"))}, page
}

// meant is a filter as the fleet understands it.
func meant(f views.FleetFilter) fleet.Filter {
	x := fleet.Filter{Cause: f.Cause, Connection: hosts.Connection(f.Connection), Tag: f.Tag, Proof: drillstore.Word(f.Proof),
		Text: f.Query}
	if f.Status == views.NeedAttention {
		x.Trouble = true
	} else {
		x.Status = hostStatusOf(f.Status)
	}
	return x
}

// hostsOn is the part of the fleet that a page with a filter shows.
func hostsOn(m *fleet.Moment, f views.FleetFilter, page int) ([]*fleet.Entry, views.Paging) {
	x := meant(f)
	p := views.NewPaging(m.Count(x), page, f)
	return m.Page(x, p.From, p.To-p.From), p
}

// list names the hosts of a page in their order, so that a stream can tell
// whether the page still shows what it would show now.
func list(page []*fleet.Entry) string {
	h := fnv.New64a()
	for _, e := range page {
		_, _ = h.Write([]byte(e.ID + "\n")) // never fails
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

func (s *Pages) FleetPage(w http.ResponseWriter, r *http.Request) error {
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	x, number := filterOf(r.URL.Query())
	page, _ := hostsOn(m, x, number)
	v, err := s.FleetView(r.Context(), m, x, number)
	if err != nil {
		return err
	}
	sh := s.Shell(r, "Fleet", "fleet", views.Link{Text: "Fleet"})
	q := x.Values(number)
	q.Set("view", "fleet")
	q.Set("list", list(page))
	q.Set("hosts", strconv.Itoa(m.Len()))
	sh.Stream = "/events?" + q.Encode()
	s.Render(w, r, http.StatusOK, views.FleetPage(sh, v))
	return nil
}

// FleetView is everything that the fleet page shows of one moment.
func (s *Pages) FleetView(ctx context.Context, m *fleet.Moment, x views.FleetFilter, number int) (views.Fleet, error) {
	page, paging := hostsOn(m, x, number)
	rows, err := s.fleetRows(ctx, page)
	if err != nil {
		return views.Fleet{}, err
	}
	cause := ""
	if x.Cause != "" {
		cause = fleet.CauseWords(x.Cause)
	}
	attention, err := s.attention(ctx, m)
	if err != nil {
		return views.Fleet{}, err
	}
	return views.Fleet{
		Verdict:   s.verdict(m),
		Figures:   s.figures(m),
		Attention: attention,
		Troubled:  m.InTrouble(),
		Work:      s.atWork(m),
		Hosts: views.Hosts{
			Total:  m.Len(),
			Filter: x,
			Tabs:   views.Tabs(keyed(m.TallyOf(x.Tag, x.Query)), x, cause, m.Count(meant(x))),
			Rows:   rows,
			Paging: paging,
		},
	}, nil
}

// disproved names the hosts of which the last drill failed. Whether they are protected is
// another thing.
func (s *Pages) disproved(m *fleet.Moment) (a views.Attention, any bool) {
	if m.Disproved == 0 {
		return a, false
	}
	few := m.Page(fleet.Filter{Proof: drillstore.Disproved}, 0, attentionHosts)
	a = views.Attention{Key: "drill failed", Status: statusOf(protection.Failed),
		Title: "The last drill could not prove that it can be restored",
		Total: m.Disproved, URL: views.FleetURL(views.FleetFilter{Proof: string(drillstore.Disproved)}, 1)}
	for _, h := range few {
		a.Hosts = append(a.Hosts, views.AttentionHost{ID: string(h.ID), Name: h.Name, Reason: h.Proof.Why})
	}
	a.Link = views.Link{Text: "Show all " + words.Number(uint64(m.Disproved)), URL: a.URL}
	if len(few) == 1 {
		a.Text, a.Link = few[0].Proof.Why, views.Link{Text: "View the drill", URL: views.JobURL(string(few[0].Proof.Job))}
	}
	return a, true
}

// keyed is a tally by the keys that pages know.
func keyed(tally map[protection.Status]int) views.Tally {
	t := views.Tally{}
	for st, n := range tally {
		t[string(st)] = n
	}
	return t
}

func (s *Pages) verdict(m *fleet.Moment) views.Verdict {
	var oldest views.When
	if m.Oldest != nil {
		oldest = s.When(m.Oldest.LastGood)
	}
	var silent *views.Silence
	if m.Silent != nil {
		silent = &views.Silence{Hosts: m.Silent.Hosts, Of: m.Silent.Of, At: s.When(m.Silent.At)}
	}
	v := views.NewVerdict(keyed(m.Tally), silent, oldest)
	if m.Disproved > 0 && v.Tone == "ok" { // what is saved as promised is worth as much as comes back of it
		v.Tone, v.Icon, v.At = "fail", "shield-x", views.When{}
		v.Title += ", but the last drill of " + words.Count(uint64(m.Disproved), "host", "hosts") + " failed"
		v.Text = "What was saved did not come back as it should."
		v.Link = views.Link{Text: "Show them", URL: views.FleetURL(views.FleetFilter{Proof: string(drillstore.Disproved)}, 1)}
	}
	if m.Len() > 0 {
		v.Agents = fmt.Sprintf("%s of %s connected.", words.Number(uint64(m.Online)), words.Count(uint64(m.Len()), "agent is", "agents are"))
	}
	return v
}

func (s *Pages) figures(m *fleet.Moment) views.Figures {
	t, d := keyed(m.Tally), m.Day
	g := views.Figures{Protected: m.Protected, Of: m.Len(), Segments: views.Segments(t), SegmentsLabel: views.SegmentsLabel(t),
		Runs: d.Runs, Succeeded: d.Succeeded, Warnings: d.Warnings, Cancelled: d.Cancelled, Failed: d.Failed, RestorableHosts: m.Saved}
	if d.Added > 0 {
		g.Added = words.Bytes(d.Added)
	}
	if m.Oldest != nil {
		g.Restorable = words.Bytes(m.Restorable)
		g.Oldest = s.When(m.Oldest.LastGood)
		g.OldestHost = views.Link{Text: m.Oldest.Name, URL: views.HostURL(string(m.Oldest.ID))}
	}
	return g
}

// attention lists which plans of retention wait for a person, and what is wrong by cause,
// with the hosts that have it.
func (s *Pages) attention(ctx context.Context, m *fleet.Moment) ([]views.Attention, error) {
	var out []views.Attention
	held, err := s.Store.PlansWaiting(ctx)
	for _, h := range held {
		out = append(out, views.Attention{Key: "held " + string(h.Repository), Status: statusOf(protection.Warning), Title: h.Name,
			About: "a plan of retention is held", Word: "Held for",
			Text:  "Nothing is removed of a source group that fell far below what it held, until somebody approves it.",
			Since: s.When(h.Since), Link: views.Link{Text: "Approve, or look", URL: views.RepositoryURL(string(h.Repository)) + "/retention"}})
	}
	waiting, werr := s.Store.Admission().Held(ctx)
	if n := len(waiting); n > 0 {
		out = append(out, views.Attention{Key: "approval", Status: statusOf(protection.Warning),
			Title: words.Count(uint64(n), "host waits", "hosts wait"), About: "to be approved", Word: "The longest for",
			Text:  "They came with an enrolment key, and nothing of them is backed up before somebody approves them.",
			Since: s.When(waiting[n-1].HeldAt), Link: views.Link{Text: "Approve, or look", URL: views.KeysURL}})
	}
	if err == nil {
		err = werr
	}
	if a, any := s.disproved(m); any {
		out = append(out, a)
	}
	for _, t := range m.Troubles() {
		a := views.Attention{Key: t.Cause, Status: statusOf(t.Status), Title: fleet.CauseWords(t.Cause), Total: len(t.Hosts),
			URL: views.FleetURL(views.FleetFilter{Status: views.NeedAttention, Cause: t.Cause}, 1)}
		for _, h := range t.Hosts[:min(len(t.Hosts), attentionHosts)] {
			a.Hosts = append(a.Hosts, views.AttentionHost{ID: string(h.ID), Name: h.Name, Reason: h.Reason, Since: s.When(h.Since),
				Revoked: h.RevokedAt > 0, Waits: h.RevokedAt > 0 && s.Store.Admission().Waits(ctx, h.ID)})
		}
		if len(t.Hosts) == 1 {
			h := t.Hosts[0]
			a.Title, a.Text, a.Since = h.Reason, s.lastGood(ctx, h), s.When(h.Since)
		}
		a.Link = cure(t)
		out = append(out, a)
	}
	return out, err
}

// cure leads to what helps all hosts with a cause: their one repository, if it is the
// repository's; else the host, its job, or the list of hosts.
func cure(t fleet.Trouble) views.Link {
	shared := t.Hosts[0].Worst().Repository
	for _, h := range t.Hosts {
		if h.Worst().Repository != shared {
			shared = ""
		}
	}
	switch t.Cause {
	case string(topics.CauseLocked), string(topics.CausePassword), string(topics.CauseDamaged), string(topics.CauseCredentials),
		protection.CauseMissing, protection.CauseUnreadable, protection.CauseDamaged, protection.CauseSnapshotsGone:
		if shared != "" {
			return views.Link{Text: "Open the repository", URL: views.RepositoryURL(string(shared))}
		}
	}
	h := t.Hosts[0]
	switch {
	case len(t.Hosts) > 1:
		return views.Link{Text: "Show all " + words.Number(uint64(len(t.Hosts))),
			URL: views.FleetURL(views.FleetFilter{Status: views.NeedAttention, Cause: t.Cause}, 1)}
	case h.Worst().Facts.Last.Job != "" && (h.Status == protection.Failed || h.Status == protection.Warning):
		return views.Link{Text: "View log", URL: views.JobURL(string(h.Worst().Facts.Last.Job))}
	}
	return views.Link{Text: "View host", URL: views.HostURL(string(h.ID))}
}

// lastGood says when the last good backup of a host was, and when it was heard of if it
// is offline.
func (s *Pages) lastGood(ctx context.Context, h *fleet.Entry) string {
	if h.RevokedAt > 0 && s.Store.Admission().Waits(ctx, h.ID) {
		return "It waits for approval: nothing is backed up before somebody approves it. " + s.lastSeen(h)
	}
	if h.RevokedAt > 0 {
		return "It is revoked: nothing is backed up until it is enrolled again. If it is out of use, retire or remove it. " + s.lastSeen(h)
	}
	return s.lastSeen(h)
}

// lastSeen says when the last good backup was of the source group that is worst off, and
// when the host was heard of.
func (s *Pages) lastSeen(h *fleet.Entry) string {
	good, of := h.LastGood, ""
	if w := h.Worst(); w.Name != "" && len(h.Groups) > 1 { // of the one that is in trouble
		good, of = w.LastGood(), " of "+w.Name
	}
	text := "There is no good backup" + of + "."
	if good > 0 {
		text = "The last good backup" + of + " was " + words.Ago(base.At(good), s.Now()) + "."
	}
	if _, seen := s.Presence.Connection(h.ID); h.Connection == hosts.Offline && seen.UnixMilli() > 0 {
		text += " Its agent was last heard of " + words.Ago(seen, s.Now()) + "."
	}
	return text
}

// atWork lists jobs at work, and those that wait, the oldest first.
func (s *Pages) atWork(m *fleet.Moment) views.Work {
	w := views.Work{Runs: m.Running, Waits: m.Waiting}
	for _, h := range m.ByUrgency() {
		for _, j := range h.Open {
			if j.State == topics.Running && len(w.Running) < attentionHosts {
				w.Running = append(w.Running, s.Running(j, h.Name, h.GroupName(j.SourceGroup)))
			}
		}
	}
	for _, j := range m.Open() {
		if j.State != topics.Running && len(w.Waiting) < waitingJobs {
			w.Waiting = append(w.Waiting, s.Running(j, m.Name(j.Host), m.Host(j.Host).GroupName(j.SourceGroup)))
		}
	}
	return w
}

// fleetRows are some hosts of the fleet, with their strips: one query for all.
func (s *Pages) fleetRows(ctx context.Context, page []*fleet.Entry) ([]views.HostRow, error) {
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
		rows[i] = s.fleetRow(ctx, h, strips[h.ID])
	}
	return rows, nil
}

// fleetRow is a host with what ended there in the days of a strip.
func (s *Pages) fleetRow(ctx context.Context, h *fleet.Entry, runs []views.Run) views.HostRow {
	r := views.HostRow{
		ID:         string(h.ID),
		Name:       h.Name,
		Status:     statusOf(h.Status),
		Reason:     h.Reason,
		Since:      s.When(h.Since),
		Connection: s.Connection(h.ID),
		OS:         base.System(h.Host),
		Tags:       h.Tags,
		LastBackup: s.When(h.LastGood),
		HasGroups:  len(h.Groups) > 0,
		Proof:      s.proofOf(h),
		NoBackup:   s.WhyNot(h.Host, topics.BackupJob),
	}
	if open := h.Busy(); open != nil {
		j := s.Running(*open, h.Name, h.GroupName(open.SourceGroup))
		r.Job, r.Beside = &j, h.Beside()
		if slices.ContainsFunc(h.Open, func(j store.Job) bool { return j.Kind == topics.BackupJob }) {
			runs = append(runs[:len(runs):len(runs)], views.Run{At: s.Now(), Day: views.DayRunning})
		}
		if h.Status == protection.Running {
			r.Status = r.Status.As("Backing up")
		}
	}
	r.Strip = views.NewStrip(ctx, runs, s.Now())
	if h.LastGood > 0 {
		r.LastTook = words.Duration(time.Duration(h.LastTook) * time.Second)
		r.Restorable = words.Bytes(h.Restorable)
	}
	return r
}

// strips are what ended on some hosts in the days that a strip shows.
func (s *Pages) strips(ctx context.Context, ids []topics.HostID) (map[topics.HostID][]views.Run, error) {
	rows, err := s.Store.HostDays(ctx, ids, s.Now().AddDate(0, 0, -views.StripDays).UnixMilli())
	if err != nil {
		return nil, err
	}
	runs := make(map[topics.HostID][]views.Run, len(ids))
	for _, o := range rows {
		run := views.Run{At: base.At(o.At), Day: views.JobDay(string(o.State))}
		if o.Outcome != "" {
			run.Day = views.SlotDay(string(o.Outcome))
		}
		runs[o.Host] = append(runs[o.Host], run)
	}
	return runs, nil
}

// A fleetTab is the fleet page in somebody's browser.
type fleetTab struct {
	s      *Pages
	filter views.FleetFilter
	page   int
	list   string // what the page showed at first
	hosts  int    // how many there were then; below zero: not known

	m    *fleet.Moment // that was drawn last
	rows []fleetTabRow // the page's, in the order in which it began
	wait live.Progress
}

type fleetTabRow struct {
	id    topics.HostID
	entry *fleet.Entry // as it was drawn
	runs  []views.Run  // for its strip
}

// FleetStream draws the fleet page again as hosts change.
func (s *Pages) FleetStream(q url.Values) layout.Draw {
	t := &fleetTab{s: s, list: q.Get("list"), hosts: -1, wait: live.Progress{Pause: s.Timing.Progress}}
	t.filter, t.page = filterOf(q)
	if n, err := strconv.Atoi(q.Get("hosts")); err == nil {
		t.hosts = n
	}
	return t.draw
}

// draw looks only at what may have become another: everything, if anything about
// any host did, or else the progress of jobs.
func (t *fleetTab) draw(ctx context.Context, p *layout.Painter, rang map[topics.HostID]bool) error {
	s, m := t.s, p.Moment
	moved := m != t.m
	t.m = m
	if moved || p.Full {
		p.Morph("verdict", views.FleetVerdict(s.verdict(m)))
		p.Morph("figures", views.FleetFigures(s.figures(m)))
		attention, err := s.attention(ctx, m)
		if err != nil {
			return err
		}
		p.Morph("attention", views.FleetAttention(attention, m.InTrouble()))
		p.Morph("hosts-changed", views.FleetChanged(t.changed(m)))
	}
	rang, p.Again = t.wait.Due(rang, moved || p.Full)
	if moved || p.Full || len(rang) > 0 {
		p.Morph("running", views.FleetRunning(s.atWork(m)))
	}
	if t.rows == nil {
		page, _ := hostsOn(m, t.filter, t.page)
		t.rows = make([]fleetTabRow, len(page))
		for i, h := range page {
			t.rows[i].id = h.ID
		}
	}
	if moved {
		if err := t.read(ctx, m); err != nil {
			return fmt.Errorf("rows of the fleet: %w", err)
		}
	}
	for i := range t.rows {
		r := &t.rows[i]
		if h := m.Host(r.id); h != nil && (h != r.entry || p.Full || rang[r.id] && h.Busy() != nil) {
			r.entry = h
			p.Morph(views.ElementID("host", string(r.id)), views.FleetRow(s.fleetRow(ctx, h, r.runs)))
		}
	}
	return nil
}

// read reads the strips of the hosts that are others now.
func (t *fleetTab) read(ctx context.Context, m *fleet.Moment) error {
	var ids []topics.HostID
	for _, r := range t.rows {
		if m.Host(r.id) != r.entry {
			ids = append(ids, r.id)
		}
	}
	strips, err := t.s.strips(ctx, ids)
	if err != nil {
		return err
	}
	for i := range t.rows {
		if runs, ok := strips[t.rows[i].id]; ok {
			t.rows[i].runs = runs
		}
	}
	return nil
}

// changed says that the list would be another one now, and in which way.
func (t *fleetTab) changed(m *fleet.Moment) string {
	if n := m.Len() - t.hosts; n > 0 && t.hosts >= 0 {
		return words.Count(uint64(n), "new host", "new hosts")
	}
	if page, _ := hostsOn(m, t.filter, t.page); t.list != "" && list(page) != t.list {
		return "The order has changed"
	}
	return ""
}
