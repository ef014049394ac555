package topics

import (
	"bytes"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	host = HostID("0mk3a7q2host")
	job  = JobID("0mk3a7q2job1")
)

func sample(k Kind) Topic {
	t := Topic{Kind: k}
	p := t.Entry().Pattern
	if strings.Contains(p, "{host}") {
		t.Host = host
	}
	if strings.Contains(p, "{job}") {
		t.Job = job
	}
	if strings.Contains(p, "{id}") {
		t.Query = QueryID(job)
	}
	if strings.Contains(p, "{repo}") {
		t.Repository = RepositoryID(job)
	}
	if strings.Contains(p, "{alert}") {
		t.Alert = AlertID(job)
	}
	if strings.Contains(p, "{action}") {
		t.Action = ActionBackup
	}
	if strings.Contains(p, "{consumer}") {
		t.Consumer = "home assistant"
	}
	return t
}

func TestEveryTopicIsReadBackAsItWasBuilt(t *testing.T) {
	for _, e := range Catalogue {
		want := sample(e.Kind)
		got, err := Parse(want.String())
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", want, got, err, want)
		}
		if levels := strings.Count(want.String(), "/") + 1; levels > 7 {
			t.Errorf("%q has %d levels; some engines stop at 7", want, levels)
		}
	}
}

func TestForeignTopicsAreRefused(t *testing.T) {
	for _, name := range []string{
		"", "rm/v1", "rm/v1/", "rm/v2/agent/0mk3a7q2host/birth", "rm/v1/agent/UPPER-CASE/birth", "rm/v1/agent/short/birth",
		"rm/v1/agent/0mk3a7q2host/birth/", "rm/v1/agent//birth", "rm/v1/agent/+/birth", "rm/v1/agent/#",
		"rm/v1/do/0mk3a7q2host/prune", "rm/v1/pub/repository/UPPER-CASE/state", "rm/v1/pub/repository//state",
		"rm/v1/pub/alert/UPPER-CASE", "rm/v1/pub/alert/", "rm/v1/pub/alert/0mk3a7q2job1/state",
		"$SYS/broker/uptime", "rm/v1/agent/0mk3a7q2host/job/../progress",
	} {
		if got, err := Parse(name); err == nil {
			t.Errorf("Parse(%q) = %+v, want it refused", name, got)
		}
	}
}

// TestTheCatalogueIsDocumented compares docs/TOPICS.md with the code, line by line.
func TestTheCatalogueIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/TOPICS.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); strings.HasPrefix(line, "| `") && len(cells) == 6 {
			documented[strings.Trim(cells[0], "|` ")] = strings.TrimSpace(line)
		}
	}
	for _, e := range Catalogue {
		want := e.row()
		if got := documented[e.Pattern]; got != want {
			t.Errorf("docs/TOPICS.md says of %s:\n got  %s\n want %s", e.Pattern, got, want)
		}
		delete(documented, e.Pattern)
	}
	for p := range documented {
		t.Errorf("docs/TOPICS.md documents %s, which does not exist", p)
	}
}

func (e Entry) row() string {
	yes := func(b bool, s string) string {
		if b {
			return s
		}
		return "no"
	}
	return "| `" + e.Pattern + "` | " + e.From + " → " + e.To + " | " + string('0'+rune(e.QoS)) + ", " +
		strings.Replace(yes(e.Retained, "retained"), "no", "not retained", 1) +
		" | " + yes(e.Sealed, "sealed") + " | `" + e.Payload + "` | " + e.Carries + " |"
}

func TestIDsSortByTheirTime(t *testing.T) {
	chance := rand.NewChaCha8([32]byte{1})
	at := time.UnixMilli(1_790_000_000_000)
	last := ""
	for range 1000 {
		id := newID(at, chance)
		if !validID(id) {
			t.Fatalf("%q is not an ID", id)
		}
		if id <= last {
			t.Fatalf("%q made after %q does not sort after it", id, last)
		}
		last, at = id, at.Add(time.Millisecond)
	}
}

func TestAnEndingIsForEver(t *testing.T) {
	all := []JobState{Queued, Dispatched, Running, Succeeded, Warnings, Failed, Cancelled, Interrupted, Abandoned}
	for _, from := range all {
		for _, to := range all {
			if from.CanBecome(to) && (from.Ended() || from == to || to == Queued) {
				t.Errorf("%s may become %s", from, to)
			}
		}
	}
}

