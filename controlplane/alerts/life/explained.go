package life

import (
	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
	"github.com/restic-manager/restic-manager/store/alerts"
)

// Explaining lists the keys of alerts that would explain a finding.
func Explaining(f conditions.Finding) []alerts.Key {
	c, _ := conditions.Of(conditions.Name(f.Condition))
	keys := make([]alerts.Key, 0, len(c.Explained))
	for _, name := range c.Explained {
		by, known := conditions.Of(name)
		if !known {
			continue
		}
		k := alerts.Key{Condition: string(name), On: by.On}
		switch by.On {
		case f.On:
			k.Subject = f.Subject
		case alerts.OnHost:
			k.Subject = string(f.Host)
		case alerts.OnRepository:
			k.Subject = string(f.Repository)
		}
		if conditions.Explains(k, f) && k != f.Key {
			keys = append(keys, k)
		}
	}
	return keys
}

// isExplained reports whether another alert says better what a finding says: one that is
// open, or that would be if nothing explained it in turn; or one that is over since a
// while ago, and what was found held then already.
func (s *step) isExplained(f *conditions.Finding) bool {
	if known, asked := s.explained[f.Key]; asked {
		return known
	}
	s.explained[f.Key] = false // while it is looked: what explains itself is not explained
	for _, k := range Explaining(*f) {
		if a := s.Live[k]; a != nil && better(a, f) || s.lately(k, f) {
			s.explained[f.Key] = true
			break
		}
		if g := s.holds[k]; g != nil && wouldBe(g, f) && !s.unsure(k) && (s.isExplained(g) || s.opens(g)) {
			s.explained[f.Key] = true
			break
		}
	}
	return s.explained[f.Key]
}

// better reports whether an alert is severe and wide enough to say what a finding says.
func better(a *alerts.Alert, f *conditions.Finding) bool {
	return rank(a.Severity) >= rank(f.Severity) && (a.Body.V == nil || !conditions.Narrow(a.Body.V.Reason))
}

// wouldBe reports the same of what has no alert yet.
func wouldBe(g, f *conditions.Finding) bool {
	return rank(g.Severity) >= rank(f.Severity) && !conditions.Narrow(g.Body.Reason)
}

// opens reports whether a finding has an alert of its own, unless something explains it.
func (s *step) opens(f *conditions.Finding) bool {
	late := s.Late[f.Key]
	return late == nil || late.EndedBy == alerts.Plane || late.QuietAt > 0 || anew(f, late)
}

// lately reports whether an alert that is over explained a finding when it was not. A job
// that failed long after its end did so for another reason.
func (s *step) lately(k alerts.Key, f *conditions.Finding) bool {
	late := s.Late[k]
	return late != nil && better(late, f) && f.Since > 0 && f.Since <= late.EndedAt && f.At <= late.EndedAt+Slack.Milliseconds() &&
		s.Now < late.EndedAt+Grace.Milliseconds() && s.within(late.EndedAt, Grace)
}

// root is the alert that explains a finding and is open, nil if there is none.
func (s *step) root(f *conditions.Finding) *alerts.Alert {
	for _, k := range Explaining(*f) {
		if a := s.Live[k]; a != nil && better(a, f) {
			return a
		}
	}
	for _, k := range Explaining(*f) {
		if g := s.holds[k]; g != nil && k != f.Key && wouldBe(g, f) {
			if a := s.root(g); a != nil {
				return a
			}
		}
	}
	return nil
}
