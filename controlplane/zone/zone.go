// Package zone decides in which time zone somebody sees moments: the one of their
// browser, the server's, or one they named.
package zone

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones are known wherever this runs
)

// What a user may set, besides the IANA name of a zone.
const (
	Browser = "browser" // the zone that their browser says it is in; the default
	Server  = "server"
)

// Cookie is the cookie in which a browser says what zone it is in. Our script sets
// it; until then, and where there is none, the server's zone is used.
const Cookie = "rm-zone"

// Header is what our pages send with each request of their scripts: the zone the
// page is in. What comes into a page later is then in the same zone as the page,
// although the setting may be another by now.
const Header = "RM-Zone"

// longest is how long the name of a zone may be. The longest of IANA's has 32 bytes.
const longest = 64

// found remembers zones by name: reading one opens a file.
var found = struct {
	sync.RWMutex
	zones map[string]*time.Location
}{zones: map[string]*time.Location{}}

// Named finds a zone by its IANA name. "Local" and "" are none.
func Named(name string) (*time.Location, error) {
	found.RLock()
	z := found.zones[name]
	found.RUnlock()
	if z != nil {
		return z, nil
	}
	if name == "" || name == "Local" || len(name) > longest {
		return nil, fmt.Errorf("%.64q is no time zone", name)
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	found.Lock()
	defer found.Unlock()
	if len(found.zones) < 1000 { // some file systems know a zone by many spellings
		found.zones[name] = z
	}
	return z, nil
}

// Check says what is wrong with a setting, "" if nothing is.
func Check(setting string) string {
	if setting == Browser || setting == Server {
		return ""
	}
	if _, err := Named(setting); err != nil {
		return "This is no time zone: choose browser, server, or a name such as Europe/Berlin."
	}
	return ""
}

// Choose returns the zone of somebody with a setting, whose browser said a name (""
// for nothing). What is not known is the server's.
func Choose(setting, browser string, server *time.Location) *time.Location {
	name := setting
	switch setting {
	case Server:
		return server
	case Browser, "":
		name = browser
	}
	if z, err := Named(name); err == nil {
		return z
	}
	return server
}

// OfServer returns the zone of this machine under its IANA name, or time.Local if
// the machine does not say what it is called.
func OfServer() *time.Location {
	said := []string{strings.TrimPrefix(os.Getenv("TZ"), ":")}
	if said[0] == "" {
		if to, err := filepath.EvalSymlinks("/etc/localtime"); err == nil {
			if _, name, ok := strings.Cut(filepath.ToSlash(to), "zoneinfo/"); ok {
				said = append(said, name)
			}
		}
		if b, err := os.ReadFile("/etc/timezone"); err == nil {
			said = append(said, strings.TrimSpace(string(b)))
		}
	}
	if alike(time.UTC, time.Local) {
		return time.UTC // however it is spelt
	}
	for _, name := range said {
		if z, err := Named(name); err == nil && alike(z, time.Local) {
			return z
		}
	}
	return time.Local
}

// alike reports whether two zones show the same time all year round.
func alike(a, b *time.Location) bool {
	for month := time.January; month <= time.December; month++ {
		at := time.Date(time.Now().Year(), month, 1, 0, 0, 0, 0, time.UTC)
		_, x := at.In(a).Zone()
		if _, y := at.In(b).Zone(); x != y {
			return false
		}
	}
	return true
}
