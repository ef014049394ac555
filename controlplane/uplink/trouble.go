package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/restic-manager/restic-manager/words"
)

// A trouble is what is wrong with the connection, worded for people.
type trouble struct {
	say    string // what happened
	remedy string // what to do
	err    error
}

func (t *trouble) Error() string { return t.say }
func (t *trouble) Unwrap() error { return t.err }

// errors of a connection that is there.
var (
	errSilent = errors.New("the broker did not confirm what it was given")
	errLost   = errors.New("the broker ended the connection")
)

// wordsOf words an error of a connection to a broker.
func wordsOf(err error, a address) *trouble {
	var known *trouble
	if errors.As(err, &known) {
		return known
	}
	say, remedy := "", ""
	for _, f := range []func(error, address) (string, string){ofMQTT, ofTLS, ofNetwork} {
		if say, remedy = f(err, a); say != "" {
			return &trouble{say, remedy, err}
		}
	}
	return &trouble{"The connection to " + a.hostport() + " failed: " + words.Line(err.Error()) + ".",
		"Look at the broker's own log for this moment; the test says how far a connection comes.", err}
}

// ofMQTT words what a broker says itself.
func ofMQTT(err error, a address) (say, remedy string) {
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword):
		return "The broker refuses user or password.", "Enter both as the broker knows them; another client, such as mosquitto_sub, " +
			"tells whether they are right."
	case errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return "The broker does not let this user in.", "Look at user and password, and whether the broker allows this user to connect, " +
			"with a client ID of its choice and a last will below the root."
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return "The broker says that it is not available.", "It is starting, full or being maintained; it is tried again."
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return "The broker refuses the client ID.", "Allow this user any client ID: each connection has a new one, rm and sixteen " +
			"digits or letters."
	case errors.Is(err, packets.ErrorRefusedBadProtocolVersion):
		return "The broker does not speak MQTT 3.1.1.", "Enable it there; every broker knows it."
	case errors.Is(err, errSilent):
		return "The broker took a message and did not confirm it in time.", "It is overloaded, or it stopped in the middle; look at its log. " +
			"The connection is made anew, and everything is said again."
	case errors.Is(err, errLost):
		return "The broker ended the connection.", "If that happens again and again right after connecting, it refuses what is written or how " +
			"large it is; the test says which. Else it was restarted, or the network was away; it is tried again."
	}
	return "", ""
}

// ofTLS words why there is no trust.
func ofTLS(err error, a address) (say, remedy string) {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch text := err.Error(); {
	case errors.As(err, &name):
		return "The broker's certificate is not for " + a.host + " but for " + namesOf(name.Certificate) + ".",
			"Use the name that is in the certificate, or give the broker one for this name."
	case errors.As(err, &authority):
		return "The broker's certificate is signed by a CA that is not trusted.",
			"Enter that CA's certificate in PEM, the file that the broker's certificate was made with; not the broker's key."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		// Its own words have the moment in them: a trouble that goes on would be another each second.
		const moment = "2006-01-02 15:04:05 UTC"
		return "The broker's certificate is not valid now: it holds from " + invalid.Cert.NotBefore.UTC().Format(moment) + " to " +
				invalid.Cert.NotAfter.UTC().Format(moment) + ".",
			"Renew it at the broker; or set this server's clock, if that is wrong."
	case errors.As(err, &invalid):
		return "The broker's certificate cannot be used: " + words.Line(invalid.Error()) + ".", "Give the broker another one."
	case errors.As(err, &record):
		return "What answers at " + a.hostport() + " does not speak TLS.",
			"This is the port for connections in clear: use the one for TLS, mostly 8883 (443 for WebSockets)."
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls:"):
		return "The broker ended the TLS handshake: " + words.Line(text[strings.LastIndex(text, ":")+1:]) + ".",
			"It may want a client certificate, or one of another CA; or it has no protocol in common with TLS 1.2 and newer."
	}
	return "", ""
}

func namesOf(c *x509.Certificate) string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name at all"
	}
	return words.Line(strings.Join(all, ", "))
}

// ofNetwork words why nothing is there.
func ofNetwork(err error, a address) (say, remedy string) {
	var name *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &name) && strings.HasSuffix(a.host, ".local"):
		return "There is no address for the name " + a.host + ".", "Names in .local are told by mDNS, which servers mostly do not ask: " +
			"use the machine's IP address, or a name that this server's DNS knows."
	case errors.As(err, &name):
		return "There is no address for the name " + a.host + ".", "Look whether it is spelt right, and whether this server's DNS knows it."
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "refused"):
		return "Nothing listens at " + a.hostport() + ".", "Look whether the broker runs, listens on that port, and on more than " +
			"its own 127.0.0.1."
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "Nothing answered at " + a.hostport() + " in time.", "A firewall may drop it, the address may be another machine's, " +
			"or " + otherwise(a) + "."
	case strings.Contains(err.Error(), "no route"), strings.Contains(err.Error(), "unreachable"):
		return "There is no way to " + a.hostport() + ".", "Look at this server's network, and at the address."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		strings.Contains(err.Error(), "reset by peer"):
		return "What answers at " + a.hostport() + " ended the connection at once.", "It is no MQTT broker, or " + otherwise(a) +
			", or the broker does not let this user or address in."
	case strings.Contains(err.Error(), "bad handshake"):
		return "What answers at " + a.String() + " is no WebSocket for MQTT.", "Look at the path, which brokers choose: /mqtt " +
			"mostly, / with mosquitto."
	}
	return "", ""
}

// otherwise is what a port may be for whom the URL's scheme does not fit.
func otherwise(a address) string {
	if a.tls() {
		return "that port is without TLS, as 1883 mostly is, and the URL asks for it"
	}
	return "that port expects TLS, as 8883 mostly does, and the URL is without"
}
