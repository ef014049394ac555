package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/store"
)

// forms are what a secret may look like where it should not be: as it is, and in
// the encodings that programs use without anybody asking.
func forms(secret []byte) map[string][]byte {
	f := map[string][]byte{
		"raw": secret,
		"hex": []byte(hex.EncodeToString(secret)),
		"HEX": []byte(strings.ToUpper(hex.EncodeToString(secret))),
	}
	s := string(secret)
	quoted, _ := json.Marshal(s) // of a string: never fails
	f["JSON"] = quoted[1 : len(quoted)-1]
	f["Go"] = []byte(strings.Trim(strconv.Quote(s), `"`))
	f["ASCII"] = []byte(strings.Trim(strconv.QuoteToASCII(s), `"`))
	f["query"], f["path"] = []byte(url.QueryEscape(s)), []byte(url.PathEscape(s))
	f["user"] = []byte(strings.TrimPrefix(url.UserPassword("", s).String(), ":"))
	var decimal []string
	for _, b := range secret {
		decimal = append(decimal, strconv.Itoa(int(b)))
	}
	f["decimal"], f["decimal list"], f["decimal JSON"] = []byte(strings.Join(decimal, " ")), []byte(strings.Join(decimal,
		", ")), []byte(strings.Join(decimal, ","))
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 { // three places in what is encoded around it
			e := encoding.EncodeToString(append(make([]byte, shift), secret...))
			first, last := (shift*8+5)/6, (shift+len(secret))*8/6 // what its neighbours do not touch
			f[fmt.Sprint(name, " shifted by ", shift)] = []byte(e[first:last])
		}
	}
	return f
}

func TestASecretIsFoundInEveryForm(t *testing.T) {
	secret := []byte(`a"ß+/&< ` + rand.Text())
	for shift := range 4 {
		around := append(append([]byte("abcd"[:shift]), secret...), "tail"...)
		list := fmt.Sprint([]byte(around))
		for name, text := range map[string]string{
			"raw":          string(around),
			"hex":          fmt.Sprintf("%x", around),
			"HEX":          fmt.Sprintf("%X", around),
			"%q":           fmt.Sprintf("%q", around),
			"%+q":          fmt.Sprintf("%+q", around),
			"base64":       base64.StdEncoding.EncodeToString(around),
			"base64url":    base64.URLEncoding.EncodeToString(around),
			"decimal":      list,
			"decimal JSON": strings.ReplaceAll(list, " ", ","),
			"query":        url.QueryEscape(string(around)),
			"path":         url.PathEscape(string(around)),
			"%#v":          strings.ReplaceAll(list, " ", ", "),
		} {
			if found := find([]byte("before "+text+" after"), secret); found == "" {
				t.Errorf("%s, shifted by %d: it is not found in %s", name, shift, text)
			}
		}
	}
	if found := find([]byte("nothing of it, but "+rand.Text()), secret); found != "" {
		t.Errorf("it is found as %s where it is not", found)
	}
}

// find names the form in which a text holds a secret, "" if it does not.
func find(text, secret []byte) string {
	for name, form := range forms(secret) {
		if bytes.Contains(text, form) {
			return name
		}
	}
	return ""
}

// sinks are everything that came out of the system, by where.
type sinks struct {
	mu sync.Mutex
	at map[string][]byte
}

func (s *sinks) put(where string, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[where] = append(s.at[where], text...)
}

// sampleArguments writes down the command lines of a process and of all below it
// until the test says stop.
func (s *sinks) sampleArguments(t *testing.T, roots ...*world.Process) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	seen := map[string]bool{}
	go func() {
		defer close(gone)
		for {
			for _, root := range roots {
				for _, pid := range below(root.Cmd.Process.Pid) {
					b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
					if err == nil && len(b) > 0 && !seen[string(b)] {
						seen[string(b)] = true
						s.put("process list", append(bytes.ReplaceAll(b, []byte{0}, []byte{' '}), '\n'))
					}
				}
			}
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		close(done)
		<-gone
	})
	t.Cleanup(stop)
	return stop
}

// below lists a process and its descendants.
func below(pid int) (pids []int) {
	pids = []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is well formed
	for _, path := range tasks {
		b, _ := os.ReadFile(path) // it may have gone
		for field := range strings.FieldsSeq(string(b)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, below(child)...)
			}
		}
	}
	return pids
}

