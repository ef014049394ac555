package store

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// unaudited are the functions that write and leave no entry themselves, and why.
var unaudited = map[string]string{
	"audit":             "it is the entry",
	"addKeyPassword":    "it is part of what has an entry: a change of a password begun, a key asked for",
	"newKeyAt":          "it follows from a job of a change of a password, which has its entries",
	"addDataKey":        "who changes keys has the entry; the first one is made before anybody could ask",
	"Secret":            "a secret of the installation is made before anybody could ask",
	"DeleteCtx":         "a session gives way to the one that its browser begins, which has the entry",
	"Expire":            "a session that is over ends by itself",
	"SeenMQTTUser":      "to use a credential changes nothing",
	"UsedAPIToken":      "to use a token changes nothing",
	"RenewHash":         "the password is the same, only harder to guess",
	"dropLinks":         "it is part of what has an entry: a password set, a person removed",
	"withdraw":          "it is part of what has an entry: a role changed, a token revoked",
	"endSessions":       "it is part of what has an entry: a password set, a role changed",
	"Renew":             "an agent asks for what its certificate entitles it to; the certificate that is then used has its entry",
	"Refused":           "it counts",
	"AddReport":         "an agent reports what a job found out",
	"Seen":              "an agent reports",
	"Born":              "an agent reports",
	"Died":              "an agent reports",
	"Greeted":           "an agent reports",
	"SetReceived":       "an agent reports",
	"Started":           "an agent reports",
	"Ran":               "an agent reports",
	"lastTook":          "an agent reports that a job began",
	"Told":              "an agent reports",
	"Saved":             "an agent reports",
	"PutJob":            "the job was asked for; how it was given up has its entry with the ending",
	"PutGroup":          "which job answers a slot, the job says",
	"Fired":             "the jobs of a slot have their entries",
	"Rewind":            "a retry has its entry as a job",
	"PutPending":        "what becomes of it has its entry",
	"RemovePending":     "what becomes of it has its entry",
	"putScheduleGroups": "the schedule has the entry",
	"WantConfigs":       "what a host is to do follows from what people changed, which has its entry",
	"Configured":        "an agent reports",
	"found":             "an agent reports what a job found, which was asked for",
	"StartRun":          "the job of the run has the entry",
	"putRun":            "it is the diary of the run",
	"dropSecrets":       "that they are purged has an entry",
	"AddPast":           "the demo makes up a past before anybody could ask",
	"addPast":           "the demo makes up a past before anybody could ask",
	"Backdate":          "the demo makes up a past before anybody could ask",
	"Recount":           "tallies follow from rows",
	"Served":            "to serve a database changes nothing in it that people decide",
	"rise":              "the restore that follows has the entry",
	"putServed":         "a slot is served by jobs, which have their entries",
	"addHost":           "who lets it in has the entry",
	"putPauses":         "who pauses or resumes has the entry",
}

// steps are the packages below this one that write within transactions of their
// callers, and who has the entry.
var steps = map[string]string{
	"admission":  "who sets the address of agents, makes or withdraws a key, or approves a host has the entry; so has each host that comes",
	"firststeps": "who hides the first steps, or shows them again, has the entry",
	"access":     "who makes, changes, gives or revokes a credential has the entry",
	"alerts":     "who does something about an alert, pauses or sets has the entry; what begins and ends by itself follows from facts",
	"channels":   "it is handed what writes the entry; how a try went follows from the alert that is told",
	"drafts":     "a draft is one person's notes; the job that comes of it has the entry",
	"drills":     "who changes a plan has the entry; what a drill came to follows from its job, and its slot from the plan",
	"endings":    "it follows from how jobs ended, which were asked for",
	"facts":      "facts follow from rows; the change of those has its entry",
	"found":      "an agent reports what a job found, which was asked for",
	"heartbeats": "who sets an address has the entry; what is said to it follows from backups, which have theirs",
	"imports":    "who takes snapshots in, or undoes that, has the entry",
	"mirrors":    "who sets a mirror has the entry; what was copied and which slots are served follows from jobs, which have theirs",
	"intake":     "it counts what agents report; what people change of schedules has its entry",
	"outbox":     "what is said to brokers follows from rows; the change of those has its entry",
	"joblog":     "an agent reports; the gap in the log says what is not there",
	"kits":       "who has a kit shown has an entry for each repository",
	"looks":      "an agent reports what a job found, which was asked for; who acknowledges it has the entry",
	"passwords":  "who begins, calls off and goes on with a change has the entry, and so has the moment in which the repository gets it",
	"places":     "an agent reports what a job found or made, which has its entry; an address that is changed has one, too",
	"removal":    "it is handed what writes the entry",
	"rollouts":   "who begins and stops one, and sets how they begin, has the entry; how far its hosts are follows from their jobs",
	"room":       "to try whether the database can be written changes nothing",
	"restored":   "agents tell again; who restores, copies and answers has the entry",
	"replacing":  "who begins, calls off or decides a replacement has the entry, and so has the enrolment of the new machine",
	"reviews":    "what is held, approved and expired has its entry with who does it; what a forget removes has that of its job",
	"slotlog":    "it is the diary of slots; what people change of schedules, and the jobs, have their entries",
	"snapshots":  "an agent reports what a job made or found, which was asked for; who acknowledges it has the entry",
	"sweep":      "it is handed what writes the entry",
	"twins":      "agents report; who decides about them has the entry",
	"uplinks":    "who sets, tests or gives up has the entry; what is retained at a broker follows from what is public",
	"triggers":   "counts and numbers of changes follow from rows",

	"discoveries": "who sets what Home Assistant is told has the entry; what brokers are told follows from that and from what is in care",
}

var writes = regexp.MustCompile(`(?i)\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(\w+)`)

// TestEveryWriteIsAuditedOrKnownNotToBe reads the source of the package and of those
// below it: who writes a row calls audit in the same function, or stands in a list
// above.
func TestEveryWriteIsAuditedOrKnownNotToBe(t *testing.T) {
	files := append(must(filepath.Glob("*.go")), must(filepath.Glob("*/*.go"))...)
	met := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f := must(parser.ParseFile(token.NewFileSet(), name, nil, 0))
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			audits, table := false, ""
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
						if m := writes.FindStringSubmatch(text); m != nil {
							table = m[2]
						}
					}
				case *ast.CallExpr:
					if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "audit" {
						audits = true
					}
				}
				return true
			})
			if table == "" || audits {
				continue
			}
			who := fn.Name.Name
			if dir := filepath.Dir(name); dir != "." {
				if met[dir] = true; steps[dir] == "" {
					t.Errorf("%s: %s writes to %s; say in the list of steps who leaves an entry in the audit log", name, who, table)
				}
				continue
			}
			met[who] = true
			if _, known := unaudited[who]; !known {
				t.Errorf("%s: %s writes to %s and leaves no entry in the audit log: call audit in its transaction, or say here why not",
					name, who, table)
			}
		}
	}
	for name := range steps {
		if !met[name] {
			t.Errorf("package %s is in the list, and writes nothing", name)
		}
	}
	for name := range unaudited {
		if !met[name] {
			t.Errorf("%s is in the list, and writes nothing unaudited any more", name)
		}
	}
}
