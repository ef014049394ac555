package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
)

var toSchedules = views.Link{Text: "Schedules", URL: views.SchedulesURL}

// schedulesView is when the fleet is backed up.
func (s *Server) schedulesView(ctx context.Context) (*views.Schedules, error) {
	rows, err := s.Store.Schedules(ctx, "")
	if err != nil {
		return nil, err
	}
	list, err := s.Store.SourceGroups(ctx, "")
	if err != nil {
		return nil, err
	}
	groups := map[topics.SourceGroupID]store.SourceGroup{}
	for _, g := range list {
		groups[g.ID] = g
	}
	moved, err := s.Store.Moved(ctx, list)
	if err != nil {
		return nil, err
	}
	hosts, err := s.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	byID := map[topics.HostID]store.Host{}
	for _, h := range hosts {
		byID[h.ID] = h
	}
	rounds, err := s.roundsOf(ctx)
	if err != nil {
		return nil, err
	}
	l := views.Schedules{Load: s.load(rows, -1)}
	planned := map[topics.SourceGroupID]bool{}
	for _, sc := range rows {
		h := byID[sc.Host]
		plan := slots.ReadPlan(sc.Cron)
		row := views.ScheduleRow{HostID: string(sc.Host), Host: h.Name, Name: sc.Name, On: sc.Enabled, Words: plan.Words(), Cron: sc.Cron, Zone: sc.Zone,
			Round: rounds.of(sc), Copy: s.copyOn(h, moved(sc))}
		if plan.Kind == slots.Cron {
			row.Words = "By its cron line"
		}
		var names []string
		for _, g := range sc.Groups {
			names = append(names, groups[g].Name)
			planned[g] = planned[g] || sc.Enabled
		}
		row.Groups = strings.Join(names, ", ")
		if next, err := schedule.NextStarts(sc, s.Now(), 1); err == nil && len(next) > 0 && sc.Enabled {
			row.Next = views.When{Clock: views.Clock(next[0], s.Now()), ISO: views.ISO(next[0])}
			row.NextIn = views.In(next[0], s.Now())
		} else if err != nil {
			row.Words = "Cannot be read: " + err.Error()
		}
		l.Rows = append(l.Rows, row)
	}
	slices.SortStableFunc(l.Rows, func(a, b views.ScheduleRow) int {
		return strings.Compare(a.Name+"\x00"+a.Host, b.Name+"\x00"+b.Host)
	})
	for _, g := range list {
		if !planned[g.ID] {
			l.Without = append(l.Without, views.Without{HostID: string(g.Host), Host: byID[g.Host].Name, Group: g.Name})
		}
	}
	return &l, nil
}

func (s *Server) schedulesPage(w http.ResponseWriter, r *http.Request) error {
	l, err := s.schedulesView(r.Context())
	if err != nil {
		return err
	}
	sh := s.shell(r, "Schedules", "schedules", views.Link{Text: "Schedules"})
	sh.Stream = views.SchedulesStream()
	s.render(w, r, http.StatusOK, views.SchedulesPage(sh, *l))
	return nil
}

// schedulesStream draws the list again as it changes: all of it when other
// schedules are on it, else the rows that look different.
func (s *Server) schedulesStream() draw {
	shown := "none yet"
	waiting := map[topics.HostID]bool{}
	return func(ctx context.Context, p *painter, rang map[topics.HostID]bool) error {
		l, fresh, err := s.latelySchedules.read(ctx, s.Timing.Gap, s.schedulesView)
		if err != nil {
			return err
		}
		var names strings.Builder
		for _, r := range l.Rows {
			names.WriteString(r.HostID + "\x00" + r.Name + "\x00")
		}
		all := shown != names.String()
		if shown = names.String(); all {
			p.morph("schedules", views.SchedulesList(*l))
		}
		maps.Copy(waiting, rang)
		for _, r := range l.Rows {
			host := topics.HostID(r.HostID)
			waiting[host] = waiting[host] || p.full
			switch id, row := views.ScheduleElement(r), views.ScheduleTableRow(r); {
			case all:
				p.sees(id, row)
			case waiting[host]:
				p.morph(id, row)
			}
		}
		p.morph("schedules-aside", views.SchedulesAside(*l))
		if p.again = !fresh; fresh {
			clear(waiting)
		}
		return nil
	}
}

