package conditions_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
)

var update = flag.Bool("update", false, "rewrite the table of docs/ALERTS.md")

const page = "../../../docs/ALERTS.md"

// docs/ALERTS.md has every condition, as the code has it, in the same order.
func TestEveryConditionIsDocumented(t *testing.T) {
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- begin conditions -->\n", "<!-- end conditions -->\n"
	head, rest, found := strings.Cut(string(raw), begin)
	is, tail, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatal("docs/ALERTS.md has no place for the table")
	}
	want := documented()
	if is == want {
		return
	}
	if !*update {
		t.Fatalf("docs/ALERTS.md is not as the code is: run go test ./controlplane/alerts/conditions -run Documented -update\n%s", want)
	}
	if err := os.WriteFile(page, []byte(head+begin+want+end+tail), 0o644); err != nil { //nolint:gosec // a page of the repository
		t.Fatal(err)
	}
}

// documented is the table.
func documented() string {
	var b strings.Builder
	b.WriteString("| condition | of | severity | threshold | when | what to do | how it ends | explained by |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, c := range conditions.Table() {
		threshold := c.Words(c.Default)
		if threshold == "" {
			threshold = "–"
		}
		var by []string
		for _, n := range c.Explained {
			by = append(by, "`"+string(n)+"`")
		}
		if len(by) == 0 {
			by = []string{"–"}
		}
		when := c.Says(c.Default)
		if c.Default == 0 {
			when = strings.ReplaceAll(c.When, "{limit}", "that")
		}
		if c.Quiet > 0 {
			when += " Not before " + conditions.Condition{Measure: conditions.Seconds}.Words(int64(c.Quiet.Seconds())) + " after enrolment."
		}
		b.WriteString("| `" + strings.Join([]string{string(c.Name) + "`", string(c.On), string(c.Severity), threshold, when, c.Do, c.Ends,
			strings.Join(by, ", ")}, " | ") + " |\n")
	}
	return b.String()
}
