package session

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// What proxies say of the request before them.
const (
	forwardedFor   = "X-Forwarded-For"
	forwardedProto = "X-Forwarded-Proto"
	forwardedHost  = "X-Forwarded-Host"
)

// Proxies are those whose word about a request is believed: who sent it, to which
// name, and whether over TLS.
type Proxies []netip.Prefix

// Unwrap believes what a proxy says of a request only where the proxy is one that
// was named. Behind it nobody sees these headers, whoever sent them.
func (p Proxies) Unwrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.vouches(r) {
			r = r.WithContext(context.WithValue(r.Context(), doubtKey{}, true))
		}
		if peer, ok := address(Remote(r)); ok && p.trust(peer) {
			ctx := r.Context()
			if said := r.Header.Values(forwardedProto); len(said) > 0 {
				ctx = context.WithValue(ctx, secureKey{}, strings.EqualFold(last(said), "https"))
			}
			client := p.client(peer, r.Header.Values(forwardedFor))
			r = r.WithContext(ctx)
			r.RemoteAddr = net.JoinHostPort(client.String(), "0")
			if h := last(r.Header.Values(forwardedHost)); h != "" {
				r.Host = h
			}
		}
		r = r.WithContext(r.Context())
		r.Header = r.Header.Clone()
		for _, name := range []string{forwardedFor, forwardedProto, forwardedHost, "Forwarded"} {
			r.Header.Del(name)
		}
		next.ServeHTTP(w, r)
	})
}

type doubtKey struct{}

// Sender is whose a request is, and whether that is sure: nobody but proxies that were
// named has said anything about where it came from. It is for what an address alone opens.
func Sender(r *http.Request) (a netip.Addr, sure bool) {
	a, ok := address(Remote(r))
	return a, ok && r.Context().Value(doubtKey{}) == nil
}

// vouches reports whether all that a request says about where it came from is the word of
// proxies that were named, and says for whom they passed it on.
func (p Proxies) vouches(r *http.Request) bool {
	if !forwarded(r.Header) {
		return true
	}
	peer, ok := address(Remote(r))
	if !ok || !p.trust(peer) {
		return false
	}
	chain := strings.Split(strings.Join(r.Header.Values(forwardedFor), ","), ",")
	for i, text := range slices.Backward(chain) {
		a, ok := address(strings.TrimSpace(text))
		if !ok {
			return false
		}
		if !p.trust(a) {
			return i == 0 // what stands before it, it has said itself
		}
	}
	return true
}

// forwarded reports whether a request has any of the headers by which proxies, and those
// who would be taken for one, say where it came from.
func forwarded(h http.Header) bool {
	for name := range h {
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		if strings.HasPrefix(name, "x-forwarded") || slices.Contains(forwarding, name) {
			return true
		}
	}
	return false
}

var forwarding = []string{"forwarded", "forwarded-for", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip",
	"x-original-forwarded-for",
	"x-original-host", "x-original-url", "x-rewrite-url", "x-remote-ip", "x-remote-addr", "x-originating-ip", "x-proxyuser-ip", "client-ip",
	"true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "fastly-client-ip", "x-azure-clientip", "x-envoy-external-address"}

func (p Proxies) trust(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client is who sent a request to the first proxy that is ours. Each proxy adds
// the address it was called from at the end, so what stands before the first one
// that is not ours may be made up.
func (p Proxies) client(peer netip.Addr, said []string) netip.Addr {
	chain := strings.Split(strings.Join(said, ","), ",")
	for _, text := range slices.Backward(chain) {
		a, ok := address(strings.TrimSpace(text))
		if !ok {
			return peer
		}
		if peer = a; !p.trust(a) {
			return a
		}
	}
	return peer
}

func address(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		ap, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// last is the last of the values a header's lines hold.
func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	all := strings.Split(lines[len(lines)-1], ",")
	return strings.TrimSpace(all[len(all)-1])
}