// rounds are the newest job of each group of each schedule, and the schedules
// that owe a run.
type rounds struct {
	jobs map[topics.ScheduleID][]store.Round
	owed map[topics.ScheduleID]bool
}

func (s *Server) roundsOf(ctx context.Context) (rounds, error) {
	out := rounds{jobs: map[topics.ScheduleID][]store.Round{}, owed: map[topics.ScheduleID]bool{}}
	list, err := s.Store.Rounds(ctx)
	if err != nil {
		return out, err
	}
	for _, r := range list {
		out.jobs[r.Schedule] = append(out.jobs[r.Schedule], r)
	}
	pending, err := s.Store.PendingRuns(ctx, "")
	for _, p := range pending {
		out.owed[p.Schedule] = true
	}
	return out, err
}

// of words how the last slot of a schedule went, for all its groups.
func (o rounds) of(sc store.Schedule) views.Status {
	last, n, good, bad, open := int64(0), 0, 0, 0, 0
	for _, r := range o.jobs[sc.ID] {
		last = max(last, r.Slot)
	}
	for _, r := range o.jobs[sc.ID] {
		if r.Slot != last {
			continue
		}
		switch n++; r.State {
		case topics.Succeeded, topics.Warnings:
			good++
		case topics.Failed, topics.Interrupted, topics.Abandoned:
			bad++
		case topics.Queued, topics.Dispatched, topics.Running:
			open++
		}
	}
	switch {
	case o.owed[sc.ID]:
		return views.JobStatus("queued").As("Owed, tried again")
	case n == 0:
		return views.HostStatus("no-backup").As("None yet")
	case open > 0:
		return views.JobStatus("running").As(fmt.Sprintf("%d of %d done", good+bad, n))
	case bad > 0:
		return views.JobStatus("failed").As(fmt.Sprintf("%d of %d failed", bad, n))
	case good < n:
		return views.JobStatus("cancelled").As(fmt.Sprintf("%d of %d", good, n))
	}
	return views.JobStatus("succeeded").As(fmt.Sprintf("%d of %d", good, n))
}

// copyOn words whether a host goes by what is here; moved says that it changed since
// revisions were given out.
func (s *Server) copyOn(h store.Host, moved bool) views.Copy {
	age := func(ms int64) string { return views.Span(max(s.Now().Sub(at(ms)), time.Minute)) }
	switch {
	case !h.Fires() && h.HelloN == 0:
		return views.Copy{Text: "Waits for the host's first visit"}
	case !h.Fires():
		return views.Copy{Text: "The agent is too old to keep one", Problem: "This server fires for it, and only while it runs. Update the agent."}
	case moved:
		return views.Copy{Text: "Changed just now"}
	case h.ConfigApplied != h.ConfigRevision && h.ConfigApplied == 0:
		return views.Copy{Text: "Waits for the host for " + age(h.ConfigMadeAt)}
	case h.ConfigApplied != h.ConfigRevision:
		return views.Copy{Text: fmt.Sprintf("Revision %d of %d, waits for the host for %s", h.ConfigApplied, h.ConfigRevision, age(h.ConfigMadeAt))}
	case h.ConfigError != "":
		return views.Copy{InForce: true, Text: fmt.Sprintf("Revision %d, not all of it", h.ConfigApplied), Problem: h.ConfigError}
	}
	return views.Copy{InForce: true, Text: fmt.Sprintf("Revision %d for %s", h.ConfigApplied, age(h.ConfigAppliedAt))}
}

// copyOfAll words whether a host goes by its schedules as they are here.
func (s *Server) copyOfAll(ctx context.Context, host topics.HostID, list []store.SourceGroup) (views.Copy, error) {
	rows, err := s.Store.Schedules(ctx, host)
	if err != nil {
		return views.Copy{}, err
	}
	moved, err := s.Store.Moved(ctx, list)
	if err != nil {
		return views.Copy{}, err
	}
	h, err := s.host(ctx, host)
	return s.copyOn(h, slices.ContainsFunc(rows, moved)), err
}

