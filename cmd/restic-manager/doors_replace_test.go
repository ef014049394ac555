package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/replace"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/replacing"
	"github.com/restic-manager/restic-manager/topics"
)

// replacingOf is the service behind the doors.
func replacingOf(t *testing.T, h *house) *replace.Service {
	t.Helper()
	s, err := replacingIn(t.Context(), h.store)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// replacement is the host's last one with what was decided, as texts.
func replacement(t *testing.T, h *house) (open bool, rows []string) {
	t.Helper()
	r, groups, err := h.store.Replacement(t.Context(), h.host)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	rows = []string{fmt.Sprintf("open %t, called off %t", r.Open(), r.CalledOff)}
	for _, g := range groups {
		rows = append(rows, fmt.Sprintf("%s %q waits %t", g.Group, g.Decision, g.Held))
	}
	return r.Open(), rows
}

// replacementSteps begin a replacement, or call it off.
type replacementStep struct{ CallOff bool }

var replacementSteps = subject[replacementStep]{
	before: func(t *testing.T, h *house) {
		if _, err := h.store.BeginReplacement(t.Context(), "test", topics.NewID(time.Now()), h.host); err != nil {
			t.Fatal(err)
		}
	},
	service: func(t *testing.T, h *house, in replacementStep) error {
		if in.CallOff {
			return replacingOf(t, h).CallOff(t.Context(), "test", h.host)
		}
		_, err := replacingOf(t, h).Begin(t.Context(), "test", h.host, enroll.TokenLife)
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in replacementStep) (bool, string){
		theForm: func(_ *testing.T, h *house, in replacementStep) (bool, string) {
			if in.CallOff {
				status, text := h.ask("POST", "/hosts/"+string(h.host)+"/replacement/call-off", url.Values{})
				return status == http.StatusSeeOther, text
			}
			status, text := h.ask("POST", "/hosts/"+string(h.host)+"/replacement", url.Values{})
			return status == http.StatusOK, text // which shows the token
		},
		theAPI: func(_ *testing.T, h *house, in replacementStep) (bool, string) {
			if in.CallOff {
				status, text := h.ask("DELETE", "/api/hosts/"+string(h.host)+"/replacement", nil)
				return status == http.StatusOK, text
			}
			status, text := h.ask("POST", "/api/hosts/"+string(h.host)+"/replacement", map[string]any{})
			return status == http.StatusCreated, text
		},
		theCommandLine: func(_ *testing.T, h *house, in replacementStep) (bool, string) {
			args := []string{"host", "replace", string(h.host)}
			if in.CallOff {
				args = append(args, "--call-off")
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		open, rows := replacement(t, h)
		good := 0
		if err := h.store.SlotStep(t.Context(), func(tx store.Slots) error {
			ctx, x := tx.Tx()
			return sqlx.GetContext(ctx, x, &good, `SELECT count(*) FROM enroll_tokens WHERE for_host = $1 AND used_at = 0 AND expires_at > $2`,
				h.host, h.store.Now())
		}); err != nil {
			t.Fatal(err)
		}
		if open {
			if err := h.store.CallOffReplacement(t.Context(), "test", h.host); err != nil {
				t.Fatal(err)
			}
		}
		return append(rows, fmt.Sprintf("%d tokens", good))
	},
	cases: map[string]doorCase[replacementStep]{
		"begin":    {in: replacementStep{}},
		"call off": {in: replacementStep{CallOff: true}},
	},
}

// replacementDecisions say what becomes of the files of a replaced machine.
var replacementDecisions = subject[replace.Input]{
	before: func(t *testing.T, h *house) {
		id := topics.NewID(time.Now())
		if _, err := h.store.BeginReplacement(t.Context(), "test", id, h.host); err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256([]byte(id))
		if err := h.store.AddEnrollToken(t.Context(), store.EnrollToken{ID: id, KeyHash: hash[:], ForHost: h.host, CreatedBy: "test",
			ExpiresAt: h.store.Now() + 60_000}); err != nil {
			t.Fatal(err)
		}
		fresh := store.Host{ID: h.host, SealKey: []byte(id), Serial: id, Hostname: "attic"}
		if _, err := h.store.Enroll(t.Context(), hash[:], fresh); err != nil {
			t.Fatal(err)
		}
	},
	service: func(t *testing.T, h *house, in replace.Input) error {
		return replacingOf(t, h).Decide(t.Context(), "test", h.host, in)
	},
	doors: map[string]func(t *testing.T, h *house, in replace.Input) (bool, string){
		theForm: func(_ *testing.T, h *house, in replace.Input) (bool, string) {
			form := url.Values{"group": in.Groups}
			if in.Decision != nil {
				form.Set("decision", *in.Decision)
			}
			status, text := h.ask("POST", "/hosts/"+string(h.host)+"/replacement/decide", form)
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in replace.Input) (bool, string) {
			body := map[string]any{}
			if in.Decision != nil {
				body["decision"] = *in.Decision
			}
			if in.Groups != nil {
				body["groups"] = in.Groups
			}
			status, text := h.ask("POST", "/api/hosts/"+string(h.host)+"/replacement/decide", body)
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in replace.Input) (bool, string) {
			args := []string{"host", "replaced", string(h.host)}
			if in.Decision != nil {
				args = append(args, "--"+*in.Decision)
			}
			for _, g := range in.Groups {
				args = append(args, "--group="+g)
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		open, rows := replacement(t, h)
		if open {
			if _, err := h.store.DecideReplacement(t.Context(), "test", h.host, nil, replacing.Without, "the end"); err != nil {
				t.Fatal(err)
			}
		}
		return rows
	},
	cases: map[string]doorCase[replace.Input]{
		"all are restored":       {in: replace.Input{Decision: new(replace.Restored)}},
		"all start without":      {in: replace.Input{Decision: new(replace.Without)}},
		"one of two":             {in: replace.Input{Decision: new(replace.Restored), Groups: []string{"letters"}}},
		"both by name":           {in: replace.Input{Decision: new(replace.Without), Groups: []string{"letters", "photos"}}},
		"spaces around":          {in: replace.Input{Decision: new(replace.Restored), Groups: []string{" letters "}}},
		"no such group":          {in: replace.Input{Decision: new(replace.Restored), Groups: []string{"cellar"}}, bad: "groups"},
		"one that is, and not":   {in: replace.Input{Decision: new(replace.Restored), Groups: []string{"letters", "cellar"}}, bad: "groups"},
		"an escape":              {in: replace.Input{Decision: new(replace.Restored), Groups: []string{"let\x1bters"}}, bad: "groups"},
		"no decision":            {in: replace.Input{}, bad: "decision", not: []string{theCommandLine}}, // there it lists
		"another decision":       {in: replace.Input{Decision: new("maybe")}, bad: "decision", not: []string{theCommandLine}},
		"no decision of a group": {in: replace.Input{Groups: []string{"letters"}}, bad: "decision", not: []string{theCommandLine}},
	},
}
