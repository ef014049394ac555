package web

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"
	"golang.org/x/crypto/argon2"

	"github.com/restic-manager/restic-manager/controlplane/enroll"
	"github.com/restic-manager/restic-manager/controlplane/hosts"
	"github.com/restic-manager/restic-manager/controlplane/jobs"
	"github.com/restic-manager/restic-manager/controlplane/maintenance"
	"github.com/restic-manager/restic-manager/controlplane/password"
	"github.com/restic-manager/restic-manager/controlplane/queries"
	"github.com/restic-manager/restic-manager/controlplane/web/base"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/places"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// must is for what cannot fail unless the test is over anyway.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// await waits for a condition, and says why it did not come.
func await(t testing.TB, what string, cond func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if err = cond(); err == nil {
			return
		}
	}
	t.Fatalf("waited for %s: %v", what, err)
}

const passphrase = "correct horse battery"

// hashed is the passphrase's hash, from a time when less was asked for: what is
// asked for today takes seconds under the race detector.
var hashed = sync.OnceValue(func() string { return must(cheaply(passphrase)) })

func cheaply(secret string) (string, error) {
	if n := utf8.RuneCountInString(secret); n < password.MinLength || n > password.MaxLength {
		return "", password.ErrLength
	}
	salt, b64 := []byte("0123456789abcdef"), base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", b64(salt), b64(argon2.IDKey([]byte(secret), salt, 1, 64, 1, 32))), nil
}

// quickly compares as the server does, but that nobody's password costs nothing.
func quickly(hash, secret string) (bool, error) {
	if hash == "" {
		return false, nil
	}
	return password.Check(hash, secret)
}

// A world is the web server over a real database and a real engine, and agents
// played by the test with their own seal. No broker lies between them.
type world struct {
	t       testing.TB
	store   *store.Store
	engine  *jobs.Engine
	hub     *jobs.Hub
	web     *Server
	http    *httptest.Server
	key     seal.Key
	stop    context.CancelFunc // of the web server
	log     *lockedBuffer
	broker  error
	faulty  bool         // errors in the log are what the test wants
	serving atomic.Int32 // requests and streams that are being answered
	narrow  atomic.Bool  // connections that come now take little that nobody reads

	mu   sync.Mutex
	sent []sent
}

// sent is a message on its way to an agent, sealed.
type sent struct {
	topics.Topic
	name    string
	payload []byte
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func quick() base.Timing {
	t := base.DefaultTiming()
	t.Gap, t.Progress, t.Poll = 5*time.Millisecond, 5*time.Millisecond, 10*time.Millisecond
	t.Beat, t.Check = 100*time.Millisecond, 20*time.Millisecond
	t.Use = 30 * time.Second // what is put off when the disk is slow has tests of its own
	return t
}

func newWorld(t testing.TB, change ...func(*base.Config)) *world {
	t.Helper()
	s := storetest.Open(t, store.Open)
	w := &world{t: t, store: s, hub: jobs.NewHub(), key: must(seal.NewKey()), log: &lockedBuffer{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	// Agents that the test plays send no heartbeats, however long it takes.
	presence, bell := hosts.NewPresence(hosts.Timing{Fresh: time.Hour, Grace: hosts.DefaultTiming().Grace}, time.Now, nil), &hosts.Bell{}
	timing := jobs.DefaultTiming()
	timing.Tick, timing.Receipt, timing.Revise = 20*time.Millisecond, time.Millisecond, 50*time.Millisecond
	w.engine = jobs.New(jobs.Config{
		Store:    s,
		Key:      w.key,
		Presence: presence,
		Hub:      w.hub,
		Changed:  bell.Ring,
		Log:      log,
		Timing:   timing,
		Now:      time.Now,
		Send: func(topic string, payload []byte) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sent = append(w.sent, sent{must(topics.Parse(topic)), topic, payload})
			return nil
		},
	})
	asker := queries.New(queries.Config{Store: s, Jobs: w.engine, Presence: presence, Log: log})
	w.engine.Answered = asker.Answered
	ring := func(hosts ...topics.HostID) {
		for _, h := range hosts {
			bell.Ring(h)
		}
	}
	looksAfter := maintenance.NewRunner(maintenance.Config{
		Store:   s,
		Jobs:    w.engine,
		Online:  presence.Reachable,
		Changed: ring,
		Log:     log,
		Timing:  maintenance.DefaultTiming(),
		Now:     time.Now,
	})
	c := base.Config{
		Store:       s,
		Jobs:        w.engine,
		Queries:     asker,
		Maintenance: looksAfter,
		Hub:         w.hub,
		Presence:    presence,
		Bell:        bell,
		Log:         log,
		Agents:      "127.0.0.1:8883",
		Version:     "v0",
		Timing:      quick(),
		Desk:        &enroll.Desk{Store: s, CA: must(enroll.OpenCA(t.Context(), s, time.Now)), SealKey: w.key.Public(), Log: log, Changed: ring},
		Broker:      func() error { return w.broker },
	}
	for _, f := range change {
		f(&c)
	}
	w.web = must(New(c))
	w.web.Sessions.Compare, w.web.Sessions.Make = quickly, cheaply
	w.http = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.serving.Add(1)
		defer w.serving.Add(-1)
		w.web.Handler().ServeHTTP(rw, r)
	}))
	w.http.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if w.narrow.Load() {
			_ = c.(*net.TCPConn).SetWriteBuffer(16 << 10)
		}
		return ctx
	}
	w.http.Start()
	engine, stopEngine := context.WithCancel(context.Background())
	web, stopWeb := context.WithCancel(context.Background())
	w.stop = stopWeb
	ended := make(chan error, 2)
	go func() { ended <- w.engine.Run(engine) }()
	go func() { ended <- w.web.Run(web) }()
	t.Cleanup(func() {
		stopWeb()
		w.http.Close()
		stopEngine()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if n := w.hub.Watching(); n > 0 {
			t.Errorf("%d still follow a job", n)
		}
		if !w.faulty && strings.Contains(w.log.String(), "level=ERROR") {
			t.Errorf("the log has errors:\n%s", w.log.String())
		}
	})
	return w
}

