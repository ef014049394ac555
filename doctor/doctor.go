// Package doctor says whether a program can do its work where it is: what is well,
// what will not go on so, what does not work, what that means for the backups, and the
// command that mends it.
//
// What is checked stands beside what it checks; here is what a finding is, how checks
// are run and how they are shown. A check changes nothing, names no secret, and is given
// up when it takes too long.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A State says how bad it is.
type State string

// States, the best first.
const (
	OK      State = "ok"
	Warning State = "warning" // it works, and will not go on so by itself
	Fail    State = "fail"    // it does not work now
)

// A Finding is one row: what was looked at and how it is. Effect and Remedy are empty
// where it is well.
type Finding struct {
	Check  string `json:"check"` // what was looked at, in a word or two
	State  State  `json:"state"`
	What   string `json:"what"`             // what was found
	Effect string `json:"effect,omitempty"` // what that means for the data
	Remedy string `json:"remedy,omitempty"` // what to do, with the command
}

// Well is a finding with which there is nothing to do.
func Well(format string, args ...any) Finding {
	return Finding{State: OK, What: fmt.Sprintf(format, args...)}
}

// A Check looks at one thing. What it finds carries its name.
type Check struct {
	Name  string
	Limit time.Duration // after which it is given up; 0 is Limit
	Run   func(ctx context.Context) []Finding
}

// Limit is how long a check may take unless it says otherwise.
const Limit = 10 * time.Second

// A Report is what was found of a program.
type Report struct {
	Program  string    `json:"program"`
	Version  string    `json:"version"`
	At       time.Time `json:"at"`
	Findings []Finding `json:"findings"`
}

// Run runs all checks at once and lists what they found in their order. One that does not
// end in time is a finding, and is not waited for.
func Run(ctx context.Context, checks []Check) []Finding {
	found := make([][]Finding, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { found[i] = c.bounded(ctx) })
	}
	all.Wait()
	list := []Finding{}
	for i, rows := range found {
		for _, f := range rows {
			f.Check = checks[i].Name
			list = append(list, f)
		}
	}
	return list
}

func (c Check) bounded(ctx context.Context) []Finding {
	limit := c.Limit
	if limit == 0 {
		limit = Limit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- c.Run(ctx) }()
	// A check that heeds its context still says what it was waiting for.
	late := time.NewTimer(limit + max(limit/4, time.Second))
	defer late.Stop()
	select {
	case rows := <-done:
		return rows
	case <-late.C:
		return []Finding{{
			State: Warning, What: fmt.Sprintf("this was not answered within %v", limit),
			Effect: "what it would have shown is not known",
			Remedy: "look at this machine's disks and network (dmesg, a mount that hangs), and run doctor again",
		}}
	}
}

// Exit is the exit status for a report: 0 all is well, 1 there are warnings, 2 something
// does not work.
func (r Report) Exit() int {
	worst := 0
	for _, f := range r.Findings {
		switch f.State {
		case OK:
		case Warning:
			worst = max(worst, 1)
		default:
			worst = 2
		}
	}
	return worst
}

// JSON writes the report for programs.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// Text writes the report for people.
func (r Report) Text(w io.Writer) error {
	width := 0
	for _, f := range r.Findings {
		width = max(width, len(f.Check))
	}
	var b strings.Builder
	counts := map[State]int{}
	for _, f := range r.Findings {
		counts[f.State]++
		fmt.Fprintf(&b, "%-7s  %-*s  %s\n", f.State, width, f.Check, plain(f.What))
		for _, more := range []struct{ word, text string }{{"means", f.Effect}, {"to do", f.Remedy}} {
			if more.text != "" {
				fmt.Fprintf(&b, "%*s%s: %s\n", 7+2+width+2, "", more.word, plain(more.text))
			}
		}
	}
	fmt.Fprintf(&b, "\n%s %s: %d ok, %d warning, %d fail\n", r.Program, r.Version, counts[OK], counts[Warning], counts[Fail])
	_, err := io.WriteString(w, b.String())
	return err
}

// plain is a text in a line, without what a terminal obeys.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, strings.TrimSpace(text))
}
