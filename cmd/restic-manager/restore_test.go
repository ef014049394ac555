package main

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// The command restore asks for what the API does, from short words: whose files, of which
// snapshot, to where.
func TestTheCommandRestoreAsksForWhatTheAPIDoes(t *testing.T) {
	h := newHouse(t)
	engine := jobs.New(jobs.Config{Store: h.store, Hub: jobs.NewHub(), Log: slog.New(slog.DiscardHandler), Timing: jobs.DefaultTiming(),
		Now: time.Now})
	old, newest := strings.Repeat("a", 64), strings.Repeat("b", 64)
	if err := h.store.SlotStep(t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		if _, err := x.ExecContext(ctx, `UPDATE hosts SET can = '["baskets"]'`); err != nil {
			return err
		}
		for id, paths := range map[string]string{old: `["/etc","C:\\Data"]`, newest: `["/home"]`} {
			if _, err := x.ExecContext(ctx, `INSERT INTO snapshots (repository, id, host, hostname, job, source_group, time, paths, tags, username,
				tree, original, files, bytes, place) VALUES ($1, $2, $3, 'x', 'job', 'group', $4, $5, '[]', '', '', '', 1, 1, '')`,
				h.repository, id, h.host, map[bool]int{true: 2, false: 1}[id == newest], paths); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	dir := "/var/tmp/back"
	for _, c := range []struct {
		what string
		args []string
		body map[string]any // "" of the API; nil is refused
	}{
		{"a file of the newest snapshot that has it", []string{"attic", "/etc/hosts", "--to=attic:" + dir},
			map[string]any{"snapshot": old, "paths": []string{"/etc/hosts"}, "target": dir}},
		{"the newest of all, where none has it", []string{"attic", "/var", "--to=" + dir},
			map[string]any{"snapshot": newest, "paths": []string{"/var"}, "target": dir}},
		{"latest", []string{"attic:latest", "/home", "--to=" + dir},
			map[string]any{"snapshot": newest, "paths": []string{"/home"}, "target": dir}},
		{"a path of Windows", []string{"attic:aaaaaaaa", `c:\Data\x y`, `--to=attic:C:\back`},
			map[string]any{"snapshot": old, "paths": []string{"/C/Data/x y"}, "target": `C:\back`}},
		{"the same as snapshots name it", []string{"attic:aaaaaaaa", "/C/Data", `--to=C:\back`},
			map[string]any{"snapshot": old, "paths": []string{"/C/Data"}, "target": `C:\back`}},
		{"all of it, over files, without owners, dry",
			[]string{"attic:aaaaaaaa", "--to=" + dir, "--overwrite=always", "--no-owners", "--dry-run"},
			map[string]any{"snapshot": old, "target": dir, "overwrite": "always", "owners": false, "dry_run": true}},
		{"a basket", []string{"attic:aaaaaaaa", "/etc/a", "/etc/b", "--item=bbbbbbbb:/home/c:d", "--to=" + dir},
			map[string]any{"target": dir, "items": []topics.Item{
				{Snapshot: old, Paths: []string{"/etc/a", "/etc/b"}}, {Snapshot: newest, Paths: []string{"/home/c:d"}}}}},
		{"in place", []string{"attic:aaaaaaaa", "/etc/a", "--in-place", "--confirm=attic"},
			map[string]any{"snapshot": old, "paths": []string{"/etc/a"}, "in_place": true, "confirm": "attic"}},
		{"in place, not confirmed", []string{"attic:aaaaaaaa", "/etc/a", "--in-place"}, nil},
		{"a path that is none", []string{"attic:aaaaaaaa", "etc", "--to=" + dir}, nil},
		{"a snapshot of nobody", []string{"attic:cccccccc", "/etc/a", "--to=" + dir}, nil},
		{"a host of nobody", []string{"cellar", "/etc/a"}, nil},
		{"a target of nobody", []string{"attic", "/etc/a", "--to=cellar:/x"}, nil},
		{"by a dry run that is none", []string{"attic:aaaaaaaa", "/etc/a", "--to=" + dir, "--dry-run-job=20260101-none-0001"}, nil},
	} {
		text, code := h.tell(append([]string{"restore"}, c.args...)...)
		got := h.cancelJobs(t, engine)
		if c.body == nil {
			if code != 1 || len(got) > 0 {
				t.Errorf("%s: %d, %v: %s", c.what, code, got, text)
			}
			continue
		}
		c.body["kind"], c.body["repository"] = "restore", h.repository
		status, said := h.ask("POST", "/api/hosts/"+string(h.host)+"/jobs", c.body)
		want := h.cancelJobs(t, engine)
		if code != 0 || status != http.StatusAccepted || !slices.Equal(got, want) {
			t.Errorf("%s: %d %v %s\nthe API: %d %v %s", c.what, code, got, text, status, want, said)
		}
	}

	// What ls lists is of the snapshot that restore would bring back.
	for where, want := range map[string]map[string]string{
		"attic":          {"/etc/cron.d": old, "/home/anna": newest, "/": newest, "/var": newest, "/C/Data/x": old},
		"attic:latest":   {"/etc": old, "/home": newest},
		"attic:aaaaaaaa": {"/home": old},
	} {
		for path, want := range want {
			if _, n, err := snapshotNamed(t.Context(), h.store, where, path); err != nil || n.ID != want {
				t.Errorf("%s %s is of %.8s, %v; want %.8s", where, path, n.ID, err, want)
			}
		}
	}

	// Without a target it is a new directory, of the host that is named.
	if text, code := h.tell("restore", "attic", "/home", "--to=attic:"); code != 0 {
		t.Errorf("to a new directory: %s", text)
	} else if got := h.cancelJobs(t, engine); len(got) != 1 || !strings.Contains(got[0], `"fresh":true`) {
		t.Errorf("to a new directory: %v", got)
	}
}

func TestHowAJobThatWasWaitedForEnds(t *testing.T) {
	for state, want := range map[topics.JobState]int{topics.Warnings: 4, topics.Failed: 1, topics.Cancelled: 1, topics.Interrupted: 1,
		topics.Abandoned: 1} {
		if got := (&endedError{state: state}).ExitCode(); got != want {
			t.Errorf("%s: %d", state, got)
		}
	}
}
