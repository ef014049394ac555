package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/checkup"
	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/doctor"
	"github.com/restic-manager/restic-manager/store"
)

// placed is what serve is given about where it is, as far as doctor looks at it.
type placed struct {
	HTTP         string        `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"As serve's."`
	Agents       string        `default:"127.0.0.1:8883" placeholder:"ADDR" help:"As serve's."`
	MQTT         string        `name:"mqtt" default:"127.0.0.1:1883" placeholder:"ADDR" help:"As serve's."`
	TLSCert      string        `name:"tls-cert" placeholder:"FILE" help:"As serve's."`
	TLSKey       string        `name:"tls-key" placeholder:"FILE" help:"As serve's."`
	MQTTTLSCert  string        `name:"mqtt-tls-cert" placeholder:"FILE" help:"As serve's."`
	MQTTTLSKey   string        `name:"mqtt-tls-key" placeholder:"FILE" help:"As serve's."`
	PublicURL    string        `name:"public-url" placeholder:"URL" help:"As serve's."`
	AgentsPublic string        `placeholder:"ADDR" help:"As serve's."`
	CopyEvery    time.Duration `default:"24h" help:"As serve's."`

	Environment string `default:"/etc/restic-manager/environment" placeholder:"FILE" help:"Settings of serve: ${default}."`

	database
}

// fill takes from the file of serve's settings what nobody said here.
func (c *placed) fill() error {
	text, err := os.ReadFile(c.Environment)
	if err != nil {
		return nil //nolint:nilerr // it need not be there; one that cannot be read is root's, and so is the database
	}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		value = strings.Trim(value, `"'`)
		for _, f := range []struct {
			name, otherwise string
			is              *string
		}{{"HTTP", "127.0.0.1:8080", &c.HTTP}, {"AGENTS", "127.0.0.1:8883", &c.Agents}, {"MQTT", "127.0.0.1:1883", &c.MQTT},
			{"TLS_CERT", "", &c.TLSCert}, {"TLS_KEY", "", &c.TLSKey}, {"MQTT_TLS_CERT", "", &c.MQTTTLSCert}, {"MQTT_TLS_KEY", "", &c.MQTTTLSKey},
			{"PUBLIC_URL", "", &c.PublicURL}, {"AGENTS_PUBLIC", "", &c.AgentsPublic}} {
			if name == "RESTIC_MANAGER_"+f.name && *f.is == f.otherwise {
				*f.is = value
			}
		}
		if name == "RESTIC_MANAGER_COPY_EVERY" {
			if c.CopyEvery, err = time.ParseDuration(value); err != nil {
				return fmt.Errorf("%s: %w", c.Environment, err)
			}
		}
	}
	return nil
}

type doctorCmd struct {
	JSON bool `name:"json" help:"Print it for programs."`
	placed
}

// Run says how it is, and changes nothing. The exit status is that of the report.
func (c *doctorCmd) Run(ctx context.Context) error {
	r, err := c.report(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = r.JSON(os.Stdout)
	} else {
		err = r.Text(os.Stdout)
	}
	if err == nil && r.Exit() > 0 {
		return foundError(r.Exit())
	}
	return err
}

// foundError is an exit status that says what was found, which was printed already.
type foundError int

func (foundError) Error() string { return "" }

func (c *placed) report(ctx context.Context) (doctor.Report, error) {
	if err := c.fill(); err != nil {
		return doctor.Report{}, err
	}
	key, wrong := c.key()
	checks := checkup.Checks(checkup.Config{Files: store.Files(c.Data, c.KeyFile, c.Mark), Key: key, KeyErr: wrong,
		HTTP: c.HTTP, Agents: c.Agents, MQTT: c.MQTT,
		Certificates: []checkup.Certificate{{Whose: "the pages", Cert: c.TLSCert, Key: c.TLSKey},
			{Whose: "consumers", Cert: c.MQTTTLSCert, Key: c.MQTTTLSKey}},
		PublicURL: c.PublicURL, Dial: c.AgentsPublic, Descriptors: controlplane.DefaultConnections().Enough(),
		Running: controlplane.Running(c.Data), CopyEvery: c.CopyEvery, Limits: space.DefaultLimits()})
	return doctor.Report{Program: "restic-manager", Version: controlplane.Version, At: time.Now().UTC(), Findings: doctor.Run(ctx,
		checks)}, nil
}
