package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

// A Liar is an agent with an identity of its own, which says what the test puts
// into its mouth: nothing of the real agent's care for what it sends is between.
type Liar struct {
	t       *testing.T
	host    topics.HostID
	channel *seal.Channel
	client  mqtt.Client
	session topics.Session

	mu       sync.Mutex
	seq      uint64
	counter  uint64
	commands map[topics.JobID]bool
}

// NewLiar takes the place of an agent that was enrolled and never started.
func NewLiar(t *testing.T, a *Agent) *Liar {
	t.Helper()
	var identity struct {
		Host        topics.HostID `json:"host"`
		Certificate []byte        `json:"certificate"`
		CA          []byte        `json:"ca"`
		TLSKey      []byte        `json:"tls_key"`
		SealKey     []byte        `json:"seal_key"`
		PlaneKey    []byte        `json:"plane_key"`
	}
	b, err := os.ReadFile(filepath.Join(a.State, "identity.json"))
	if err != nil || json.Unmarshal(b, &identity) != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(identity.TLSKey)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(identity.CA)
	if err != nil {
		t.Fatal(err)
	}
	own, err := seal.ParseKey(identity.SealKey)
	if err != nil {
		t.Fatal(err)
	}
	l := &Liar{t: t, host: identity.Host, session: topics.Session{Epoch: time.Now().UnixMilli(), N: 1}, commands: map[topics.JobID]bool{}}
	if l.channel, err = seal.NewChannel(own, identity.PlaneKey, seal.Agent, string(identity.Host)); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	death := topics.Topic{Kind: topics.KindDeath, Host: l.host}
	l.client = mqtt.NewClient(
		mqtt.NewClientOptions().AddBroker("ssl://"+a.w.Agents).SetClientID(fmt.Sprintf("%s_%d", l.host, l.session.N)).SetUsername(string(l.host)).
			SetProtocolVersion(4).SetAutoReconnect(false).
			SetBinaryWill(death.String(), topics.Encode(topics.Death{Session: l.session, Reason: topics.Lost,
				MAC: l.channel.Sign(death.String(), l.session.Signed(topics.Lost))}), death.Entry().QoS, death.Entry().Retained).
			SetTLSConfig(&tls.Config{
				MinVersion:   tls.VersionTLS13,
				RootCAs:      roots,
				ServerName:   topics.ServerName,
				NextProtos:   []string{topics.ALPNMQTT},
				Certificates: []tls.Certificate{{Certificate: [][]byte{identity.Certificate}, PrivateKey: key}},
			}))
	l.await(l.client.Connect())
	t.Cleanup(func() { l.client.Disconnect(0) })
	l.await(l.client.Subscribe(topics.AgentReads(l.host), 1, func(_ mqtt.Client, m mqtt.Message) {
		topic, err := topics.Parse(m.Topic())
		if err == nil && topic.Kind == topics.KindCommand {
			l.mu.Lock()
			l.commands[topic.Job] = true
			l.mu.Unlock()
		}
	}))
	birth := topics.Topic{Kind: topics.KindBirth, Host: l.host}
	l.await(l.client.Publish(birth.String(), birth.Entry().QoS, birth.Entry().Retained, topics.Encode(topics.Birth{
		Session:  l.session,
		Version:  "1",
		Protocol: topics.Protocol,
		MAC:      l.channel.Sign(birth.String(), l.session.Signed(topics.Born)),
	})))
	return l
}

func (l *Liar) await(token mqtt.Token) {
	l.t.Helper()
	if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
		l.t.Fatalf("the liar is not heard: %v", token.Error())
	}
}

func (l *Liar) publish(topic topics.Topic, payload any) {
	l.t.Helper()
	l.await(l.client.Publish(topic.String(), topic.Entry().QoS, topic.Entry().Retained,
		l.channel.Seal(topic.String(), topics.Encode(payload))))
}

