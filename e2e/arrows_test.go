package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Two words for whole families of packages.
const (
	ours   = "ours"   // anything of this module
	theirs = "theirs" // anything that is neither ours nor the standard library's
)

// arrows says which way imports point. A package is named below the module, with
// /… for all below it; what it must not import, it must not link either: the
// imports of its imports count. Tests may import what they like.
var arrows = []struct {
	pkg, not string
	but      []string
	because  string
}{
	{"topics", ours, nil, "it is the ground both sides stand on"},
	{"topics", theirs, nil, "whoever speaks our language needs no library for it"},
	{"seal", ours, nil, "it keeps a payload between two parties, whatever it says"},
	{"seal", theirs, nil, "the fewer people can change how secrets are kept, the better"},
	{"location", ours, nil, "both sides read an address alike"},
	{"location", theirs, nil, "both sides read an address alike"},
	{"failpoint", ours, nil, "it is in everything that must not lose anything"},
	{"failpoint", theirs, nil, "it is in everything that must not lose anything"},
	{"private", ours, nil, "both programs keep their files with it"},
	{"private", theirs, nil, "both programs keep their files with it"},
	{"slots", ours, nil, "when a slot is depends on nothing but the plan and the moment"},
	{"protocol", ours, []string{"topics"}, "it decides, and is simulated without disk, network or clock"},
	{"protocol", theirs, nil, "it decides, and is simulated without disk, network or clock"},
	{"words", ours, nil, "how a size or a moment is told depends on nothing else"},
	{"words", theirs, nil, "how a size or a moment is told depends on nothing else"},
	{"views", ours, []string{"words"}, "handlers decide what is true, pages only show it"},
	{"broker", ours, nil, "it carries messages without knowing what they mean"},
	{"broker", "database/sql", nil, "the broker is a pipe and remembers nothing"},
	{"store", ours, []string{"topics", "protocol", "store/migrations", "failpoint", "private"}, "it keeps rows, whoever asks"},
	{"store", "net/http", nil, "a database that speaks HTTP has two jobs"},
	{"store", "github.com/mochi-mqtt/server/v2", nil, "the store knows no MQTT"},
	{"store", "github.com/eclipse/paho.mqtt.golang", nil, "the store knows no MQTT"},
	{"agent/…", ours, []string{"agent/…", "topics", "seal", "slots", "protocol", "location", "failpoint", "private"}, "the agent is the light side"},
	{"agent/…", "database/sql", nil, "the agent never links a database"},
	{"agent/…", "github.com/jmoiron/sqlx", nil, "the agent never links a database"},
	{"agent/…", "modernc.org/sqlite", nil, "the agent never links a database"},
	{"agent/…", "github.com/go-chi/chi/v5", nil, "nobody calls an agent, it calls"},
	{"agent/…", "github.com/a-h/templ", nil, "the agent has no pages"},
	{"agent/…", "github.com/mochi-mqtt/server/v2", nil, "the broker is elsewhere"},
	{"agent/restic", ours, []string{"topics", "location"}, "it runs restic, whoever asks"},
	{"agent/spool", ours, []string{"topics", "protocol"}, "it keeps the journal, whoever sends it"},
	{"agent/link", ours, []string{"topics", "seal", "protocol"}, "it keeps the connection, whatever is said"},
	{"cmd/restic-manager-agent", ours, []string{"cmd/restic-manager-agent", "agent/…", "topics", "seal", "slots", "protocol", "location", "failpoint", "private"}, "what runs on every host is small"},
	{"controlplane/…", "agent/…", nil, "the two sides meet in topics"},
	{"controlplane/field", ours, []string{"words"}, "the rules of what people type know no subject"},
	{"controlplane/field", theirs, nil, "the rules of what people type know no subject"},
	{"controlplane/people", ours, []string{"words", "controlplane/field", "controlplane/password", "store", "store/…", "topics", "protocol", "failpoint", "private"}, "who may sign in concerns no job and no page"},
	{"controlplane/consumers", ours, []string{"words", "controlplane/field", "controlplane/password", "store", "store/…", "topics", "protocol", "failpoint", "private"}, "who may read the topics concerns no job and no page"},
	{"controlplane/problem", "net/http", nil, "the command line words its failures with it, too"},
	{"controlplane/problem", "controlplane/web", nil, "a failure's words do not know who shows them"},
	{"controlplane/jobs", "controlplane/problem", nil, "a capability returns errors, their words are elsewhere"},
	{"controlplane/retention", "controlplane/problem", nil, "a capability returns errors, their words are elsewhere"},
	{"controlplane/maintenance", "controlplane/problem", nil, "a capability returns errors, their words are elsewhere"},
	{"store", "controlplane/problem", nil, "a capability returns errors, their words are elsewhere"},
	{"controlplane/jobs", "controlplane/web", nil, "a capability does not know who shows it"},
	{"controlplane/hosts", "controlplane/web", nil, "a capability does not know who shows it"},
	{"controlplane/fleet", ours, []string{"controlplane/hosts", "store", "topics", "protocol", "store/migrations", "failpoint", "private"},
		"what is true of the fleet does not depend on who shows it"},
	{"controlplane/retention", "controlplane/web", nil, "a capability does not know who shows it"},
	{"controlplane/maintenance", "controlplane/web", nil, "a capability does not know who shows it"},
	{"controlplane/enroll", "controlplane/web", nil, "a capability does not know who shows it"},
	{"controlplane/public", "controlplane/web", nil, "consumers and pages are told apart"},
	{"cmd/restic-manager", "agent/…", nil, "the two sides meet in topics; the demo starts the agent's own program"},
	{"cmd/restic-manager", "testing", nil, "what is shipped does not carry the tests"},
	{"cmd/restic-manager-agent", "testing", nil, "what is shipped does not carry the tests"},
}

