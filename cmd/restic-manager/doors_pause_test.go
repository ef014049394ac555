package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/pause"
)

// A hostPause is for how long a host is paused; 0 is what nobody said.
type hostPause struct{ For time.Duration }

var hostPauses = subject[hostPause]{
	service: func(t *testing.T, h *house, in hostPause) error {
		var until time.Time
		if in.For != 0 {
			until = time.Now().Add(in.For)
		}
		_, err := (&pause.Service{Store: h.store}).Pause(t.Context(), "test", h.host, until)
		return err
	},
	doors: map[string]func(t *testing.T, h *house, in hostPause) (bool, string){
		theForm: func(_ *testing.T, h *house, in hostPause) (bool, string) {
			form := url.Values{}
			if in.For != 0 {
				form.Set("for", in.For.String())
			}
			status, text := h.ask("POST", "/hosts/"+string(h.host)+"/pause", form)
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in hostPause) (bool, string) {
			body := map[string]any{}
			if in.For != 0 {
				body["until"] = time.Now().Add(in.For).UTC().Format(time.RFC3339Nano)
			}
			status, text := h.ask("PUT", "/api/hosts/"+string(h.host)+"/pause", body)
			return status == http.StatusOK, detail(t, text)
		},
		theCommandLine: func(_ *testing.T, h *house, in hostPause) (bool, string) {
			args := []string{"host", "pause", string(h.host)}
			if in.For != 0 {
				args = append(args, "--for="+in.For.String())
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		row, err := h.store.Host(t.Context(), h.host)
		if err != nil {
			t.Fatal(err)
		}
		p, paused := row.Paused(time.Now().UnixMilli())
		if !paused {
			return nil
		}
		if _, _, err := (&pause.Service{Store: h.store}).Resume(t.Context(), "test", h.host); err != nil {
			t.Fatal(err)
		}
		return []string{fmt.Sprintf("%.0f hours", float64(p.Until-p.From)/3600_000)}
	},
	cases: map[string]doorCase[hostPause]{
		"a day if nobody says": {},
		"an hour":              {in: hostPause{time.Hour}},
		"eight hours":          {in: hostPause{8 * time.Hour}},
		"seven days":           {in: hostPause{7*24*time.Hour - time.Minute}},
		"eight days":           {in: hostPause{8 * 24 * time.Hour}, bad: "until"},
		"until an hour ago":    {in: hostPause{-time.Hour}, bad: "until"},
	},
}

// Whoever pauses a host can resume it by any door, and a second time changes nothing.
func TestEveryDoorResumesAHost(t *testing.T) {
	h := newHouse(t)
	for door, resume := range map[string]func() (bool, string){
		theForm: func() (bool, string) {
			status, text := h.ask("POST", "/hosts/"+string(h.host)+"/resume", url.Values{})
			return status == http.StatusSeeOther, text
		},
		theAPI: func() (bool, string) {
			status, text := h.ask("DELETE", "/api/hosts/"+string(h.host)+"/pause", nil)
			return status == http.StatusNoContent, text
		},
		theCommandLine: func() (bool, string) {
			text, code := h.tell("host", "resume", string(h.host))
			return code == 0, text
		},
	} {
		if _, err := (&pause.Service{Store: h.store}).Pause(t.Context(), "mqtt:home", h.host, time.Time{}); err != nil {
			t.Fatal(err)
		}
		status, page := h.ask("GET", "/hosts/"+string(h.host), nil)
		if status != http.StatusOK || !strings.Contains(page, "Paused by mqtt:home until") || !strings.Contains(page, "/resume") {
			t.Errorf("%s: the page of a paused host does not say who paused it, or offers no way to resume it", door)
		}
		for range 2 {
			if done, text := resume(); !done {
				t.Errorf("%s: %s", door, text)
			}
		}
		row, err := h.store.Host(t.Context(), h.host)
		if err != nil {
			t.Fatal(err)
		}
		if _, paused := row.Paused(time.Now().UnixMilli()); paused {
			t.Errorf("%s: it is paused still", door)
		}
	}
}
