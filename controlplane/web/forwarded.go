package web

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

type secureKey struct{}

// secure reports whether the browser's side of the connection is TLS.
func secure(r *http.Request) bool {
	said, _ := r.Context().Value(secureKey{}).(bool)
	return r.TLS != nil || said
}

// forwarded believes what a proxy says of a request only where the proxy is one
// that was named. Behind it nobody sees these headers, whoever sent them.
func (s *Server) forwarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer, ok := address(remote(r)); ok && s.trusts(peer) {
			ctx := r.Context()
			if p := r.Header.Values(forwardedProto); len(p) > 0 {
				ctx = context.WithValue(ctx, secureKey{}, strings.EqualFold(last(p), "https"))
			}
			client := s.client(peer, r.Header.Values(forwardedFor))
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

func (s *Server) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client is who sent a request to the first proxy that is ours. Each proxy adds
// the address it was called from at the end, so what stands before the first one
// that is not ours may be made up.
func (s *Server) client(peer netip.Addr, said []string) netip.Addr {
	chain := strings.Split(strings.Join(said, ","), ",")
	for _, text := range slices.Backward(chain) {
		a, ok := address(strings.TrimSpace(text))
		if !ok {
			return peer
		}
		if peer = a; !s.trusts(a) {
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
