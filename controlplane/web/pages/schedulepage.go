package pages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/controlplane/sources"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/controlplane/web/layout"
	"github.com/restic-manager/restic-manager/controlplane/web/session"
	"github.com/restic-manager/restic-manager/controlplane/zone"
	"github.com/restic-manager/restic-manager/slots"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/slotlog"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/views"
	"github.com/restic-manager/restic-manager/words"
)

var toSchedules = views.Link{Text: "Schedules", URL: views.SchedulesURL}

// schedulesView is the page of the list of schedules that somebody asked for.
func (s *Pages) schedulesView(ctx context.Context, all *schedule.Moment, q url.Values) (views.Schedules, error) {
	text, page := layout.ListPlace(q)
	found := all.Search(text)
	bare, _ := strconv.Atoi(q.Get("unplanned")) // what is no number is the first page
	l := views.Schedules{
		Query:  text,
		Bare:   max(bare, 1),
		Load:   s.loadView(ctx, all.Load, -1),
		Paging: views.SchedulePaging(len(found), page, text),
	}
	standings, jobs, err := s.Schedules.Stand(ctx, found[l.Paging.From:l.Paging.To])
	if err != nil {
		return l, err
	}
	rounds := map[topics.ScheduleID][]store.Round{}
	for _, r := range jobs {
		rounds[r.Schedule] = append(rounds[r.Schedule], r)
	}
	for _, st := range standings {
		l.Rows = append(l.Rows, s.scheduleRow(st, rounds[st.ID]))
	}
	for _, g := range all.Unplanned {
		l.Without = append(l.Without, views.Without{HostID: string(g.Host), Host: g.HostName, Group: g.Group, Paused: g.Paused})
	}
	return l, nil
}

func (s *Pages) scheduleRow(st schedule.Standing, jobs []store.Round) views.ScheduleRow {
	plan := slots.ReadPlan(st.Cron)
	row := views.ScheduleRow{
		HostID: string(st.Host.ID),
		Host:   st.Host.Name,
		Name:   st.Name,
		On:     st.Enabled,
		Words:  plan.Words(),
		Cron:   st.Cron,
		Zone:   st.Zone,
		Round:  roundOf(st, jobs),
		Copy:   s.copyView(st.Host, st.Copy),
		Groups: strings.Join(st.GroupNames, ", "),
	}
	switch {
	case st.Wrong != nil:
		row.Words = "Cannot be read: " + st.Wrong.Error()
	case plan.Kind == slots.Cron:
		row.Words = "By its cron line"
	}
	row.Held = s.heldView(st)
	if !st.Next.IsZero() {
		row.Next = views.NewWhen(st.Next, s.Now())
		if c, _ := s.Presence.Connection(st.Host.ID); !st.Next.After(s.Now()) && c != hosts.Online {
			row.Due = "due, host " + string(c)
		}
	}
	return row
}

// heldView words the runs of a schedule that wait for what its host is doing.
func (s *Pages) heldView(st schedule.Standing) (out []views.HeldSlot) {
	for _, h := range st.Held {
		v := views.HeldSlot{Group: h.GroupName, Due: s.When(h.Start.UnixMilli()), Why: "until the host is done in its repository with the",
			Job: views.Link{Text: string(h.Kind), URL: views.JobURL(string(h.Job))}}
		if h.Full() {
			v.Why = "because the host runs as many jobs as it may, such as the"
		}
		out = append(out, v)
	}
	return out
}

func (s *Pages) SchedulesPage(w http.ResponseWriter, r *http.Request) error {
	text, page := layout.ListPlace(r.URL.Query())
	all, err := s.planned.Now(r.Context())
	if err != nil {
		return err
	}
	l, err := s.schedulesView(r.Context(), all, r.URL.Query())
	if err != nil {
		return err
	}
	sh := s.Shell(r, "Schedules", "schedules", views.Link{Text: "Schedules"})
	sh.Stream = views.SchedulesStream(text, page, l.Bare)
	s.Render(w, r, http.StatusOK, views.SchedulesPage(sh, l))
	return nil
}

