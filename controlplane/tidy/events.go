package tidy

import (
	"strings"

	"github.com/restic-manager/restic-manager/topics"
	"github.com/restic-manager/restic-manager/words"
)

// Events makes of events what a correct agent sends: times that can be, names and messages
// of bounded length without control characters, log lines of known levels. It is the one
// place where they enter.
func Events(ev topics.Events) {
	for i := range ev.Events {
		e := &ev.Events[i]
		e.At = words.Time(e.At)
		e.Mark = Clean(e.Mark, MostName)
		if e.Hello != nil {
			hello(e.Hello)
		}
		if e.Facts != nil {
			Facts(e.Facts)
		}
		if e.Configured != nil {
			configured(e.Configured)
		}
		if e.Log != nil {
			lines(e.Log.Lines)
		}
		if e.Report != nil {
			report(e.Report)
		}
		if e.Started != nil {
			e.Started.Restic = Clean(e.Started.Restic, MostName)
		}
		if f := e.Finished; f != nil {
			f.Message = Bounded(f.Message, MostSaid)
			for i := range f.HostKeys {
				f.HostKeys[i].Known = Clean(f.HostKeys[i].Known, MostSaid)
			}
			if f.Snapshot != nil {
				snapshot(f.Snapshot)
			}
		}
	}
}

func hello(h *topics.Hello) {
	h.Instance = Clean(h.Instance, MostInstance)
	Facts(&h.Facts)
	if m := h.Machine; m != nil {
		for _, name := range []*string{&m.ID, &m.Boot, &m.Hostname} {
			*name = Clean(*name, MostName)
		}
		m.State = Clean(m.State, MostPath)
		m.Addresses = Texts(m.Addresses[:min(len(m.Addresses), topics.MaxAddresses)])
		m.Started = words.Time(m.Started)
	}
	if h.Configured != nil {
		configured(h.Configured)
	}
}

func configured(c *topics.Configured) {
	c.Digest, c.Error = Clean(c.Digest, MostName), Bounded(c.Error, MostSaid)
}

func report(r *topics.Report) {
	for i := range r.Snapshots {
		snapshot(&r.Snapshots[i])
	}
	for i := range r.Keys {
		k := &r.Keys[i]
		k.Created, k.User, k.Host = words.Time(k.Created), Clean(k.User, MostName), Clean(k.Host, MostName)
	}
	for i := range r.Locks {
		l := &r.Locks[i]
		l.Time, l.User, l.Host = words.Time(l.Time), Clean(l.User, MostName), Clean(l.Host, MostName)
	}
	for i := range r.Matches {
		r.Matches[i].ModTime = words.Time(r.Matches[i].ModTime)
	}
}

// snapshot leaves paths and tags as they are, whatever they hold: restic asks for
// them by that. They are shown by [words.Visible].
func snapshot(n *topics.Snapshot) { n.Time = words.Time(n.Time) }

// Beat is Events for a heartbeat.
func Beat(b *topics.Heartbeat) {
	b.Clock, b.Instance = words.Time(b.Clock), Clean(b.Instance, MostInstance)
	b.Permits = Clean(b.Permits, MostName)
	if b.Disk != nil {
		b.Disk.Since, b.Disk.Error = words.Time(b.Disk.Since), Bounded(b.Disk.Error, MostSaid)
	}
}

// lines limits log lines to known levels and bounded text.
func lines(lines []topics.Line) {
	for i := range lines {
		l := &lines[i]
		l.At = words.Time(l.At)
		if l.Level != topics.Warn && l.Level != topics.Error {
			l.Level = topics.Info
		}
		l.Text = strings.ReplaceAll(l.Text, "\x00", "\ufffd")
		if len(l.Text) > topics.MaxLine+100 {
			l.Text = strings.ToValidUTF8(l.Text[:topics.MaxLine], "") + " … [cut]"
		}
	}
}