// throughProxy has the world's own address, from which the tests come, be a
// trusted proxy's.
func throughProxy(c *base.Config) {
	c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd00::/8")}
}

// An agent is one that the test plays.
type agent struct {
	can     []topics.Ability // what it says it can do, from the next connect on
	restic  string           // the version it says its restic is of, likewise; "" is 0.14.0
	w       *world
	id      topics.HostID
	channel *seal.Channel
	session topics.Session
	seq     uint64
	counter uint64
	name    string // its hostname
}

func (w *world) enrol(name string) *agent {
	w.t.Helper()
	ctx, key := w.t.Context(), must(seal.NewKey())
	id := topics.NewID(time.Now())
	hash := password.HashKey(id)
	if err := w.store.AddEnrollToken(ctx, store.EnrollToken{
		ID:        id,
		KeyHash:   hash,
		Name:      name,
		CreatedBy: "test",
		ExpiresAt: w.store.Now() + 60_000,
	}); err != nil {
		w.t.Fatal(err)
	}
	return w.arrive(hash, id, key)
}

func (w *world) arrive(hash []byte, id string, key seal.Key) *agent {
	w.t.Helper()
	h := must(w.store.Enroll(w.t.Context(), hash, store.Host{
		ID:            topics.HostID(id),
		SealKey:       key.Public(),
		Serial:        "1",
		Hostname:      "host",
		OS:            "linux",
		Arch:          "amd64",
		Platform:      "Debian GNU/Linux 12 (bookworm)",
		AgentVersion:  "v0",
		ResticVersion: "0.14.0",
	}))
	return &agent{
		w:       w,
		id:      h.ID,
		channel: must(seal.NewChannel(key, w.key.Public(), seal.Agent, id)),
		session: topics.Session{Epoch: 1000, N: 0},
		name:    "host",
	}
}

// replaced has another machine take the host's place.
func (w *world) replaced(a *agent) *agent {
	w.t.Helper()
	ctx, key, id := w.t.Context(), must(seal.NewKey()), topics.NewID(time.Now())
	hash := password.HashKey(id)
	if _, err := w.store.BeginReplacement(ctx, "test", id, a.id); err != nil {
		w.t.Fatal(err)
	}
	if err := w.store.AddEnrollToken(ctx, store.EnrollToken{ID: id, KeyHash: hash, ForHost: a.id, CreatedBy: "test",
		ExpiresAt: w.store.Now() + 60_000}); err != nil {
		w.t.Fatal(err)
	}
	return w.arrive(hash, string(a.id), key)
}

