// Package knock dials an address to see whether it leads to this control plane, and says in
// words what is there instead and what to do. It tells whoever answers no secret.
//
// It sees the way from this machine. Hosts may be led another one, as where a router does not
// send back what comes from inside: then what is found here is a doubt, and the installer
// looks on each host again.
package knock

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/restic-manager/restic-manager/topics"
)

// A Verdict says whether an address leads here.
type Verdict string

// Verdicts, the best first.
const (
	Here      Verdict = "here"       // it leads to this control plane
	Alone     Verdict = "alone"      // it does, and on this machine alone
	Unreached Verdict = "unreached"  // nobody answers that this machine reaches
	Mistrust  Verdict = "mistrusted" // somebody answers whose certificate is not trusted for that name
	Another   Verdict = "another"    // somebody else answers
)

// An Answer is what came of a knock.
type Answer struct {
	Verdict Verdict
	Say     string // whole sentences: what was found, and what that means
	Do      string // what to do; "" if nothing is to be done
}

// Limit is how long a knock takes at most.
const Limit = 6 * time.Second

// doubt is said of what only this machine may see so.
const doubt = " Hosts elsewhere may still reach it, if only this machine is not led there; the installer tries it on each host."

// Agents dials the address that agents are told, HOST:PORT. here is where the port for
// agents listens on this machine.
func Agents(ctx context.Context, address, here string) Answer {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	_, port, _ := net.SplitHostPort(here)
	there, err := Issuer(ctx, address)
	if err != nil {
		var not tls.RecordHeaderError
		switch {
		case errors.As(err, &not), silent(err):
			return Answer{Another, "Something answers at " + address + " that is not the port for agents of this server: it does not speak TLS " +
				"1.3. Hosts cannot enrol there.", passOn(address, port)}
		}
		var told tls.AlertError
		if errors.As(err, &told) || strings.Contains(err.Error(), "tls: ") {
			return Answer{Another, "Something answers at " + address + " that is not the port for agents of this server (" + inner(err) +
				"). Hosts cannot enrol there.", passOn(address, port)}
		}
		return unreached(address, err, "this server's port for agents listens on "+here)
	}
	own, err := Issuer(ctx, Local(here))
	switch {
	case err != nil:
		return Answer{Unreached, "This server's own port for agents at " + here + " does not answer: " + inner(err) + ".",
			"Look at the log of restic-manager serve, and restart it."}
	case own != there:
		return Answer{Another, "Another server answers at " + address + ": its certificate is not of this control plane. Hosts cannot enrol " +
			"there.", passOn(address, port)}
	case loopback(ctx, address):
		return Answer{Alone, address + " leads here, and on this machine alone: no other host can reach it.",
			"If other hosts are to be backed up, start serve with --agents 0.0.0.0:" + port +
				" and write the name by which they reach this machine."}
	}
	return Answer{Verdict: Here, Say: address + " leads to this server's port for agents."}
}

func passOn(address, port string) string {
	return "Have what stands at " + address + " pass TCP on to port " + port + " of this machine as it is: a proxy may not take TLS " +
		"off there. Or write another name or port."
}

// Issuer is the fingerprint of who issued the certificate that is shown at an address for
// agents. Two of them are compared, and nothing is told, so it is not verified.
func Issuer(ctx context.Context, address string) (sum [32]byte, err error) {
	d := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS13, ServerName: topics.ServerName, NextProtos: []string{topics.ALPNHTTP},
		InsecureSkipVerify: true}}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return sum, err
	}
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	_ = conn.Close()
	return sha256.Sum256(chain[len(chain)-1].Raw), nil
}

