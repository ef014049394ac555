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
	"github.com/restic-manager/restic-manager/controlplane/alerts"
	"github.com/restic-manager/restic-manager/controlplane/metrics"
	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/controlplane/space"
	"github.com/restic-manager/restic-manager/controlplane/uplink"
	"github.com/restic-manager/restic-manager/journal"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
)

type serveCmd struct {
	HTTP         string   `name:"http" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Web pages and API."`
	Agents       string   `default:"127.0.0.1:8883" placeholder:"ADDR" help:"Agents: MQTT and enrolment, over TLS."`
	MQTT         string   `name:"mqtt" default:"127.0.0.1:1883" placeholder:"ADDR" help:"Consumers such as Home Assistant; or off."`
	MQTTTLSCert  string   `name:"mqtt-tls-cert" placeholder:"FILE" help:"Their certificate chain, PEM; else the pages'."`
	MQTTTLSKey   string   `name:"mqtt-tls-key" placeholder:"FILE" help:"Its private key, PEM."`
	MQTTInsecure bool     `name:"mqtt-insecure" help:"Serve consumers without TLS elsewhere than on loopback, too."`
	MQTTOrigin   []string `name:"mqtt-origin" placeholder:"URL" help:"Sites whose pages may connect over WebSocket with a password."`

	database

	Uplink             string `name:"mqtt-uplink" placeholder:"URL" help:"A broker of your own that is told the same: mqtts://USER@HOST."`
	UplinkPasswordFile string `name:"mqtt-uplink-password-file" placeholder:"FILE" help:"Our user's password there."`
	UplinkCA           string `name:"mqtt-uplink-ca" placeholder:"FILE" help:"The CA of its certificate, PEM, if the system does not know it."`
	UplinkCert         string `name:"mqtt-uplink-cert" placeholder:"FILE" help:"Our client certificate there, PEM."`
	UplinkKey          string `name:"mqtt-uplink-key" placeholder:"FILE" help:"Its key, PEM."`
	UplinkInsecure     bool   `name:"mqtt-uplink-insecure" help:"Have mqtt:// and ws:// lead to other machines, in clear."`

	AcceptRollback bool `help:"Start once on a database that is behind its mark: what was written last is lost."`

	LogLevel     slog.Level `default:"info" placeholder:"LEVEL" help:"Log level of the server: debug, info, warn or error."`
	TLSCert      string     `name:"tls-cert" placeholder:"FILE" help:"Certificate chain for the pages, PEM, read again on change."`
	TLSKey       string     `name:"tls-key" placeholder:"FILE" help:"Its private key, PEM."`
	PublicURL    string     `name:"public-url" placeholder:"URL" help:"Where people find the pages: wins over what is set there."`
	AgentsPublic string     `placeholder:"ADDR" help:"HOST:PORT that agents dial, in every command shown: wins over what is set there."`
	AgentsDir    string     `placeholder:"DIR" help:"Agents to hand out to hosts: programs and packages; the package's, or DATA/../agents."`
	TrustedProxy []proxy    `placeholder:"CIDR" help:"Reverse proxies whose X-Forwarded-For, -Proto and -Host are believed."`

	MetricsTokenFile string  `placeholder:"FILE" help:"Answer GET /metrics for Prometheus, to whoever shows this token as Bearer."`
	MetricsAllow     []proxy `placeholder:"CIDR" help:"The same to these addresses alone. With both, both must hold; without, no /metrics."`

	AgentConnections    int     `default:"12000" help:"Agents that are connected at once: the hosts, and a few more."`
	ConsumerConnections int     `default:"500" help:"MQTT clients that are connected at once."`
	PageConnections     int     `default:"2048" help:"Connections of people and programs that have signed in, at once."`
	SharedAddress       []proxy `placeholder:"CIDR" help:"Networks in which one address stands for many hosts, such as that of a NAT."`
	ProxyProtocol       []proxy `placeholder:"CIDR" help:"TCP proxies before --agents and --mqtt; they must send the PROXY protocol."`

	LogLines  int           `default:"20000" help:"Lines kept of each job's log: the first and the last half."`
	LogAge    time.Duration `default:"8760h" help:"Logs of jobs that ended longer ago are removed; 0 keeps them."`
	JobAge    time.Duration `default:"17520h" help:"Records of jobs and maintenance that ended longer ago are removed; 0 keeps them."`
	LogMiB    int64         `name:"log-mib" default:"1024" help:"Beyond this many MiB of logs in all, the oldest are removed; 0 is no bound."`
	CopyEvery time.Duration `default:"24h" help:"How often the database is copied into DIR/copies; 0 never does so by itself."`
	Copies    int           `default:"14" help:"How many of those copies are kept."`
	AnswerMiB int64         `name:"answers-mib" default:"64" help:"Memory for what hosts answered about snapshots, in MiB."`
	FleetJobs int           `default:"100" help:"Jobs that run at once; 0 is no bound."`
	LowSpace  uint64        `name:"low-space-mib" default:"256" help:"New jobs are held while less is free on the data directory's disk."`
	Reserve   uint64        `name:"reserve-mib" default:"64" help:"Kept on that disk for when it is full; 0 keeps none, and watches nothing."`
	Gather    time.Duration `name:"gather-alerts" default:"30s" help:"Alerts that begin within so long are told in one message."`
	RepoJobs  int           `default:"8" help:"Jobs that run at once on one repository; 0 is no bound."`
}

