package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/restic-manager/restic-manager/controlplane/checkup"
	"github.com/restic-manager/restic-manager/controlplane/support"
	"github.com/restic-manager/restic-manager/doctor"
	"github.com/restic-manager/restic-manager/manual"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

type supportBundleCmd struct {
	File             string `arg:"" optional:"" help:"A new file; by default restic-manager-support-TIME.tar.gz in this directory."`
	MetricsTokenFile string `placeholder:"FILE" help:"As serve's: what it measures is put in, too."`
	placed
}

// Run writes the bundle and says where it is.
func (c *supportBundleCmd) Run(ctx context.Context) error {
	r, err := c.report(ctx)
	if err != nil {
		return err
	}
	path, err := doctor.BundleFile(ctx, c.File, "restic-manager", r.At, c.parts(r))
	if err != nil {
		return err
	}
	say(os.Stderr, "Passwords, keys and tokens are left out; names of hosts, addresses and paths are in it where the log has "+
		"them. Look at it before "+
		"you hand it on: tar -xzf %s", path)
	say(os.Stdout, "%s", path)
	return nil
}

func (c *supportBundleCmd) parts(r doctor.Report) []doctor.Part {
	parts := doctor.Reported(r)
	return append(parts, doctor.Settled(checkup.Unit), doctor.Logs(checkup.Unit),
		doctor.Part{Name: "settings.txt", Make: func(context.Context) (string, error) { return c.settings(), nil }},
		doctor.Part{Name: "database.json", Make: c.counts},
		doctor.Part{Name: "ready.txt", Make: func(ctx context.Context) (string, error) { return c.ask(ctx, "/readyz", "") }},
		doctor.Part{Name: "notices.txt", Make: func(context.Context) (string, error) {
			return "what a running control plane has to say of itself only it knows: the button on the page Settings puts it here\n", nil
		}},
		doctor.Part{Name: "metrics.txt", Make: c.metrics})
}

// settings are what doctor was told of serve's, and which others the environment has.
func (c *supportBundleCmd) settings() string {
	var b strings.Builder
	for _, s := range [][2]string{{"http", c.HTTP}, {"agents", c.Agents}, {"mqtt", c.MQTT}, {"tls-cert", c.TLSCert},
		{"mqtt-tls-cert", c.MQTTTLSCert}, {"public-url", c.PublicURL}, {"agents-public", c.AgentsPublic}, {"copy-every", c.CopyEvery.String()},
		{"data", c.Data}} {
		fmt.Fprintf(&b, "%s: %s\n", s[0], s[1])
	}
	text, err := os.ReadFile(c.Environment)
	if err != nil {
		fmt.Fprintf(&b, "%s: %v\n", c.Environment, err)
		return b.String()
	}
	for line := range strings.Lines(string(text)) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			fmt.Fprintf(&b, "%s sets %s\n", c.Environment, name)
		}
	}
	return b.String()
}

func (c *supportBundleCmd) counts(ctx context.Context) (string, error) {
	return support.Counts(ctx, store.Files(c.Data, c.KeyFile, c.Mark))
}

func (c *supportBundleCmd) metrics(ctx context.Context) (string, error) {
	if c.MetricsTokenFile == "" {
		return "--metrics-token-file FILE, as serve has it, puts them here\n", nil
	}
	token, err := os.ReadFile(c.MetricsTokenFile)
	if err != nil {
		return "", err
	}
	return c.ask(ctx, "/metrics", topics.Secret(strings.TrimSpace(string(token))))
}

// ask reads a page of the control plane on this machine.
func (c *supportBundleCmd) ask(ctx context.Context, path string, token topics.Secret) (string, error) {
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+checkup.Here(c.HTTP)+path, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		ask.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if token == "" { // nothing is told to whoever answers on this machine, so its name does not matter
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	answer, err := (&http.Client{Transport: transport}).Do(ask)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	return answer.Status + "\n" + string(text), err
}

type manCmd struct{}

// Run prints the manual page.
func (manCmd) Run(app *kong.Kong) error {
	return manual.Page{
		Exit: []string{"It was done; of doctor: all is well.", "It failed; of doctor: there are warnings.",
			"The command line makes no sense; of doctor: something does not work.", "The key and the database do not belong together.",
			"A job that was waited for ended with warnings."},
		Files: [][2]string{{"/etc/restic-manager/environment", "Settings of the service: variables named after the flags of serve."},
			{"/etc/restic-manager/key", "The key of all secrets. Keep a copy apart from backups of the data."},
			{"/var/lib/restic-manager/data", "The database and its copies."}},
		See: []string{"restic-manager-agent(1)", "restic(1)"},
	}.Write(os.Stdout, app.Model)
}