// load counts what begins in the next 24 hours, by the server's clock.
func (s *Server) load(rows []store.Schedule, mark int) views.Load {
	now := s.Now()
	l := views.Load{Mark: mark, Zone: "by this server's clock"}
	for _, sc := range rows {
		starts, err := schedule.Starts(sc, now)
		if err != nil || !sc.Enabled {
			continue
		}
		for start := range starts {
			if !start.Before(now.Add(24 * time.Hour)) {
				break
			}
			l.Hours[start.In(now.Location()).Hour()] += max(len(sc.Groups), 1)
		}
	}
	return l
}

// chooseScheduleHost asks which host a new schedule is for.
func (s *Server) chooseScheduleHost(w http.ResponseWriter, r *http.Request) error {
	hosts, err := s.Store.Hosts(r.Context())
	if err != nil {
		return err
	}
	have, err := s.Store.HostsWithGroups(r.Context())
	if err != nil {
		return err
	}
	var options []views.Option
	for _, h := range hosts {
		if have[h.ID] {
			options = append(options, views.Option{Value: string(h.ID), Text: h.Name})
		}
	}
	s.render(w, r, http.StatusOK, views.ScheduleHosts(s.shell(r, "New schedule", "schedules", toSchedules, views.Link{Text: "New"}), options))
	return nil
}

// scheduleForm shows a schedule's form: a new one, or one as it is.
func (s *Server) scheduleForm(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	h, err := s.host(ctx, hostID(r))
	if err != nil {
		return err
	}
	row := store.Schedule{Host: h.ID, Cron: "30 2 * * *", Zone: s.Now().Location().String(), JitterSeconds: 600, Enabled: true, RetryMax: 3}
	if row.Zone == "Local" || row.Zone == "" {
		row.Zone = "UTC"
	}
	name := param(r, "name")
	if name != "" {
		if row, err = s.schedule(ctx, h.ID, name); err != nil {
			return err
		}
	}
	form := url.Values{"name": {row.Name}, "zone": {row.Zone}, "retry_max": {strconv.Itoa(row.RetryMax)}, "jitter": {strconv.Itoa(row.JitterSeconds / 60)}, "cron": {row.Cron}}
	p := slots.ReadPlan(row.Cron)
	form.Set("kind", p.Kind)
	form.Set("every", strconv.Itoa(max(p.Every, 1)))
	form.Set("first", strconv.Itoa(p.First))
	form.Set("minute", strconv.Itoa(p.Minute))
	form.Set("month_day", strconv.Itoa(max(p.Day, 1)))
	var times []string
	for _, hour := range p.Hours {
		times = append(times, fmt.Sprintf("%02d:%02d", hour, p.Minute))
	}
	form.Set("time", strings.Join(times, ", "))
	if len(times) == 0 {
		form.Set("time", "02:30")
	}
	for _, d := range p.Days {
		form.Add("day", strconv.Itoa(int(d)))
	}
	if row.Enabled {
		form.Set("enabled", "true")
	}
	groups, err := s.Store.SourceGroups(ctx, h.ID)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if slices.Contains(row.Groups, g.ID) || name == "" {
			form.Add("group", g.Name)
		}
	}
	f, err := s.scheduleView(ctx, h, name, groups, form, row, views.ScheduleErrors{})
	if err != nil {
		return err
	}
	return s.showSchedule(w, r, http.StatusOK, h, f)
}

func (s *Server) showSchedule(w http.ResponseWriter, r *http.Request, status int, h store.Host, f views.ScheduleForm) error {
	title := "New schedule"
	if f.Schedule != "" {
		title = f.Schedule
	}
	s.render(w, r, status, views.SchedulePage(s.shell(r, title, "schedules", toSchedules, views.Link{Text: h.Name, URL: views.HostURL(string(h.ID))}, views.Link{Text: title}), f))
	return nil
}

