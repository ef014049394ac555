package s3server

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const key, secret = "AKIATEST", "the secret of it"

// run runs restic on a repository here. The exit code is 0 if it succeeded.
func run(t *testing.T, s *Server, secret, at string, args ...string) (said string, ok bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "restic", append([]string{"--no-cache", "-r", "s3:" + s.URL + "/" + at}, args...)...)
	cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=x", "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret, "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func TestResticWorksHereAndIsRefusedAsByS3(t *testing.T) {
	s := Start(t, key, secret)
	s.Bucket(t, "bucket")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letter"), []byte("dear reader"), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, ok := run(t, s, secret, "bucket/attic", "init"); !ok {
		t.Fatalf("init: %s\n%s", said, strings.Join(s.Seen(), "\n"))
	}
	if said, ok := run(t, s, secret, "bucket/attic", "backup", dir); !ok {
		t.Fatalf("backup: %s", said)
	}
	if !slices.Contains(s.Objects("bucket"), "attic/config") {
		t.Errorf("the bucket holds %q", s.Objects("bucket"))
	}
	if said, ok := run(t, s, secret, "bucket/attic", "forget", "--keep-last", "1", "--prune"); !ok {
		t.Errorf("forget: %s", said)
	}
	s.Rule(AppendOnly)
	if said, ok := run(t, s, secret, "bucket/attic", "backup", dir); !ok {
		t.Errorf("a key that may not delete may not back up: %s", said)
	}
}

// TestSignaturesAreChecked asks without restic, which tries for minutes what is refused.
func TestSignaturesAreChecked(t *testing.T) {
	s := Start(t, key, secret)
	scope := "/20260101/us-east-1/s3/aws4_request"
	for _, c := range []struct{ what, authorization, code string }{
		{"nobody", "", AccessDenied},
		{"version 2", "AWS " + key + ":abc", AccessDenied},
		{"no scope", "AWS4-HMAC-SHA256 Credential=" + key + ",SignedHeaders=host,Signature=00", AccessDenied},
		{"a stranger", "AWS4-HMAC-SHA256 Credential=AKIAOTHER" + scope + ",SignedHeaders=host,Signature=00", InvalidAccessKeyID},
		{"another secret", "AWS4-HMAC-SHA256 Credential=" + key + scope + ",SignedHeaders=host,Signature=00", SignatureDoesNotMatch},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/bucket", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", c.authorization)
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := new(strings.Builder)
		_ = got.Write(body)
		_ = got.Body.Close()
		if got.StatusCode != 403 || !strings.Contains(body.String(), "<Code>"+c.code+"</Code>") {
			t.Errorf("%s: %s", c.what, body)
		}
	}
}
