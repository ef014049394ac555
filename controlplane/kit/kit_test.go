package kit

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

func TestAShellReadsWhatWasQuoted(t *testing.T) {
	for _, s := range []string{"", "plain", "it's", `a "b" $HOME \n %s ` + "`id`", "two  spaces", " edges ", "Grüße 写", "\u202etxt",
		"tab\there", "!history", "-n", "\\'\\", "\U0001f512"} {
		out, err := exec.Command("sh", "-c", "X="+Quote(s)+`; printf '%s' "$X"`).CombinedOutput()
		if err != nil || string(out) != s {
			t.Errorf("%q is quoted as %s, and read as %q, %v", s, Quote(s), out, err)
		}
		if !Plain(Quote(s)) {
			t.Errorf("%q is quoted as %q, which cannot be typed", s, Quote(s))
		}
	}
}

func TestAKitSaysEverythingResticNeeds(t *testing.T) {
	r := store.Repository{Name: "vault", Location: "rest:https://nas/attic"}
	k := New(r, store.RepositoryAccess{URL: "rest:https://nas/attic", Password: "it's", Env: map[string]topics.Secret{
		"RESTIC_REST_USERNAME": "attic",
		"RESTIC_REST_PASSWORD": "a b",
		"RESTIC_CACERT":        "/etc/nas.pem",
		"AWS_ACCESS_KEY_ID":    "id",
	}}, []Host{{"cellar", "cellar"}, {"attic", "the attic"}, {"cellar", "cellar"}}, "")
	if got, want := strings.Join(k.Exports(), "\n"), `export RESTIC_REPOSITORY='rest:https://attic:a%20b@nas/attic'
export RESTIC_PASSWORD='it'\''s'
export AWS_ACCESS_KEY_ID='id'`; got != want {
		t.Errorf("exports are\n%s\nwant\n%s", got, want)
	}
	if got := strings.Join(k.PowerShell(), "\n"); !strings.Contains(got, "$env:RESTIC_PASSWORD = 'it''s'") {
		t.Errorf("PowerShell gets %s", got)
	}
	for _, s := range k.Steps() {
		if !strings.Contains(s.Command, "restic --cacert '/etc/nas.pem' ") {
			t.Errorf("%s: %s does not name the certificate", s.Title, s.Command)
		}
	}
	text := k.Text()
	for _, want := range []string{
		"/etc/nas.pem on the host. It is not in this kit", "--host 'attic'\n", "attic (the host the attic), cellar",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the kit does not say %q:\n%s", want, text)
		}
	}
	for _, c := range []struct {
		url   string
		local bool
	}{{"/srv/vault", true}, {`C:\vault`, true}, {"local:/srv", true}, {"s3:s3.example/b", false}, {"sftp:a@b:/c", false}} {
		if k := New(r, store.RepositoryAccess{URL: topics.Secret(c.url), Password: "p"}, nil, ""); k.Local != c.local {
			t.Errorf("%s: local is %v", c.url, k.Local)
		}
	}
}
