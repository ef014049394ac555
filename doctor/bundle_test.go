package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// places are where secrets stand in logs and settings; each has the canary once.
var places = []string{
	"rest:https://ada:canary7@nas.example/a",
	"s3:http://canary7@s3/bucket",
	"sftp://ada:canary7@nas/x", "mqtts://ada:canary7@broker", "failed: Get \"https://ada:canary7@nas/config\": refused",
	"rest:https://ada:p@canary7@nas.example/a", "rest:https://ada:p/canary7@nas.example/a", "sftp://ada@corp:canary7/@x@nas/x",
	"RESTIC_PASSWORD=canary7", "RESTIC_PASSWORD='canary7 with blanks'", `password="canary7 \" more"`, `{"password":"canary7"}`,
	`"token": "canary7"`,
	"AWS_SECRET_ACCESS_KEY=canary7", "AWS_ACCESS_KEY_ID=canary7", "B2_ACCOUNT_KEY: canary7", "AZURE_ACCOUNT_KEY=canary7",
	"OS_PASSWORD=canary7",
	"restic-manager-agent enroll --token canary7", "token=canary7", "Authorization: Bearer canary7canary7",
	"authorization=\"Basic canary7canary7\"", "Cookie: session=canary7",
	"bearer canary7canary7", "rmt1_canary7canary7", "rma_canary7canary7", "https://storage/x?sv=1&sig=canary7&se=2",
	"?X-Amz-Signature=canary7",
	"-----BEGIN EC PRIVATE KEY-----\ncanary7\n-----END EC PRIVATE KEY-----", "-----BEGIN CERTIFICATE-----\ncanary7 and no end",
	"key=canary7", "seal_key=canary7", "tls_key: canary7", "passphrase: canary7", "api-key=canary7", "RESTIC_MANAGER_KEY=canary7",
}

func TestNothingSecretIsTold(t *testing.T) {
	for _, p := range places {
		if got := Redact("before " + p + " after\nnext line\n"); strings.Contains(got, "canary7") || !strings.HasPrefix(got, "before ") {
			t.Errorf("%q becomes %q", p, got)
		}
	}
	key := strings.Repeat("0123456789abcdef", 4)
	if got := Redact("it is " + key + "."); strings.Contains(got, "0123") {
		t.Errorf("a key becomes %q", got)
	}
	for _, plain := range []string{"msg=\"backup ended\" host=attic job=01J err=\"exit 1\"", "restic 0.18.0 is /usr/bin/restic",
		"rest:https://nas.example/a", "the token has expired", "--key-file /etc/restic-manager/key --data /d",
		"repository nas: the key is that of /etc/restic-manager/key", "path=/etc/ssl/certs"} {
		if got := Redact(plain); got != plain {
			t.Errorf("%q becomes %q", plain, got)
		}
	}
}

func TestABundle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	parts := []Part{
		{Name: "a.txt", Make: func(context.Context) (string, error) { return strings.Join(places, "\n"), nil }},
		{Name: "b.txt", Make: func(context.Context) (string, error) { return "half", errors.New("https://ada:canary7@nas is away") }},
		{Name: "c.txt", Make: func(context.Context) (string, error) { return strings.Repeat("x", partBytes) + "the end", nil }},
		{Name: "d.txt", Make: func(context.Context) (string, error) {
			const half = "RESTIC_PASS" // the cut goes through the name
			return strings.Repeat("x ", 10) + half + "WORD=canary7\n" + strings.Repeat("x", partBytes-len("WORD=canary7\n")), nil
		}},
	}
	r := Report{Program: "p", Version: "1", Findings: []Finding{{State: Fail, What: places[0]}}}
	if _, err := BundleFile(t.Context(), path, "p", time.Unix(0, 0), append(parts, Reported(r)...)); err != nil {
		t.Fatal(err)
	}
	if _, err := BundleFile(t.Context(), filepath.Join(t.TempDir(), "b.ZIP"), "p", time.Unix(0, 0), nil); err == nil ||
		!strings.Contains(err.Error(), "b.tar.gz") {
		t.Errorf("a compressed tar file named .ZIP: %v", err)
	}
	if _, err := BundleFile(t.Context(), path, "p", time.Unix(0, 0), nil); err == nil {
		t.Error("a file that is there was written over")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	texts := Unpack(t, path)
	for name, want := range map[string]string{"a.txt": "[redacted]", "b.txt": "could not be read", "c.txt": "the end", "versions.txt": "p 1",
		"doctor.txt": "1 fail"} {
		if text := texts[name]; !strings.Contains(text, want) || strings.Contains(text, "canary7") {
			t.Errorf("%s is %.300q, want %q", name, text, want)
		}
	}
}

// Unpack reads a bundle.
func Unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(h.Name)] = string(text)
	}
}