// Say sends events of the durable stream.
func (l *Liar) Say(events ...topics.Event) {
	l.t.Helper()
	l.publish(topics.Topic{Kind: topics.KindEvent, Host: l.host}, topics.Events{Epoch: l.session.Epoch, First: l.seq + 1, Events: events})
	l.seq += uint64(len(events))
}

// stamp is what every message that is not durable carries.
func (l *Liar) stamp() topics.Stamp {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counter++
	return topics.Stamp{Session: l.session, N: l.counter}
}

// Progress sends restic's latest status.
func (l *Liar) Progress(id topics.JobID, p topics.Progress) {
	l.t.Helper()
	p.Stamp = l.stamp()
	l.publish(topics.Topic{Kind: topics.KindProgress, Host: l.host, Job: id}, p)
}

// live sends heartbeats until the test is over.
func (l *Liar) live() {
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		topic := topics.Topic{Kind: topics.KindHeartbeat, Host: l.host}.String()
		for tick := time.NewTicker(5 * time.Second); ; {
			l.client.Publish(topic, 0, false,
				l.channel.Seal(topic, topics.Encode(topics.Heartbeat{Stamp: l.stamp(), Clock: time.Now().UnixMilli()})))
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	l.t.Cleanup(func() {
		close(done)
		<-gone
	})
}

// AwaitCommand waits until a job was asked of it.
func (l *Liar) AwaitCommand(id topics.JobID) {
	l.t.Helper()
	world.Await(l.t, "the command for "+string(id), func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.commands[id] {
			return errors.New("it has not come")
		}
		return nil
	})
}

// makeRepository waits for the job that makes the repository, before the first backup
// into it, and says that it was done.
func (l *Liar) makeRepository(a *Agent, restic string) (id topics.JobID) {
	l.t.Helper()
	world.Await(l.t, "the job that makes the repository", func() error {
		var jobs []Job
		a.w.API("GET", "/api/jobs?host="+a.ID, nil, http.StatusOK, &jobs)
		for _, j := range jobs {
			if j.Kind == string(topics.InitJob) {
				id = topics.JobID(j.ID)
				return nil
			}
		}
		return fmt.Errorf("there are %v", jobs)
	})
	l.AwaitCommand(id)
	l.Say(topics.Event{Accepted: &topics.Accepted{Job: id}}, topics.Event{Started: &topics.Started{Job: id, Restic: restic}},
		topics.Event{Finished: &topics.Finished{
			Job:             id,
			State:           topics.Succeeded,
			Result:          &topics.Result{Made: true},
			RepositoryReady: true,
		}})
	a.w.AwaitState(string(id), string(topics.Succeeded))
	return id
}

// hostile are texts that would do something in a browser, a terminal or a
// spreadsheet, if somebody let them.
var hostile = map[string]string{
	"markup": `"'><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>` +
		`<svg onload="window.pwned=1"></svg><style>*{display:none}</style><base href="//evil.example/">`,
	"attributes": `" onmouseover="window.pwned=1" autofocus onfocus="window.pwned=1" hx-get="/evil" ` +
		`hx-trigger="load" hx-on::load="window.pwned=1" style="position:fixed;inset:0" x="`,
	"templates": `{{7*7}}${7*7}<%= 7*7 %>javascript:window.pwned=1 &lt;script&gt;window.pwned=1&lt;/script&gt; ` +
		`&#60;img src=x onerror=window.pwned=1&#62;`,
	"stream": "x\n\nevent: end\ndata: end\n\nid: 999999999\ndata: <hx-partial hx-target=\"#main\" hx-swap=\"innerHTML\"><b " +
		"id=\"evil\">pwned</b></hx-partial>\n\n",
	"terminal": "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \x1b[2J\x1b[H \x9b31m \x07\b\b\r over \x00 \x7f",
	"bidi":     "report\u202egnp.exe\u202c \u2066isolated\u2069 \u200f\u061c mark \ufeff\u2028\u2029\u00ad soft \u200b \U000e0041",
	"formula":  `=cmd|' /C calc'!A0`,
	"long":     strings.Repeat("W", 2000),
	"zalgo":    "Z" + strings.Repeat("\u0335\u0301\u0327", 12),
}

