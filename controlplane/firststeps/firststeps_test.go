package firststeps

import (
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/controlplane/fleet"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/knock"
	"github.com/restic-manager/restic-manager/controlplane/reach"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/drills"
	"github.com/restic-manager/restic-manager/store/facts"
	rows "github.com/restic-manager/restic-manager/store/firststeps"
	"github.com/restic-manager/restic-manager/store/promise"
	"github.com/restic-manager/restic-manager/topics"
)

// host is a host by name that has connected, as somebody changes it.
func host(name string, change ...func(*fleet.Entry)) *fleet.Entry {
	e := &fleet.Entry{Host: store.Host{ID: topics.HostID(name), Name: name}, Connection: hosts.Online}
	for _, c := range change {
		c(e)
	}
	return e
}

func group(schedules ...promise.Schedule) func(*fleet.Entry) {
	return func(e *fleet.Entry) {
		e.Groups = append(e.Groups, fleet.Group{Group: promise.Group{Name: "home", Schedules: schedules}})
	}
}

func open(kind topics.JobKind, id topics.JobID) func(*fleet.Entry) {
	return func(e *fleet.Entry) { e.Open = append(e.Open, store.Job{ID: id, Kind: kind}) }
}

func good(e *fleet.Entry)    { e.LastGood = 1 }
func never(e *fleet.Entry)   { e.Never = true }
func revoked(e *fleet.Entry) { e.RevokedAt = 1 }
func retired(e *fleet.Entry) { e.RetiredAt = 1 }
func failed(e *fleet.Entry)  { e.LastBackup, e.Reason = facts.Run{Job: "f"}, "The disk is full." }
func proven(e *fleet.Entry)  { e.Proof = drills.State{Word: drills.Proven, At: 1} }
func aged(e *fleet.Entry)    { e.Proof = drills.State{Word: drills.Unproven, At: 1} }
func refuted(e *fleet.Entry) {
	e.Proof = drills.State{Word: drills.Disproved, Job: "d", Why: "2 files differ."}
}

// nightly is a schedule that is on, paused one that is not.
var nightly, paused = promise.Schedule{Name: "nightly", Enabled: true}, promise.Schedule{Name: "nightly"}