func (c *serveCmd) Run(ctx context.Context) (err error) {
	if c.LogLines < 100 {
		return errors.New("--log-lines keeps at least 100 lines of a log; fewer would not say what went wrong")
	}
	if c.AgentConnections < 1 || c.ConsumerConnections < 1 || c.PageConnections < 1 {
		return errors.New("--agent-connections, --consumer-connections and --page-connections are at least 1: " +
			"without a connection nobody is served")
	}
	if c.AnswerMiB < 1 {
		return errors.New("--answers-mib is at least 1: a page of a directory is read from there")
	}
	address, wrong := alerts.CleanURL(c.PublicURL)
	if wrong != "" {
		return fmt.Errorf("--public-url %s: %s", c.PublicURL, wrong)
	}
	dialled, wrong := reach.Clean(c.AgentsPublic)
	if wrong != "" {
		return fmt.Errorf("--agents-public %s: %s", c.AgentsPublic, wrong)
	}
	if c.Gather < 0 || c.Gather > time.Hour {
		return errors.New("--gather-alerts is at most an hour: nobody is told of anything before")
	}
	key, err := c.key()
	if err != nil {
		return err
	}
	if c.Copies < 1 || c.CopyEvery < 0 || c.CopyEvery > 0 && c.CopyEvery < time.Minute {
		return errors.New("--copies keeps at least one copy, and --copy-every is a minute or more, or 0")
	}
	timing := controlplane.DefaultTiming()
	timing.Self.Every, timing.Delivery.Gather = c.CopyEvery, c.Gather
	log := slog.New(journal.Handler(os.Stderr, c.LogLevel))
	p, err := controlplane.New(ctx, controlplane.Config{Data: c.Data, Key: key, Mark: c.Mark, AcceptRollback: c.AcceptRollback,
		HTTP: c.HTTP, Agents: c.Agents, MQTT: c.MQTT,
		MQTTCert: c.MQTTTLSCert, MQTTKey: c.MQTTTLSKey, MQTTInsecure: c.MQTTInsecure, MQTTOrigins: c.MQTTOrigin,
		TLSCert: c.TLSCert, TLSKey: c.TLSKey, Proxies: proxies(c.TrustedProxy),
		Connections: controlplane.Connections{Agents: c.AgentConnections, Consumers: c.ConsumerConnections, Pages: c.PageConnections,
			Shared: proxies(c.SharedAddress), Proxies: proxies(c.ProxyProtocol)},
		Log: log, Timing: timing, Copies: c.Copies, QueryCache: c.AnswerMiB << 20,
		Logs:      controlplane.Logs{Lines: c.LogLines, Retention: store.Retention{Age: c.LogAge, Bytes: c.LogMiB << 20}, JobAge: c.JobAge},
		PublicURL: address, AgentsPublic: dialled, AgentsDir: c.AgentsDir,
		Metrics: metrics.Access{TokenFile: c.MetricsTokenFile, Allow: proxies(c.MetricsAllow)},
		Uplink: uplink.Flags{URL: c.Uplink, PasswordFile: c.UplinkPasswordFile, CAFile: c.UplinkCA, CertFile: c.UplinkCert, KeyFile: c.UplinkKey,
			Insecure: c.UplinkInsecure},
		Limits: protocol.Limits{Fleet: c.FleetJobs, Repository: c.RepoJobs}, Space: c.space()})
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

// space is when the control plane is short of room.
func (c *serveCmd) space() space.Limits {
	l := space.DefaultLimits()
	l.Low, l.Reserve = c.LowSpace<<20, c.Reserve<<20
	l.Scarce = min(l.Scarce, l.Low)
	return l
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