// group gives the host something to back up, and a repository that a job found.
func (a *agent) group(name string) store.SourceGroup {
	a.w.t.Helper()
	g := a.unmade(name)
	a.found(g.Repository)
	return g
}

// unmade gives the host something to back up, and a repository that no job has opened.
func (a *agent) unmade(name string) store.SourceGroup {
	a.w.t.Helper()
	ctx := a.w.t.Context()
	id := topics.NewID(time.Now())
	r := store.Repository{ID: topics.RepositoryID(id), Name: "vault " + id, Location: "/srv/vault", CreatedAt: a.w.store.Now()}
	if err := a.w.store.AddRepository(ctx, "test", r, store.RepositoryAccess{URL: "/srv/vault", Password: "secret of the vault"}); err != nil {
		a.w.t.Fatal(err)
	}
	return must(a.w.store.PutSourceGroup(ctx, "test", store.SourceGroup{
		ID:         topics.SourceGroupID(id),
		Host:       a.id,
		Name:       name,
		Repository: r.ID,
		Paths:      store.List{"/letters"},
	}))
}

// found has a repository be there: making one has tests of its own.
func (a *agent) found(id topics.RepositoryID) {
	a.w.t.Helper()
	if err := a.w.store.SlotStep(a.w.t.Context(), func(tx store.Slots) error {
		ctx, x := tx.Tx()
		return places.Found(ctx, x, id, a.id, "", a.w.store.Now())
	}); err != nil {
		a.w.t.Fatal(err)
	}
}

// connect begins a session.
func (a *agent) connect() {
	a.session.N++
	a.counter = 0
	birth := topics.Topic{Kind: topics.KindBirth, Host: a.id}.String()
	a.w.engine.Received(birth, topics.Encode(topics.Birth{Session: a.session, Version: "v0", Protocol: topics.Protocol,
		MAC: a.channel.Sign(birth, a.session.Signed(topics.Born))}), true)
	a.say(topics.Event{Hello: &topics.Hello{Session: a.session, Facts: topics.Facts{Hostname: a.name, OS: "linux", Arch: "amd64",
		Platform: "Debian GNU/Linux 12 (bookworm)", Agent: "v0", Restic: cmp.Or(a.restic, "0.14.0"),
		Can: append([]topics.Ability{topics.RunsDrills}, a.can...)}}})
	a.online()
}

// online waits until the session that the host began last is the current one: the one
// before is online for as long as the new one's birth is on its way.
func (a *agent) online() {
	a.w.t.Helper()
	await(a.w.t, "the host to be online", func() error {
		p := a.w.web.Presence
		if c, _ := p.Connection(a.id); c != hosts.Online || p.Session(a.id) != a.session {
			return fmt.Errorf("it is %s in session %v", c, p.Session(a.id))
		}
		return nil
	})
	a.heardOut()
}

// heardOut waits until the engine has done all that follows from the events that the host
// said so far. They are in the database before: who watches is told after the commit, and
// receipts go out last.
func (a *agent) heardOut() {
	a.w.t.Helper()
	await(a.w.t, "the receipt of all that the host said", func() error {
		a.w.mu.Lock()
		defer a.w.mu.Unlock()
		for _, m := range slices.Backward(a.w.sent) {
			if m.Host != a.id || m.Kind != topics.KindReceipt {
				continue
			}
			r := must(topics.Decode[topics.Receipt](must(a.channel.Open(m.name, m.payload)))).Received
			if r.Epoch == a.session.Epoch && r.Seq >= a.seq {
				return nil
			}
			return fmt.Errorf("%d of %d are received", r.Seq, a.seq)
		}
		return errors.New("there is none")
	})
}

// heard is every message that was sent to the host, opened as it would.
func (a *agent) heard() (plain []string) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	for _, m := range a.w.sent {
		if m.Host == a.id {
			plain = append(plain, string(must(a.channel.Open(m.name, m.payload))))
		}
	}
	return plain
}

// told is the command that a job's host was sent.
func (a *agent) told(id topics.JobID) topics.Run {
	a.w.t.Helper()
	var run topics.Run
	await(a.w.t, "the command of "+string(id), func() error {
		for _, text := range a.heard() {
			if c, err := topics.Decode[topics.Command]([]byte(text)); err == nil && c.Job == id && c.Run != nil {
				run = *c.Run
				return nil
			}
		}
		return errors.New("it was not sent")
	})
	return run
}

