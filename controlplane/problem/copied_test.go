package problem

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
)

// TestACopyThatFailsHasWords: its cause is of the control plane's disk, and a person can mend it.
func TestACopyThatFailsHasWords(t *testing.T) {
	p := Of(fmt.Errorf("%w: %w", store.ErrNotCopied, errors.New("mkdir copies: permission denied")))
	if p.Kind != Unavailable || !strings.Contains(p.Say, "permission denied") || p.Do == "" {
		t.Errorf("%+v", p)
	}
	if p := Of(errors.New("mkdir copies: permission denied")); p != nil && p.Kind == Unavailable {
		t.Errorf("another error: %+v", p)
	}
}
