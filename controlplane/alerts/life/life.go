// Package life is how alerts begin, go on and end: given what holds at a moment, it says
// what becomes of each. It is pure, and level-triggered: the same look twice changes
// nothing the second time.
package life

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/controlplane/alerts/routing"
	"github.com/restic-manager/restic-manager/store/alerts"
	"github.com/restic-manager/restic-manager/store/channels"
)

const (
	// Again is how long after it ended by itself an alert goes on if it begins once more;
	// after that another one is opened.
	Again = 6 * time.Hour
	// FlapsWithin is within what time the third beginning of an alert makes it flap.
	FlapsWithin = 6 * time.Hour
	// Calm is for how long the condition of one that flaps must not hold until it is over.
	Calm = time.Hour
	// Grace is how long what an alert explained stays explained after its end, if it held
	// then already: who could not back up needs a while to be back.
	Grace = 24 * time.Hour
	// Late is how far back a book must know alerts that are over.
	Late = max(Again, Grace)
	// MostSnoozed is for how long an alert may be snoozed.
	MostSnoozed = 90 * 24 * time.Hour
	// Slack is how long after the end of what explained it a job may end that failed by it.
	Slack = time.Hour
	// MostSwallowed is how many alerts one names that it explains.
	MostSwallowed = 2000
)

// A Look is what was found at a moment.
type Look struct {
	Holds []conditions.Finding
	// Judged is all that was looked for; nil is everything.
	Judged []alerts.Key
	// Wait leaves what begins to the next look at everything, if an alert may explain it
	// that was not looked for now.
	Wait bool
	// Unsure reports that nobody can say now whether a condition holds: its alert stays as
	// it is. Nil is never.
	Unsure func(alerts.Key) bool
	// Gone says why what an alert is about is no more, "" if it is there. Nil is not known.
	Gone  func(alerts.Alert) string
	Now   int64 // Unix milliseconds
	NewID func() string
}

// A Book is the alerts that matter for what comes next. Step changes it, so that it is
// right for the next look, too.
type Book struct {
	Live map[alerts.Key]*alerts.Alert // that are not over
	Late map[alerts.Key]*alerts.Alert // the latest of each key that is over: see alerts.Late
}

// NewBook returns the book of rows. Of several of one key that are over, the last counts.
func NewBook(live, late []alerts.Alert) *Book {
	b := &Book{Live: make(map[alerts.Key]*alerts.Alert, len(live)), Late: make(map[alerts.Key]*alerts.Alert, len(late))}
	for i := range live {
		b.Live[live[i].Key] = &live[i]
	}
	for i := range late {
		a := &late[i]
		if was := b.Late[a.Key]; was == nil || was.EndedAt <= a.EndedAt {
			b.Late[a.Key] = a
		}
	}
	return b
}

// An Outcome is what came of a look.
type Outcome struct {
	Rows    []*alerts.Alert  // that have to be written
	Changes []routing.Change // that people may be told of, in the same order
	Seen    []string         // the IDs of those whose condition holds
	Next    int64            // when time alone may change something; 0 is never
}

// step is the state of one step.
type step struct {
	*Book
	Look
	Outcome
	holds     map[alerts.Key]*conditions.Finding
	explained map[alerts.Key]bool // the answers of isExplained
	touched   map[*alerts.Alert]bool
}

// Step says what becomes of all alerts.
func (b *Book) Step(l Look) Outcome {
	s := &step{Book: b, Look: l, holds: make(map[alerts.Key]*conditions.Finding, len(l.Holds)), explained: map[alerts.Key]bool{},
		touched: map[*alerts.Alert]bool{}}
	for i := range l.Holds {
		s.holds[l.Holds[i].Key] = &l.Holds[i]
	}
	for i := range l.Holds {
		f := &l.Holds[i]
		if s.holds[f.Key] != f { // said twice: the last one counts
			continue
		}
		if a := b.Live[f.Key]; a != nil {
			s.goesOn(a, f)
		} else if !s.unsure(f.Key) {
			s.begins(f)
		}
	}
	s.ends()
	s.wakes()
	s.swallows()
	s.when()
	return s.Outcome
}

func (s *step) unsure(k alerts.Key) bool { return s.Unsure != nil && s.Unsure(k) }

func (s *step) write(a *alerts.Alert) {
	if !s.touched[a] {
		s.touched[a] = true
		s.Rows = append(s.Rows, a)
	}
}

func (s *step) tell(a *alerts.Alert, e channels.Event) {
	s.Changes = append(s.Changes, routing.Change{Alert: *a, Event: e, At: s.Now})
}

