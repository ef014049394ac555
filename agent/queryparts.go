package agent

import (
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/topics"
)

// answerParts cuts an answer into parts that fit into messages, and sends each as soon as it
// is full. What fits into none is left out, and said to be.
type answerParts struct {
	send func(topics.Answer) bool // false is that nobody waits any more

	next      topics.Answer // what is not sent yet
	size      int           // of it, at most
	sent      int
	truncated bool
	gone      bool
}

// mostPart is how much a part holds; the last one says some more.
const mostPart = maxEvent - 2<<10

// fits makes room for so many bytes, and reports whether there is any.
func (p *answerParts) fits(n int) bool {
	if n > mostPart || p.size+n > mostPart && p.sent+1 == topics.MaxAnswerParts {
		p.truncated = true
		return false
	}
	if p.size+n > mostPart {
		p.put()
	}
	p.size += n
	return true
}

func (p *answerParts) put() {
	p.sent++
	p.next.Part = p.sent
	p.gone = p.gone || !p.send(p.next)
	p.next, p.size = topics.Answer{}, 0
}

// entries adds files of a directory. It reports whether somebody waits for more.
func (p *answerParts) entries(nodes []topics.Node) bool {
	for i := range nodes {
		e := &nodes[i]
		n := 200 + written(e.Name) + written(e.Path) + written(e.Type) + written(e.User) + written(e.Group) + written(e.Target)
		if p.fits(n) {
			p.next.Entries = append(p.next.Entries, *e)
		}
	}
	return !p.gone
}

// end adds what is left, and sends the last part.
func (p *answerParts) end(a topics.Answer) {
	p.entries(a.Entries)
	if a.SSH != nil && p.fits(len(topics.Encode(a.SSH))) {
		p.next.SSH = a.SSH
	}
	for _, v := range a.Versions {
		if p.fits(140 + written(v.Snapshot) + written(v.Type)) {
			p.next.Versions = append(p.next.Versions, v)
		}
	}
	for _, d := range a.Directories {
		if p.fits(40 + written(d.Name)) {
			p.next.Directories = append(p.next.Directories, d)
		}
	}
	if f := a.Finding; f != nil {
		n := 400 + written(f.Message)
		if c := f.Certificate; c != nil {
			n += 400 + written(c.Subject) + written(c.Issuer) + written(c.Why) + written(c.PEM)
		}
		if p.fits(n) {
			p.next.Finding = f
		}
	}
	if a.Cause != "" { // nothing of it counts
		p.next.Entries = nil
	}
	p.next.Last, p.next.FreeBytes, p.next.Path, p.next.Truncated = true, a.FreeBytes, a.Path, a.Truncated || p.truncated
	p.next.Whole, p.next.Cause, p.next.Message = a.Whole, a.Cause, a.Message
	p.put()
}

// written is how many bytes of JSON a text has at most.
func written(s string) int {
	n, other := len(s), 1
	if !utf8.ValidString(s) {
		other = 5
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			n += other
		case c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c == 0x7f:
			n += 5
		}
	}
	return n
}