// readSchedule reads a form over a row: the row as it would be, and what is wrong
// with which field.
func (s *Server) readSchedule(row store.Schedule, groups []store.SourceGroup, form url.Values) (store.Schedule, views.ScheduleErrors) {
	var e views.ScheduleErrors
	row.Groups = nil
	for _, name := range form["group"] {
		i := slices.IndexFunc(groups, func(g store.SourceGroup) bool { return g.Name == name })
		if i < 0 {
			e.Groups = fmt.Sprintf("The host has no source group named %.100q any more.", name)
		} else if !slices.Contains(row.Groups, groups[i].ID) {
			row.Groups = append(row.Groups, groups[i].ID)
		}
	}
	if len(row.Groups) == 0 && e.Groups == "" {
		e.Groups = "Choose at least one."
	}
	row.Cron, e.When = readPlan(form)
	row.Zone = strings.TrimSpace(form.Get("zone"))
	row.Enabled = form.Get("enabled") == "true"
	if minutes, err := strconv.Atoi(strings.TrimSpace(form.Get("jitter"))); err != nil || minutes < 0 || minutes > 24*60 {
		e.Jitter = "Give minutes, from 0 to 1440."
	} else if minutes*60 != row.JitterSeconds/60*60 { // seconds that the API set stay
		row.JitterSeconds = minutes * 60
	}
	if n, err := strconv.Atoi(strings.TrimSpace(form.Get("retry_max"))); err != nil || n < 0 || n > 20 {
		e.RetryMax = "Give a number from 0 to 20."
	} else {
		row.RetryMax = n
	}
	var wrong *slots.Invalid
	if _, err := schedule.Of(row); errors.As(err, &wrong) {
		text := wrong.Say + " " + wrong.Do
		switch {
		case wrong.Field == "zone":
			e.Zone = text
		case wrong.Field == "cron" && e.When == "":
			e.When = text
		}
	}
	return row, e
}

// readPlan is the cron line a form stands for, or what is wrong with it.
func readPlan(form url.Values) (line, wrong string) {
	number := func(name string, low, high int) int {
		n, err := strconv.Atoi(strings.TrimSpace(form.Get(name)))
		if (err != nil || n < low || n > high) && wrong == "" {
			wrong = fmt.Sprintf("Give a number from %d to %d.", low, high)
		}
		return n
	}
	p := slots.Plan{Kind: form.Get("kind"), Line: strings.TrimSpace(form.Get("cron"))}
	switch p.Kind {
	case slots.Minutely:
		p.Every = number("every", 1, 59)
	case slots.Hourly:
		p.Every, p.Minute = number("every", 1, 23), number("minute", 0, 59)
		if first, err := strconv.Atoi(form.Get("first")); err == nil && first > 0 && first < p.Every {
			p.First = first
		}
	case slots.Daily, slots.Weekly, slots.Monthly:
		for i, text := range strings.FieldsFunc(form.Get("time"), func(r rune) bool { return r == ',' || r == ' ' }) {
			t, err := time.Parse("15:04", text)
			switch {
			case err != nil:
				return "", fmt.Sprintf("%.20q is not a time of day. Write 02:30, or several as in 12:00, 19:00.", text)
			case i > 0 && t.Minute() != p.Minute:
				return "", "Several times share their minute, as in 12:30, 19:30. For others choose a cron line, or a second schedule."
			}
			p.Minute = t.Minute()
			if !slices.Contains(p.Hours, t.Hour()) {
				p.Hours = append(p.Hours, t.Hour())
			}
		}
		slices.Sort(p.Hours)
		if len(p.Hours) == 0 {
			return "", "Give a time of day, such as 02:30."
		}
		if p.Kind == slots.Monthly {
			p.Day = number("month_day", 1, 31)
		}
		if p.Kind == slots.Weekly {
			for _, d := range form["day"] {
				if n, err := strconv.Atoi(d); err == nil && n >= 0 && n <= 6 {
					p.Days = append(p.Days, time.Weekday(n))
				}
			}
			if slices.Sort(p.Days); len(p.Days) == 0 {
				return "", "Choose at least one day of the week."
			}
		}
	case slots.Cron:
	default:
		return "", "Choose a pattern."
	}
	return p.Cron(), wrong
}

var weekdays = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday, time.Saturday, time.Sunday}