// say sends events of the durable stream, as one batch.
func (a *agent) say(events ...topics.Event) {
	name := topics.Topic{Kind: topics.KindEvent, Host: a.id}.String()
	a.w.engine.Received(name, a.channel.Seal(name, topics.Encode(topics.Events{Epoch: a.session.Epoch, First: a.seq + 1, Events: events})),
		false)
	a.seq += uint64(len(events))
}

func (a *agent) progress(id topics.JobID, p topics.Progress) {
	a.counter++
	p.Stamp = topics.Stamp{Session: a.session, N: a.counter}
	name := topics.Topic{Kind: topics.KindProgress, Host: a.id, Job: id}.String()
	a.w.engine.Received(name, a.channel.Seal(name, topics.Encode(p)), false)
}

// beat sends a heartbeat.
func (a *agent) beat(b topics.Heartbeat) {
	a.counter++
	b.Stamp, b.Clock = topics.Stamp{Session: a.session, N: a.counter}, time.Now().UnixMilli()
	name := topics.Topic{Kind: topics.KindHeartbeat, Host: a.id}.String()
	a.w.engine.Received(name, a.channel.Seal(name, topics.Encode(b)), false)
}

// logs says lines from number first to number last.
func (a *agent) logs(id topics.JobID, first, last int) {
	var l []topics.Line
	for n := first; n <= last; n++ {
		l = append(l, topics.Line{At: time.Now().UnixMilli(), Level: topics.Info, Text: fmt.Sprintf("line %d", n)})
	}
	a.say(topics.Event{Log: &topics.Log{Job: id, First: first, Lines: l}})
}

func (a *agent) start(id topics.JobID) {
	a.w.awaitState(id, topics.Dispatched)
	a.say(topics.Event{Accepted: &topics.Accepted{Job: id}}, topics.Event{Started: &topics.Started{Job: id, Restic: "0.14.0"}})
	a.w.awaitState(id, topics.Running)
	a.heardOut()
}

func (a *agent) finish(id topics.JobID, f topics.Finished) {
	f.Job = id
	a.say(topics.Event{Finished: &f})
	a.w.awaitState(id, f.State)
	a.heardOut()
}

// looks answers the control plane's own look at the locks with what lies there.
func (a *agent) looks(locks ...topics.Lock) {
	a.w.t.Helper()
	var id topics.JobID
	await(a.w.t, "a look at the locks", func() error {
		for _, j := range must(a.w.store.OpenJobs(context.Background(), a.id)) {
			if j.Kind == topics.LocksJob {
				id = j.ID
				return nil
			}
		}
		return errors.New("none is asked for")
	})
	a.ran(id, topics.Finished{State: topics.Succeeded, Result: &topics.Result{Parts: 1, Count: len(locks)}}, topics.Report{Locks: locks})
}

// ran starts a job, reports and ends it.
func (a *agent) ran(id topics.JobID, f topics.Finished, parts ...topics.Report) {
	a.w.t.Helper()
	a.start(id)
	for i, r := range parts {
		r.Job, r.Part = id, i+1
		a.say(topics.Event{Report: &r})
	}
	a.finish(id, f)
}

func (w *world) awaitState(id topics.JobID, want topics.JobState) {
	w.t.Helper()
	await(w.t, "the job to be "+string(want), func() error {
		if j := must(w.store.Job(context.Background(), id)); j.State != want {
			return fmt.Errorf("it is %s", j.State)
		}
		return nil
	})
}