// listenAs is a second client with an agent's own certificate on the agents'
// broker, which hears all that the host may read there.
func (s *sinks) listenAs(t *testing.T, a *Agent) {
	t.Helper()
	var identity struct {
		Host        string `json:"host"`
		Certificate []byte `json:"certificate"`
		CA          []byte `json:"ca"`
		TLSKey      []byte `json:"tls_key"`
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
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://" + a.w.Agents).SetClientID(identity.Host + "_999999999").SetUsername(
		identity.Host).SetProtocolVersion(4).SetAutoReconnect(false).
		SetTLSConfig(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "restic-manager", NextProtos: []string{"mqtt"},
			Certificates: []tls.Certificate{{Certificate: [][]byte{identity.Certificate}, PrivateKey: key}}}))
	if token := c.Connect(); !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		t.Fatalf("listen on the agents' broker: %v", token.Error())
	}
	t.Cleanup(func() { c.Disconnect(0) })
	if token := c.Subscribe("rm/v1/ctl/"+identity.Host+"/#", 1, func(_ mqtt.Client, m mqtt.Message) {
		s.put("agents' broker", slices.Concat([]byte(m.Topic()+" "), m.Payload(), []byte{'\n'}))
	}); !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		t.Fatalf("listen on the agents' broker: %v", token.Error())
	}
}

// A canary is a secret, and where it may be seen on purpose: see
// TestNoSecretComesOut.
type canary struct {
	name   string
	secret []byte
	may    []string
}

