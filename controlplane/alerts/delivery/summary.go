package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/controlplane/channels"
	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/protection"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// mostLines is how many lines explain a figure of a digest.
const mostLines = 10

// A Summary says how everything is and what was, from what pages show, too.
type Summary struct {
	Store *store.Store
	Fleet *fleet.Board
	// Said is an alert as messages have it, for a public address.
	Said func(a alerts.Alert, publicURL string, now time.Time) channels.Alert
	// PublicURL is the address at which people find the control plane, "" for none.
	PublicURL func(ctx context.Context) string
}

// Of makes a digest of what was between two moments.
func (s *Summary) Of(ctx context.Context, d routing.Digest, since, now time.Time) (channels.Message, error) {
	m, err := s.Fleet.Now(ctx)
	if err != nil {
		return channels.Message{}, err
	}
	live, _, err := s.Store.Alerts().Live(ctx)
	if err != nil {
		return channels.Message{}, err
	}
	base := ""
	if s.PublicURL != nil {
		base = s.PublicURL(ctx)
	}
	said := channels.Message{Event: "digest", Link: strings.TrimSuffix(base, "/") + "/", At: now.UnixMilli(), Alerts: []channels.Alert{}}
	if len(live) > 0 {
		said.Link += "alerts?state=open"
	}
	said.Title, said.Text = verdict(m, live, d)
	said.Rows = append(said.Rows, protected(m), troubled(m))
	for _, figure := range []func(context.Context, *fleet.Moment, time.Time) (channels.Row, error){s.runs, s.missed, s.growth} {
		row, err := figure(ctx, m, since)
		if err != nil {
			return channels.Message{}, err
		}
		said.Rows = append(said.Rows, row)
	}
	said.Rows = append(said.Rows, proven(m))
	slices.SortFunc(live, worstFirst)
	row := channels.Row{Name: "Open alerts", Value: "none"}
	if len(live) > 0 {
		row.Value = words.Number(uint64(len(live)))
		row.Lines = counted(live)
	}
	said.Rows = append(said.Rows, row)
	if s.Said != nil {
		for _, a := range live[:min(len(live), MostNamed)] {
			said.Alerts = append(said.Alerts, s.Said(a, base, now))
		}
		said.More = len(live) - len(said.Alerts)
	}
	return said, nil
}

func worstFirst(a, b alerts.Alert) int {
	return cmp.Or(slices.Index(alerts.Severities, b.Severity)-slices.Index(alerts.Severities, a.Severity),
		cmp.Compare(a.BeganAt, b.BeganAt), strings.Compare(a.ID, b.ID))
}

// verdict is a digest in a line, and in a sentence or two.
func verdict(m *fleet.Moment, live []alerts.Alert, d routing.Digest) (title, text string) {
	span := map[string]string{routing.Weekly: "week"}[d.Every]
	if span == "" {
		span = "day"
	}
	trouble, n := open(m), m.Len()
	switch {
	case n == 0:
		return "No host yet", "Nothing is backed up: no host was added yet."
	case trouble > 0:
		return fmt.Sprintf("%d of %s not protected", trouble, words.Count(uint64(n), "host", "hosts")),
			"Somebody has to do something about " + words.Count(uint64(trouble), "host", "hosts") +
				": see below. This is the summary of the " + span + "."
	case len(live) > 0:
		return "Every host is protected, " + words.Count(uint64(len(live)), "alert is", "alerts are") + " open",
			"Every backup is as new as was promised, but see the open alerts. This is the summary of the " + span + "."
	}
	return "All is well: " + words.Count(uint64(n), "host", "hosts"), "Every backup is as new as was promised, and no alert is open. " +
		"This is the summary of the " + span + "; that it came also says that you can be told."
}

// bare are the statuses of hosts that need nobody yet and are not protected either.
var bare = []struct {
	status protection.Status
	says   string
}{{protection.NoBackupYet, "Nothing was backed up yet"}, {protection.Unscheduled, "No schedule says that they are backed up again"}}

// open counts the hosts that are not protected.
func open(m *fleet.Moment) int {
	n := m.InTrouble()
	for _, b := range bare {
		n += m.Tally[b.status]
	}
	return n
}

func protected(m *fleet.Moment) channels.Row {
	row := channels.Row{Name: "Protected", Value: fmt.Sprintf("%d of %s", m.Protected, words.Count(uint64(m.Len()), "host", "hosts"))}
	if m.Restorable > 0 {
		row.Lines = append(row.Lines, words.Bytes(m.Restorable)+" can be restored from the last good backups")
	}
	var others []string
	for _, st := range []protection.Status{protection.Running, protection.Asleep, protection.Paused, protection.Keeper, protection.Retired} {
		if n := m.Tally[st]; n > 0 {
			others = append(others, words.Number(uint64(n))+" "+strings.ReplaceAll(string(st), "-", " "))
		}
	}
	if len(others) > 0 {
		row.Lines = append(row.Lines, "beside them: "+strings.Join(others, ", "))
	}
	offline := 0
	for _, e := range m.ByName() {
		if e.Connection == hosts.Offline {
			offline++
		}
	}
	if offline > 0 {
		row.Lines = append(row.Lines, words.Count(uint64(offline), "host is", "hosts are")+" offline now")
	}
	return row
}

