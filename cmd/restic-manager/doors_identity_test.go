package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
)

// An identityStep is a step that is asked for while the identity is being changed, or
// is not.
type identityStep struct {
	Under bool // a change is under way
	Off   bool // and was called off
	enroll.Step
}

// deskOf is one of a database that has a host, which never moves.
func deskOf(t *testing.T, h *house) *enroll.Desk {
	t.Helper()
	d, err := desk(t.Context(), h.store)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// course is how the identity is being changed now.
func course(t *testing.T, h *house) enroll.Succession {
	t.Helper()
	s, err := deskOf(t, h).Succession(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// before brings about what a step is asked in.
func (s identityStep) before(t *testing.T, h *house) {
	t.Helper()
	do := func(step enroll.Step) {
		if err := deskOf(t, h).Take(t.Context(), "test", step); err != nil {
			t.Fatal(err)
		}
	}
	if course(t, h).Plan != nil {
		do(enroll.Step{Do: enroll.StepFinish, Leave: true})
	}
	if s.Under {
		do(enroll.Step{Do: enroll.StepBegin, For: 100 * time.Hour})
	}
	if s.Off {
		do(enroll.Step{Do: enroll.StepCallOff})
	}
	identityBefore = course(t, h).Generation
}

// identityBefore is the generation of the identity when the last step was asked for.
var identityBefore int64

const day = 24 * time.Hour

var identitySteps = subject[identityStep]{
	service: func(t *testing.T, h *house, in identityStep) error {
		in.before(t, h)
		return deskOf(t, h).Take(t.Context(), "test", in.Step)
	},
	doors: map[string]func(t *testing.T, h *house, in identityStep) (bool, string){
		theForm: func(t *testing.T, h *house, in identityStep) (bool, string) {
			in.before(t, h)
			form := url.Values{"do": {in.Do}, "days": {strconv.Itoa(int(in.For / day))}, "confirm": {in.Confirm}}
			if in.Leave {
				form.Set("leave_behind", "yes")
			}
			status, text := h.ask("POST", "/identity", form)
			return status == http.StatusSeeOther, text
		},
		theAPI: func(t *testing.T, h *house, in identityStep) (bool, string) {
			in.before(t, h)
			status, text := h.ask("POST", "/api/identity", map[string]any{"do": in.Do, "for": in.For.String(), "leave_behind": in.Leave})
			return status == http.StatusOK, text
		},
		theCommandLine: func(t *testing.T, h *house, in identityStep) (bool, string) {
			in.before(t, h)
			args := []string{"key", "identity", "--" + in.Do}
			switch in.Do {
			case enroll.StepBegin:
				args = []string{"key", "rotate", "--identity", "--for=" + in.For.String()}
			case enroll.StepReplace:
				args = []string{"key", "rotate", "--identity", "--now"}
			case enroll.StepPutOff:
				args[2] += "=" + in.For.String()
			}
			if in.Leave {
				args = append(args, "--leave-behind")
			}
			text, code := h.tell(args...)
			return code == 0, text
		},
	},
	saved: func(t *testing.T, h *house) []string {
		s := course(t, h)
		if s.Plan == nil {
			return []string{fmt.Sprintf("one identity, another one: %t", s.Generation != identityBefore)}
		}
		left := time.Until(time.UnixMilli(s.Plan.Until)).Round(time.Hour)
		return []string{fmt.Sprintf("two for %s, called off: %t, another one: %t", left, s.Plan.Back, s.Generation != identityBefore)}
	},
	cases: map[string]doorCase[identityStep]{
		"begin":                      {in: identityStep{Step: enroll.Step{Do: "begin", For: 30 * day}}},
		"begin for an hour":          {in: identityStep{Step: enroll.Step{Do: "begin", For: time.Hour}}, not: []string{theForm}},
		"begin for 366 days":         {in: identityStep{Step: enroll.Step{Do: "begin", For: 366 * day}}},
		"begin for 367 days":         {in: identityStep{Step: enroll.Step{Do: "begin", For: 367 * day}}, bad: "for"},
		"begin for nothing":          {in: identityStep{Step: enroll.Step{Do: "begin"}}, bad: "for"},
		"begin for less than none":   {in: identityStep{Step: enroll.Step{Do: "begin", For: -day}}, bad: "for"},
		"put off":                    {in: identityStep{Under: true, Step: enroll.Step{Do: "put-off", For: 40 * day}}},
		"put off, called off":        {in: identityStep{Under: true, Off: true, Step: enroll.Step{Do: "put-off", For: 2 * day}}},
		"put off for 367 days":       {in: identityStep{Under: true, Step: enroll.Step{Do: "put-off", For: 367 * day}}, bad: "for"},
		"call off":                   {in: identityStep{Under: true, Step: enroll.Step{Do: "call-off"}}},
		"go on":                      {in: identityStep{Under: true, Off: true, Step: enroll.Step{Do: "go-on"}}},
		"finish with a host left":    {in: identityStep{Under: true, Step: enroll.Step{Do: "finish"}}, bad: "leave_behind"},
		"finish and leave it behind": {in: identityStep{Under: true, Step: enroll.Step{Do: "finish", Leave: true}}},
		"at once": {in: identityStep{Step: enroll.Step{Do: "replace", Confirm: enroll.ReplacePhrase}},
			not: []string{theAPI}},
		"at once, under way": {in: identityStep{Under: true, Step: enroll.Step{Do: "replace", Confirm: " " + enroll.ReplacePhrase + " "}},
			not: []string{theAPI}},
		"at once, unconfirmed": {in: identityStep{Step: enroll.Step{Do: "replace", Confirm: "yes"}}, bad: "confirm",
			not: []string{theAPI, theCommandLine}},
		"no such step": {in: identityStep{Under: true, Step: enroll.Step{Do: "hurry"}}, bad: "do", not: []string{theCommandLine}},
	},
}

// TestAProgramDoesNotReplaceTheIdentityAtOnce asks the API for what would have every host
// refused, and all doors for what was decided already.
func TestAProgramDoesNotReplaceTheIdentityAtOnce(t *testing.T) {
	h := newHouse(t)
	for _, c := range []struct {
		when   identityStep
		do     string
		status int
	}{
		{identityStep{}, "replace", http.StatusUnprocessableEntity},
		{identityStep{Under: true}, "replace", http.StatusUnprocessableEntity},
		{identityStep{}, "call-off", http.StatusConflict},
		{identityStep{}, "finish", http.StatusConflict},
		{identityStep{Under: true}, "begin", http.StatusConflict},
		{identityStep{Under: true}, "go-on", http.StatusConflict},
		{identityStep{Under: true, Off: true}, "call-off", http.StatusConflict},
	} {
		c.when.before(t, h)
		was := course(t, h)
		if status, text := h.ask("POST", "/api/identity", map[string]any{"do": c.do, "for": "720h"}); status != c.status {
			t.Errorf("%s while %+v: %d %s", c.do, c.when, status, text)
		}
		if now := course(t, h); now.Generation != was.Generation || (now.Plan == nil) != (was.Plan == nil) ||
			now.Plan != nil && *now.Plan != *was.Plan {
			t.Errorf("%s while %+v has changed %+v to %+v", c.do, c.when, was, now)
		}
	}
}
