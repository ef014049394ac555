package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/controlplane/notices"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
)

// here reports whether an address to listen on is one of this machine alone.
func here(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// checkMQTT refuses to carry consumers' passwords in clear over a network, unless that
// is what somebody wants.
func (c Config) checkMQTT() error {
	if c.MQTT == "" || c.MQTT == Off {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.MQTT); err != nil {
		return fmt.Errorf("--mqtt %q is not HOST:PORT: %w", c.MQTT, err)
	}
	for _, o := range c.MQTTOrigins {
		if u, err := url.Parse(o); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || o != u.Scheme+"://"+u.Host {
			return fmt.Errorf("--mqtt-origin %q is not the origin of a site, such as https://dashboard.example.com", o)
		}
	}
	switch {
	case (c.MQTTCert == "") != (c.MQTTKey == ""):
		return errors.New("--mqtt-tls-cert and --mqtt-tls-key belong together: give both, or neither to use those of the pages")
	case c.MQTTInsecure && c.MQTTCert != "":
		return errors.New("--mqtt-insecure serves consumers without TLS, and --mqtt-tls-cert with it: give one of the two")
	case here(c.MQTT), c.MQTTInsecure, c.MQTTCert != "", c.TLSCert != "":
		return nil
	}
	return fmt.Errorf("--mqtt %s would carry passwords in clear over the network; give --mqtt-tls-cert and --mqtt-tls-key, or --tls-cert "+
		"and --tls-key, which the pages use, too; or listen on 127.0.0.1 behind a TLS proxy; --mqtt-insecure allows it all the same", c.MQTT)
}

// openMQTT decides how consumers are served.
func (p *Plane) openMQTT(c Config) (err error) {
	switch {
	case c.MQTT == "":
	case c.MQTTCert != "":
		p.mqtts, err = openCertificate("consumers over MQTT", c.MQTTCert, c.MQTTKey, c.Log)
	case !here(c.MQTT) && !c.MQTTInsecure:
		p.mqtts = p.https
	case !here(c.MQTT):
		c.Log.Warn("consumers are served in clear: whoever is on the way reads their passwords", "mqtt", p.MQTTAddr())
		p.notices.Add(func(context.Context) []notices.Notice {
			return []notices.Notice{{ID: "mqtt-in-clear", Severity: notices.Warning,
				Say: "Consumers connect over MQTT without TLS: whoever is on the way to " + p.MQTTAddr() +
					" can read their passwords, and what they are told, and ask for what they may ask for.",
				Remedy: "Start with --mqtt-tls-cert and --mqtt-tls-key, and without --mqtt-insecure."}}
		})
	}
	return err
}

// mqttTLS is how consumers are served over TLS; nil is in clear.
func (p *Plane) mqttTLS() *tls.Config {
	if p.mqtts == nil {
		return nil
	}
	return p.mqtts.config()
}

// socket is how MQTT over WebSocket gets from the pages to the public broker.
func (p *Plane) socket(c Config) base.Socket {
	if c.MQTT == "" {
		return base.Socket{}
	}
	return base.Socket{
		Attach:  func(nc net.Conn) { _ = p.consumers.Attach(nc, broker.WebSocket) }, // it has said why it ends
		Largest: int64(broker.DefaultPublic().PacketSize),
		Origins: c.MQTTOrigins, Here: here(c.HTTP), Clear: c.MQTTInsecure,
	}
}