// SchedulesStream draws the list again as it changes: all of it when other
// schedules are on it, else the rows that look different.
func (s *Pages) SchedulesStream(q url.Values) layout.Draw {
	shown := "none yet"
	var drawn *schedule.Moment
	var l views.Schedules
	return func(ctx context.Context, p *layout.Painter, rang map[topics.HostID]bool) error {
		all, err := s.planned.Now(ctx)
		if err != nil {
			return err
		}
		about := func(r views.ScheduleRow) bool { return p.Full || rang[""] || rang[topics.HostID(r.HostID)] }
		if all == drawn && !p.Full && !rang[""] && !slices.ContainsFunc(l.Rows, about) {
			return nil
		}
		if l, err = s.schedulesView(ctx, all, q); err != nil {
			return err
		}
		drawn = all
		var names strings.Builder
		for _, r := range l.Rows {
			names.WriteString(r.HostID + "\x00" + r.Name + "\x00")
		}
		other := shown != names.String()
		if shown = names.String(); other {
			p.Morph("schedules", views.SchedulesList(l))
		}
		for _, r := range l.Rows {
			switch id, row := views.ScheduleElement(r), views.ScheduleTableRow(r); {
			case other:
				p.Sees(id, row)
			case about(r):
				p.Morph(id, row)
			}
		}
		p.Morph("schedules-aside", views.SchedulesAside(l))
		return nil
	}
}