// TestNoSecretComesOut runs a whole system with a secret of its own in every
// field that takes one, has it fail in every way that talks, and looks for the
// secrets in everything that came out of it. What is shown once and on purpose is
// the only exception:
//
//   - the emergency kit shows a repository's URL, password and credentials;
//   - the command that enrols a host carries its token, good once and for minutes;
//   - the page that makes a token, and the command line that makes a token or a
//     password, show it;
//   - the log of the control plane has the link that makes the first account, and
//     nothing once there is one;
//   - the cookie goes to the browser it belongs to;
//   - the key file holds the master key, identity.json a host's own keys.
func TestNoSecretComesOut(t *testing.T) {
	t.Setenv("RESTIC_MANAGER_LOG_LEVEL", "debug")
	t.Setenv("RESTIC_MANAGER_AGENT_LOG_LEVEL", "debug")
	t.Setenv("GOTRACEBACK", "all")
	w := NewQuietWorld(t)
	out := &sinks{at: map[string][]byte{}}
	special := func(name string) string { return name + `"ß+/&< ` + rand.Text() }
	var canaries []canary
	add := func(name, secret string, may ...string) string {
		canaries = append(canaries, canary{name, []byte(secret), may})
		return secret
	}
	add("the API token", w.token)
	repositoryPassword, wrongPassword := add("a repository's password", special("rp"), "kit"), add("a wrong password", special("wp"), "kit")
	urlPassword := add("the password in a URL", special("up"), "kit")
	environment := add("a credential of a backend", special("env"), "kit")
	restPassword := add("the password of a REST server", special("rest"), "kit")
	consumer := add("a consumer's password", w.CLI("mqtt-user", "create", "home", "--do", "--data", w.Data))
	token := add("an enrolment token", w.CLI("enroll-token", "create", "--name", "attic", "--data", w.Data))

	// A host enrols, and once more with the same token, which is no good any more.
	attic := &Agent{
		w:     w,
		Name:  "attic",
		Dir:   filepath.Join(w.Dir, "attic"),
		Home:  filepath.Join(w.Dir, "attic", "home"),
		State: filepath.Join(w.Dir, "attic", "state"),
	}
	for i, code := range []int{0, 1} {
		r := command(t, agentCommand("enroll", "--server", w.Agents, "--token", token, "--state", attic.State+strings.Repeat("x", i),
			"--policy", "managed"))
		if r.code != code {
			t.Fatalf("enroll: exit status %d: %s", r.code, r.errs)
		}
		out.put("enrolment", []byte(r.out+r.errs))
		if code == 0 {
			attic.ID = strings.TrimSpace(r.out)
		}
	}
	standIn := NewStandIn(t, attic.Dir, `[ -e "$0.slow" ] && gate hold`)
	attic.Restic = standIn.Path
	attic.Write("a", "a")
	attic.Start()
	attic.AwaitOnline()
	stopSampling := out.sampleArguments(t, w.plane, attic.process)
	sub := world.Start(t, "mosquitto_sub", w.mosquitto("sub", "home", consumer, "-v", "-t", "rm/v1/pub/#", "-t", "homeassistant/#"))
	awaitSaid(t, sub, "pub/host/"+attic.ID+"/availability", "online")
	out.listenAs(t, attic)

	// Somebody signs in, after they typed the password where the name belongs.
	person := w.SignIn()
	secretOfPerson := add("a person's password", special("person"))
	cmd := exec.Command(program("restic-manager"), "user", "add", "grace", "--role", "admin", "--password-stdin", "--data", w.Data)
	cmd.Stdin = strings.NewReader(secretOfPerson + "\n")
	if r := command(t, cmd); r.code != 0 {
		t.Fatal(r.errs)
	}
	stranger := &Session{w, &http.Client{}}
	for _, form := range []url.Values{
		{"name": {"grace"}, "password": {secretOfPerson + "x"}},
		{"name": {secretOfPerson}, "password": {"grace"}},
		{"name": {secretOfPerson}, "password": {secretOfPerson}},
	} {
		if p := stranger.Submit("/login", form); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("a wrong sign-in: %d", p.Status)
		}
	}
	person.Submit("/login", url.Values{"name": {"grace"}, "password": {secretOfPerson}})
	base, err := url.Parse("http://" + w.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range person.client.Jar.Cookies(base) {
		add("the session's cookie", c.Value)
	}

	// Repositories that work, that have another password, that cannot be reached.
	vault, closed := filepath.Join(attic.Dir, "vault"), world.FreeAddress(t)
	repository := func(name, address, password string, env map[string]string) {
		t.Helper()
		var made struct {
			ID string `json:"id"`
		}
		w.API("POST", "/api/repositories", map[string]any{
			"name":     name,
			"url":      address,
			"password": password,
			"env":      env,
		}, http.StatusCreated, &made)
		attic.PutGroup(name, made.ID)
	}
	repository("good", vault, repositoryPassword, map[string]string{"AWS_SECRET_ACCESS_KEY": environment, "AWS_ACCESS_KEY_ID": "public"})
	repository("wrong", vault, wrongPassword, nil)
	repository("away", "rest:http://"+url.UserPassword("attic", urlPassword).String()+"@"+closed+"/", repositoryPassword, nil)
	repository("rest", "rest:http://"+closed+"/", repositoryPassword, map[string]string{
		"RESTIC_REST_USERNAME": "attic",
		"RESTIC_REST_PASSWORD": restPassword,
	})

	// Channels and heartbeats, none of which anybody answers: why not is shown and logged.
	plain := func(name string) string { return add(name, strings.ToLower(rand.Text())+"-0") }
	channels := []string{}
	channel := func(body map[string]any) (secret string) {
		t.Helper()
		var made struct{ ID, Secret string }
		w.API("POST", "/api/channels", body, http.StatusCreated, &made)
		channels = append(channels, made.ID)
		return made.Secret
	}
	add("the secret that was made for a webhook", channel(map[string]any{"name": "hook", "kind": "webhook", "url": "http://" + closed +
		"/hook",
		"headers": []string{"Authorization: Bearer " + plain("a webhook's header")}}))
	channel(map[string]any{"name": "signed", "kind": "webhook", "url": "http://" + closed + "/hook",
		"secret": plain("a webhook's own secret")})
	host, port, _ := strings.Cut(closed, ":")
	channel(map[string]any{"name": "mail", "kind": "email", "host": host, "port": port, "security": "tls", "from": "a@example.net",
		"to": []string{"b@example.net"}, "username": "a", "password": add("a mail server's password", special("mail"))})
	channel(map[string]any{"name": "chat", "kind": "discord", "url": "http://" + closed + "/api/webhooks/1/" + plain("a chat's address")})
	channel(map[string]any{"name": "phone", "kind": "ntfy", "url": "http://" + closed, "topic": "backups", "token": plain("a phone's token")})
	channel(map[string]any{"name": "other", "kind": "url", "url": "generic+http://" + closed + "/" + plain("another service's address")})
	w.API("PUT", "/api/heartbeat", map[string]any{"url": "http://" + closed + "/" + plain("the heartbeat's address")}, http.StatusOK, nil)
	w.API("PUT", "/api/pings", map[string]any{"scope": "host", "subject": "attic", "url": "http://" + closed + "/" +
		plain("a host's heartbeat")},
		http.StatusOK, nil)
	for _, id := range channels {
		r := w.request("POST", "/api/channels/"+id+"/test", nil)
		if r.StatusCode != http.StatusOK || bytes.Contains(r.body, []byte(`"ok":true`)) {
			t.Errorf("a test that nobody answers: %s %s", r.Status, r.body)
		}
		out.put("API", r.body)
	}
	for _, body := range []map[string]any{
		{"name": "x", "kind": "discord", "url": "gopher://example.net/" + plain("a refused address")},
		{"name": "x", "kind": "webhook", "url": "http://" + closed, "headers": []string{plain("a refused header")}},
		{"name": "hook", "kind": "ntfy", "topic": "x", "token": plain("the token of a channel whose name is taken")},
		{"name": "x", "kind": "ntfy", "topic": []string{plain("a topic of another type")}},
	} {
		r := w.request("POST", "/api/channels", body)
		if r.StatusCode/100 != 4 {
			t.Errorf("a channel that cannot be: %s", r.Status)
		}
		out.put("refusals", r.body)
	}

	// What is refused must not be said again.
	for name, body := range map[string]any{
		"a wrong URL": map[string]any{"name": "x", "url": "nowhere:" + urlPassword, "password": repositoryPassword},
		"a wrong variable": map[string]any{
			"name":     "x",
			"url":      vault,
			"password": repositoryPassword,
			"env":      map[string]string{"PATH": environment},
		},
		"a wrong value": map[string]any{
			"name":     "x",
			"url":      vault,
			"password": repositoryPassword,
			"env":      map[string]string{"AWS_SECRET_ACCESS_KEY": environment + "\n"},
		},
		"a wrong type":     map[string]any{"name": "x", "url": vault, "password": []string{repositoryPassword}, "env": []string{environment}},
		"an unknown field": map[string]any{"name": "x", "url": vault, "password": repositoryPassword, "passwort": wrongPassword},
		"a taken name":     map[string]any{"name": "good", "url": vault, "password": repositoryPassword},
		"broken JSON":      `{"name":"x","password":"` + environment,
	} {
		r := w.request("POST", "/api/repositories", body)
		if r.StatusCode/100 != 4 {
			t.Errorf("%s: %s", name, r.Status)
		}
		out.put("refusals", r.body)
	}
	refused := person.Submit("/hosts/"+attic.ID+"/source-groups/new", url.Values{
		"name":                {"x"},
		"repository":          {"new"},
		"repository_name":     {"good"},
		"repository_password": {repositoryPassword},
		"repository_url":      {"nowhere:" + "x"},
		"paths":               {"/x"},
	})
	out.put("refusals", []byte(refused.HTML))
	out.put("refusals", w.request("GET", "/api/hosts", nil, "Authorization", "Bearer "+w.token+"x").body)
	for _, args := range [][]string{{"enroll", "--server", w.Agents, "--token", token + "x", "--state", attic.State + "y"}} {
		out.put("refusals", []byte(command(t, agentCommand(args...)).errs))
	}

	// Jobs that go well, fail, are cancelled, are asked for over MQTT.
	w.AwaitState(attic.Backup("good"), "succeeded")
	for group, cause := range map[string]string{"wrong": "wrong-password", "away": "unreachable", "rest": "unreachable"} {
		if j := w.AwaitState(attic.Backup(group), "failed"); j.Cause != cause {
			t.Errorf("%s failed of %s: %s", group, j.Cause, j.Message)
		}
	}
	standIn.Open("slow")
	cancelled := attic.Backup("good")
	standIn.AwaitAt("hold")
	stream := person.Stream("/events?view=job&id=" + cancelled + "&after=0")
	fleet := person.Stream("/events?view=fleet")
	fleet.AwaitSomething()
	w.API("POST", "/api/jobs/"+cancelled+"/cancel", nil, http.StatusAccepted, nil)
	w.AwaitState(cancelled, "cancelled")
	if err := os.Remove(standIn.Path + ".at-hold"); err != nil {
		t.Fatal(err)
	}
	if r := command(t, w.mosquitto("pub", "home", consumer, "-q", "1", "-t", "rm/v1/do/"+attic.ID+"/backup", "-n")); r.code != 0 {
		t.Errorf("a wish: %s", r.errs)
	}
	world.Await(t, "the wish to become a job", func() error {
		if !strings.Contains(string(w.request("GET", "/api/jobs", nil).body), `"requested_by":"mqtt:home"`) {
			return errors.New("there is none")
		}
		return nil
	})
	held := attic.Backup("good") // goes on until the end
	world.AwaitWithin(t, 2*time.Minute, "the job to be held", func() error {
		_, err := os.Stat(standIn.Path + ".at-hold")
		return errors.Join(err, map[bool]error{false: errors.New("it does not run")}[w.Job(held).State == "running"])
	})

	// Everything that can be looked at.
	for _, s := range []*Stream{stream, fleet} {
		s.mu.Lock()
		out.put("streams", []byte(strings.Join(s.lines, "\n")))
		s.mu.Unlock()
	}
	var jobs []Job
	w.API("GET", "/api/jobs", nil, http.StatusOK, &jobs)
	pages := []string{"/", "/hosts/new", "/hosts/" + attic.ID, "/hosts/" + attic.ID + "/source-groups/new", "/jobs", "/jobs?period=all",
		"/settings", "/audit", "/audit/export.csv", "/healthz", "/readyz"}
	calls := []string{"/api/openapi.json", "/api/hosts", "/api/jobs", "/api/audit", "/api/hosts/" + attic.ID + "/schedules",
		"/api/hosts/" + attic.ID + "/snapshots", "/api/alerts", "/api/channels", "/api/heartbeat", "/api/pings", "/api/alert-rules"}
	for _, id := range channels {
		calls = append(calls, "/api/channels/"+id, "/api/channels/"+id+"/deliveries")
		out.put("command line", []byte(w.tell("channel", "show", id)))
	}
	for _, command := range []string{"channel", "heartbeat", "alerts", "alert-rules"} {
		out.put("command line", []byte(w.tell(command)))
	}
	for _, group := range []string{"good", "wrong", "away", "rest"} {
		pages = append(pages, "/hosts/"+attic.ID+"/source-groups/"+group+"/edit")
	}
	for _, j := range jobs {
		pages = append(pages, "/jobs/"+j.ID, "/jobs/"+j.ID+"/log.txt", "/jobs/"+j.ID+"/log.ndjson")
		calls = append(calls, "/api/jobs/"+j.ID, "/api/jobs/"+j.ID+"/log")
	}
	for _, path := range pages {
		p := person.Page(path)
		if p.Status != http.StatusOK {
			t.Errorf("GET %s: %d", path, p.Status)
		}
		out.put("pages", []byte(p.HTML))
	}
	for _, path := range calls {
		r := w.request("GET", path, nil)
		if r.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, r.Status)
		}
		out.put("API", r.body)
	}
	form := person.Submit("/hosts/new", url.Values{"name": {"second"}})
	add("a token from the page", regexp.MustCompile(`rmt1_[A-Za-z0-9_.-]+`).FindString(form.HTML))
	for _, group := range []string{"good", "wrong", "away", "rest"} {
		out.put("kit", []byte(command(t, exec.Command(program("restic-manager"), "kit", "--repository", group, "--data", w.Data)).out))
	}
	for _, of := range [][]string{{"--host", "attic"}, {"--all"}} {
		printed := command(t, exec.Command(program("restic-manager"), append([]string{"kit", "--data", w.Data}, of...)...))
		for _, c := range canaries[1:6] {
			if slices.Contains(c.may, "kit") && find([]byte(printed.out), c.secret) == "" {
				t.Errorf("%s is not in the kit of %q", c.name, of)
			}
		}
		out.put("kit", []byte(printed.out))
	}
	for _, path := range []string{"/hosts/" + attic.ID + "/kit", "/repositories/kit"} {
		p := person.Page(path)
		if p.Status != http.StatusOK {
			t.Errorf("GET %s: %d", path, p.Status)
		}
		out.put("kit", []byte(p.HTML))
	}
	// That they were shown is written down, and nothing of what is in them.
	for _, action := range []string{"host.kit_shown", "repository.kits_shown", "repository.kit_shown"} {
		r := w.request("GET", "/api/audit?action="+action, nil)
		if !bytes.Contains(r.body, []byte(action)) {
			t.Errorf("the audit log does not say %s: %s", action, r.body)
		}
		out.put("API", r.body)
	}

	// Both die with a job in their hands, and say where they were.
	if w.Job(held).State != "running" {
		t.Error("no job runs when the programs are asked where they are")
	}
	stopSampling()
	for _, p := range []*world.Process{attic.process, w.plane} {
		p.Signal(syscall.SIGQUIT)
		p.Wait(2 * time.Minute)
		if !strings.Contains(p.Errs.String(), "goroutine ") {
			t.Errorf("%s says nothing of its goroutines", p.Name)
		}
		out.put("log of "+p.Name, []byte(p.Out.String()+p.Errs.String()))
	}
	out.put("public broker", []byte(sub.Out.String()))

	// What is on disk; the keys are read from there first.
	key, err := os.ReadFile(w.Data + ".key")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(key)))
	if err != nil {
		t.Fatal(err)
	}
	canaries = append(canaries, canary{"the master key", raw, nil}, canary{"the master key's digits", bytes.TrimSpace(key), nil})
	var identity map[string]any
	b, err := os.ReadFile(filepath.Join(attic.State, "identity.json"))
	if err != nil || json.Unmarshal(b, &identity) != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"tls_key", "seal_key"} {
		plain, err := base64.StdEncoding.DecodeString(fmt.Sprint(identity[field]))
		if err != nil || len(plain) < 16 {
			t.Fatalf("the host's %s: %v", field, err)
		}
		canaries = append(canaries, canary{"the host's " + field, plain[max(0, len(plain)-60):], nil}) // what comes before is the same in all
	}
	for where, dir := range map[string]string{"database": w.Data, "agent's state": attic.State} {
		if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !d.Type().IsRegular() || d.Name() == "identity.json" {
				return err
			}
			b, err := os.ReadFile(path)
			out.put(where, b)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	canaries = append(canaries, installation(t, w.Data)...)

	for _, where := range []string{"agents' broker", "public broker", "process list", "streams", "pages", "API", "kit", "refusals",
		"enrolment", "database", "agent's state", "log of " + w.plane.Name, "log of " + attic.process.Name} {
		if len(out.at[where]) < 20 {
			t.Errorf("there is nothing of the %s: %q", where, out.at[where])
		}
	}
	for _, want := range []string{"restic backup", "restic-manager serve"} {
		if program, verb, _ := strings.Cut(want, " "); !bytes.Contains(out.at["process list"], []byte(program)) ||
			!bytes.Contains(out.at["process list"], []byte(verb)) {
			t.Errorf("the process list was looked at and had no %s: %s", want, out.at["process list"])
		}
	}
	for _, c := range canaries {
		if len(c.secret) < 16 {
			t.Errorf("%s is too short to be found: %d bytes", c.name, len(c.secret))
		}
		for where, text := range out.at {
			found := find(text, c.secret)
			if found != "" && !slices.Contains(c.may, where) {
				i := bytes.Index(text, forms(c.secret)[found])
				t.Errorf("%s comes out: %s, %s: …%q", c.name, where, found, text[max(0, i-120):i])
			}
		}
	}
	for _, c := range canaries[1:6] { // the search works on the real thing
		if slices.Contains(c.may, "kit") && find(out.at["kit"], c.secret) == "" {
			t.Errorf("%s is not in the kit, where it belongs", c.name)
		}
	}
}

// installation are the secrets that a control plane made for itself.
func installation(t *testing.T, data string) (canaries []canary) {
	t.Helper()
	s, err := store.Open(t.Context(), data, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "restic-manager.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT name FROM meta WHERE name <> 'canary'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	for _, name := range names {
		plain, err := s.Secret(t.Context(), name, func() ([]byte, error) { return nil, errors.New("it has gone") })
		if err != nil {
			t.Fatal(err)
		}
		c := canary{"the installation's " + name, plain[max(0, len(plain)-60):], nil}
		if name == "setup_code" {
			c.may = []string{"log of the control plane"}
		}
		canaries = append(canaries, c)
	}
	if len(canaries) < 2 {
		t.Errorf("the installation has %d secrets", len(canaries))
	}
	return canaries
}