func (w *world) backup(a *agent) topics.JobID {
	w.t.Helper()
	j, _, err := w.engine.AskBackup(w.t.Context(), "test", a.id, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return j.ID
}

// A client is a browser or a program.
type client struct {
	w     *world
	http  *http.Client
	token string
}

// nobody is a browser that nobody signed in with.
func (w *world) nobody() *client {
	c := &client{w: w, http: &http.Client{Jar: must(cookiejar.New(nil)), Transport: &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	w.t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// narrow is the same client whose new connections hold little that it does not read.
func (c *client) narrow() *client {
	n := *c
	n.http = &http.Client{Jar: c.http.Jar, CheckRedirect: c.http.CheckRedirect, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err == nil {
				err = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
			}
			return conn, err
		},
	}}
	c.w.t.Cleanup(n.http.CloseIdleConnections)
	return &n
}

// person is a browser of somebody with a role, signed in by a link: a password
// takes longer to check.
func (w *world) person(role store.Role) *client {
	w.t.Helper()
	u := store.User{ID: topics.NewID(time.Now()), Name: string(role) + topics.NewID(time.Now())[16:], Role: role}
	if err := w.store.AddUser(w.t.Context(), "test", u); err != nil {
		w.t.Fatal(err)
	}
	c := w.nobody()
	if r := c.do("GET", must(w.web.SignInLink(w.t.Context(), u.ID)), nil); r.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("sign in: %s\n%s", r.Status, r.text)
	}
	return c
}

// program is a client with an API token.
func (w *world) program(role store.Role) *client {
	w.t.Helper()
	c := w.nobody()
	c.token = password.NewKey("rma_")
	if _, err := w.store.AddAPIToken(w.t.Context(), store.Maker{Name: "test"}, store.APIToken{
		ID:      topics.NewID(time.Now()),
		Name:    "nightly",
		Role:    role,
		KeyHash: password.HashKey(c.token),
	}); err != nil {
		w.t.Fatal(err)
	}
	return c
}

type answer struct {
	*http.Response
	text string
}

func (a answer) json(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.text), v); err != nil {
		t.Fatalf("%s: %v in %s", a.Request.URL, err, a.text)
	}
}

func (c *client) request(method, path string, body any, headers ...string) *http.Request {
	var r io.Reader
	media := ""
	switch b := body.(type) {
	case nil:
	case url.Values:
		r, media = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	case string:
		r, media = strings.NewReader(b), "application/json"
	case io.Reader:
		r, media = b, "application/json"
	default:
		r, media = bytes.NewReader(must(json.Marshal(b))), "application/json"
	}
	req := must(http.NewRequestWithContext(c.w.t.Context(), method, c.w.http.URL+path, r))
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// do sends a request and reads the whole answer.
func (c *client) do(method, path string, body any, headers ...string) answer {
	c.w.t.Helper()
	r, err := c.http.Do(c.request(method, path, body, headers...))
	if err != nil {
		c.w.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		c.w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{r, string(b)}
}

// A message is one of a stream of events.
type message struct{ event, id, data string }

// A feed is a stream of events that is open.
type feed struct {
	t    testing.TB
	body io.ReadCloser
	r    *bufio.Reader
}

func (c *client) feed(path string, headers ...string) *feed {
	c.w.t.Helper()
	r, err := c.http.Do(c.request("GET", path, nil, headers...))
	if err != nil {
		c.w.t.Fatal(err)
	}
	c.w.t.Cleanup(func() { _ = r.Body.Close() })
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(r.Body)
		c.w.t.Fatalf("GET %s: %s %s", path, r.Status, b)
	}
	return &feed{c.w.t, r.Body, bufio.NewReader(r.Body)}
}

// next reads a message; false at the end of the stream.
func (f *feed) next() (m message, ok bool) {
	for {
		line, err := f.r.ReadString('\n')
		if err != nil {
			return m, false
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "":
			return m, true
		case "event":
			m.event = value
		case "id":
			m.id = value
		case "data":
			m.data += value + "\n"
		}
	}
}

// until reads messages up to one whose data holds a text.
func (f *feed) until(text string) message {
	f.t.Helper()
	late := time.AfterFunc(time.Minute, func() { _ = f.body.Close() })
	defer late.Stop()
	for {
		m, ok := f.next()
		if !ok {
			f.t.Fatalf("the stream ended before it said %q", text)
		}
		if strings.Contains(m.data, text) {
			return m
		}
	}
}

// untilAll reads until each of some texts was said, in whatever order and messages.
func (f *feed) untilAll(texts ...string) {
	f.t.Helper()
	late := time.AfterFunc(time.Minute, func() { _ = f.body.Close() })
	defer late.Stop()
	for len(texts) > 0 {
		m, ok := f.next()
		if !ok {
			f.t.Fatalf("the stream ended before it said %q", texts)
		}
		texts = slices.DeleteFunc(texts, func(text string) bool { return strings.Contains(m.data, text) })
	}
}
