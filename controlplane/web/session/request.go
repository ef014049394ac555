package session

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/restic-manager/restic-manager/controlplane/problem"
)

// Remote returns the address of a request's sender.
func Remote(r *http.Request) string {
	if h, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return h
	}
	return r.RemoteAddr
}

// Network returns the network a request is rate limited by: the IPv4 address, or
// the /64 of an IPv6 address, since one person usually has a whole /64.
func Network(r *http.Request) string {
	h := Remote(r)
	ip := net.ParseIP(h)
	if ip == nil || ip.To4() != nil {
		return h
	}
	return ip.Mask(net.CIDRMask(64, 128)).String()
}

type secureKey struct{}

// Secure reports whether the browser's side of the connection is TLS.
func Secure(r *http.Request) bool {
	said, _ := r.Context().Value(secureKey{}).(bool)
	return r.TLS != nil || said
}

// here returns the whole URL of a path, with the scheme and host the browser used.
func URLOf(r *http.Request, path string) string {
	if Secure(r) {
		return "https://" + r.Host + path
	}
	return "http://" + r.Host + path
}

// IsAPI reports whether a request is for the API, whose errors are JSON and whose
// users may show a token.
func IsAPI(r *http.Request) bool {
	return r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/")
}

const scheme = "Bearer "

// bearer reports whether a request shows an API token.
func bearer(r *http.Request) bool {
	h := r.Header.Get("Authorization")
	return IsAPI(r) && len(h) >= len(scheme) && strings.EqualFold(h[:len(scheme)], scheme)
}

var origin = http.NewCrossOriginProtection()

// CheckOrigin refuses requests that change something and that a page of another
// site sent. Programs that show a token are no such pages.
func CheckOrigin(r *http.Request) error {
	if bearer(r) {
		return nil
	}
	if err := origin.Check(r); err != nil {
		return foreign(err)
	}
	return nil
}

// SameOrigin refuses to be listened to by pages of other sites. Programs that
// show a token, and browsers that say nothing, are no such pages.
func SameOrigin(r *http.Request) error {
	if bearer(r) {
		return nil
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return foreign(errors.New("Sec-Fetch-Site is " + r.Header.Get("Sec-Fetch-Site")))
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return foreign(errors.New("the origin is not this server"))
		}
	}
	return nil
}

// OwnOrigin refuses a page that is neither this server's nor of one of those origins. A
// program is no page, and names none.
func OwnOrigin(r *http.Request, others []string) error {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return nil
	}
	for _, o := range others {
		if strings.EqualFold(o, origin) {
			return nil
		}
	}
	return foreign(errors.New("the origin is not this server"))
}

func foreign(err error) *problem.Problem {
	return &problem.Problem{Kind: problem.Forbidden, Title: "This request came from another site",
		Say: "Your browser says that a page elsewhere sent it, so nothing was done.",
		Do:  "Open this server's own page and do it there.", Err: err}
}

// browser names the browser and system of a user agent, such as "Firefox on Linux",
// so that users recognize their sessions in a list.
func browser(agent string) string {
	name, system := "A browser", ""
	for _, b := range [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"},
		{"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}} {
		if strings.Contains(agent, b[0]) {
			name = b[1]
			break
		}
	}
	for _, o := range [][2]string{{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"},
		{"Mac OS X", "macOS"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, o[0]) {
			system = " on " + o[1]
			break
		}
	}
	return name + system
}
