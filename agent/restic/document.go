package restic

import "slices"

// A document takes a JSON array apart while it is being read, so that an answer
// of many megabytes is never held. The objects that stand at one of the depths,
// counted in brackets around them, are handed on one by one, each after those
// inside it and with a 0 in their places; what is left in the end is a skeleton
// like [0,0,0]. Of each it holds limit bytes and counts the rest.
type document struct {
	depths        []int
	limit         int
	object        func(object []byte, lost int)
	open          []fragment // the objects that are not closed; the first is the skeleton
	depth         int
	text, escaped bool // inside a string, after a backslash
}

type fragment struct {
	bytes []byte
	lost  int
	depth int // of its opening bracket
}

func (d *document) write(p []byte) {
	if len(d.open) == 0 {
		d.open = append(d.open, fragment{})
	}
	for _, c := range p {
		if d.text {
			d.add(c)
			switch {
			case d.escaped:
				d.escaped = false
			case c == '\\':
				d.escaped = true
			case c == '"':
				d.text = false
			}
			continue
		}
		switch c {
		case '"':
			d.text = true
		case '{', '[':
			if c == '{' && slices.Contains(d.depths, d.depth) {
				d.open = append(d.open, fragment{depth: d.depth})
			}
			d.depth++
		case '}', ']':
			d.depth--
		}
		d.add(c)
		if top := d.open[len(d.open)-1]; c == '}' && len(d.open) > 1 && top.depth == d.depth {
			d.open = d.open[:len(d.open)-1]
			d.object(top.bytes, top.lost)
			d.add('0')
		}
	}
}

func (d *document) add(c byte) {
	top := &d.open[len(d.open)-1]
	if len(top.bytes) < d.limit {
		top.bytes = append(top.bytes, c)
	} else {
		top.lost++
	}
}

// end returns the skeleton and begins anew. What was not closed stays unheard of.
func (d *document) end() (skeleton []byte, lost int) {
	first := fragment{}
	if len(d.open) > 0 {
		first = d.open[0]
		for _, f := range d.open[1:] {
			first.lost += len(f.bytes) + f.lost
		}
	}
	*d = document{depths: d.depths, limit: d.limit, object: d.object}
	return first.bytes, first.lost
}
