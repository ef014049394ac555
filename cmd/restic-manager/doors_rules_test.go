package main

import (
	"errors"
	"html"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
)

// subjects are all that can be saved by more than one of form, API and command
// line. To add one, write a subject in a doors_NAME_test.go of its own and name it
// here. It needs:
//   - an Input, as its service takes it (or a struct around several such arguments),
//   - service: what its service answers to an Input. This is what all others are
//     compared with,
//   - doors: the same Input sent by a form, as a call of the API, as a command line,
//   - saved: all that is in the database now, as texts, which it removes. IDs, keys
//     and times are left out,
//   - cases: good and bad Inputs. Every field of Input has to be set in one of them.
//
// A case is asked of the service first; then each door has to save the same, or to
// refuse it with the same sentence for every field that is wrong.
var subjects = map[string]interface{ run(t *testing.T, h *house) }{
	"a new user":          newUsers,
	"a user's change":     changedUsers,
	"an API token":        apiTokens,
	"a new consumer":      newConsumers,
	"a consumer's right":  changedConsumers,
	"a new schedule":      newSchedules,
	"a schedule's change": changedSchedules,
	"a new repository":    newRepositories,
	"a source group":      groups,
	"maintenance hours":   hours,
	"a host's settings":   hostSettings,
	"a host's name":       hostNames,
	"a host's tags":       hostTags,
	"a host's pause":      hostPauses,
	"a removed group":     removedGroups,
	"the identity":        identitySteps,
	"a replaced machine":  replacementSteps,
	"what becomes of it":  replacementDecisions,
	"a token of a host":   hostTokens,
	"a key for hosts":     enrollKeys,
	"a plan of drills":    drillPlans,
	"a new channel":       newChannels,
	"a pause of alerts":   alertPauses,
	"a deed on an alert":  alertDeeds,
	"thresholds":          thresholds,
	"rules of alerts":     alertRules,
	"the public address":  publicAddresses,
	"the agents' address": agentsAddresses,
	"a heartbeat outside": outsideBeats,
	"a broker elsewhere":  uplinkSettings,
	"Home Assistant":      homeAssistants,
	"what is taken in":    takings,
}

func TestEveryDoorHasTheSameRules(t *testing.T) {
	for name, s := range subjects {
		t.Run(name, func(t *testing.T) { s.run(t, newHouse(t)) })
	}
}

// A subject is one sort of thing that is saved. See subjects.
type subject[Input any] struct {
	before  func(t *testing.T, h *house) // nil, or what has to be there before each attempt
	service func(t *testing.T, h *house, in Input) error
	doors   map[string]func(t *testing.T, h *house, in Input) (taken bool, said string)
	saved   func(t *testing.T, h *house) []string
	cases   map[string]doorCase[Input]
}

// A doorCase is one Input, good or bad.
type doorCase[Input any] struct {
	in  Input
	bad string   // the field that has to be refused, "" for a good input; others may be wrong, too
	not []string // the doors that have no way to say this
}

const (
	theForm        = "the form"
	theAPI         = "the API"
	theCommandLine = "the command line"
)

func (s subject[Input]) run(t *testing.T, h *house) {
	untried := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Input]()) {
		untried[f.Name] = true
	}
	attempt := func(t *testing.T, do func() (bool, string)) (taken bool, said string, rows []string) {
		t.Helper()
		if s.before != nil {
			s.before(t, h)
		}
		taken, said = do()
		return taken, said, s.saved(t, h)
	}
	for what, c := range s.cases {
		for _, f := range reflect.VisibleFields(reflect.TypeFor[Input]()) {
			if !reflect.ValueOf(c.in).FieldByIndex(f.Index).IsZero() {
				delete(untried, f.Name)
			}
		}
		t.Run(what, func(t *testing.T) {
			var wrong field.Errors
			_, _, want := attempt(t, func() (bool, string) {
				if err := s.service(t, h, c.in); err != nil && !errors.As(err, &wrong) {
					t.Fatalf("the service: %v", err)
				}
				return true, ""
			})
			if c.bad == "" && wrong != nil || c.bad != "" && wrong[c.bad] == "" {
				t.Fatalf("the service answers %v; want a word about %q", wrong, c.bad)
			}
			for door, ask := range s.doors {
				if slices.Contains(c.not, door) {
					continue
				}
				taken, said, rows := attempt(t, func() (bool, string) { return ask(t, h, c.in) })
				if taken != (wrong == nil) || !slices.Equal(rows, want) {
					t.Errorf("%s: taken %t and saved %q; the service answers %v and saves %q\n%.2000s", door, taken, rows, wrong, want, said)
				}
				for name, sentence := range wrong {
					if says(door, said, name, sentence) {
						continue
					}
					t.Errorf("%s does not say %q of the field %q:\n%.2000s", door, sentence, name, said)
				}
				obeyed := func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == '\u202e' }
				if door == theCommandLine && strings.ContainsFunc(said, obeyed) {
					t.Errorf("%s prints what a terminal obeys: %q", door, said)
				}
			}
		})
	}
	for name := range untried {
		t.Errorf("no case sets the field %s", name)
	}
}

// says reports whether a door says what is wrong with a field. What the description
// of the API bounds already, huma refuses in its own words before we see it.
func says(door, said, name, sentence string) bool {
	said = html.UnescapeString(said)
	return strings.Contains(said, sentence) || door == theAPI && strings.Contains(said, "body."+name+" expected")
}
