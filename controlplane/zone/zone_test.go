package zone

import (
	"strings"
	"testing"
	"time"
)

func TestWhichZoneIsChosen(t *testing.T) {
	server := time.FixedZone("server", 3600)
	for _, c := range []struct{ setting, browser, want string }{
		{Browser, "Asia/Kathmandu", "Asia/Kathmandu"},
		{Browser, "", "server"},
		{Browser, "Local", "server"},
		{Browser, "../UTC", "server"},
		{Browser, strings.Repeat("x", 500), "server"},
		{"", "Asia/Kathmandu", "Asia/Kathmandu"}, // a program has no setting
		{Server, "Asia/Kathmandu", "server"},
		{"Europe/Berlin", "Asia/Kathmandu", "Europe/Berlin"},
		{"Mars/Olympus", "Asia/Kathmandu", "server"}, // a zone that this machine forgot
		{"UTC", "", "UTC"},
	} {
		if got := Choose(c.setting, c.browser, server).String(); got != c.want {
			t.Errorf("set to %q in a browser in %.20q: %s, want %s", c.setting, c.browser, got, c.want)
		}
	}
}

func TestWhatMayBeSet(t *testing.T) {
	for _, good := range []string{Browser, Server, "UTC", "Europe/Berlin", "America/Argentina/ComodRivadavia"} {
		if text := Check(good); text != "" {
			t.Errorf("%q: %s", good, text)
		}
	}
	for _, bad := range []string{"", "Local", "berlin", "Europe/Berlin\n", "/etc/localtime", "../UTC", strings.Repeat("a/", 40)} {
		if Check(bad) == "" {
			t.Errorf("%q is taken for a zone", bad)
		}
	}
}

// The server's zone shows the same time as its clock, whatever it is called.
func TestTheServersZoneIsTheClocks(t *testing.T) {
	now := time.Now()
	_, want := now.Zone()
	if _, got := now.In(OfServer()).Zone(); got != want {
		t.Errorf("%s is %d s ahead of UTC, the clock %d", OfServer(), got, want)
	}
}