// scheduleView is the form with what was typed.
func (s *Server) scheduleView(ctx context.Context, h store.Host, name string, groups []store.SourceGroup, form url.Values, row store.Schedule, e views.ScheduleErrors) (views.ScheduleForm, error) {
	f := views.ScheduleForm{HostID: string(h.ID), Host: h.Name, Schedule: name, Name: form.Get("name"), Kind: form.Get("kind"), Every: form.Get("every"), First: form.Get("first"),
		Minute: form.Get("minute"), Time: form.Get("time"), MonthDay: form.Get("month_day"), Cron: form.Get("cron"), Zone: form.Get("zone"), Jitter: form.Get("jitter"),
		RetryMax: form.Get("retry_max"), Enabled: form.Get("enabled") == "true", Errors: e}
	for _, g := range groups {
		f.Groups = append(f.Groups, views.Choice{Value: g.Name, Text: g.Name, Hint: strings.Join(g.Paths, ", "), On: slices.Contains(form["group"], g.Name)})
	}
	for _, d := range weekdays {
		value := strconv.Itoa(int(d))
		f.Days = append(f.Days, views.Choice{Value: value, Text: d.String()[:3], On: slices.Contains(form["day"], value)})
	}
	var err error
	if name != "" {
		if f.Copy, err = s.copyOfAll(ctx, h.ID, groups); err != nil {
			return f, err
		}
	}
	if f.Retention, err = s.retentionOf(ctx, groups, form["group"]); err != nil {
		return f, err
	}
	f.Preview, err = s.previewOf(ctx, row)
	return f, err
}

