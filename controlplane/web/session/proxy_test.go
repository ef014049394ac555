package session

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestAProxyIsBelievedOnlyIfItWasNamed(t *testing.T) {
	ours := Proxies{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd00::/8")}
	type seen struct {
		remote, host string
		secure       bool
	}
	for name, c := range map[string]struct {
		peer    string
		headers map[string][]string
		want    seen
	}{
		"a stranger's word": {"198.51.100.7:4000", map[string][]string{
			forwardedFor:   {"203.0.113.9"},
			forwardedProto: {"https"},
			forwardedHost:  {"evil.example"},
			"Forwarded":    {"for=203.0.113.9"},
		}, seen{"198.51.100.7", "backup.example", false}},
		"a proxy's word": {"127.0.0.1:4000", map[string][]string{
			forwardedFor:   {"203.0.113.9"},
			forwardedProto: {"https"},
			forwardedHost:  {"pub.example"},
		}, seen{"203.0.113.9", "pub.example", true}},
		"a proxy that says nothing": {"127.0.0.1:4000", nil, seen{"127.0.0.1", "backup.example", false}},
		"made up before the proxy": {"127.0.0.1:4000", map[string][]string{forwardedFor: {"203.0.113.9, 198.51.100.7"}},
			seen{"198.51.100.7", "backup.example", false}},
		"in a line of its own": {"127.0.0.1:4000", map[string][]string{forwardedFor: {"203.0.113.9", "198.51.100.7"}},
			seen{"198.51.100.7", "backup.example", false}},
		"two proxies of ours": {"127.0.0.1:4000", map[string][]string{forwardedFor: {"203.0.113.9, 10.9.1.1"}},
			seen{"203.0.113.9", "backup.example", false}},
		"ours, pretended by another": {"127.0.0.1:4000", map[string][]string{forwardedFor: {"10.9.1.1, 203.0.113.9"}},
			seen{"203.0.113.9", "backup.example", false}},
		"nonsense": {"127.0.0.1:4000", map[string][]string{forwardedFor: {"203.0.113.9, unknown"}},
			seen{"127.0.0.1", "backup.example", false}},
		"only ours": {"127.0.0.1:4000", map[string][]string{forwardedFor: {"10.9.1.1"}}, seen{"10.9.1.1", "backup.example", false}},
		"IPv6": {"[fd00::1]:4000", map[string][]string{forwardedFor: {"2001:db8::1"}},
			seen{"2001:db8::1", "backup.example", false}},
		"IPv4 in IPv6": {"[::ffff:127.0.0.1]:4000", map[string][]string{forwardedFor: {"203.0.113.9:5000"}},
			seen{"203.0.113.9", "backup.example", false}},
		"the browser's own claim": {"127.0.0.1:4000", map[string][]string{forwardedProto: {"https, http"}},
			seen{"127.0.0.1", "backup.example", false}},
	} {
		var got seen
		h := ours.Unwrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = seen{Remote(r), r.Host, Secure(r)}
			for _, h := range []string{forwardedFor, forwardedProto, forwardedHost, "Forwarded"} {
				if r.Header.Get(h) != "" {
					t.Errorf("%s: %s is still there", name, h)
				}
			}
		}))
		r := httptest.NewRequest("GET", "http://backup.example/", nil)
		r.RemoteAddr = c.peer
		for k, v := range c.headers {
			r.Header[http.CanonicalHeaderKey(k)] = v
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
