package uplink

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// ports are the schemes that are understood, with their usual ports.
var ports = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}

// An address is where a broker is, from a URL that somebody wrote.
type address struct {
	scheme string
	host   string // without brackets
	port   string
	path   string // of a WebSocket
}

// addressOf reads a URL; wrong is why it cannot be one, for people. user is a name that was
// written into it.
func addressOf(text string) (a address, user, wrong string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" && u.Opaque == "" && ports[u.Scheme] == "" {
		return a, "", "Write it as mqtts://HOST:PORT, mqtt://HOST:PORT, wss://HOST/PATH or ws://HOST/PATH."
	}
	a = address{scheme: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	usual, known := ports[a.scheme]
	_, secret := u.User.Password()
	switch {
	case !known:
		return a, "", "It begins with mqtts://, mqtt://, wss:// or ws://."
	case a.host == "" || strings.ContainsAny(a.host, " \t/\\"):
		return a, "", "There is no host in it: mqtts://HOST:PORT."
	case secret:
		return a, "", "The password does not belong into the URL, which is shown; it has a field of its own."
	case u.RawQuery != "" || u.Fragment != "":
		return a, "", "Nothing follows host, port and path: no ? and no #."
	case strings.HasPrefix(a.scheme, "mqtt") && u.Path != "" && u.Path != "/":
		return a, "", "Only a WebSocket has a path; the topics' root is a setting of its own."
	}
	if a.port == "" {
		a.port = usual
	}
	if strings.HasPrefix(a.scheme, "ws") {
		if a.path = u.EscapedPath(); a.path == "" || a.path == "/" {
			a.path = "/mqtt"
		}
	}
	return a, u.User.Username(), ""
}

// String is the URL as it is kept and shown: without a user, with its port.
func (a address) String() string { return a.scheme + "://" + a.key() }

// key names the broker, whatever the scheme.
func (a address) key() string { return a.hostport() + a.path }

func (a address) hostport() string { return net.JoinHostPort(a.host, a.port) }

func (a address) tls() bool { return a.scheme == "mqtts" || a.scheme == "wss" }

// local reports whether what is said does not leave this machine.
func (a address) local() bool {
	if a.host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.host)
	return err == nil && ip.Unmap().IsLoopback()
}
