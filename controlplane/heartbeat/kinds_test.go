package heartbeat

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/store/heartbeats"
)

func TestAnAddressSaysWhoseServiceItIs(t *testing.T) {
	for address, want := range map[string]Kind{
		"https://hc-ping.com/5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278":             Healthchecks,
		"https://hc-ping.com/key/my-slug":                                      Healthchecks,
		"https://checks.example.net/ping/5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278": Healthchecks,
		"https://kuma.example.net/api/push/AbC123?status=up&msg=OK&ping=":      Kuma,
		"https://example.net/kuma/api/push/AbC123":                             Kuma,
		"https://cronitor.link/p/0123456789abcdef/nightly":                     Cronitor,
		"https://eu.cronitor.link/p/0123456789abcdef/nightly":                  Cronitor,
		"https://example.net/ping":                                             Plain, // it names no check
		"https://example.net/api/push":                                         Plain,
		"https://nothc-ping.com/5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278":          Plain,
		"https://betterstack.example.net/api/v1/heartbeat/5bf66975":            Plain,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := KindOf(u); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}

func TestEachServiceIsToldInItsOwnWords(t *testing.T) {
	const hc, kuma, cron, plain = "https://hc.example.net/ping/uuid/", "https://kuma.example.net/api/push/tok?status=up&msg=OK&ping=",
		"https://cronitor.link/p/key/job?env=prod", "https://example.net/beat?token=x"
	for _, c := range []struct {
		kind                Kind
		address             string
		say                 saying
		want, body, missing string // missing: it is not told this
	}{
		{kind: Healthchecks, address: hc, say: saying{event: heartbeats.Success}, want: "https://hc.example.net/ping/uuid"},
		{kind: Healthchecks, address: hc, say: saying{event: heartbeats.Start, words: "job 1"}, want: "https://hc.example.net/ping/uuid/start",
			body: "job 1"},
		{kind: Healthchecks, address: hc, say: saying{event: heartbeats.Fail, words: "full"}, want: "https://hc.example.net/ping/uuid/fail",
			body: "full"},
		{kind: Kuma, address: kuma, say: saying{event: heartbeats.Success, took: 12 * time.Millisecond},
			want: "https://kuma.example.net/api/push/tok?msg=OK&ping=12&status=up"},
		{kind: Kuma, address: kuma, say: saying{event: heartbeats.Fail, words: "disk & all"},
			want: "https://kuma.example.net/api/push/tok?msg=disk+%26+all&ping=&status=down"},
		{kind: Kuma, address: kuma, say: saying{event: heartbeats.Start}, missing: "it knows no beginning"},
		{kind: Cronitor, address: cron, say: saying{event: heartbeats.Start}, want: "https://cronitor.link/p/key/job?env=prod&state=run"},
		{kind: Cronitor, address: cron, say: saying{event: heartbeats.Success}, want: "https://cronitor.link/p/key/job?env=prod&state=complete"},
		{kind: Cronitor, address: cron, say: saying{event: heartbeats.Fail, words: "full"},
			want: "https://cronitor.link/p/key/job?env=prod&message=full&state=fail"},
		{kind: Plain, address: plain, say: saying{event: heartbeats.Success, words: "job 1"}, want: plain},
		{kind: Plain, address: plain, say: saying{event: heartbeats.Fail}, missing: "it hears of success alone"},
		{kind: Plain, address: plain, say: saying{event: heartbeats.Start}, missing: "it hears of success alone"},
	} {
		u, err := url.Parse(c.address)
		if err != nil {
			t.Fatal(err)
		}
		address, body, told := c.kind.request(u, c.say)
		if told != (c.missing == "") || told && (address != c.want || body != c.body) {
			t.Errorf("%s, %s: %q with %q, told %v; want %q with %q", c.kind, c.say.event, address, body, told, c.want, c.body)
		}
	}
	u, _ := url.Parse(kuma)
	if long, _, _ := Kuma.request(u, saying{event: heartbeats.Fail, words: strings.Repeat("é", 2000)}); len(long) > 4000 {
		t.Errorf("the address has %d bytes", len(long))
	}
}
