package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitStatusesAndStreams(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		args      string
		status    int
		out, errs string // what they hold; "" is nothing at all
	}{
		{"version", success, "restic-manager-agent dev", ""},
		{"--help", success, "enroll --server=HOST:8883", ""},
		{"", usage, "", "expected one of"},
		{"backup", usage, "", "backup"},
		{"run", usage, "", "--state=DIR"},
		{"run --state " + empty, failure, "", "enroll first"},
		{"enroll --server a:1 --token t --state " + empty + " --policy all", usage, "", "no policy"},
		{"enroll --server a:1 --token t --state " + empty + " --policy restore", usage, "", "--restore-root"},
		{"enroll --server a:1 --token t --state " + empty, failure, "", "no enrolment token"},
	} {
		var out, errs bytes.Buffer
		status := execute(t.Context(), strings.Fields(c.args), &out, &errs)
		if status != c.status || !holds(out.String(), c.out) || !holds(errs.String(), c.errs) {
			t.Errorf("%q ends with %d, says %q and %q; want %d, %q and %q", c.args, status, out.String(), errs.String(), c.status, c.out, c.errs)
		}
	}
}

func holds(text, part string) bool {
	return part == "" && text == "" || part != "" && strings.Contains(text, part)
}

func TestFlagsComeFromTheEnvironmentToo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	t.Setenv("RESTIC_MANAGER_AGENT_STATE", dir)
	var out, errs bytes.Buffer
	if status := execute(t.Context(), []string{"run"}, &out, &errs); status != failure || !strings.Contains(errs.String(), dir) {
		t.Errorf("run ends with %d and %q", status, errs.String())
	}
}
