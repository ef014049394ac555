package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/retention"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// deceiving is a name that would clear the screen, begin lines and columns and write
// backwards; today none can be saved, but rows may be from before.
const deceiving = "evil\x1b[2J\x1b]0;title\x07\nforged\rover\tcell\u202egpj\x00\u0085end"

// harmless fails if a text could command a terminal or was given more lines.
func harmless(t *testing.T, what, text string, lines int) {
	t.Helper()
	if strings.ContainsAny(text, "\x1b\x07\r\t\x00\u0085\u202e") {
		t.Errorf("%s prints %q", what, text)
	}
	if got := strings.Count(text, "\n"); got != lines {
		t.Errorf("%s prints %d lines, want %d: %q", what, got, lines, text)
	}
	if !strings.Contains(text, `\nforged\rover`) {
		t.Errorf("%s does not show the name: %q", what, text)
	}
}

func TestNoNameCommandsTheTerminal(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s, err := store.Open(t.Context(), data, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	id := topics.NewID(time.Now())
	hash := sha256.Sum256([]byte(id))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.AddUser(t.Context(), "test", store.User{ID: id, Name: deceiving, Role: store.Admin}))
	_, err = s.AddAPIToken(t.Context(), store.Maker{Name: deceiving},
		store.APIToken{ID: id, Name: deceiving, Role: store.Admin, KeyHash: hash[:]})
	must(err)
	must(s.AddMQTTUser(t.Context(), store.Maker{Name: "test"}, store.MQTTUser{Name: deceiving, KeyHash: hash[:]}))
	must(s.AddEnrollToken(t.Context(), store.EnrollToken{ID: id, KeyHash: hash[:], Name: deceiving, ExpiresAt: s.Now() + 60_000}))
	h, err := s.Enroll(t.Context(), hash[:], store.Host{ID: topics.HostID(id), SealKey: []byte("k"), Serial: "1", Hostname: deceiving})
	must(err)
	r := store.Repository{ID: topics.RepositoryID(id), Name: deceiving, Location: "/srv/" + deceiving}
	must(s.AddRepository(t.Context(), "test", r, store.RepositoryAccess{URL: "/srv/vault", Password: "hush"}))
	g := store.SourceGroup{ID: "group-0001", Host: h.ID, Name: deceiving, Repository: r.ID, Paths: store.List{"/" + deceiving}}
	_, err = s.PutSourceGroup(t.Context(), "test", g)
	must(err)
	_, err = s.PutSchedule(t.Context(), "test", h.ID, deceiving, "schedule-0001", func(row *store.Schedule) error {
		row.Cron, row.Zone, row.Enabled, row.Groups = "0 3 * * *", "UTC", true, []topics.SourceGroupID{g.ID}
		return nil
	})
	must(err)
	tell := func(want int, args ...string) string {
		t.Helper()
		text, code := said(t, append(args, "--data", data)...)
		if code != want {
			t.Fatalf("%v: exit status %d: %q", args, code, text)
		}
		return text
	}
	job := strings.TrimSpace(tell(0, "job", "start", "--kind", "stats", "--host", string(h.ID), "--repository", string(r.ID)))
	for _, c := range []struct {
		args  []string
		lines int
	}{
		{[]string{"user", "list"}, 2},
		{[]string{"api-token", "list"}, 2},
		{[]string{"mqtt-user", "list"}, 2},
		{[]string{"repository", "list"}, 2},
		{[]string{"schedule", "list"}, 2},
		{[]string{"job", "list"}, 2},
		{[]string{"host", "revoke", string(h.ID)}, 1},
	} {
		harmless(t, strings.Join(c.args, " "), tell(0, c.args...), c.lines)
	}
	for _, args := range [][]string{{"repository", "show", string(r.ID)}, {"job", "show", job}} {
		text := tell(0, args...)
		harmless(t, strings.Join(args, " "), text, strings.Count(text, "\n"))
		if strings.Contains(text, "\nforged") {
			t.Errorf("%v prints a forged line: %q", args, text)
		}
	}
	// The command line's own arguments come back in its errors.
	for _, args := range [][]string{{"host", "revoke", "no" + strings.ReplaceAll(deceiving, "\x00", "")},
		{"schedule", "next", string(h.ID), "no" + strings.ReplaceAll(deceiving, "\x00", "")}} {
		text := tell(1, args...)
		if strings.ContainsAny(text, "\x1b\x07\r\t\u0085\u202e") || strings.Count(text, "\n") != 1 {
			t.Errorf("%v prints %q", args, text)
		}
	}
}

func TestAPlanCommandsNoTerminal(t *testing.T) {
	var b bytes.Buffer
	v := retention.Verdict{Planned: store.Planned{Snapshot: store.Snapshot{ID: "0123456789abcdef", Hostname: deceiving}, Group: deceiving},
		Reasons: []string{deceiving}}
	p := retention.Preview{
		Repository: store.Repository{Name: deceiving},
		Verdicts:   retention.Verdicts{Keep: []retention.Verdict{v}, Remove: []retention.Verdict{v}},
		Oddities:   []retention.Oddity{{Kind: "key", ID: "0123456789", Reasons: []string{deceiving}}},
		Warnings:   []string{deceiving},
	}
	p.Plan.Unusual = []string{deceiving}
	p.Held = &store.Review{Hash: "abc", Plan: store.JSON[store.Plan]{V: &p.Plan}}
	if err := printPlan(&b, p); err != nil {
		t.Fatal(err)
	}
	harmless(t, "a plan", b.String(), 7)
}

func TestAnErrorCommandsNoTerminal(t *testing.T) {
	evil := errors.New(deceiving)
	for _, c := range []struct {
		err   error
		lines int
	}{
		{evil, 1},
		{fmt.Errorf("list: %w", evil), 1},
		{fmt.Errorf("%w and %w", evil, evil), 1},
		{errors.Join(evil, evil), 2},
		{errors.Join(evil, errors.Join(evil, evil)), 3},
	} {
		var b bytes.Buffer
		say(&b, "restic-manager: %v", c.err)
		harmless(t, "an error", b.String(), c.lines)
	}
	var b bytes.Buffer
	say(&b, "%s %v %s", topics.Secret("canary"), topics.Queued, error(&os.PathError{Op: "open", Path: deceiving, Err: os.ErrNotExist}))
	harmless(t, "a mixed line", b.String(), 1)
	if strings.Contains(b.String(), "canary") || !strings.Contains(b.String(), "queued") {
		t.Errorf("it prints %q", b.String())
	}
}