// troubled names who is not protected, by cause.
func troubled(m *fleet.Moment) channels.Row {
	row := channels.Row{Name: "Not protected", Value: "none"}
	if n := open(m); n > 0 {
		row.Value = words.Count(uint64(n), "host", "hosts")
	}
	for _, t := range m.Troubles() {
		var names []string
		for _, e := range t.Hosts {
			names = append(names, words.Line(e.Name))
		}
		row.Lines = append(row.Lines, fleet.CauseWords(t.Cause)+": "+first(names))
	}
	for _, b := range bare {
		var names []string
		for _, e := range m.ByName() {
			if e.Status == b.status {
				names = append(names, words.Line(e.Name))
			}
		}
		if len(names) > 0 {
			row.Lines = append(row.Lines, b.says+": "+first(names))
		}
	}
	row.Lines = cut(row.Lines, "cause", "causes")
	return row
}

// runs counts the backups that ended.
func (s *Summary) runs(ctx context.Context, _ *fleet.Moment, since time.Time) (channels.Row, error) {
	row := channels.Row{Name: "Backups"}
	ends, err := s.Store.Channels().Endings(ctx, since.UnixMilli())
	if err != nil {
		return row, err
	}
	var good, warned, cancelled, failed uint64
	for _, e := range ends {
		switch e.State {
		case topics.Succeeded:
			good += uint64(e.N)
		case topics.Warnings:
			warned += uint64(e.N)
		case topics.Cancelled:
			cancelled += uint64(e.N)
		default:
			failed += uint64(e.N)
		}
	}
	row.Value = fmt.Sprintf("%s ended, %s failed", words.Number(good+warned+cancelled+failed), words.Number(failed))
	if warned > 0 {
		row.Lines = append(row.Lines, words.Number(warned)+" with warnings")
	}
	if cancelled > 0 {
		row.Lines = append(row.Lines, words.Number(cancelled)+" cancelled")
	}
	return row, nil
}

// missed names the hosts whose schedules were due and began nothing.
func (s *Summary) missed(ctx context.Context, m *fleet.Moment, since time.Time) (channels.Row, error) {
	row := channels.Row{Name: "Missed", Value: "nothing"}
	list, err := s.Store.Channels().Missed(ctx, since.UnixMilli())
	if err != nil {
		return row, err
	}
	total := uint64(0)
	for _, one := range list {
		host := m.Name(one.Host)
		if host == "" {
			continue // it was removed
		}
		total += uint64(one.N)
		row.Lines = append(row.Lines, words.Line(host)+": "+words.Count(uint64(one.N), "run", "runs"))
	}
	if total > 0 {
		row.Value = words.Count(total, "planned run", "planned runs")
	}
	row.Lines = cut(row.Lines, "host", "hosts")
	return row, nil
}

// growth says how much larger repositories became, as far as their sizes were measured.
func (s *Summary) growth(ctx context.Context, _ *fleet.Moment, since time.Time) (channels.Row, error) {
	row := channels.Row{Name: "Growth", Value: "not measured"}
	repositories, err := s.Store.Repositories(ctx)
	if err != nil {
		return row, err
	}
	days, err := s.Store.Days(ctx, "", since.Add(-24*time.Hour).UnixMilli())
	if err != nil {
		return row, err
	}
	type sizes struct{ first, last int64 }
	of := map[topics.RepositoryID]*sizes{}
	for _, d := range days {
		if of[d.Repository] == nil {
			of[d.Repository] = &sizes{first: d.StoredBytes}
		}
		of[d.Repository].last = d.StoredBytes
	}
	type grown struct {
		name string
		by   int64
	}
	var list []grown
	total, stored := int64(0), int64(0)
	for _, r := range repositories {
		if o := of[r.ID]; o != nil {
			list = append(list, grown{r.Name, o.last - o.first})
			total, stored = total+o.last-o.first, stored+o.last
		}
	}
	if len(list) == 0 {
		return row, nil
	}
	row.Value = signed(total) + ", " + words.Bytes(uint64(max(stored, 0))) + " stored"
	slices.SortFunc(list, func(a, b grown) int { return cmp.Or(cmp.Compare(b.by, a.by), strings.Compare(a.name, b.name)) })
	for _, g := range list {
		if g.by != 0 {
			row.Lines = append(row.Lines, words.Line(g.name)+": "+signed(g.by))
		}
	}
	row.Lines = cut(row.Lines, "repository", "repositories")
	return row, nil
}

func signed(n int64) string {
	if n < 0 {
		return "-" + words.Bytes(uint64(-n))
	}
	return "+" + words.Bytes(uint64(n))
}

// proven says of how many hosts it was tried that they can be restored.
func proven(m *fleet.Moment) channels.Row {
	row := channels.Row{Name: "Proven restorable", Value: fmt.Sprintf("%d of %s", m.Proven, words.Count(uint64(m.Len()), "host", "hosts"))}
	var names []string
	for _, e := range m.ByUrgency() {
		if e.Proof.Word == drills.Disproved {
			names = append(names, words.Line(e.Name))
		}
	}
	if len(names) > 0 {
		row.Lines = append(row.Lines, "The last drill failed: "+first(names))
	}
	return row
}

// first names some of many.
func first(names []string) string {
	if more := len(names) - mostLines; more > 0 {
		return strings.Join(names[:mostLines], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

// cut keeps the first lines of many.
func cut(lines []string, one, many string) []string {
	if more := len(lines) - mostLines; more > 0 {
		return append(lines[:mostLines:mostLines], "and "+words.Count(uint64(more), "more "+one, "more "+many))
	}
	return lines
}