// retentionOf is what becomes of the snapshots of the chosen groups, or of all of
// them as long as none is chosen.
func (s *Server) retentionOf(ctx context.Context, groups []store.SourceGroup, chosen []string) (out []views.Retention, err error) {
	var seen []topics.RepositoryID
	for _, g := range groups {
		if len(chosen) > 0 && !slices.Contains(chosen, g.Name) || slices.Contains(seen, g.Repository) {
			continue
		}
		seen = append(seen, g.Repository)
		v, err := s.retentionView(ctx, g.Repository, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// previewOf is what comes of a schedule as it would be.
func (s *Server) previewOf(ctx context.Context, row store.Schedule) (views.SchedulePreview, error) {
	planned := row
	if row.ID == "" {
		planned.JitterSeconds = 0 // its share comes with its ID
	}
	now := s.Now()
	starts, err := schedule.NextStarts(planned, now, 5)
	var wrong *slots.Invalid
	if errors.As(err, &wrong) {
		return views.SchedulePreview{Problem: wrong.Say + " " + wrong.Do}, nil
	} else if err != nil {
		return views.SchedulePreview{}, err
	}
	p, err := schedule.Of(planned)
	if err != nil {
		return views.SchedulePreview{}, err
	}
	zone, err := time.LoadLocation(row.Zone)
	if err != nil {
		return views.SchedulePreview{}, err
	}
	v := views.SchedulePreview{Sentence: slots.ReadPlan(row.Cron).Words() + ", in " + row.Zone + ".", Cron: row.Cron}
	mark := -1
	for n, start := range starts {
		if n == 0 {
			mark = start.In(now.Location()).Hour()
		}
		v.Runs = append(v.Runs, views.NextRun{Clock: start.In(zone).Format("Mon 2 Jan, 15:04"), In: views.In(start, now), ISO: views.ISO(start)})
	}
	v.Note = "Times are of " + row.Zone + "."
	if row.JitterSeconds > 0 {
		v.Note += fmt.Sprintf(" This schedule's share of the spread is %s.", views.Duration(schedule.Offset(p)))
		if row.ID == "" {
			v.Note = "Times are of " + row.Zone + ", before its share of the spread, which it gets when it is saved."
		}
	}
	if change, by := p.ClockChange(now); !change.IsZero() {
		what := "is set ahead; what falls into the gap runs right after it, and nothing is lost"
		if by < 0 {
			what = "is set back; what it shows twice runs once"
		}
		v.Note += " On " + change.In(zone).Format("2 Jan") + " the clock there " + what + "."
	}
	rows, err := s.Store.Schedules(ctx, "")
	if err != nil {
		return v, err
	}
	rows = slices.DeleteFunc(rows, func(o store.Schedule) bool { return o.ID == row.ID })
	planned.Enabled = true
	v.Load = s.load(append(rows, planned), mark)
	return v, nil
}

// postedSchedule reads a form for a host's schedule, "" for a new one.
func (s *Server) postedSchedule(r *http.Request, name string) (h store.Host, groups []store.SourceGroup, row store.Schedule, e views.ScheduleErrors, err error) {
	ctx := r.Context()
	if err = r.ParseForm(); err != nil {
		return h, nil, row, e, badForm(err)
	}
	if h, err = s.host(ctx, hostID(r)); err != nil {
		return h, nil, row, e, err
	}
	row = store.Schedule{Host: h.ID}
	if name != "" {
		if row, err = s.schedule(ctx, h.ID, name); err != nil {
			return h, nil, row, e, err
		}
	}
	if groups, err = s.Store.SourceGroups(ctx, h.ID); err != nil {
		return h, nil, row, e, err
	}
	row, e = s.readSchedule(row, groups, r.PostForm)
	return h, groups, row, e, nil
}

// previewSchedule answers what is typed into a schedule's form.
func (s *Server) previewSchedule(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	_, _, row, e, err := s.postedSchedule(r, r.PostForm.Get("schedule"))
	if err != nil {
		return err
	}
	p := views.SchedulePreview{Problem: cmp.Or(e.When, e.Zone, e.Jitter)}
	if p.Problem == "" {
		if p, err = s.previewOf(r.Context(), row); err != nil {
			return err
		}
	}
	s.render(w, r, http.StatusOK, views.Preview(p))
	return nil
}

// saveSchedule takes the form: a new schedule, or a changed one.
func (s *Server) saveSchedule(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	changed := param(r, "name")
	h, groups, row, e, err := s.postedSchedule(r, changed)
	if err != nil {
		return err
	}
	name := changed
	if changed == "" {
		name = strings.TrimSpace(r.PostForm.Get("name"))
		e.Name = checkName("name", name, 1, 100)
		if _, err := s.Store.ScheduleNamed(ctx, h.ID, name); err == nil {
			e.Name = "This host has a schedule of this name already."
		}
	}
	if e != (views.ScheduleErrors{}) {
		f, err := s.scheduleView(ctx, h, changed, groups, r.PostForm, row, e)
		if err != nil {
			return err
		}
		if e.When+e.Zone != "" {
			f.Preview = views.SchedulePreview{Problem: e.When + e.Zone}
		}
		f.Problem = "It was not saved; look at what is marked below."
		return s.showSchedule(w, r, http.StatusUnprocessableEntity, h, f)
	}
	if _, err := s.Store.PutSchedule(ctx, visitorOf(ctx).name, h.ID, name, topics.ScheduleID(topics.NewID(s.Now())), func(is *store.Schedule) error {
		is.Cron, is.Zone, is.JitterSeconds, is.Enabled, is.RetryMax, is.Groups = row.Cron, row.Zone, row.JitterSeconds, row.Enabled, row.RetryMax, row.Groups
		return nil
	}); err != nil {
		return err
	}
	s.Changed(h.ID)
	redirect(w, r, views.SchedulesURL)
	return nil
}

// switchSchedule pauses a schedule, or has it go on.
func (s *Server) switchSchedule(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	ctx := r.Context()
	row, err := s.schedule(ctx, hostID(r), param(r, "name"))
	if err != nil {
		return err
	}
	if _, err := s.Store.PutSchedule(ctx, visitorOf(ctx).name, row.Host, row.Name, row.ID, func(is *store.Schedule) error {
		is.Enabled = r.PostForm.Get("on") == "true"
		return nil
	}); err != nil {
		return err
	}
	s.Changed(row.Host)
	redirect(w, r, views.SchedulesURL)
	return nil
}

// removeSchedule deletes one, from its page.
func (s *Server) removeSchedule(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.deleteSchedule(r.Context(), &scheduleIn{ID: hostID(r), Name: param(r, "name")}); err != nil {
		return err
	}
	redirect(w, r, views.SchedulesURL)
	return nil
}