// goesOn is that what an alert says still holds.
func (s *step) goesOn(a *alerts.Alert, f *conditions.Finding) {
	s.Seen = append(s.Seen, a.ID)
	worse := rank(f.Severity) > worst(a)
	again := a.QuietAt > 0
	if again {
		a.QuietAt, a.Since = 0, f.Since
		a.Count++
		a.BeforeAt, a.BeganAt = a.BeganAt, s.Now
	}
	if changed := take(a, f); !changed && !again {
		return
	}
	a.SeenAt = s.Now
	s.write(a)
	if worse { // whoever looks after it did not know that
		a.SnoozedUntil, a.SnoozedBy, a.AckedAt, a.AckedBy = 0, "", 0, ""
		s.tell(a, channels.Opened)
	}
}

// worst is how bad an alert was at its worst since it began.
func worst(a *alerts.Alert) int {
	if a.Body.V == nil {
		return rank(a.Severity)
	}
	return max(rank(a.Severity), rank(a.Body.V.Worst))
}

// take has an alert say what was found, and reports whether it says something else then.
func take(a *alerts.Alert, f *conditions.Finding) bool {
	body := f.Body
	if a.Body.V != nil {
		body.Swallows = a.Body.V.Swallows
		if was := worst(a); was > rank(f.Severity) {
			body.Worst = alerts.Severities[was]
		}
	}
	if a.Since == 0 {
		a.Since = f.Since
	}
	if a.Body.V != nil && same(*a.Body.V, body) && a.Severity == f.Severity && a.Job == f.Job && a.Host == f.Host &&
		a.Repository == f.Repository {
		return false
	}
	a.Body.V, a.Severity, a.Job, a.Host, a.Repository = &body, f.Severity, f.Job, f.Host, f.Repository
	return true
}

// same reports whether two bodies say the same, but for what they swallow.
func same(a, b alerts.Body) bool {
	return a.Name == b.Name && a.Title == b.Title && a.Cause == b.Cause && a.Do == b.Do && a.Limit == b.Limit && a.Path == b.Path &&
		a.Link == b.Link &&
		a.Reason == b.Reason && a.Much == b.Much && a.Worst == b.Worst
}

// begins is that something holds of which there is no alert.
func (s *step) begins(f *conditions.Finding) {
	late := s.Late[f.Key]
	if late != nil && late.EndedBy != alerts.Plane && late.QuietAt == 0 && !anew(f, late) {
		s.Seen = append(s.Seen, late.ID)
		return // somebody ended it, and it was never over since
	}
	if s.isExplained(f) || s.Wait && len(Explaining(*f)) > 0 {
		return
	}
	a := &alerts.Alert{Key: f.Key, OpenedAt: s.Now}
	if late != nil && late.EndedBy == alerts.Plane && s.within(late.EndedAt, Again) {
		a = late
		a.Flaps = a.Flaps || a.BeforeAt > 0 && s.within(a.BeforeAt, FlapsWithin)
		a.BeforeAt = a.BeganAt
		a.EndedAt, a.EndedBy, a.EndedWhy, a.QuietAt, a.AckedAt, a.AckedBy = 0, "", "", 0, 0, ""
		if a.Severity = f.Severity; a.Body.V != nil {
			body := *a.Body.V
			body.Worst = ""
			a.Body.V = &body
		}
	} else {
		a.ID = s.NewID()
	}
	if a.SnoozedUntil <= s.Now {
		a.SnoozedUntil, a.SnoozedBy = 0, ""
	}
	a.Count++
	a.BeganAt, a.SeenAt, a.Since = s.Now, s.Now, f.Since
	take(a, f)
	delete(s.Late, f.Key)
	s.Live[f.Key] = a
	s.Seen = append(s.Seen, a.ID)
	s.write(a)
	if a.SnoozedUntil == 0 { // else it is told when that is over
		s.tell(a, channels.Opened)
	}
}

// events are conditions of which each job that meets them is another reason to look, and
// not the same thing going on.
var events = map[string]bool{string(conditions.ChangeAnomaly): true, string(conditions.RestoreFailures): true}

// within reports whether a moment is at most so far away. One that lies further ahead was
// written by a clock that was wrong.
func (s *step) within(at int64, d time.Duration) bool {
	return max(s.Now-at, at-s.Now) <= d.Milliseconds()
}

