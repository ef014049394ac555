// Package notices is what people should know about the control plane itself: it is
// short of space, its key lies beside what it encrypts, agents are asked about. Each
// part registers a source; pages, API and whoever else tells people ask for the list.
//
// What is about one host, job or repository is no notice: it stands there.
package notices

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// A Severity says how soon somebody should look.
type Severity string

// Severities, the least first.
const (
	Info    Severity = "info"    // worth knowing; nothing is wrong
	Warning Severity = "warning" // everything works, and will not go on so by itself
	Failure Severity = "failure" // something does not work now
)

var order = []Severity{Info, Warning, Failure}

// A Notice is one thing that people should know. It stands until its source no
// longer says it: nobody dismisses what is still true.
type Notice struct {
	// ID names what it is about, in small letters and hyphens: "low-space". It stays the
	// same while the words change, and two notices with one ID are one.
	ID       string
	Severity Severity
	Say      string // what is so, and what it means for backups: whole sentences
	Remedy   string // what to do; may be a command
	Link     Link   // optional: the page where that is done
	// Everybody says that it concerns whoever looks, and not only administrators:
	// what they see or ask for is another than usual.
	Everybody bool
}

// A Link is where a notice leads to.
type Link struct{ Text, URL string }

// A Source says what is so now, nil if there is nothing. It is asked for every page,
// also while the database does not answer: it answers from memory, at once.
type Source func(ctx context.Context) []Notice

// A List is the control plane's notices. The zero value has no source.
type List struct {
	mu      sync.RWMutex
	sources []Source
}

// Add registers a source.
func (l *List) Add(s Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sources = append(l.sources, s)
}

// Now lists what is so now, the most severe first, then by ID. Whoever is no
// administrator sees what concerns everybody.
func (l *List) Now(ctx context.Context, administrator bool) []Notice {
	l.mu.RLock()
	sources := slices.Clone(l.sources)
	l.mu.RUnlock()
	list := []Notice{}
	for _, s := range sources {
		for _, n := range s(ctx) {
			if !slices.Contains(order, n.Severity) {
				n.Severity = Failure // of a slip it is better to say too much
			}
			if administrator || n.Everybody {
				list = append(list, n)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Notice) int {
		return cmp.Or(slices.Index(order, b.Severity)-slices.Index(order, a.Severity), cmp.Compare(a.ID, b.ID))
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(n Notice) bool {
		known := seen[n.ID]
		seen[n.ID] = true
		return known
	})
}
