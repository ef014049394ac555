package web

import (
	"testing"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/views"
)

// The form's own list says what to ask for; what a variable is, package location says.
func TestTheFormOffersVariablesARepositoryMaySet(t *testing.T) {
	for _, b := range views.Backends() {
		if got := location.Scheme(b.Example); got != b.Key {
			t.Errorf("the example of %s, %s, is of scheme %s", b.Key, b.Example, got)
		}
		if _, err := location.Parse(b.Example); err != nil {
			t.Errorf("the example of %s, %s: %v", b.Key, b.Example, err)
		}
		for _, f := range b.Fields {
			if v, ok := location.Find(f.Variable); !ok || v.Secret != f.Secret {
				t.Errorf("%s of %s: known %v, secret %v, the form says %v", f.Variable, b.Key, ok, v.Secret, f.Secret)
			}
		}
	}
}