// anew reports whether something came after somebody ended the alert of what was before: it
// happened again, or there is more of it.
func anew(f *conditions.Finding, late *alerts.Alert) bool {
	if was := late.Body.V; was != nil && was.Much > 0 && f.Body.Much > was.Much {
		return true
	}
	return events[f.Condition] && f.Since > late.EndedAt && f.Job != late.Job
}

// ends is about what does not hold any more.
func (s *step) ends() {
	var judged map[alerts.Key]bool
	if s.Judged != nil {
		judged = make(map[alerts.Key]bool, len(s.Judged))
		for _, k := range s.Judged {
			judged[k] = true
		}
	}
	over := func(k alerts.Key) bool { return s.holds[k] == nil && (judged == nil || judged[k]) }
	for _, a := range sorted(s.Live) {
		if !over(a.Key) {
			continue
		}
		why := ""
		if s.Gone != nil {
			why = s.Gone(*a)
		}
		if why == "" && s.unsure(a.Key) {
			continue
		}
		if a.Flaps && why == "" {
			if a.QuietAt == 0 || a.QuietAt > s.Now { // the clock was set back
				a.QuietAt = s.Now
				s.write(a)
				continue
			}
			if s.Now-a.QuietAt < Calm.Milliseconds() {
				continue
			}
		}
		a.EndedAt, a.EndedBy, a.EndedWhy, a.QuietAt = s.Now, alerts.Plane, why, 0
		delete(s.Live, a.Key)
		s.Late[a.Key] = a
		s.write(a)
		s.tell(a, channels.Recovered)
	}
	for _, a := range sorted(s.Late) {
		if a.EndedBy != alerts.Plane && a.QuietAt == 0 && over(a.Key) && !s.unsure(a.Key) {
			a.QuietAt = s.Now // it was over once: it may begin anew
			s.write(a)
		}
	}
}

// wakes is about those whose snooze is over.
func (s *step) wakes() {
	if s.Judged != nil {
		return // the next look at everything does it
	}
	for _, a := range sorted(s.Live) {
		if a.SnoozedUntil == 0 || a.SnoozedUntil > s.Now && s.within(a.SnoozedUntil, MostSnoozed) {
			continue
		}
		a.SnoozedUntil, a.SnoozedBy = 0, ""
		s.write(a)
		if a.QuietAt == 0 {
			s.tell(a, channels.Reminded)
		}
	}
}

// swallows has alerts name what they explain.
func (s *step) swallows() {
	if s.Judged != nil {
		return
	}
	more := map[*alerts.Alert][]string{}
	for i := range s.Look.Holds {
		f := &s.Look.Holds[i]
		if s.Live[f.Key] != nil || !s.opens(f) {
			continue
		}
		if by := s.root(f); by != nil {
			more[by] = append(more[by], strings.TrimPrefix(f.Body.Name+": "+f.Body.Title, ": "))
		}
	}
	for _, a := range sorted(s.Live) {
		names := more[a]
		if len(names) == 0 {
			continue
		}
		all := slices.Concat(a.Body.V.Swallows, names)
		slices.Sort(all)
		all = slices.Compact(all)
		if all = all[:min(len(all), MostSwallowed)]; slices.Equal(all, a.Body.V.Swallows) {
			continue
		}
		body := *a.Body.V // what was told keeps what it says
		body.Swallows = all
		a.Body.V = &body
		s.write(a)
	}
	for i, c := range s.Changes { // they say what is so at the end of the step
		if a := s.Live[c.Alert.Key]; a != nil && a.ID == c.Alert.ID {
			s.Changes[i].Alert = *a
		}
	}
}

// when says when time alone may change something.
func (s *step) when() {
	until := func(at int64) {
		if at > s.Now && (s.Next == 0 || at < s.Next) {
			s.Next = at
		}
	}
	for _, a := range s.Live {
		until(a.SnoozedUntil)
		if a.QuietAt > 0 {
			until(a.QuietAt + Calm.Milliseconds())
		}
	}
	for _, a := range s.Late {
		until(a.EndedAt + Grace.Milliseconds())
	}
}

func rank(s alerts.Severity) int { return slices.Index(alerts.Severities, s) }

// sorted lists alerts in an order that does not depend on chance.
func sorted(m map[alerts.Key]*alerts.Alert) []*alerts.Alert {
	list := make([]*alerts.Alert, 0, len(m))
	for _, a := range m {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *alerts.Alert) int {
		return cmp.Or(cmp.Compare(a.Condition, b.Condition), cmp.Compare(a.On, b.On), cmp.Compare(a.Subject, b.Subject))
	})
	return list
}