// roundOf words how the last slot of a schedule went, for all its groups.
func roundOf(st schedule.Standing, jobs []store.Round) views.Status {
	last, n, good, bad, open := int64(0), 0, 0, 0, 0
	for _, r := range jobs {
		last = max(last, r.Slot)
	}
	for _, r := range jobs {
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
	held := 0
	for _, h := range st.Held {
		if h.Slot == last {
			held++
		}
	}
	switch {
	case len(st.Held) > held:
		return views.JobStatus("queued").As("Due, waits for its turn")
	case st.Owed != nil:
		return views.JobStatus("queued").As("Owed, tried again")
	case n == 0:
		return views.HostStatus("no-backup-yet").As("None yet")
	case open+held > 0:
		return views.JobStatus("running").As(fmt.Sprintf("%d of %d done", good+bad, n+held))
	case bad > 0:
		return views.JobStatus("failed").As(fmt.Sprintf("%d of %d failed", bad, n))
	case good < n:
		return views.JobStatus("cancelled").As(fmt.Sprintf("%d of %d", good, n))
	}
	return views.JobStatus("succeeded").As(fmt.Sprintf("%d of %d", good, n))
}

// copyView words how a host's copy of its schedules stands.
func (s *Pages) copyView(h store.Host, c schedule.Copy) views.Copy {
	untold := func(what string) views.Copy {
		switch c, _ := s.Presence.Connection(h.ID); c {
		case hosts.Online:
			return views.Copy{Text: what + ": it is being told"}
		case hosts.Offline:
			return views.Copy{Text: what + ": it is offline"}
		}
		return views.Copy{Text: what}
	}
	title := fmt.Sprintf("Revision %d", h.ConfigApplied)
	switch c {
	case schedule.CopyNone:
		return untold("The host has none yet")
	case schedule.CopyTooOld:
		return views.Copy{
			Text:    "The agent is too old to keep one",
			Problem: "This server fires for it, and only while it runs. Update the agent.",
		}
	case schedule.CopyChanged:
		return views.Copy{Text: "Changed just now"}
	case schedule.CopyWaits:
		if h.ConfigApplied == 0 {
			return untold("The host has none yet")
		}
		return untold("The host has an older one")
	case schedule.CopyEmpty:
		return views.Copy{Text: "None yet"}
	case schedule.CopyPartly:
		return views.Copy{InForce: true, Text: "The host has a part of it", Title: title, Problem: h.ConfigError}
	}
	return views.Copy{InForce: true, Text: "The host has this schedule", Title: title}
}

// copyOfHost words how a host's copy of all its schedules stands.
func (s *Pages) copyOfHost(ctx context.Context, host topics.HostID) (views.Copy, error) {
	h, c, err := s.Schedules.CopyOfHost(ctx, host)
	return s.copyView(h, c), err
}

// loadView words a load; mark is the hour that is picked out, below zero for none.
func (s *Pages) loadView(ctx context.Context, l schedule.Load, mark int) views.Load {
	zone, now := words.Zone(ctx), s.Now()
	return views.Load{Hours: l.Hours(now, zone), Mark: mark, Zone: "by the clock of " + words.ZoneWords(zone, now)}
}

// ChooseScheduleHost asks which host a new schedule is for.
func (s *Pages) ChooseScheduleHost(w http.ResponseWriter, r *http.Request) error {
	m, err := s.Moment(r.Context())
	if err != nil {
		return err
	}
	text := strings.TrimSpace(r.URL.Query().Get("q"))
	v := views.ScheduleChoice{Query: text}
	for _, h := range m.NamedBehind(fleet.Filter{Text: text}, "", m.Len()) {
		if len(h.Groups) == 0 {
			continue
		}
		if v.Found++; v.Found <= views.PageSize {
			v.Hosts = append(v.Hosts, views.Option{Value: string(h.ID), Text: h.Name})
		}
	}
	s.Render(w, r, http.StatusOK, views.ScheduleHosts(s.Shell(r, "New schedule", "schedules", toSchedules, views.Link{Text: "New"}), v))
	return nil
}

// ScheduleForm shows a schedule's form: a new one, or one as it is.
func (s *Pages) ScheduleForm(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	h, err := s.Host(ctx, base.HostID(r))
	if err != nil {
		return err
	}
	plan := sources.FitOf(h.OS, h.Intermittent, r.URL.Query().Get("fits")).Plan
	row := store.Schedule{Host: h.ID, Cron: plan.Cron, Zone: words.Zone(ctx).String(), JitterSeconds: int(plan.Spread.Seconds()),
		Enabled: true, RetryMax: 3, Since: s.Now().UnixMilli()}
	if row.Zone == "Local" { // the machine does not say what its zone is called
		row.Zone = "UTC"
	}
	name := base.Param(r, "name")
	if name != "" {
		if row, err = s.Schedules.Named(ctx, h.ID, name); err != nil {
			return err
		}
	}
	groups, err := s.Store.SourceGroups(ctx, h.ID)
	if err != nil {
		return err
	}
	f := typedOf(row)
	f.From = r.URL.Query().Get(views.FromStart)
	if name == "" {
		if _, err := s.Schedules.Named(ctx, h.ID, plan.Name); errors.Is(err, schedule.ErrNoSchedule) {
			f.Name = plan.Name
		} else if err != nil {
			return err
		}
	}
	f.before, _ = strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	for _, g := range groups {
		if slices.Contains(row.Groups, g.ID) || name == "" {
			f.groups = append(f.groups, g.Name)
		}
	}
	if err := s.fillSchedule(ctx, &f, h, name, groups, row); err != nil {
		return err
	}
	return s.showSchedule(w, r, http.StatusOK, h, f.ScheduleForm)
}

func (s *Pages) showSchedule(w http.ResponseWriter, r *http.Request, status int, h store.Host, f views.ScheduleForm) error {
	title := "New schedule"
	if f.Schedule != "" {
		title = f.Schedule
	}
	sh := s.Shell(r, title, "schedules", toSchedules, views.Link{Text: h.Name, URL: views.HostURL(string(h.ID))}, views.Link{Text: title})
	s.Render(w, r, status, views.SchedulePage(sh, f))
	return nil
}

// A typedSchedule is a schedule's form as it was typed, or as it is shown first.
type typedSchedule struct {
	views.ScheduleForm
	before int64    // the history shows slots before this one; 0 is the newest
	groups []string // the names that are chosen
	days   []string // of the week
}

// typedOf is what the form shows of a schedule.
func typedOf(row store.Schedule) typedSchedule {
	p := slots.ReadPlan(row.Cron)
	f := typedSchedule{ScheduleForm: views.ScheduleForm{
		Name:     row.Name,
		Kind:     p.Kind,
		Every:    strconv.Itoa(max(p.Every, 1)),
		First:    strconv.Itoa(p.First),
		Minute:   strconv.Itoa(p.Minute),
		Time:     "02:30",
		MonthDay: strconv.Itoa(max(p.Day, 1)),
		Cron:     row.Cron,
		Zone:     row.Zone,
		Jitter:   strconv.Itoa(row.JitterSeconds / 60),
		RetryMax: strconv.Itoa(row.RetryMax),
		Enabled:  row.Enabled,
		Until:    untilOf(row),
	}}
	var times []string
	for _, hour := range p.Hours {
		times = append(times, fmt.Sprintf("%02d:%02d", hour, p.Minute))
	}
	if len(times) > 0 {
		f.Time = strings.Join(times, ", ")
	}
	for _, d := range p.Days {
		f.days = append(f.days, strconv.Itoa(int(d)))
	}
	return f
}

// untilOf is when a pause ends, by the clock of the schedule's zone.
func untilOf(row store.Schedule) string {
	its, err := zone.Named(row.Zone)
	if row.PausedUntil == 0 || err != nil {
		return ""
	}
	return words.Typed(words.WithZone(context.Background(), its), base.At(row.PausedUntil))
}

// until reads when a pause ends. The form always says it, so what it showed before
// changes nothing: seconds that the API set stay.
func (f typedSchedule) until(was store.Schedule) (*time.Time, string) {
	text := strings.TrimSpace(f.Until)
	switch {
	case f.Enabled || text == untilOf(was) && !was.Enabled:
		return nil, ""
	case text == "":
		return &time.Time{}, ""
	}
	its, err := zone.Named(strings.TrimSpace(f.Zone))
	if err != nil {
		return nil, "" // the zone has its own error
	}
	at, err := words.ParseTyped(words.WithZone(context.Background(), its), text)
	if err != nil {
		return nil, "Give a day and a time of day, such as 2027-01-31T08:00, or nothing."
	}
	return &at, ""
}

// readTyped reads a posted form.
func readTyped(form url.Values) typedSchedule {
	return typedSchedule{groups: form["group"], days: form["day"], ScheduleForm: views.ScheduleForm{
		From:     form.Get(views.FromStart),
		Name:     form.Get("name"),
		Kind:     form.Get("kind"),
		Every:    form.Get("every"),
		First:    form.Get("first"),
		Minute:   form.Get("minute"),
		Time:     form.Get("time"),
		MonthDay: form.Get("month_day"),
		Cron:     form.Get("cron"),
		Zone:     form.Get("zone"),
		Jitter:   form.Get("jitter"),
		RetryMax: form.Get("retry_max"),
		Enabled:  form.Get("enabled") == "true",
		Until:    form.Get("until"),
	}}
}

// input is what the form says of a schedule; was is the schedule as it is, empty for
// a new one.
func (f typedSchedule) input(was store.Schedule) schedule.Input {
	groups := append([]string{}, f.groups...)
	in := schedule.Input{Zone: &f.Zone, SourceGroups: &groups, Enabled: &f.Enabled, Unread: field.Errors{}}
	line, wrong := f.plan()
	in.Unread.Say("cron", wrong)
	in.Cron = &line
	in.PausedUntil, wrong = f.until(was)
	in.Unread.Say("paused_until", wrong)
	if minutes, err := strconv.Atoi(strings.TrimSpace(f.Jitter)); err != nil {
		in.Unread.Say("jitter_seconds", "Give minutes, from 0 to 1440.")
	} else if seconds := min(max(minutes, -1), 1<<20) * 60; seconds != was.JitterSeconds/60*60 { // seconds that the API set stay
		in.JitterSeconds = &seconds
	}
	if n, err := strconv.Atoi(strings.TrimSpace(f.RetryMax)); err != nil {
		in.Unread.Say("retry_max", fmt.Sprintf("Give a number from 0 to %d.", schedule.MaxRetries))
	} else {
		in.RetryMax = &n
	}
	return in
}

// plan is the cron line a form stands for, or what is wrong with it.
func (f typedSchedule) plan() (line, wrong string) {
	number := func(text string, low, high int) int {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if (err != nil || n < low || n > high) && wrong == "" {
			wrong = fmt.Sprintf("Give a number from %d to %d.", low, high)
		}
		return n
	}
	p := slots.Plan{Kind: f.Kind, Line: strings.TrimSpace(f.Cron)}
	switch p.Kind {
	case slots.Minutely:
		p.Every = number(f.Every, 1, 59)
	case slots.Hourly:
		p.Every, p.Minute = number(f.Every, 1, 23), number(f.Minute, 0, 59)
		if first, err := strconv.Atoi(f.First); err == nil && first > 0 && first < p.Every {
			p.First = first
		}
	case slots.Daily, slots.Weekly, slots.Monthly:
		for i, text := range strings.FieldsFunc(f.Time, func(r rune) bool { return r == ',' || r == ' ' }) {
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
			p.Day = number(f.MonthDay, 1, 31)
		}
		if p.Kind == slots.Weekly {
			for _, d := range f.days {
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

// fillSchedule completes a form with what is chosen from, and with what comes of it.
func (s *Pages) fillSchedule(ctx context.Context, f *typedSchedule, h store.Host, name string, groups []store.SourceGroup,
	row store.Schedule) (err error) {
	f.HostID, f.Host, f.Schedule = string(h.ID), h.Name, name
	for _, g := range groups {
		f.Groups = append(
			f.Groups,
			views.Choice{Value: g.Name, Text: g.Name, Hint: strings.Join(g.Paths, ", "), On: slices.Contains(f.groups, g.Name)},
		)
	}
	for _, d := range weekdays {
		value := strconv.Itoa(int(d))
		f.Days = append(f.Days, views.Choice{Value: value, Text: d.String()[:3], On: slices.Contains(f.days, value)})
	}
	if name != "" {
		if f.Copy, err = s.copyOfHost(ctx, h.ID); err != nil {
			return err
		}
	}
	if name != "" {
		if f.Slots, err = s.slotsView(ctx, h.ID, name, views.ScheduleURL(string(h.ID), name), f.before); err != nil {
			return err
		}
	}
	if f.Retention, err = s.retentionOf(ctx, groups, f.groups); err != nil {
		return err
	}
	f.Preview, err = s.previewOf(ctx, row)
	return err
}

// retentionOf is what becomes of the snapshots of the chosen groups, or of all of
// them as long as none is chosen.
func (s *Pages) retentionOf(ctx context.Context, groups []store.SourceGroup, chosen []string) (out []views.Retention, err error) {
	var seen []topics.RepositoryID
	for _, g := range groups {
		if len(chosen) > 0 && !slices.Contains(chosen, g.Name) || slices.Contains(seen, g.Repository) {
			continue
		}
		seen = append(seen, g.Repository)
		v, err := s.RetentionView(ctx, g.Repository, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// previewOf is what comes of a schedule as it would be.
func (s *Pages) previewOf(ctx context.Context, row store.Schedule) (views.SchedulePreview, error) {
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
	its, err := zone.Named(row.Zone)
	if err != nil {
		return views.SchedulePreview{}, err
	}
	there := words.WithZone(ctx, its) // what a cron line means is told in its own zone
	v := views.SchedulePreview{Sentence: slots.ReadPlan(row.Cron).Words() + ", in " + row.Zone + ".", Cron: row.Cron}
	mark := -1
	for n, start := range starts {
		if n == 0 {
			mark = words.Hour(ctx, start)
		}
		v.Runs = append(
			v.Runs,
			views.NextRun{Clock: words.Ahead(there, start), Zone: row.Zone, In: words.In(start, now), At: views.NewWhen(start, now)},
		)
	}
	v.Note = "Times are of " + row.Zone + "."
	if row.JitterSeconds > 0 {
		v.Note += fmt.Sprintf(" This schedule's share of the spread is %s.", words.Duration(schedule.Offset(p)))
		if row.ID == "" {
			v.Note = "Times are of " + row.Zone + ", before its share of the spread, which it gets when it is saved."
		}
	}
	if change, by := p.ClockChange(now); !change.IsZero() {
		what := "is set ahead; what falls into the gap runs right after it, and nothing is lost"
		if by < 0 {
			what = "is set back; what it shows twice runs once"
		}
		v.Note += " On " + words.DayOfYear(there, change) + " the clock there " + what + "."
	}
	all, err := s.planned.Now(ctx)
	if err != nil {
		return v, err
	}
	planned.Enabled = true
	v.Load = s.loadView(ctx, all.LoadWith(planned, now), mark)
	return v, nil
}

// typed reads a posted form for a host's schedule, "" for a new one: the schedule as
// it would be, what to save, and what is wrong with it.
func (s *Pages) typed(
	r *http.Request,
	name string,
) (f typedSchedule, h store.Host, row store.Schedule, in schedule.Input, wrong field.Errors,
	err error) {
	ctx := r.Context()
	if h, err = s.Host(ctx, base.HostID(r)); err != nil {
		return
	}
	var was store.Schedule
	if name != "" {
		if was, err = s.Schedules.Named(ctx, h.ID, name); err != nil {
			return
		}
	}
	f = readTyped(r.PostForm)
	in = f.input(was)
	row, err = s.Schedules.Try(ctx, h.ID, name, in)
	if errors.As(err, &wrong) {
		err = nil
	}
	return
}

// PreviewSchedule answers what is typed into a schedule's form.
func (s *Pages) PreviewSchedule(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	_, _, row, _, wrong, err := s.typed(r, r.PostForm.Get("schedule"))
	if err != nil {
		return err
	}
	p := views.SchedulePreview{Problem: cmp.Or(wrong["cron"], wrong["zone"], wrong["jitter_seconds"])}
	if p.Problem == "" {
		if p, err = s.previewOf(r.Context(), row); err != nil {
			return err
		}
	}
	s.Render(w, r, http.StatusOK, views.Preview(p))
	return nil
}

// SaveSchedule takes the form: a new schedule, or a changed one.
func (s *Pages) SaveSchedule(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	ctx, name := r.Context(), base.Param(r, "name")
	f, h, row, in, _, err := s.typed(r, name)
	if err != nil {
		return err
	}
	by := session.Of(ctx).Name
	if name == "" {
		_, err = s.Schedules.Add(ctx, by, h.ID, f.Name, in)
	} else {
		_, err = s.Schedules.Change(ctx, by, h.ID, name, in)
	}
	var wrong field.Errors
	switch {
	case errors.As(err, &wrong):
		return s.showWrong(w, r, f, h, name, row, wrong)
	case err != nil:
		return err
	}
	layout.Redirect(w, r, from(r.PostForm, views.SchedulesURL))
	return nil
}

// showWrong shows a form again that was not saved.
func (s *Pages) showWrong(w http.ResponseWriter, r *http.Request, f typedSchedule, h store.Host, name string, row store.Schedule,
	wrong field.Errors) error {
	groups, err := s.Store.SourceGroups(r.Context(), h.ID)
	if err != nil {
		return err
	}
	if err := s.fillSchedule(r.Context(), &f, h, name, groups, row); err != nil {
		return err
	}
	f.Errors = views.ScheduleErrors{Name: wrong["name"], Groups: wrong["source_groups"], When: wrong["cron"], Zone: wrong["zone"],
		Jitter: wrong["jitter_seconds"], RetryMax: wrong["retry_max"], Until: wrong["paused_until"]}
	if problem := cmp.Or(f.Errors.When, f.Errors.Zone); problem != "" {
		f.Preview = views.SchedulePreview{Problem: problem}
	}
	f.Problem = "It was not saved; look at what is marked below."
	return s.showSchedule(w, r, http.StatusUnprocessableEntity, h, f.ScheduleForm)
}

// SwitchSchedule pauses a schedule, or has it go on.
func (s *Pages) SwitchSchedule(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return layout.BadForm(err)
	}
	by, on := session.Of(r.Context()).Name, r.PostForm.Get("on") == "true"
	if _, err := s.Schedules.Enable(r.Context(), by, base.HostID(r), base.Param(r, "name"), on); err != nil {
		return err
	}
	layout.Redirect(w, r, views.SchedulesURL)
	return nil
}

// RemoveSchedule deletes one, from its page.
func (s *Pages) RemoveSchedule(w http.ResponseWriter, r *http.Request) error {
	if err := s.Schedules.Remove(r.Context(), session.Of(r.Context()).Name, base.HostID(r), base.Param(r, "name")); err != nil {
		return err
	}
	layout.Redirect(w, r, views.SchedulesURL)
	return nil
}

// SlotsPage shows a schedule, and what became of its planned runs.
func (s *Pages) SlotsPage(w http.ResponseWriter, r *http.Request) error {
	ctx, host := r.Context(), base.HostID(r)
	st, err := s.Schedules.Standing(ctx, host, base.Param(r, "name"))
	if err != nil {
		return err
	}
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64) // what is no number is the newest
	history, err := s.slotsView(ctx, host, st.Name, views.SlotsURL(string(host), st.Name), before)
	if err != nil {
		return err
	}
	sh := s.Shell(r, st.Name, "schedules", toSchedules, views.Link{Text: st.Host.Name, URL: views.HostURL(string(host))},
		views.Link{Text: st.Name})
	s.Render(w, r, http.StatusOK, views.SlotsPage(sh, s.scheduleRow(st, nil), history))
	return nil
}

// slotsView is a page of what became of a schedule's slots, those before one, as a part
// of the page at an address.
func (s *Pages) slotsView(ctx context.Context, host topics.HostID, name, here string, before int64) (views.Slots, error) {
	const most = 20
	v := views.Slots{}
	rows, err := s.Schedules.Slots(ctx, host, name, slotlog.Page{Before: before, Limit: most + 1})
	if err != nil {
		return v, err
	}
	if before > 0 {
		v.Newer = here + "#slots"
	}
	slot, n := int64(0), 0
	for _, r := range rows {
		if r.Slot != slot {
			if n++; n > most {
				v.Older = fmt.Sprintf("%s?before=%d#slots", here, slot)
				break
			}
			slot = r.Slot
		}
		row := views.SlotRow{At: s.When(r.Slot), Group: r.GroupName, Outcome: views.SlotStatus(string(r.Outcome)), Reason: base.SlotReason(r)}
		if r.Job != "" {
			row.JobURL = views.JobURL(string(r.Job))
		}
		v.Rows = append(v.Rows, row)
	}
	return v, nil
}
