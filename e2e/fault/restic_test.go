package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// A restic may do anything. What it does is a job's business and no one else's:
// the job ends as it should, its log says what can be said, and neither program
// grows. Under the race detector both are slow and large, so make test runs it
// once without; with -short a fifth of the lines, ten times what is kept, is enough.
func TestWhateverResticDoesItsJobEndsAndMemoryStaysBounded(t *testing.T) {
	lines, most := 1_000_000, 150 // MiB
	if testing.Short() {
		lines = 200_000
	}
	if raced {
		lines, most = 40_000, 1000
	}
	w := newWorld(t, 5)
	h := w.enrol("host")
	h.standIn("summary")
	h.start("")
	has := func(text string) func(*testing.T, []store.LogEntry) {
		return func(t *testing.T, log []store.LogEntry) {
			for _, e := range log {
				if strings.Contains(e.Text, text) {
					return
				}
			}
			t.Errorf("no line has %q in %v", text, log)
		}
	}
	for _, c := range []struct {
		name, body string
		cancel     bool // once it has said "ready"
		state      topics.JobState
		cause      topics.Cause
		log        func(*testing.T, []store.LogEntry)
	}{
		{"prints line upon line", fmt.Sprintf(`awk 'BEGIN { for (i = 1; i <= %d; i++) print "word " i > "/dev/stderr" }'; summary`, lines),
			false, topics.Succeeded, "",
			func(t *testing.T, log []store.LogEntry) { mustKeepHalves(t, log, lines) }},
		{"prints a line of 1 MiB", `head -c 1048576 /dev/zero | tr '\0' x >&2; echo >&2; echo after >&2; summary`,
			false, topics.Succeeded, "", has("after")},
		{"prints a line without an end", `head -c 100000000 /dev/zero | tr '\0' x >&2; echo ready; tr '\0' x </dev/zero >&2`, true,
			topics.Cancelled, topics.CauseCancelled, has("xxxx")},
		{"prints JSON without an end",
			`printf '{"message_type":"'; head -c 100000000 /dev/zero | tr '\0' x; echo ready >&2; tr '\0' x </dev/zero`, true, topics.Cancelled,
			topics.CauseCancelled, has("ready")},
		{"prints NULs", `printf 'a\000b\000c\n' >&2; head -c 100000 /dev/zero; echo; summary`, false, topics.Succeeded, "", nil},
		{"prints invalid UTF-8", `printf 'left \377\376\200 right\n' >&2; summary`, false, topics.Succeeded, "", has("right")},
		{"prints terminal sequences", `printf '\033[31mred\033[0m \033]0;title\007done\r\n' >&2; summary`,
			false, topics.Succeeded, "", has("done")},
		{"prints half a JSON object", `printf '{"message_type":"status","percent_do\n'; summary; printf '{"message_type":"summ'`, false,
			topics.Succeeded, "", nil},
		{"hangs", `(until grep -q '^sleep' /proc/$$/comm; do sleep 0.01; done; echo ready >&2) & exec sleep 1000`, true, topics.Cancelled,
			topics.CauseCancelled, nil},
		{"ignores SIGINT", `trap '' INT TERM; echo ready >&2; while :; do sleep 0.1; done`, true, topics.Cancelled, topics.CauseCancelled, nil},
		{"leaves a child behind", `sleep 1000 & summary`, false, topics.Succeeded, "", nil},
		{"leaves a child in a session of its own", `setsid sleep 1000 & sleep 0.1; summary`, false, topics.Succeeded, "", nil},
		{"closes stdout before it answers", `exec 1>&-; echo oops >&2; sleep 0.2`, false, topics.Failed, topics.CauseUnknown, has("oops")},
		{"closes its output after it answered", `summary; exec 1>&- 2>&-; sleep 0.2`, false, topics.Succeeded, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			h.standIn("ledger backup\n" + c.body)
			id := h.ask()
			if c.cancel {
				await(t, "restic to be ready", func() error {
					log, err := w.store.Log(t.Context(), id, 0, 100)
					for _, e := range log {
						if e.Text == "ready" {
							return nil
						}
					}
					return errors.Join(err, errors.New("it has not said so"))
				})
				if err := w.api("POST", "/api/jobs/"+string(id)+"/cancel", nil, nil); err != nil {
					t.Fatal(err)
				}
			}
			j := w.awaitEnd(id)
			if j.State != c.state || j.Cause != c.cause {
				t.Errorf("it ended as %s, cause %q: %s; want %s, %q", j.State, j.Cause, j.Message, c.state, c.cause)
			}
			if n := h.ledger()[id].backups; n != 1 {
				t.Errorf("it was started %d times", n)
			}
			if left := running(id); len(left) > 0 {
				t.Errorf("processes %v are left", left)
			}
			log := w.lines(id)
			for _, e := range log {
				if !utf8.ValidString(e.Text) || len(e.Text) > topics.MaxLine || strings.ContainsFunc(e.Text, func(r rune) bool {
					return r < ' ' || r == 0x7f
				}) {
					t.Errorf("line %d of %d bytes is not clean: %.100q", e.N, len(e.Text), e.Text)
				}
			}
			if c.log != nil {
				c.log(t, log)
			}
			agent, plane := h.process.Peak(), w.plane.Peak()
			t.Logf("%v, %d lines; memory at most: agent %d MiB, control plane %d MiB", time.Since(began).Round(10*time.Millisecond),
				j.Lines, agent, plane)
			if agent > most || plane > most {
				t.Errorf("the agent had %d MiB and the control plane %d, want at most %d", agent, plane, most)
			}
		})
	}
	h.process.MustStop(time.Minute)
	w.plane.MustStop(time.Minute)
}

// mustKeepHalves insists on the first and last 10,000 lines of a long log, one
// gap between them, and words in their order.
func mustKeepHalves(t *testing.T, log []store.LogEntry, n int) {
	t.Helper()
	gaps := 0
	for _, e := range log {
		if e.GapTo > 0 {
			gaps++
			t.Logf("gap %d to %d: %s", e.N, e.GapTo, e.Text)
		}
	}
	if gaps != 1 || len(log) != store.LogLines+1 || log[store.LogLines/2].GapTo == 0 {
		t.Errorf("%d entries, %d of them gaps, want the first and last %d lines and a gap between", len(log), gaps, store.LogLines/2)
	}
	numbers := words(log)
	if len(numbers) < store.LogLines-10 || numbers[0] != 1 || numbers[len(numbers)-1] != n {
		t.Fatalf("%d words, from %d to %d of %d", len(numbers), numbers[0], numbers[len(numbers)-1], n)
	}
	jumps := 0
	for i := 1; i < len(numbers); i++ {
		if numbers[i] != numbers[i-1]+1 {
			jumps++
		}
	}
	if jumps != 1 {
		t.Errorf("the words jump %d times, want once, at the gap", jumps)
	}
}
