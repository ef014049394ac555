// Package trial tries where backups are to go, as far as this control plane can: whether the
// server answers, with a certificate that is trusted, lets the login in, and has a repository
// there already. Hosts may be led another way, and only they open the repository with its
// password; so what is found is a help for who fills in a form, and decides nothing.
//
// It asks for one small thing and reads none of what is stored.
package trial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// A Tone says how good it looks.
type Tone string

// Tones of an answer.
const (
	Good    Tone = "ok"
	Unsure  Tone = "info" // it is seen only on the host
	Doubt   Tone = "warn" // this machine does not get there; hosts may
	Refused Tone = "fail" // hosts will not get there either, as it is
)

// An Answer is what was found.
type Answer struct {
	Tone    Tone
	Say, Do string
}

// Limit is how long a try takes at most.
const Limit = 8 * time.Second

const elsewhere = " Hosts may be led another way: the first backup shows it."

// Of tries an address with the login for it. roots are trusted besides the system's; nil is
// none.
func Of(ctx context.Context, at topics.Secret, env map[string]topics.Secret, roots *x509.CertPool) Answer {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	at, env = location.SplitLogin(at, env)
	a, err := location.ParseNew(at.Reveal())
	if err != nil {
		return Answer{Refused, err.Error(), ""}
	}
	switch a.Scheme() {
	case "rest":
		return ofREST(ctx, a, env, roots)
	case "sftp":
		return ofSFTP(ctx, a)
	case "s3":
		return ofS3(ctx, a, roots)
	case location.Local:
		return Answer{Unsure, "A path is on each host itself, so it cannot be tried from here.",
			"Mount the disk on the host before its first backup. A copy on the host's own disk is lost with the machine: have another elsewhere."}
	case "rclone":
		return Answer{Unsure, "rclone is set up on each host, so it cannot be tried from here.",
			"On the host, as the user of the agent: rclone lsd REMOTE:"}
	}
	return Answer{Unsure, "This kind of storage is tried by the first backup; the address is one that restic understands.",
		"Look once more whether the login below is the whole one."}
}

func ofREST(ctx context.Context, a location.Address, env map[string]topics.Secret, roots *x509.CertPool) Answer {
	u := a.URL()
	if u == nil || u.Scheme == "http+unix" {
		return Answer{Unsure, "This is a socket on each host, so it cannot be tried from here.", ""}
	}
	u.User = nil
	if strings.Contains(u.Path, location.Host) { // whoever has none yet has no repository
		u.Path = location.Expand(u.Path, "a-host-to-come")
	}
	status, answer := asked(ctx, http.MethodHead, u.JoinPath("config"), env, roots)
	if answer != nil {
		return *answer
	}
	clear := ""
	if u.Scheme == "http" {
		clear = " The connection is not encrypted: whoever is on the way reads the login. What is backed up is encrypted by restic all the same."
	}
	switch {
	case status == http.StatusOK:
		return Answer{Good, u.Host + " answers, lets this login in, and a repository is there already." + clear,
			"The password has to be the one that it was made with; the first backup shows whether it is."}
	case status == http.StatusNotFound:
		return Answer{Good, u.Host + " answers and lets this login in. Nothing is there yet: the first backup makes the repository." + clear, ""}
	case status == http.StatusUnauthorized && env[location.RESTUser] == "":
		return Answer{Refused, u.Host + " asks for a login, and there is none.", "Fill in user and password of the everyday credential."}
	case status == http.StatusUnauthorized:
		return Answer{Refused, u.Host + " does not let this login in.", "Look at user and password of the everyday credential. With private " +
			"repositories the path has to begin with the user's name."}
	case status == http.StatusForbidden:
		return Answer{Refused, u.Host + " lets this login in, and not to this path.", "With private repositories the path has to begin with " +
			"the user's name."}
	case status >= 500:
		return Answer{Doubt, u.Host + " answers that it cannot (" + http.StatusText(status) + ").", "Look at its log."}
	}
	return Answer{Refused, u.Host + " answers, and not as a REST server for restic does (" + http.StatusText(status) + ").",
		"Look at address and path; what stands before it may answer in its place."}
}

