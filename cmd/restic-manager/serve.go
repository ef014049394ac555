package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
)

type serveCmd struct {
	HTTP   string `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Web pages and API."`
	Agents string `default:"127.0.0.1:8883" placeholder:"ADDR" help:"Agents: MQTT and enrolment, over TLS."`
	MQTT   string `name:"mqtt" default:"127.0.0.1:1883" placeholder:"ADDR" help:"Consumers such as Home Assistant; loopback only."`
	database

	LogLevel     slog.Level `default:"info" placeholder:"LEVEL" help:"Log level of the server: debug, info, warn or error."`
	TLSCert      string     `name:"tls-cert" placeholder:"FILE" help:"Certificate chain for the pages, PEM, read again on change."`
	TLSKey       string     `name:"tls-key" placeholder:"FILE" help:"Its private key, PEM."`
	TrustedProxy []proxy    `placeholder:"CIDR" help:"Reverse proxies whose X-Forwarded-For, -Proto and -Host are believed."`

	LogLines  int           `default:"20000" help:"Lines kept of each job's log: the first and the last half."`
	LogAge    time.Duration `default:"8760h" help:"Logs of jobs that ended longer ago are removed; 0 keeps them."`
	JobAge    time.Duration `default:"17520h" help:"Records of jobs and maintenance that ended longer ago are removed; 0 keeps them."`
	LogMiB    int64         `name:"log-mib" default:"1024" help:"Beyond this many MiB of logs in all, the oldest are removed; 0 is no bound."`
	FleetJobs int           `default:"100" help:"Jobs that run at once; 0 is no bound."`
	RepoJobs  int           `default:"8" help:"Jobs that run at once on one repository; 0 is no bound."`
}

func (c *serveCmd) Run(ctx context.Context) (err error) {
	if c.LogLines < 100 {
		return errors.New("--log-lines keeps at least 100 lines of a log; fewer would not say what went wrong")
	}
	key, err := c.key()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	p, err := controlplane.New(ctx, controlplane.Config{Data: c.Data, Key: key, HTTP: c.HTTP, Agents: c.Agents, MQTT: c.MQTT,
		TLSCert: c.TLSCert, TLSKey: c.TLSKey, Proxies: proxies(c.TrustedProxy),
		Log: log, Timing: controlplane.DefaultTiming(),
		Logs:   controlplane.Logs{Lines: c.LogLines, Retention: store.Retention{Age: c.LogAge, Bytes: c.LogMiB << 20}, JobAge: c.JobAge},
		Limits: protocol.Limits{Fleet: c.FleetJobs, Repository: c.RepoJobs}})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := p.Close(); err == nil {
			err = cerr
		}
	}()
	link, err := p.SetupLink(ctx)
	if err != nil {
		return err
	}
	if link != "" {
		fmt.Fprintf(os.Stderr, "\nNobody can sign in yet. Open this link to make the first account:\n\n    %s\n\n", link)
	}
	return p.Run(ctx)
}

// A proxy is an address or a network of addresses.
type proxy netip.Prefix

// UnmarshalText implements encoding.TextUnmarshaler, for the command line.
func (p *proxy) UnmarshalText(b []byte) error {
	n, err := netip.ParsePrefix(string(b))
	if a, aerr := netip.ParseAddr(string(b)); aerr == nil {
		n, err = a.Prefix(a.BitLen())
	}
	if err != nil {
		return fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/24", b)
	}
	*p = proxy(n.Masked())
	return nil
}

func proxies(list []proxy) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.Prefix(p)
	}
	return out
}
