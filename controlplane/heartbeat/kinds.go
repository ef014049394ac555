// Package heartbeat tells other services, again and again, that the control plane really
// works, so that its silence is noticed elsewhere; and of backups, that they were good.
//
// It speaks with Healthchecks, Uptime Kuma and Cronitor as they like it, and with any address
// that only wants to be asked for. It knows nothing of alerts: when it cannot reach the other
// side it is a notice, like all that is wrong with the control plane itself.
package heartbeat

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/store/heartbeats"
)

// A Kind is whose service an address is of.
type Kind string

// The kinds.
const (
	Healthchecks Kind = "healthchecks"
	Kuma         Kind = "uptime-kuma"
	Cronitor     Kind = "cronitor"
	Plain        Kind = "plain" // it is asked for when all is well; what it does not hear is what it is told of failures
)

// Kinds lists them.
var Kinds = []Kind{Healthchecks, Kuma, Cronitor, Plain}

// Label is what people call the service.
func (k Kind) Label() string {
	return map[Kind]string{Healthchecks: "Healthchecks", Kuma: "Uptime Kuma", Cronitor: "Cronitor", Plain: "Another service"}[k]
}

// KindOf finds from an address whose service it is.
func KindOf(u *url.URL) Kind {
	host := strings.ToLower(u.Hostname())
	part := func(name string) bool { return host == name || strings.HasSuffix(host, "."+name) }
	segments := strings.Split(strings.Trim(u.Path, "/"), "/")
	before := func(names ...string) bool { // these, and then something
		for i := range segments {
			if rest := segments[i:]; len(rest) > len(names) && slices.Equal(rest[:len(names)], names) {
				return true
			}
		}
		return false
	}
	switch {
	case part("cronitor.link"), part("cronitor.io"):
		return Cronitor
	case part("hc-ping.com"), part("healthchecks.io"):
		return Healthchecks
	case before("api", "push"):
		return Kuma
	case before("ping"): // of a Healthchecks of one's own: /ping/UUID or /ping/KEY/SLUG
		return Healthchecks
	}
	return Plain
}

// A saying is one thing that is told.
type saying struct {
	event heartbeats.Event
	words string        // what is wrong, or of which backup; may be ""
	took  time.Duration // of the look before; 0 is not known
}

// most is how many bytes of words go into an address.
const most = 400

// request is how a service is told something: an address that is asked for, or is posted a
// body. false is that this kind of service is not told such a thing.
func (k Kind) request(u *url.URL, s saying) (address, body string, told bool) {
	r := *u
	q := r.Query()
	short := s.words
	if len(short) > most {
		short = strings.ToValidUTF8(short[:most], "") + "…"
	}
	switch k {
	case Healthchecks:
		suffix := map[heartbeats.Event]string{heartbeats.Start: "/start", heartbeats.Fail: "/fail"}[s.event]
		r.Path, r.RawPath = strings.TrimRight(r.Path, "/")+suffix, ""
		return r.String(), s.words, true
	case Kuma:
		if s.event == heartbeats.Start {
			return "", "", false
		}
		q.Set("status", map[heartbeats.Event]string{heartbeats.Success: "up", heartbeats.Fail: "down"}[s.event])
		q.Set("msg", orOK(short))
		q.Set("ping", "")
		if s.took > 0 {
			q.Set("ping", strconv.FormatInt(max(s.took.Milliseconds(), 1), 10))
		}
	case Cronitor:
		q.Set("state", map[heartbeats.Event]string{heartbeats.Start: "run", heartbeats.Success: "complete", heartbeats.Fail: "fail"}[s.event])
		if q.Del("message"); short != "" {
			q.Set("message", short)
		}
	default:
		return r.String(), "", s.event == heartbeats.Success
	}
	r.RawQuery = q.Encode()
	return r.String(), "", true
}

// longest is how many bytes an address may have.
const longest = 2000

// refuses reports whether a service says in its answer that it heard nothing, although the
// status is one of success: Healthchecks of a check that is not there any more, or is told of
// too often; a proxy's page to sign in.
func (k Kind) refuses(answer string) bool {
	text := strings.ToLower(strings.TrimSpace(answer))
	if k == Plain || k == "" {
		return false
	}
	return strings.HasPrefix(text, "<!doctype html") || strings.HasPrefix(text, "<html") ||
		k == Healthchecks && strings.HasPrefix(text, "ok (") || k == Kuma && strings.Contains(text, `"ok":false`)
}

func orOK(words string) string {
	if words == "" {
		return "OK"
	}
	return words
}
