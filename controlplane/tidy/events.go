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
			f.HostKeys = f.HostKeys[:min(len(f.HostKeys), topics.MaxHostKeys)]
			for i := range f.HostKeys {
				k := &f.HostKeys[i]
				k.Name, k.Type, k.Fingerprint = Clean(k.Name, MostName), Clean(k.Type, MostName), Clean(k.Fingerprint, MostName)
				k.Known = Clean(k.Known, MostSaid)
			}
			if r := f.Result; r != nil && r.Copy != nil {
				for i := range r.Copy.Missing {
					r.Copy.Missing[i].Time = words.Time(r.Copy.Missing[i].Time)
				}
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
	locks(r.Locks)
	for i := range r.Replacements {
		if by := r.Replacements[i].By; by != nil {
			snapshot(by)
		}
	}
	for i := range r.Matches {
		r.Matches[i].ModTime = words.Time(r.Matches[i].ModTime)
	}
}

// snapshot leaves paths and tags as they are, whatever they hold: restic asks for
// them by that. They are shown by [words.Visible].
func snapshot(n *topics.Snapshot) { n.Time = words.Time(n.Time) }

func locks(all []topics.Lock) {
	for i := range all {
		l := &all[i]
		l.Time, l.User, l.Host = words.Time(l.Time), Clean(l.User, MostName), Clean(l.Host, MostName)
	}
}

// Progress is Events for what a running job tells of itself.
func Progress(p *topics.Progress) {
	p.Doing = Clean(p.Doing, MostName)
	if p.Percent = min(p.Percent, 100); !(p.Percent >= 0) { // nor is it a number that is none
		p.Percent = 0
	}
	if p.Trouble != nil {
		p.Trouble.Words = Clean(p.Trouble.Words, MostSaid)
	}
	if w := p.Waits; w != nil {
		w.Since, w.Until = words.Time(w.Since), words.Time(w.Until)
		w.More += max(0, len(w.Locks)-topics.MaxLocks)
		w.Locks = w.Locks[:min(len(w.Locks), topics.MaxLocks)]
		locks(w.Locks)
	}
}

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
