package uplink

import (
	"context"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/words"
)

// Notices is a [notices.Source].
func (s *Service) Notices(context.Context) []notices.Notice {
	s.begin()
	st, list := s.Status(), []notices.Notice{}
	link := notices.Link{Text: "MQTT", URL: "/mqtt"}
	if s.away() {
		list = append(list, notices.Notice{ID: "uplink-away", Severity: notices.Warning,
			Say: "Your own MQTT broker has been out of reach for " + words.Span(s.moment().Sub(time.UnixMilli(st.Since))) + ". " + st.Error +
				" Home Assistant and whoever else listens there see everything as unavailable; backups go on.",
			Remedy: st.Remedy, Link: link})
	}
	for _, l := range st.Leaving {
		if l.TriedAt == 0 || s.moment().Sub(time.UnixMilli(l.Since)) < s.timing.Away {
			continue
		}
		list = append(list, notices.Notice{ID: "uplink-left-" + l.ID, Severity: notices.Warning,
			Say: words.Count(uint64(l.Topics), "topic of ours is", "topics of ours are") + " still retained at the broker " + l.URL +
				", which was left: " + l.Error,
			Remedy: "It is tried again every minute. If that broker is gone for good, give it up.", Link: link})
	}
	return list
}
