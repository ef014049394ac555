package repositorypages

import (
	"net/url"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/field"
	"github.com/restic-manager/restic-manager/location/storage"
)

// TestWhatNoFormShowsStays: which key is tried first is nowhere to be seen, and saving a form
// does not take it away.
func TestWhatNoFormShowsStays(t *testing.T) {
	const hint = "RESTIC_KEY_HINT"
	for kind, lines := range map[storage.Kind]string{storage.Other: "AWS_ACCESS_KEY_ID=AKIA", storage.S3: "", storage.REST: hint + "=0a1b"} {
		c := credentialOf(url.Values{"everyday.variables": {lines}}, everyday, kind, "s3:s3.example.net/attic", field.Errors{})
		if value, said := c.Env[hint]; said {
			t.Errorf("%s: it becomes %q", kind, value.Reveal())
		}
	}
	c := credentialOf(url.Values{"everyday.variables": {hint + "=0a1b"}}, everyday, storage.Other, "s3:s3.example.net/attic", field.Errors{})
	if c.Env[hint] != "0a1b" {
		t.Errorf("what was typed becomes %q", c.Env[hint].Reveal())
	}
}

// TestALineThatCannotBeReadCostsNoOther: the others come back as lines, without their secrets.
func TestALineThatCannotBeReadCostsNoOther(t *testing.T) {
	if got := withoutSecrets("B2_ACCOUNT_KEY=hidden\nwhat is this\nB2_ACCOUNT_ID=me\n"); got != "B2_ACCOUNT_ID=\nB2_ACCOUNT_KEY=\n" {
		t.Errorf("%q", got)
	}
}
