package main

import (
	"strings"
	"testing"
)

// TestBackupToPlansABackupOfTheCopies: daily, once, and not beside a schedule that somebody
// made for them.
func TestBackupToPlansABackupOfTheCopies(t *testing.T) {
	h := newHouse(t)
	to := func(name, word string) {
		t.Helper()
		if text, code := h.tell("backup", "--to", "vault", "--host", "attic"); code != 0 {
			t.Fatal(text)
		}
		rows, err := h.store.Schedules(t.Context(), h.host)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 1 || rows[0].Name != name || !strings.HasSuffix(rows[0].Cron, word) || !rows[0].Enabled || len(rows[0].Groups) != 1 {
			t.Errorf("there are the schedules %+v, want %s, %s", rows, name, word)
		}
	}
	to("control plane", " * * *")
	to("control plane", " * * *")
	if text, code := h.tell("schedule", "set", "attic", "--cron=@weekly", "--group=control plane", "mine"); code != 0 {
		t.Fatal(text)
	}
	if err := serviceOf(h).Remove(t.Context(), "test", h.host, "control plane"); err != nil {
		t.Fatal(err)
	}
	to("mine", "@weekly")
}