var payloads = []any{
	Birth{Session: Session{Epoch: 1, N: 1}, Version: "1", MAC: []byte{1}},
	Death{Session: Session{Epoch: 1, N: 1}, Reason: Lost},
	Heartbeat{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}},
	Progress{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Percent: 12.5, CurrentFiles: []string{"/a"}},
	Events{Epoch: 1, First: 1, Events: []Event{
		{Hello: &Hello{Session: Session{Epoch: 1, N: 1}, Jobs: []JobID{}}},
		{Hello: &Hello{Session: Session{Epoch: 1, N: 1}, Jobs: []JobID{}, Configured: &Configured{Revision: 3}}},
		{Configured: &Configured{Revision: 4, Digest: "ab12", Error: "schedule nightly: no such zone"}},
		{Fired: &Fired{
			Job:        job,
			Slot:       Slot{Schedule: "nightly-0001", At: 1_790_000_000_000, Attempt: 0},
			Group:      "letters-01",
			Repository: "vault-00001",
			Revision:   4,
			Passed:     2,
		}},
		{Accepted: &Accepted{Job: job}}, {Started: &Started{Job: job, Restic: "0.14.0"}},
		{Log: &Log{Job: job, First: 1, Lines: []Line{{At: 1, Level: Info, Text: "x"}}}},
		{Log: &Log{Job: job, First: 2, Gap: &Gap{To: 9, Reason: "full"}}},
		{Report: &Report{Job: job, Part: 1, Keys: []Key{{ID: "abcd0123", Current: true}}}},
		{Finished: &Finished{Job: job, State: Succeeded, Lines: 9, Snapshot: &Snapshot{ID: "a"}}}}},
	Welcome{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}},
	Receipt{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Received: Received{Epoch: 1, Seq: 7, Mark: "m7"}},
	Command{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Job: job, Run: &Run{Kind: BackupJob}},
	Command{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Job: job,
		Run: &Run{Kind: BackupJob, Slot: &Slot{Schedule: "nightly-0001", At: 1, Attempt: 1}}},
	Command{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Job: job, Run: &Run{Kind: UpdateJob,
		Operation: Operation{Update: &Update{Manifest: []byte("{}"), Signature: []byte("s")}}}},
	Command{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Job: job, Run: &Run{Kind: KeyJob, Other: "new",
		Operation: Operation{Key: &KeyChange{Action: AddKey, Of: "change-0001", User: "anna"}}}},
	Command{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Job: job, Cancel: true},
	Query{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Kind: FilesQuery, Repository: &Repository{ID: "vault-00001"},
		Snapshot: "abcd0123", Path: "/etc", Limit: 30},
	Query{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Kind: DirectoriesQuery, Path: "/srv"},
	Query{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Cancel: true},
	Answer{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Part: 1,
		Entries: []Node{{Name: "a", Path: "/a", Type: "file", Mode: 0o4755}}},
	Answer{Stamp: Stamp{Session: Session{Epoch: 1, N: 1}, N: 1}, Part: 2, Last: true, Cause: CauseSlow, Message: "x"},
	ConfigPart{
		Stamp:    Stamp{Session: Session{Epoch: 1, N: 1}, N: 1},
		Revision: 1,
		Digest:   bytes.Repeat([]byte{7}, 32),
		Part:     1,
		Parts:    1,
		Data:     []byte("{}"),
	},
}

func FuzzTopic(f *testing.F) {
	for _, e := range Catalogue {
		f.Add(sample(e.Kind).String())
	}
	f.Fuzz(func(t *testing.T, name string) {
		if topic, err := Parse(name); err == nil && topic.String() != name {
			t.Errorf("%q was accepted and rebuilt as %q", name, topic)
		}
	})
}

// FuzzPayload refuses a payload or rebuilds it: what it writes after reading,
// it reads again to the same bytes.
func FuzzPayload(f *testing.F) {
	for _, p := range payloads {
		f.Add(Encode(p))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rebuild[Birth](t, b)
		rebuild[Death](t, b)
		rebuild[Heartbeat](t, b)
		rebuild[Progress](t, b)
		rebuild[Events](t, b)
		rebuild[Welcome](t, b)
		rebuild[Receipt](t, b)
		rebuild[Command](t, b)
		rebuild[ConfigPart](t, b)
		rebuild[Query](t, b)
		rebuild[Answer](t, b)
	})
}

func rebuild[T any](t *testing.T, b []byte) {
	v, err := Decode[T](b)
	if err != nil {
		return
	}
	once := Encode(v)
	again, err := Decode[T](once)
	if err != nil && len(once) <= MaxPayload {
		t.Fatalf("%T: %q was accepted, its own %q is not: %v", v, b, once, err)
	}
	if err == nil && !bytes.Equal(Encode(again), once) {
		t.Fatalf("%T: %q and %q differ", v, once, Encode(again))
	}
}