func TestHowFarTheFirstStepsAre(t *testing.T) {
	known := reach.Address{Dial: "b.example.net:8883", Set: "b.example.net:8883", Known: true}
	nowhere := reach.Address{Say: "Nobody has said it."}
	vault := rows.Facts{Repository: "r", RepositoryName: "vault", Repositories: 1}
	kit := vault
	kit.KitAt, kit.KitBy = 1, "ada"
	with := func(list ...*fleet.Entry) Facts { return Facts{Address: known, Facts: vault, Hosts: list} }
	for what, c := range map[string]struct {
		facts Facts
		// d(one), o(pen), w(orks), f(ailed), l(ater), from the account to the kit
		want string
		next Key
		say  string // part of the next step's sentence
	}{
		"empty": {Facts{Address: nowhere}, "dooolll l", Address, "Nobody has said it"},
		"an address": {Facts{Address: known, Pages: "https://b.example.net"}, "ddoolll l", Repository,
			"where restic keeps"},
		"a repository":                {Facts{Address: known, Facts: vault}, "dddolll o", Host, "One command"},
		"a repository, not the rest":  {Facts{Address: nowhere, Facts: vault}, "dodolll o", Address, ""},
		"a host came before":          {Facts{Address: nowhere, Hosts: []*fleet.Entry{host("attic")}}, "doodoll l", Address, ""},
		"enrolled, and not connected": {with(host("attic", never)), "dddwlll o", Host, "not connected yet"},
		"it waits for approval":       {with(host("attic", revoked)), "dddolll o", Host, "Approve it"},
		"only a retired one":          {with(host("attic", retired, good)), "dddolll o", Host, "One command"},
		"a host":                      {with(host("attic")), "ddddoll o", Plan, "folders of attic"},
		"folders":                     {with(host("attic", group())), "ddddool o", Plan, "until it is in a schedule"},
		"a schedule that is off":      {with(host("attic", group(paused))), "ddddool o", Plan, ""},
		"a schedule":                  {with(host("attic", group(nightly))), "dddddol o", Backup, "Start the first backup of attic"},
		"of the second host":          {with(host("attic"), host("nas", group(nightly))), "dddddol o", Backup, "nas"},
		"a backup runs":               {with(host("attic", group(nightly), open("backup", "j"))), "dddddwl o", Backup, "waits or runs"},
		"another kind of job runs":    {with(host("attic", group(nightly), open("stats", "j"))), "dddddol o", Backup, ""},
		"the backup failed":           {with(host("attic", group(nightly), failed)), "dddddfl o", Backup, "The disk is full."},
		"it failed and runs again":    {with(host("attic", group(nightly), failed, open("backup", "j"))), "dddddwl o", Backup, ""},
		"one failed, another is good": {with(host("attic", group(nightly), failed), host("nas", group(nightly), good)),
			"ddddddo o", Proof, ""},
		"a backup without a schedule": {with(host("attic", group(), good)), "ddddodo o", Plan, ""},
		"a backup":                    {with(host("attic", group(nightly), good)), "ddddddo o", Proof, "hope"},
		"a drill runs":                {with(host("attic", group(nightly), good, open("drill", "j"))), "ddddddw o", Proof, "tried"},
		"the drill failed":            {with(host("attic", group(nightly), good, refuted)), "ddddddf o", Proof, "2 files differ"},
		"proven":                      {with(host("attic", group(nightly), good, proven)), "ddddddd o", Kit, "print"},
		"proven long ago":             {with(host("attic", group(nightly), good, aged)), "ddddddd o", Kit, ""},
		"the kit before all the rest": {Facts{Address: known, Facts: kit}, "dddolll d", Host, ""},
		"everything": {Facts{Address: known, Facts: kit, Hosts: []*fleet.Entry{host("attic", group(nightly), good, proven)}},
			"ddddddd d", "", ""},
		"everything, and the host gone": {Facts{Address: known, Facts: kit}, "dddolll d", Host, ""},
	} {
		r := Of(c.facts)
		got, done := "", 0
		for i, s := range r.Steps {
			if s.Key != Keys[i] || s.Say == "" {
				t.Errorf("%s: step %d is %+v", what, i, s)
			}
			got += string(s.State[0])
			if s.State == Done {
				done++
			}
			if s.State != Done && s.State != Later && s.Host == "" && s.Key != Address && s.Key != Repository && s.Key != Host && s.Key != Kit {
				t.Errorf("%s: %s has no host: %+v", what, s.Key, s)
			}
			if (s.State == Works || s.State == Failed) && s.Key != Host && s.Job == "" {
				t.Errorf("%s: %s has no job: %+v", what, s.Key, s)
			}
		}
		if got != strings.ReplaceAll(c.want, " ", "") || r.Done != done || r.Over() != (c.next == "") {
			t.Errorf("%s: %s, %d done, over %t, want %s", what, got, r.Done, r.Over(), c.want)
		}
		next := r.Next()
		if (next == nil) != (c.next == "") || next != nil && (next.Key != c.next || !strings.Contains(next.Say, c.say)) {
			t.Errorf("%s: next is %+v, want %s with %q", what, next, c.next, c.say)
		}
		c.facts.HiddenAt, c.facts.HiddenBy = 1, "ada"
		if hidden := Of(c.facts); !hidden.Over() || hidden.HiddenBy != "ada" || hidden.Done != done {
			t.Errorf("%s: hidden: %+v", what, hidden)
		}
	}
}

// An address that is set and leads elsewhere is told, and holds up nobody.
func TestADoubtHoldsUpNobody(t *testing.T) {
	at := Facts{Address: reach.Address{Dial: "b:1", Set: "b:1", Known: true}, Pages: "https://b"}
	for say, looks := range map[string]reach.Looks{
		"":            {},
		"somebody":    {Agents: reach.Look{Answer: knock.Answer{Verdict: knock.Another, Say: "somebody"}}},
		"certificate": {Pages: reach.Look{Answer: knock.Answer{Verdict: knock.Mistrust, Say: "certificate"}}},
	} {
		at.Looks = looks
		if s := Of(at).Steps[1]; s.State != Done || s.Doubt != say {
			t.Errorf("%q: %+v", say, s)
		}
	}
	at.Looks, at.Pages = reach.Looks{Agents: reach.Look{Answer: knock.Answer{Verdict: knock.Here}}}, ""
	if s := Of(at).Steps[1]; s.State != Done || !strings.Contains(s.Doubt, "where people find the pages") {
		t.Errorf("no pages: %+v", s)
	}
}
