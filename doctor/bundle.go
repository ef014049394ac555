package doctor

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// A Part is one file of a support bundle. What goes in was chosen one by one; what others
// wrote, such as a log, is redacted on top of that.
type Part struct {
	Name string
	Make func(ctx context.Context) (string, error)
}

// partBytes is how much of a part is kept: its end.
const partBytes = 2 << 20

// Bundle writes parts as a .tar.gz that holds no secret. A part that cannot be made says
// why in its place.
func Bundle(ctx context.Context, w io.Writer, dir string, at time.Time, parts []Part) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, p := range parts {
		within, cancel := context.WithTimeout(ctx, 2*time.Minute)
		text, err := p.Make(within)
		cancel()
		if err != nil {
			text += "\nthis could not be read: " + err.Error() + "\n"
		}
		text = Redact(text) // all of it: a cut could part a secret from what tells that it is one
		if len(text) > partBytes {
			text = "(the beginning is left out)\n" + strings.ToValidUTF8(text[len(text)-partBytes:], "")
		}
		if err := t.WriteHeader(&tar.Header{Name: dir + "/" + p.Name, Mode: 0o600, Size: int64(len(text)), ModTime: at}); err != nil {
			return err
		}
		if _, err := io.WriteString(t, text); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

// BundleFile makes a bundle in a new file, for its owner alone.
func BundleFile(ctx context.Context, path, program string, at time.Time, parts []Part) (string, error) {
	dir := program + "-support-" + at.UTC().Format("20060102-150405")
	if path == "" {
		path = dir + ".tar.gz"
	}
	if strings.EqualFold(filepath.Ext(path), ".zip") {
		return "", fmt.Errorf("make the bundle: it is a compressed tar file; name it %s.tar.gz", strings.TrimSuffix(path, filepath.Ext(path)))
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("make the bundle: %w", err)
	}
	err = Bundle(ctx, f, dir, at, parts)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(path)
		return "", fmt.Errorf("make the bundle: %w", err)
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return path, nil
}

const redacted = "[redacted]"

// What looks like a secret, wherever it stands.
var secrets = []struct {
	is *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]+-----.*?(-----END [A-Z0-9 ]+-----|$)`), redacted},
	// A password may have an @ in it and, where somebody did not encode it, a slash.
	{regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/\s"']+:[^\s"']*|[^/\s"']+)@`), "${1}" + redacted + "@"},
	{regexp.MustCompile(`\brm[a-z]{1,2}[0-9]*_[A-Za-z0-9_-]{8,}`), redacted},
	{regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{6,}`), "${1} " + redacted},
	{regexp.MustCompile(`(?i)((?:authorization|cookie)["']?\s*[:=]\s*)[^\r\n]+`), "${1}" + redacted},
	// A value in quotes may have blanks in it; one without ends at the first.
	{regexp.MustCompile(`(?i)([A-Za-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|token|` +
		`credential|private|api[_-]?key|access[_-]?key|account[_-]?key|` +
		`(?:\b|[_-])key)[A-Za-z0-9_.-]*["']?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;}&]+)`), "${1}" + redacted},
	{regexp.MustCompile(`(?i)([?&](?:[^=&\s]*(?:sig|key|token|secret|password)[^=&\s]*)=)[^&\s"']+`), "${1}" + redacted},
	{regexp.MustCompile(`(?i)(--(?:[a-z]+-)*(?:token|password|secret|key)\s+)\S+`), "${1}" + redacted},
	{regexp.MustCompile(`\b[0-9a-fA-F]{64,}\b`), redacted},
	{regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bxox[a-z]-[A-Za-z0-9-]{10,}`), redacted},
}

// Redact takes out of a text what looks like a secret: passwords in addresses, values of
// names such as PASSWORD and TOKEN, keys, tokens of ours and of others.
func Redact(text string) string {
	for _, s := range secrets {
		text = s.is.ReplaceAllString(text, s.by)
	}
	return text
}

// Logs is a part with the last lines that a service told the journal.
func Logs(unit string) Part {
	return Part{Name: "log.txt", Make: func(ctx context.Context) (string, error) {
		if runtime.GOOS != "linux" {
			return "the log is kept elsewhere on this system\n", nil
		}
		out, err := exec.CommandContext(ctx, "journalctl", "--no-pager", "--quiet", "-o", "short-iso", "-n", "2000", "-u", unit).CombinedOutput()
		return string(out), err
	}}
}

// Settled is a part with how systemd has the unit set.
func Settled(unit string) Part {
	return Part{Name: "unit.txt", Make: func(ctx context.Context) (string, error) {
		if runtime.GOOS != "linux" {
			return "", nil
		}
		out, err := exec.CommandContext(ctx, "systemctl", "show", "--property="+strings.Join(unitProperties, ","),
			unit+".service").CombinedOutput()
		return string(out), err
	}}
}

// Reported are the parts with what doctor says and on what.
func Reported(r Report) []Part {
	return []Part{
		{Name: "versions.txt", Make: func(context.Context) (string, error) {
			return fmt.Sprintf("%s %s\n%s %s/%s\n%s\n%d processors\nmade %s\n", r.Program, r.Version, runtime.Version(), runtime.GOOS,
				runtime.GOARCH,
				System(), runtime.NumCPU(), r.At.UTC().Format(time.RFC3339)), nil
		}},
		{Name: "doctor.txt", Make: func(context.Context) (string, error) {
			var b strings.Builder
			err := r.Text(&b)
			return b.String(), err
		}},
	}
}
