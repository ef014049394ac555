package jobs

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/schedule"
	"github.com/restic-manager/restic-manager/topics"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/CAUSES.md")

// TestCausesAreDocumented compares docs/CAUSES.md with the code: each cause, what it
// means, what it does to the data, what to do, and whether a schedule tries it again.
func TestCausesAreDocumented(t *testing.T) {
	const path = "../../docs/CAUSES.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(page)
	for name, rows := range map[string]string{"causes": causeRows(), "cases": caseRows()} {
		begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
		before, rest, ok := strings.Cut(got, begin)
		is, after, also := strings.Cut(rest, end)
		if !ok || !also {
			t.Fatalf("docs/CAUSES.md has no place for %s", name)
		}
		if *update {
			got = before + begin + rows + end + after
			continue
		}
		want := strings.Split(rows, "\n")
		for i, line := range strings.Split(is, "\n") {
			if i >= len(want) || line != want[i] {
				t.Errorf("docs/CAUSES.md differs from the code (go test ./controlplane/jobs -run Documented -update rewrites it):\n%s", line)
				break
			}
		}
		if strings.Count(is, "\n") != strings.Count(rows, "\n") {
			t.Errorf("docs/CAUSES.md has %d lines of %s, want %d", strings.Count(is, "\n"), name, strings.Count(rows, "\n"))
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func causeRows() string {
	var b strings.Builder
	b.WriteString("| cause | what happened | your data | what to do | tried again |\n|---|---|---|---|---|\n")
	for _, c := range topics.Causes {
		kind, state := topics.BackupJob, topics.Failed
		switch c {
		case topics.CauseAppendOnly, topics.CauseReview:
			kind = topics.ForgetJob
		case topics.CauseUnreadable, topics.CauseEmptySource, topics.CauseFewerFiles, topics.CauseSourceMoved:
			state = topics.Warnings
		}
		again := "no"
		if schedule.Retry(topics.Failed, c) {
			again = "yes"
			if n := schedule.Retries(c, schedule.MaxRetries); n < schedule.MaxRetries {
				again = fmt.Sprintf("%d times at most", n)
			}
		}
		row(&b, "`"+string(c)+"`", Explain(kind, c, state), again)
	}
	return b.String()
}

func caseRows() string {
	var b strings.Builder
	b.WriteString("| cause | what happened | your data | what to do |\n|---|---|---|---|\n")
	for _, n := range nuancesInOrder {
		row(&b, "`"+string(nuances[n].of)+"`", Explain(topics.BackupJob, n, topics.Failed), "")
	}
	return b.String()
}

func row(b *strings.Builder, name string, e Explanation, last string) {
	fmt.Fprintf(b, "| %s | %s. | %s | %s |", name, e.Cause, e.Effect, strings.Join(e.Texts(), " "))
	if last != "" {
		fmt.Fprintf(b, " %s |", last)
	}
	b.WriteString("\n")
}