// keepers are the only packages of ours that import a library themselves, so
// that another could take its place.
var keepers = []struct {
	library string
	only    []string
	because string
}{
	{"github.com/mochi-mqtt/server/v2", []string{"broker"}, "a patched copy or another broker may replace it"},
	{"github.com/eclipse/paho.mqtt.golang", []string{"agent/link"}, "its habits are known in one place"},
	{"go.etcd.io/bbolt", []string{"agent/spool"}, "the journal is one thing"},
	{"modernc.org/sqlite", []string{"store"}, "SQL is written in one place"},
	{"github.com/jmoiron/sqlx", []string{"store"}, "SQL is written in one place"},
	{"github.com/pressly/goose/v3", []string{"store"}, "SQL is written in one place"},
	{"database/sql", []string{"store"}, "SQL is written in one place"},
	{"github.com/netresearch/go-cron", []string{"slots"}, "where libraries differ, what we mean is written once"},
	{"github.com/a-h/templ", []string{"views", "controlplane/web"}, "pages are made in one place and answered with in another"},
	{"github.com/go-chi/chi/v5", []string{"controlplane/web"}, "all routes stand in one list"},
	{"github.com/danielgtaylor/huma/v2", []string{"controlplane/web"}, "all routes stand in one list"},
	{"github.com/alexedwards/scs/v2", []string{"controlplane/web"}, "who is signed in is asked in one place"},
	{"github.com/alecthomas/kong", []string{"cmd/restic-manager", "cmd/restic-manager-agent"}, "configuration is filled in cmd alone"},
}

// A listed package is one as the go command tells it.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) map[string]listed {
	t.Helper()
	look()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]listed{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all[p.ImportPath] = p
	}
}

// under reports whether a package is the one meant, or below one with /….
func under(path, name string) bool {
	for _, full := range []string{name, module + "/" + name} {
		tree, wide := strings.CutSuffix(full, "/…")
		if path == tree || wide && strings.HasPrefix(path, tree+"/") {
			return true
		}
	}
	return false
}

func TestImportsPointOneWay(t *testing.T) {
	all := packages(t)
	for _, a := range arrows {
		found := false
		for path, p := range all {
			if !strings.HasPrefix(path, module) || !under(path, a.pkg) {
				continue
			}
			found = true
			for _, dep := range p.Deps {
				forbidden := under(dep, a.not)
				switch a.not {
				case ours:
					forbidden = strings.HasPrefix(dep, module)
				case theirs:
					forbidden = !all[dep].Standard && !strings.HasPrefix(dep, module)
				}
				if forbidden && !slices.ContainsFunc(a.but, func(b string) bool { return under(dep, b) }) {
					t.Errorf("%s must not import %s: %s", strings.TrimPrefix(path, module+"/"), dep, a.because)
				}
			}
		}
		if !found {
			t.Errorf("there is no package %s; the table of arrows is out of date", a.pkg)
		}
	}
}

func TestLibrariesHaveOneKeeper(t *testing.T) {
	all := packages(t)
	for _, k := range keepers {
		found := false
		for path, p := range all {
			if !strings.HasPrefix(path, module) || !slices.ContainsFunc(p.Imports, func(i string) bool {
				return i == k.library || k.library != "database/sql" && strings.HasPrefix(i, k.library+"/")
			}) {
				continue
			}
			found = true
			if !slices.ContainsFunc(k.only, func(o string) bool { return under(path, o) }) {
				t.Errorf("%s imports %s, only %s may: %s", strings.TrimPrefix(path, module+"/"), k.library, strings.Join(k.only, " and "), k.because)
			}
		}
		if !found {
			t.Errorf("nothing imports %s; the table of keepers is out of date", k.library)
		}
	}
}