// worst is all of them.
func worst() string {
	var b strings.Builder
	b.WriteString(hostile["formula"])
	for _, name := range []string{"markup", "attributes", "templates", "stream", "terminal", "bidi", "zalgo", "long"} {
		b.WriteString(" " + hostile[name])
	}
	return b.String()
}

// deceivers are what must not stand in a page as it is.
const deceivers = `/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f` +
	`\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff\u00ad]/`

// mustBeUnharmed insists that what hosts said is only text on this page, at a desk
// and on a phone.
func (b *Browser) mustBeUnharmed(what string) {
	b.t.Helper()
	for _, s := range []size{desktop, phone} {
		b.Look("light", s)
		Eval[bool](b, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
		b.Shot("hostile-" + strings.Map(func(r rune) rune {
			if r == '/' || r == '?' || r == '=' || r == '&' {
				return '-'
			}
			return r
		}, what) + "-" + s.name)
		for _, bad := range Eval[[]string](b, `(() => {
			const bad = [];
			if (window.pwned !== undefined) bad.push("a script of the host ran");
			if (document.querySelector("#evil")) bad.push("the host wrote a part of the page");
			for (const e of document.querySelectorAll("*")) {
				for (const a of e.attributes) {
					if (/^on/i.test(a.name) || a.name === "style" || a.name.startsWith("hx-on") ||
						a.name === "hx-get" && a.value === "/evil") bad.push("<" + e.localName + "> has " + a.name);
					if (a.name !== "value" && `+deceivers+`.test(a.value)) bad.push("<" + e.localName + "> has deceiving text in " + a.name);
					if ((a.name === "href" || a.name === "src" || a.name === "action") &&
						(/^\s*javascript:/i.test(a.value) || a.value.includes("evil.example"))) bad.push("<" + e.localName + "> leads to " + a.value);
				}
				if (["img", "base", "style", "iframe", "object", "embed"].includes(e.localName) ||
					e.localName === "script" && !e.src) bad.push("there is a <" + e.localName + ">");
			}
			const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
			for (let n; (n = walker.nextNode());) if (n.parentElement.localName !== "textarea" && `+deceivers+
			`.test(n.data)) bad.push("deceiving text in <" + n.parentElement.localName + ">: " + JSON.stringify(n.data.slice(0, 200)));
			const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
			if (wide > 0) bad.push("the page is " + wide + " pixels wider than its window");
			const nav = document.querySelector(innerWidth > 720 ? "nav.side" : "nav.tabbar");
			if (nav && !nav.checkVisibility()) bad.push("the navigation has gone");
			return bad.slice(0, 20);
		})()`) {
			b.t.Errorf("%s, %s: %s", what, s.name, bad)
		}
	}
	b.Look("light", desktop)
}

func TestWhatAHostSaysIsOnlyText(t *testing.T) {
	w := NewWorld(t)
	name := hostile["formula"] + hostile["markup"]
	token := w.CLI("enroll-token", "create", "--name", name[:95], "--data", w.Data)
	a := &Agent{w: w, Name: "liar", State: filepath.Join(w.Dir, "liar", "state"), Dir: filepath.Join(w.Dir, "liar"), Home: "/letters"}
	r := command(t, exec.Command(program("restic-manager-agent"), "enroll", "--server", w.Agents, "--token", token, "--state", a.State))
	if r.code != 0 {
		t.Fatalf("enroll: %s", r.errs)
	}
	a.ID = strings.TrimSpace(r.out)
	repository := w.AddRepository("vault", "/srv/vault", password)
	a.PutGroup("all", repository)
	l := NewLiar(t, a)
	lie := worst()
	hello := topics.Event{Hello: &topics.Hello{Session: l.session, Jobs: []topics.JobID{}, Facts: topics.Facts{
		Hostname: lie,
		OS:       lie,
		Arch:     lie,
		Platform: lie,
		Agent:    lie,
		Restic:   lie,
		Policy:   lie,
	}}}
	l.Say(hello)
	l.live()
	a.process = world.Played()
	a.AwaitOnline()

	b := NewBrowser(t, w.HTTP)
	b.signIn(w)
	watch := NewBrowser(t, w.HTTP) // has the job's page open all the while
	watch.Open("/login")
	watch.Fill("#name", person)
	watch.Fill("#password", passphrase)
	watch.Press("Sign in")
	watch.AwaitText("#hosts", " ")

	lines := func(id topics.JobID) {
		t.Helper()
		n := 1
		for _, level := range []topics.Level{topics.Info, topics.Warn, topics.Error, topics.Level(`"><img src=x onerror=window.pwned=1>`)} {
			for _, text := range []string{hostile["markup"], hostile["attributes"], hostile["templates"], hostile["stream"], hostile["terminal"],
				hostile["bidi"], hostile["formula"], hostile["zalgo"], hostile["long"]} {
				l.Say(topics.Event{Log: &topics.Log{Job: id, First: n, Lines: []topics.Line{{At: time.Now().UnixMilli(), Level: level, Text: text}}}})
				n++
			}
		}
		l.Say(topics.Event{Log: &topics.Log{Job: id, First: n, Gap: &topics.Gap{To: n + 5, Reason: lie}}})
	}
	const last = 36 + 6
	code := 1
	endings := []topics.Finished{
		{State: topics.Failed, Cause: topics.Cause(lie), Message: lie, ExitCode: &code, Lines: last},
		{
			State:   topics.Warnings,
			Cause:   topics.CauseUnreadable,
			Message: lie,
			Lines:   last,
			Summary: &topics.Summary{TotalFiles: 1, TotalBytes: 1 << 62, Unreadable: 3},
			Snapshot: &topics.Snapshot{
				ID:    strings.Repeat("ab", 32),
				Time:  time.Now().UnixMilli(),
				Host:  lie,
				Paths: []string{lie, "/" + hostile["bidi"]},
				Tags:  []string{lie, "plan=x"},
			},
		},
		{State: topics.Interrupted, Cause: topics.CauseAgentDied, Message: lie, Lines: last},
	}
	var ids []string
	var making topics.JobID
	for n, end := range endings {
		id := topics.JobID(a.Backup("all"))
		ids = append(ids, string(id))
		if n == 0 {
			making = l.makeRepository(a, lie)
		}
		l.AwaitCommand(id)
		watch.Open("/jobs/" + string(id))
		watch.AwaitText("#live", "Live")
		l.Say(topics.Event{Accepted: &topics.Accepted{Job: id}}, topics.Event{Started: &topics.Started{Job: id, Restic: lie}})
		w.AwaitState(string(id), "running")
		lines(id)
		world.Await(t, "the lines on the open page", func() error {
			l.Progress(id, topics.Progress{
				Scanned:      true,
				Percent:      50,
				TotalFiles:   2,
				FilesDone:    1,
				TotalBytes:   2,
				BytesDone:    1,
				CurrentFiles: []string{lie, hostile["bidi"]},
			})
			if n := Eval[int](watch, `document.querySelectorAll("#log-stream > *").length`); n < 37 {
				return fmt.Errorf("there are %d", n)
			}
			return nil
		})
		watch.AwaitText("#current-files", "cmd|")
		if n == 0 {
			watch.mustBeUnharmed("job-running")
			b.Open("/jobs")
			b.mustBeUnharmed("jobs-running")
			b.Open("/")
			b.mustBeUnharmed("fleet-running")
		}
		end.Job = id
		l.Say(topics.Event{Finished: &end})
		w.AwaitState(string(id), string(end.State))
		watch.AwaitText("#live", "Final")
		watch.mustBeUnharmed("job-ended-" + string(end.State))
	}

	pages := []string{"/", "/jobs?period=all", "/hosts/" + a.ID, "/hosts/" + a.ID + "/source-groups/all/edit",
		"/hosts/" + a.ID + "/source-groups/new", "/hosts/new", "/settings", "/audit", "/repositories/" + repository + "/kit",
		"/jobs?q=%22%3E%3Cimg+src%3Dx+onerror%3Dwindow.pwned%3D1%3E",
		"/audit?q=%3Cscript%3Ewindow.pwned%3D1%3C%2Fscript%3E&actor=%22%3E%3Cimg+src%3Dx%3E&action=%22%3E%3Cb%3E&target=%E2%80%AE"}
	for _, id := range append([]string{string(making)}, ids...) {
		pages = append(pages, "/jobs/"+id)
	}
	for _, path := range pages {
		b.Open(path)
		b.mustBeUnharmed(path)
	}

	// What is taken elsewhere.
	raw := regexp.MustCompile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u0080-\u009f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]")
	session := w.SignInAgain()
	for _, id := range ids {
		text := session.Page("/jobs/" + id + "/log.txt").HTML
		if m := raw.FindString(text); m != "" {
			t.Errorf("the log as a text file has %q", m)
		}
		if n := strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1; n != 37 {
			t.Errorf("the log as a text file has %d lines, want 36 and a gap", n)
		}
		if r := w.request("GET", "/api/jobs/"+id+"/log", nil); strings.Count(string(r.body), "\n") != 37 ||
			r.Header.Get("Content-Type") != "application/x-ndjson" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("the log as NDJSON has %d lines, %v", strings.Count(string(r.body), "\n"), r.Header)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(session.Page("/audit/export.csv").HTML)).ReadAll()
	if err != nil || len(rows) < 8 {
		t.Fatalf("the audit log as CSV: %d rows, %v", len(rows), err)
	}
	hit := false
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") || raw.MatchString(cell) || strings.Contains(cell, "\n") {
				t.Errorf("a cell is %q", cell)
			}
			hit = hit || strings.Contains(cell, "cmd|")
		}
	}
	if !hit {
		t.Error("the host's name is in no cell")
	}
	// The kit's command with the host's name is one command, whatever the name.
	kit := command(t, exec.Command(program("restic-manager"), "kit", "--repository", "vault", "--data", w.Data))
	if kit.code != 0 || raw.MatchString(kit.out) {
		t.Errorf("the kit on the command line: exit status %d, %q", kit.code, raw.FindString(kit.out))
	}
	// A repository's name and address are no more than words, in all kits at once, too.
	at := "/srv/it's $(touch pwned) \"x\" `touch pwned`"
	w.AddRepository("z'; touch pwned; $(touch pwned) `touch pwned` \"><img src=x onerror=window.pwned=1>", at, password)
	for _, path := range []string{"/repositories/kit", "/hosts/" + a.ID + "/kit"} {
		b.Open(path)
		b.mustBeUnharmed(path)
	}
	kit = command(t, exec.Command(program("restic-manager"), "kit", "--all", "--data", w.Data))
	if kit.code != 0 || raw.MatchString(kit.out) {
		t.Errorf("all kits on the command line: exit status %d, %q, %s", kit.code, raw.FindString(kit.out), kit.errs)
	}
	script := exec.Command("sh", "-e", "-c", kit.out+"\nprintf '<%s>' \"$RESTIC_REPOSITORY\"")
	script.Dir = t.TempDir()
	if r := command(t, script); r.code != 0 || r.out != "<"+at+">" {
		t.Errorf("a shell takes all kits for %q, exit status %d, %s", r.out, r.code, r.errs)
	}
	if left, err := os.ReadDir(script.Dir); err != nil || len(left) > 0 {
		t.Errorf("a name or an address was obeyed: %v, %v", left, err)
	}
	// Logs of the control plane go to terminals, too.
	if m := raw.FindString(w.plane.Errs.String()); m != "" {
		t.Errorf("the log of the control plane has %q", m)
	}
	w.plane.MustStop(time.Minute)
}
