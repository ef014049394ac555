package controlplane

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane/checkup"
	"github.com/restic-manager/restic-manager/controlplane/support"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/doctor"
	"github.com/restic-manager/restic-manager/store"
)

// bundle returns what writes a support bundle of this control plane as it runs: what the
// command line puts into one, and the notices, which only a running one knows.
func (p *Plane) bundle(c Config) base.Bundle {
	return func(ctx context.Context, w io.Writer, dir string, at time.Time) error {
		files := store.Files(c.Data, c.Key.File, c.Mark)
		r := doctor.Report{Program: "restic-manager", Version: Version, At: at, Findings: doctor.Run(ctx, checkup.Checks(checkup.Config{
			Files: files, Key: c.Key, HTTP: p.HTTPAddr(), Agents: p.AgentsAddr(), MQTT: p.MQTTAddr(), PublicURL: c.PublicURL, Dial: c.AgentsPublic,
			Certificates: []checkup.Certificate{{Whose: "the pages", Cert: c.TLSCert, Key: c.TLSKey},
				{Whose: "consumers", Cert: c.MQTTCert, Key: c.MQTTKey}},
			Descriptors: DefaultConnections().Enough(), Running: true, CopyEvery: c.Timing.Self.Every, Limits: c.Space}))}
		said := func(text string) func(context.Context) (string, error) {
			return func(context.Context) (string, error) { return text, nil }
		}
		return doctor.Bundle(ctx, w, dir, at, append(doctor.Reported(r), doctor.Settled(checkup.Unit), doctor.Logs(checkup.Unit),
			doctor.Part{Name: "settings.txt", Make: said(p.toldAtStart(c))},
			doctor.Part{Name: "database.json", Make: func(ctx context.Context) (string, error) { return support.Counts(ctx, files) }},
			doctor.Part{Name: "notices.txt", Make: said(support.Notices(p.notices.Now(ctx, true)))}))
	}
}

// toldAtStart is how serve was started, each setting by name; none of them is a secret.
func (p *Plane) toldAtStart(c Config) string {
	networks := func(list []netip.Prefix) string { return strings.Trim(fmt.Sprint(list), "[]") }
	var b strings.Builder
	for _, s := range [][2]string{{"http", c.HTTP}, {"agents", c.Agents}, {"mqtt", c.MQTT},
		{"tls-cert", c.TLSCert}, {"mqtt-tls-cert", c.MQTTCert},
		{"public-url", c.PublicURL}, {"agents-public", c.AgentsPublic}, {"agents-dir", c.AgentsDir}, {"data", c.Data},
		{"copy-every", c.Timing.Self.Every.String()}, {"trusted-proxy", networks(c.Proxies)}, {"metrics-allow", networks(c.Metrics.Allow)},
		{"fleet-jobs", fmt.Sprint(c.Limits.Fleet)}, {"repo-jobs", fmt.Sprint(c.Limits.Repository)}, {"log-lines", fmt.Sprint(c.Logs.Lines)}} {
		fmt.Fprintf(&b, "%s: %s\n", s[0], s[1])
	}
	return b.String()
}
