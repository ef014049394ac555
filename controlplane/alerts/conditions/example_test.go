package conditions_test

import (
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/alerts/conditions"
)

// Every condition has an example, with all that is said filled in; nothing else holds for
// a fleet of which nothing is to be said.
func TestEveryConditionHasAnExample(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range conditions.Table() {
		f, ok := conditions.Example(c.Name, now)
		if !ok {
			t.Errorf("%s has no example", c.Name)
			continue
		}
		if f.On != c.On && c.Name != conditions.NeverBackedUp || f.Body.Name == "" || f.Body.Title == "" || f.Body.Cause == "" ||
			f.Body.Do == "" ||
			f.Body.Path == "" || f.Body.Link == "" {
			t.Errorf("%s: something is not said: %+v", c.Name, f)
		}
		for _, text := range []string{f.Body.Title, f.Body.Cause, f.Body.Do} {
			if strings.ContainsAny(text, "{}") || strings.Contains(text, "  ") || strings.Contains(text, "..") {
				t.Errorf("%s: %q", c.Name, text)
			}
		}
	}
	if _, ok := conditions.Example("rain", now); ok {
		t.Error("there is an example of rain")
	}
}