func TestEveryPayloadSurvivesTheWire(t *testing.T) {
	for _, p := range payloads {
		v := reflect.New(reflect.TypeOf(p))
		b := Encode(p)
		switch want := p.(type) {
		case Events:
			same(t, b, want)
		case Command:
			same(t, b, want)
		case Birth:
			same(t, b, want)
		case Death:
			same(t, b, want)
		case Heartbeat:
			same(t, b, want)
		case Progress:
			same(t, b, want)
		case Welcome:
			same(t, b, want)
		case Receipt:
			same(t, b, want)
		case ConfigPart:
			same(t, b, want)
		case Query:
			same(t, b, want)
		case Answer:
			same(t, b, want)
		default:
			t.Errorf("no case for %s", v.Type())
		}
	}
}

func same[T any](t *testing.T, b []byte, want T) {
	if got, err := Decode[T](b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s came back as %+v, %v", b, got, err)
	}
}

func TestPayloadsThatContradictThemselvesAreRefused(t *testing.T) {
	for what, b := range map[string]string{
		"no session":             `{"session":{"epoch":0,"n":1},"n":1}`,
		"run and cancel":         `{"session":{"epoch":1,"n":1},"n":1,"job":"0mk3a7q2job1","cancel":true,"run":{"kind":"backup"}}`,
		"neither run nor cancel": `{"session":{"epoch":1,"n":1},"n":1,"job":"0mk3a7q2job1"}`,
	} {
		if _, err := Decode[Command]([]byte(b)); err == nil {
			t.Errorf("%s: accepted %s", what, b)
		}
	}
	for what, b := range map[string]string{
		"part 2 of 1": `{"session":{"epoch":1,"n":1},"n":1,"revision":1,"digest":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",` +
			`"part":2,"parts":1,"data":"e30="}`,
		"no end of them": `{"session":{"epoch":1,"n":1},"n":1,"revision":1,"digest":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",` +
			`"part":1,"parts":100000000,"data":"e30="}`,
	} {
		if _, err := Decode[ConfigPart]([]byte(b)); err == nil {
			t.Errorf("%s: accepted %s", what, b)
		}
	}
	for what, b := range map[string]string{
		"no events":    `{"epoch":1,"first":1,"events":[]}`,
		"number 0":     `{"epoch":1,"first":0,"events":[{"at":1}]}`,
		"two kinds":    `{"epoch":1,"first":1,"events":[{"accepted":{"job":"0mk3a7q2job1"},"started":{"job":"0mk3a7q2job1"}}]}`,
		"line 0":       `{"epoch":1,"first":1,"events":[{"log":{"job":"0mk3a7q2job1","first":0,"lines":[{"text":"x"}]}}]}`,
		"backward gap": `{"epoch":1,"first":1,"events":[{"log":{"job":"0mk3a7q2job1","first":5,"gap":{"to":4}}}]}`,
		"no ending":    `{"epoch":1,"first":1,"events":[{"finished":{"job":"0mk3a7q2job1","state":"running"}}]}`,
		"too many": `{"epoch":1,"first":1,"events":[{"finished":{"job":"0mk3a7q2job1","state":"failed",` +
			`"summary":{"total_bytes":18446744073709551615}}}]}`,
		"no slot": `{"epoch":1,"first":1,"events":[{"fired":{"job":"0mk3a7q2job1","slot":{"schedule":"nightly-0001"},` +
			`"group":"letters-01","repository":"vault-00001"}}]}`,
		"fired twice": `{"epoch":1,"first":1,"events":[{"accepted":{"job":"0mk3a7q2job1"},"fired":{"job":"0mk3a7q2job1",` +
			`"slot":{"schedule":"nightly-0001","at":1},"group":"letters-01","repository":"vault-00001"}}]}`,
		"bad job": `{"epoch":1,"first":1,"events":[{"accepted":{"job":"../x"}}]}`,
	} {
		if _, err := Decode[Events]([]byte(b)); err == nil {
			t.Errorf("%s: accepted %s", what, b)
		}
	}
}

func TestAnEnrolmentTokenIsCopiedWholeOrRefused(t *testing.T) {
	want := EnrollToken{Key: Secret(strings.Repeat("A", 52)), CA: [32]byte{1, 2, 3}}
	if got, err := ParseEnrollToken(" " + want.Reveal() + "\n"); err != nil || got != want {
		t.Errorf("read back %+v, %v", got, err)
	}
	for _, s := range []string{"", "rmt1_", "hello", want.Reveal()[:40], want.Reveal() + "A", "x" + want.Reveal()} {
		if _, err := ParseEnrollToken(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}