// Local is where a listener's address is dialled on its own machine.
func Local(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// Pages asks for /healthz at the address of the pages, with a nonce that only this control
// plane knows; heard reports whether it came in. roots are trusted besides the system's; nil
// is none.
func Pages(ctx context.Context, address, nonce string, heard func(nonce string) bool, roots *x509.CertPool) Answer {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	u, err := url.Parse(address)
	if err != nil {
		return Answer{Another, address + " is no address: " + err.Error() + ".", "Write it as https://backups.example.net."}
	}
	dial := u.Host
	if u.Port() == "" {
		dial = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/healthz?look="+nonce, nil)
	if err != nil {
		return Answer{Another, address + " is no address: " + err.Error() + ".", "Write it as https://backups.example.net."}
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answer, err := client.Do(ask)
	if err != nil {
		return noPage(u, dial, err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that what heard it has ended
	switch to := answer.Header.Get("Location"); {
	case heard(nonce) && loopback(ctx, dial):
		return Answer{Alone, address + " leads here, and on this machine alone. Links in messages work nowhere else.",
			"Write the address by which people find these pages from elsewhere."}
	case heard(nonce):
		return Answer{Verdict: Here, Say: address + " leads to these pages."}
	case answer.StatusCode >= 300 && answer.StatusCode < 400 && to != "":
		return Answer{Another, address + " sends browsers on to " + bounded(to) + ".",
			"If that is this server, write the address that it leads to."}
	}
	return Answer{Another, "Somebody else answers at " + address + ", with " + answer.Status + ": what was sent there did not come in here.",
		"Have the proxy there pass everything on to " + "this server's pages, or write another address."}
}

// noPage words why nothing was answered.
func noPage(u *url.URL, dial string, err error) Answer {
	var (
		name      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		wrong     *tls.CertificateVerificationError
		not       tls.RecordHeaderError
	)
	const also = " Browsers warn, and the line that installs agents fails."
	switch {
	case errors.As(err, &name):
		return Answer{Mistrust, "The certificate at " + dial + " is for another name than " + u.Hostname() + "." + also,
			"Have a certificate issued for " + u.Hostname() + ", or write the name that it is for."}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Answer{Mistrust, "The certificate at " + dial + " has expired, or is not valid yet." + also,
			"Renew it; the files of --tls-cert are read again without a restart."}
	case errors.As(err, &authority):
		return Answer{Mistrust, "This machine does not know who issued the certificate at " + dial + ". Browsers that do not know it either " +
			"warn.",
			"Have it issued by an authority that they trust, or make that one known to this machine and to theirs."}
	case errors.As(err, &wrong):
		return Answer{Mistrust, "The certificate at " + dial + " is not trusted: " + inner(wrong.Err) + "." + also, "Have another issued."}
	case errors.As(err, &not), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return Answer{Another, "What answers at " + dial + " does not speak TLS, and the address begins with https.",
			"Put a proxy with TLS before the pages, give serve --tls-cert and --tls-key, or write the address with http."}
	case silent(err):
		return Answer{Another, "Something at " + dial + " takes the connection and does not answer.",
			"Look at the proxy or the port forwarding there."}
	}
	return unreached(dial, err, "the pages have to be reached there")
}

// unreached words why nobody answers. what is said of this machine, for who forwards.
func unreached(address string, err error, what string) Answer {
	host, port, _ := net.SplitHostPort(address)
	var name *net.DNSError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return Answer{Unreached, "The name " + host + " leads nowhere: DNS does not know it.",
			"Correct the name, or make a record in DNS for it that has the address of this machine."}
	case errors.As(err, &name):
		return Answer{Unreached, "The name " + host + " could not be looked up: DNS does not answer." + doubt,
			"Look at the DNS of this machine (/etc/resolv.conf)."}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Answer{Unreached, address + " refuses connections: no program listens there." + doubt,
			"Correct the address, or have port " + port + " there forwarded to this machine; " + what + "."}
	case os.IsTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return Answer{Unreached, "Nobody answers at " + address + "." + doubt,
			"Open port " + port + " in the firewalls before this machine, and have the router forward it; " + what + "."}
	}
	return Answer{Unreached, address + " is not reached: " + inner(err) + "." + doubt,
		"Look at the network between this machine and " + host + "."}
}

// silent reports whether the other side ended a connection that was there.
func silent(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// loopback reports whether a name leads to this machine's own addresses for itself alone.
func loopback(ctx context.Context, address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ips, err := new(net.Resolver).LookupNetIP(ctx, "ip", host)
	for _, ip := range ips {
		if !ip.Unmap().IsLoopback() {
			return false
		}
	}
	return err == nil && len(ips) > 0
}

// inner is what an error says at its end, in few words.
func inner(err error) string {
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return bounded(strings.TrimSuffix(fmt.Sprint(err), "."))
}

func bounded(text string) string {
	if len(text) > 200 {
		return strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
