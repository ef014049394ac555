package metrics

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/METRICS.md anew")

// TestTheDocumentHasEveryMetric: the table in docs/METRICS.md is the table of families.
func TestTheDocumentHasEveryMetric(t *testing.T) {
	const file = "../../docs/METRICS.md"
	want := "| metric | type | labels | what it is |\n|---|---|---|---|\n"
	for _, f := range Families() {
		want += fmt.Sprintf("| `%s%s` | %s | %s | %s |\n", prefix, f.Name, f.Type, strings.Join(f.Labels, ", "), f.Help)
	}
	doc := string(must(os.ReadFile(file)))
	if *update {
		table := regexp.MustCompile(`(?m)^FAMILIES\n|(^\|.*\n)+`)
		check(os.WriteFile(file, []byte(table.ReplaceAllLiteralString(doc, want)), 0o644)) //nolint:gosec // a document
		return
	}
	if !strings.Contains(doc, "\n\n"+want+"\n") {
		t.Errorf("its table is not this; write it with: go test ./controlplane/metrics -run Document -update\n%s", want)
	}
	unknown(t, file, doc)
}

// named are the names of our metrics in a text.
var named = regexp.MustCompile(`\brestic_manager_[a-z_]+`)

// unknown complains of metrics in a text that there are not.
func unknown(t *testing.T, where, text string) (met []string) {
	t.Helper()
	all := map[string]bool{}
	for _, f := range Families() {
		all[prefix+f.Name] = true
		if f.Type == Summary || f.Type == Histogram {
			all[prefix+f.Name+"_sum"], all[prefix+f.Name+"_count"] = true, true
		}
		if f.Type == Histogram {
			all[prefix+f.Name+"_bucket"] = true
		}
	}
	met = named.FindAllString(text, -1)
	for _, name := range met {
		if !all[name] {
			t.Errorf("%s speaks of %s, which is no metric", where, name)
		}
	}
	return met
}

// labels are what an expression selects or groups by; Prometheus' own are added.
var (
	selected = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	grouped  = regexp.MustCompile(`(?:by|on|ignoring|group_left|group_right|without)\s*\(([^)]*)\)`)
)

// known complains of labels in an expression that no metric of ours has.
func known(t *testing.T, where, expression string) {
	t.Helper()
	all := []string{"instance", "job", "le", "alertstate", "alertname", "quantile"}
	for _, f := range Families() {
		all = append(all, f.Labels...)
	}
	var used []string
	for _, m := range selected.FindAllStringSubmatch(expression, -1) {
		used = append(used, m[1])
	}
	for _, m := range grouped.FindAllStringSubmatch(expression, -1) {
		for _, one := range strings.Split(m[1], ",") {
			used = append(used, strings.TrimSpace(one))
		}
	}
	for _, label := range used {
		if label != "" && !slices.Contains(all, label) {
			t.Errorf("%s: no metric has the label %s: %s", where, label, expression)
		}
	}
}

func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestTheRulesAreWhatTheyShouldBe: Prometheus' own tool reads configuration and rules, and
// plays what the tests of the rules say.
func TestTheRulesAreWhatTheyShouldBe(t *testing.T) {
	const dir = "../../deploy/prometheus"
	promtool(t, dir, "check", "config", "--syntax-only", "prometheus.yml")
	promtool(t, dir, "check", "rules", "rules.yml")
	promtool(t, dir, "test", "rules", "rules_test.yml")
	rules, tests := string(must(os.ReadFile(filepath.Join(dir, "rules.yml")))), string(must(os.ReadFile(filepath.Join(dir, "rules_test.yml"))))
	unknown(t, "rules.yml", rules)
	unknown(t, "rules_test.yml", tests)
	known(t, "rules.yml", rules)
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1) {
		if !strings.Contains(tests, "alertname: "+m[1]+"\n") {
			t.Errorf("nothing tests the alert %s", m[1])
		}
	}
}

// TestTheDashboardShowsWhatThereIs: every expression of the dashboard is one that Prometheus
// can read, of metrics and labels that there are.
func TestTheDashboardShowsWhatThereIs(t *testing.T) {
	files := must(filepath.Glob("../../deploy/grafana/*.json"))
	if len(files) == 0 {
		t.Fatal("there is no dashboard")
	}
	for _, file := range files {
		var board any
		check(json.Unmarshal(must(os.ReadFile(file)), &board))
		var list []string
		expressions(board, &list)
		rules, met := "groups:\n- name: dashboard\n  rules:\n", 0
		for i, e := range list {
			met += len(unknown(t, file, e))
			known(t, file, e)
			if name, is := strings.CutPrefix(e, "label_values("); is { // Grafana's own, not Prometheus'
				e = strings.TrimSuffix(name[:strings.LastIndex(name, ",")], ")")
			}
			for _, v := range []string{"$__rate_interval", "$__range", "$__interval"} {
				e = strings.ReplaceAll(e, v, "5m")
			}
			e = regexp.MustCompile(`\$\{?\w+(:\w+)?\}?`).ReplaceAllString(e, "some")
			rules += fmt.Sprintf("  - record: of:dashboard:%d\n    expr: %q\n", i, e)
		}
		if met < 30 {
			t.Errorf("%s uses metrics in %d places only", file, met)
		}
		dir := t.TempDir()
		check(os.WriteFile(filepath.Join(dir, "rules.yml"), []byte(rules), 0o600))
		promtool(t, dir, "check", "rules", "rules.yml")
	}
}

// expressions gathers what a dashboard asks Prometheus.
func expressions(v any, list *[]string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if text, is := value.(string); is && text != "" && (key == "expr" || key == "query" || key == "definition") && text != "prometheus" {
				*list = append(*list, text)
				continue
			}
			expressions(value, list)
		}
	case []any:
		for _, one := range v {
			expressions(one, list)
		}
	}
}