func ofS3(ctx context.Context, a location.Address, roots *x509.CertPool) Answer {
	u := a.URL()
	if u == nil {
		host, _, _ := strings.Cut(strings.TrimPrefix(a.Rest(), "//"), "/")
		u = &url.URL{Scheme: "https", Host: host}
	}
	root := &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	status, answer := asked(ctx, http.MethodHead, root, nil, roots)
	switch {
	case answer != nil:
		return *answer
	case status >= 500:
		return Answer{Doubt, u.Host + " answers that it cannot (" + http.StatusText(status) + ").", "Look at its state."}
	}
	return Answer{Good, u.Host + " answers, with a certificate that is trusted.", "Whether the keys open the bucket, the first backup shows."}
}

func ofSFTP(ctx context.Context, a location.Address) Answer {
	host, port := "", "22"
	if u := a.URL(); u != nil {
		host = u.Hostname()
		if u.Port() != "" {
			port = u.Port()
		}
	} else {
		host, _, _ = strings.Cut(a.Rest(), ":")
		if at := strings.LastIndex(host, "@"); at >= 0 {
			host = host[at+1:]
		}
	}
	address := net.JoinHostPort(host, port)
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return away(address, err)
	}
	defer conn.Close()
	if until, ok := ctx.Deadline(); ok {
		_ = conn.SetReadDeadline(until)
	}
	hello := make([]byte, 4)
	if _, err := io.ReadFull(conn, hello); err != nil || string(hello) != "SSH-" {
		return Answer{Refused, "What answers at " + address + " does not speak SSH.", "Look at the name and the port."}
	}
	return Answer{Good, address + " answers and speaks SSH.", "The host logs in with a key of its own: on the host, as the user of the " +
		"agent, " +
		"ssh has to get in without a question."}
}

// asked asks an HTTP server one thing. answer is why there is no status.
func asked(ctx context.Context, method string, u *url.URL, env map[string]topics.Secret, roots *x509.CertPool) (
	status int, answer *Answer,
) {
	r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return 0, &Answer{Refused, "This is no address that can be asked.", ""}
	}
	if user := env[location.RESTUser]; user != "" {
		r.SetBasicAuth(user.Reveal(), env[location.RESTPassword].Reveal())
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a login goes nowhere else
	}
	got, err := client.Do(r)
	if err != nil {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		said := away(net.JoinHostPort(u.Hostname(), port), err)
		return 0, &said
	}
	_ = got.Body.Close()
	return got.StatusCode, nil
}

// away words why nothing was answered.
func away(address string, err error) Answer {
	host, port, _ := net.SplitHostPort(address)
	var (
		name  *net.DNSError
		wrong *tls.CertificateVerificationError
		other x509.HostnameError
		not   tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &name):
		return Answer{Doubt, "The name " + host + " leads nowhere from here." + elsewhere, "Correct the name, or its record in DNS."}
	case errors.As(err, &other):
		return Answer{Refused, "The certificate at " + address + " is for another name than " + host + ".", "Write the name that it is for."}
	case errors.As(err, &wrong):
		return Answer{Refused, "The certificate at " + address + " is not trusted here, and not by restic on a host either unless its " +
			"system knows " +
			"the issuer.", "Have one issued by an authority that systems trust, or add its CA to each host's system."}
	case errors.As(err, &not), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return Answer{Refused, "What answers at " + address + " does not speak TLS.", "Write the address with http:, or look at the port."}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Answer{Doubt, address + " refuses connections: no program listens there." + elsewhere, "Start it there, or correct the address."}
	case os.IsTimeout(err), errors.Is(err, context.DeadlineExceeded):
		return Answer{Doubt, "Nobody answers at " + address + "." + elsewhere, "Open port " + port + " in the firewalls before it."}
	}
	return Answer{Doubt, address + " is not reached from here." + elsewhere, "Look at the network between this machine and " + host + "."}
}
