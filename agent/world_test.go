package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/agent/link"
	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/broker"
	"github.com/restic-manager/restic-manager/e2e/resticrepo"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/protocol/protocoltest"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
	"go.uber.org/goleak"
)

// swift is the default timing for a test's patience: what goes well waits for nothing, and
// what has to be in time has time enough on a busy machine.
func swift() Timing {
	t := DefaultTiming()
	t.Link = link.Timing{
		Connect: 20 * time.Second, Write: 20 * time.Second, Ping: 20 * time.Second, KeepAlive: 10 * time.Second,
		Welcome: 20 * time.Second, Farewell: 20 * time.Second,
		Backoff: 20 * time.Millisecond, BackoffCap: 100 * time.Millisecond, Refused: 50 * time.Millisecond,
	}
	t.Protocol.Retry = 300 * time.Millisecond
	t.Restic = restic.Timing{CancelGrace: 20 * time.Second}
	t.Heartbeat = 100 * time.Millisecond
	t.Reap = 20 * time.Second
	t.Retry = 50 * time.Millisecond
	return t
}

// An authority is a control plane's CA, with its server's certificate.
type authority struct {
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	server tls.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.ca, a.key = certificate(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil, nil)
	leaf, key := certificate(t, &x509.Certificate{
		DNSNames: []string{topics.ServerName}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, nil, a.ca, a.key)
	a.server = tls.Certificate{Certificate: [][]byte{leaf.Raw, a.ca.Raw}, PrivateKey: key}
	return a
}

func certificate(
	t *testing.T, template *x509.Certificate, public any, parent *x509.Certificate, signer *ecdsa.PrivateKey,
) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if public == nil {
		public = &key.PublicKey
	}
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// A world is a control plane for one host: the real broker behind the real TLS
// port, and the protocol's own step over a journal in memory.
type world struct {
	t       *testing.T
	ca      *authority
	key     seal.Key
	token   topics.EnrollToken
	address string
	state   string // the agent's
	home    string // what is backed up
	program string // restic, with a ledger of what it was asked for
	folder  string // of the repository, the ledger and the switches

	room      uint64        // of the agent's journal
	hookLimit time.Duration // the default's if 0
	grace     time.Duration // for restic and hooks that were asked to end; swift's if 0
	patience  time.Duration // with a restic that does nothing; the default's if 0
	welcome   time.Duration // how long the agent waits for one; swift's if 0

	stopBroker func()

	mu       sync.Mutex
	broker   *broker.Broker
	host     topics.HostID
	channel  *seal.Channel
	plane    *protocoltest.Plane
	timing   protocol.Timing
	runs     map[topics.JobID]topics.Run
	births   []topics.Birth
	clients  map[string]uint64 // the session of each connection
	deaths   []topics.Death
	beats    int
	quiet    []topics.Silence // that heartbeats told of
	disks    []topics.Disk    // the same
	progress int
	session  topics.Session
	n        uint64
	deaf     int // births to leave unanswered
	refused  string
	problem  *topics.Problem
	files    map[string][]byte // that are handed out
	before   func()            // is called before one is
	cut      int64             // a download breaks off after so many bytes, if not 0
	asked    []string          // what was asked for of downloads: their ranges
	hellos   []topics.Hello
	wrong    []string // what must not happen
}

func newWorld(t *testing.T) *world {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	return newWorldBeside(t)
}

// newWorldBeside is a world beside others, whose goroutines it does not take for its own.
func newWorldBeside(t *testing.T) *world {
	t.Helper()
	folder := t.TempDir()
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	w := &world{
		t: t, ca: ca, key: key, token: topics.NewEnrollToken(ca.ca), folder: folder,
		state: filepath.Join(folder, "state"), home: filepath.Join(folder, "home"), program: filepath.Join(folder, "restic.sh"),
		plane: protocoltest.NewPlane(), timing: protocol.DefaultTiming(), runs: map[topics.JobID]topics.Run{}, host: "attic-0001",
	}
	w.timing.Resend = []time.Duration{200 * time.Millisecond}
	w.write("home/letter.txt", "dear reader")
	real, err := exec.LookPath("restic")
	if err != nil && runtime.GOOS == "windows" {
		t.Skip("these tests need restic.exe on PATH, which build/wine puts there if RESTIC_WINDOWS names one")
	} else if err != nil {
		t.Fatal("these tests need restic on PATH")
	}
	// $0.wait holds a backup up until it is gone, $0.silent for ever, $0.slow makes it crawl,
	// $0.chatty makes it talk that many lines first.
	script := "#!/bin/sh\n" +
		"echo $1 >> $0.ledger\n" +
		"if [ $1 = backup ]; then\n" +
		"  if [ -e $0.wait ]; then touch $0.waiting; while [ -e $0.wait ]; do sleep 0.02; done; fi\n" +
		"  if [ -e $0.silent ]; then exec sleep 300; fi\n" +
		"  if [ -e $0.chatty ]; then i=0; n=$(cat $0.chatty); while [ $i -lt $n ]; do i=$((i+1)); echo \"word $i\" >&2; done; fi\n" +
		"  if [ -e $0.slow ]; then exec " + real + " --limit-upload 20 \"$@\"; fi\n" +
		"fi\n" +
		"if [ -e $0.waiting -a $1 = snapshots ]; then touch $0.done; fi\n" +
		"exec " + real + " \"$@\"\n"
	if runtime.GOOS == "windows" { // which runs no script by itself
		w.program = real
	} else if err := os.WriteFile(w.program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	w.start("127.0.0.1:0")
	t.Cleanup(func() {
		w.stopBroker()
		for _, what := range w.wrong {
			t.Error(what)
		}
	})
	tick, stop := time.NewTicker(50*time.Millisecond), make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		for {
			select {
			case <-tick.C:
				w.mu.Lock()
				w.step(protocol.Tick{Now: now(), Online: w.online})
				w.mu.Unlock()
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() {
		tick.Stop()
		close(stop)
		ticking.Wait()
	})
	return w
}

func (w *world) write(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// ledger lists what restic was asked for.
func (w *world) ledger() []string {
	b, _ := os.ReadFile(w.program + ".ledger") // none yet
	return strings.Fields(string(b))
}

func (w *world) backups() int { return strings.Count(strings.Join(w.ledger(), " "), "backup") }

// start starts the broker; stopBroker ends it.
func (w *world) start(address string) {
	w.t.Helper()
	b, err := broker.New(broker.Config{
		Name: "agents",
		Authorise: func(c broker.Connect) (broker.Rights, error) {
			if c.Certificate == nil || c.Certificate.Subject.CommonName != string(w.host) ||
				!strings.HasPrefix(c.ClientID, string(w.host)+"_") || c.User != string(w.host) {
				return broker.Rights{}, fmt.Errorf("%s is not who it says", c.ClientID)
			}
			all := topics.AgentWrites(w.host)
			return broker.Rights{Name: string(w.host), Publish: []string{all}, Retain: []string{all}, Subscribe: []string{topics.AgentReads(w.host)},
				Will: topics.Topic{Kind: topics.KindDeath, Host: w.host}.String()}, nil
		},
		Received: w.received,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var ln net.Listener
	await(w.t, "the port to be free", func() error {
		ln, err = net.Listen("tcp", address)
		return err
	})
	w.address = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	pool := x509.NewCertPool()
	pool.AddCert(w.ca.ca)
	conf := &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{w.ca.server},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    pool,
	}
	web := &http.Server{Handler: http.HandlerFunc(w.enrol), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	conns := &handed{conns: make(chan net.Conn), ctx: ctx, addr: ln.Addr()}
	w.mu.Lock()
	w.broker = b // before the first birth, which is answered through it
	w.mu.Unlock()
	var running sync.WaitGroup
	running.Go(func() { _ = b.Run(ctx) })
	running.Go(func() { _ = web.Serve(conns) })
	running.Go(func() {
		_ = b.Serve(ctx, ln, conf, map[string]func(net.Conn){topics.ALPNHTTP: func(c net.Conn) {
			select {
			case conns.conns <- c:
			case <-ctx.Done():
				c.Close()
			}
		}})
	})
	w.stopBroker = sync.OnceFunc(func() {
		cancel()
		web.Close()
		running.Wait()
	})
}

// handed is a listener for connections somebody else accepted.
type handed struct {
	conns chan net.Conn
	ctx   context.Context
	addr  net.Addr
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.ctx.Done():
		return nil, net.ErrClosed
	}
}
func (h *handed) Close() error   { return nil }
func (h *handed) Addr() net.Addr { return h.addr }

// enrol is the control plane's side of it.
func (w *world) enrol(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	say := func(p topics.Problem) {
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.WriteHeader(p.Status)
		_ = json.NewEncoder(rw).Encode(p)
	}
	if name, file := strings.CutPrefix(r.URL.Path, "/download/"); file {
		w.hand(rw, r, name)
		return
	}
	if r.URL.Path == topics.RenewPath {
		w.renew(rw, r)
		return
	}
	var request topics.EnrollRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || r.URL.Path != topics.EnrollPath {
		say(topics.Problem{Status: 400, Title: "Bad Request"})
		return
	}
	if w.problem != nil || request.Key != w.token.Key {
		say(topics.Problem{Status: 403, Title: "Forbidden", Detail: "This token has expired or was used; make a new one."})
		return
	}
	csr, err := x509.ParseCertificateRequest(request.CSR)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		w.wrong = append(w.wrong, err.Error())
		return
	}
	leaf, _ := certificate(w.t, &x509.Certificate{
		Subject: pkix.Name{CommonName: string(w.host)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, csr.PublicKey, w.ca.ca, w.ca.key)
	if w.channel, err = seal.NewChannel(w.key, request.SealKey, seal.Plane, string(w.host)); err != nil {
		w.wrong = append(w.wrong, err.Error())
	}
	_ = json.NewEncoder(rw).Encode(topics.EnrollResponse{
		Host:        w.host,
		Name:        "attic",
		Certificate: leaf.Raw,
		CA:          w.ca.ca.Raw,
		SealKey:     w.key.Public(),
	})
}

// hand hands a file out, or a part of it.
func (w *world) hand(rw http.ResponseWriter, r *http.Request, name string) {
	content, ok := w.files[name]
	w.asked = append(w.asked, r.Header.Get("Range"))
	if !ok {
		http.NotFound(rw, r)
		return
	}
	if w.before != nil {
		w.before()
		w.before = nil
	}
	if w.cut > 0 {
		rw.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = rw.Write(content[:w.cut])
		w.cut = 0
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(content))
}

// renew gives a host that shows a certificate the next one.
func (w *world) renew(rw http.ResponseWriter, r *http.Request) {
	var request topics.RenewRequest
	err := json.NewDecoder(r.Body).Decode(&request)
	var csr *x509.CertificateRequest
	if err == nil {
		csr, err = x509.ParseCertificateRequest(request.CSR)
	}
	if err != nil {
		w.wrong = append(w.wrong, err.Error())
		return
	}
	leaf, _ := certificate(w.t, &x509.Certificate{
		Subject: pkix.Name{CommonName: string(w.host)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, csr.PublicKey, w.ca.ca, w.ca.key)
	_ = json.NewEncoder(rw).Encode(topics.RenewResponse{Certificate: leaf.Raw})
}

// received takes a message of the agent, on the broker's goroutine.
func (w *world) received(m broker.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	topic, err := topics.Parse(m.Topic)
	if err != nil {
		w.wrong = append(w.wrong, err.Error())
		return nil
	}
	payload := m.Payload
	if topic.Entry().Sealed {
		if payload, err = w.channel.Open(m.Topic, payload); err != nil {
			w.wrong = append(w.wrong, fmt.Sprintf("%s: %v", m.Topic, err))
			return nil
		}
	}
	switch topic.Kind {
	case topics.KindBirth:
		b, err := topics.Decode[topics.Birth](payload)
		if err != nil || !w.channel.Verify(m.Topic, b.Signed(topics.Born), b.MAC) || !m.Retain {
			w.wrong = append(w.wrong, fmt.Sprintf("birth %+v %v", b, err))
		}
		if other, known := w.clients[m.ClientID]; known || !strings.HasPrefix(m.ClientID, string(w.host)+"_") {
			w.wrong = append(w.wrong, fmt.Sprintf("session %d as client %s, as session %d was", b.N, m.ClientID, other))
		}
		if w.clients == nil {
			w.clients = map[string]uint64{}
		}
		w.clients[m.ClientID] = b.N
		w.births = append(w.births, b)
		w.session, w.n = b.Session, 0
		if w.deaf > 0 {
			w.deaf--
			return nil
		}
		w.send(topics.Topic{Kind: topics.KindWelcome}, topics.Welcome{
			Stamp:    w.stamp(),
			Received: w.plane.Places[w.host],
			Clock:    now(),
			Refused:  w.refused,
		})
	case topics.KindDeath:
		d, err := topics.Decode[topics.Death](payload)
		if err != nil || !w.channel.Verify(m.Topic, d.Signed(d.Reason), d.MAC) || !m.Retain {
			w.wrong = append(w.wrong, fmt.Sprintf("death %+v %v", d, err))
		}
		w.deaths = append(w.deaths, d)
	case topics.KindHeartbeat:
		w.beats++
		b, err := topics.Decode[topics.Heartbeat](payload)
		if err != nil {
			w.wrong = append(w.wrong, err.Error())
			return nil
		}
		w.heartbeat(b)
	case topics.KindProgress:
		w.progress++
	case topics.KindEvent:
		e, err := topics.Decode[topics.Events](payload)
		if err != nil {
			w.wrong = append(w.wrong, err.Error())
			return nil
		}
		for _, e := range e.Events {
			if e.Hello != nil {
				w.hellos = append(w.hellos, *e.Hello)
			}
		}
		w.step(protocol.Arrived{Host: w.host, Events: e, Now: now()})
	}
	return nil
}

func (w *world) heartbeat(b topics.Heartbeat) {
	if b.Silent == nil {
		w.wrong = append(w.wrong, "a heartbeat says that nobody looks whether jobs do anything")
	}
	w.quiet = append(w.quiet, b.Silent...)
	if b.Disk != nil {
		w.disks = append(w.disks, *b.Disk)
	}
}

func (w *world) stamp() topics.Stamp {
	w.n++
	return topics.Stamp{Session: w.session, N: w.n}
}

func (w *world) send(t topics.Topic, payload any) {
	t.Host = w.host
	_ = w.broker.Publish(t.String(), w.channel.Seal(t.String(), topics.Encode(payload)), 1, false) // lost with a broker that is going down
}

func (w *world) online(topics.HostID) bool {
	return w.session.N > 0 && w.plane.Greetings[w.host] == w.session && (len(w.deaths) == 0 || w.deaths[len(w.deaths)-1].Session != w.session)
}

func (w *world) step(in protocol.PlaneInput) {
	effects, err := w.plane.Step(w.timing, in)
	if err != nil {
		w.wrong = append(w.wrong, err.Error())
	}
	for _, e := range effects {
		switch e := e.(type) {
		case protocol.SendRun:
			w.command(e.Job)
		case protocol.SendCancel:
			w.send(topics.Topic{Kind: topics.KindCommand, Job: e.Job.ID}, topics.Command{Stamp: w.stamp(), Job: e.Job.ID, Cancel: true})
		case protocol.SendReceipt:
			w.send(topics.Topic{Kind: topics.KindReceipt}, topics.Receipt{Stamp: w.stamp(), Received: e.Received})
		case protocol.Stir:
			w.step(protocol.Tick{Now: now(), Online: w.online})
		case protocol.Odd:
			w.wrong = append(w.wrong, e.What)
		}
	}
}

func (w *world) command(j protocol.PlaneJob) {
	run := w.runs[j.ID]
	w.send(topics.Topic{Kind: topics.KindCommand, Job: j.ID}, topics.Command{Stamp: w.stamp(), Job: j.ID, NotAfter: j.NotAfter, Run: &run})
}

// vault makes the world's repository ready, so that restic opens it cheaply.
func (w *world) vault() {
	w.t.Helper()
	if err := resticrepo.Make(filepath.Join(w.folder, "repository"), vaultPassword); err != nil {
		w.t.Fatal(err)
	}
}

const vaultPassword = "hunter2hunter2"

// backup is what to run: the world's home into its repository.
func (w *world) backup() topics.Run {
	if _, err := os.Stat(filepath.Join(w.folder, "repository")); err != nil {
		w.vault()
	}
	return topics.Run{Kind: topics.BackupJob,
		Repository: topics.Repository{
			ID:       "repository-1",
			URL:      topics.Secret(filepath.Join(w.folder, "repository")),
			Password: vaultPassword,
		},
		Group: topics.SourceGroup{ID: "letters-01", Name: "letters", Paths: []string{w.home}},
	}
}

// order queues a job.
func (w *world) order(run topics.Run) topics.JobID {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := topics.JobID(topics.NewID(time.Now()))
	w.runs[id] = run
	w.plane.Queue(protocol.PlaneJob{
		ID:         id,
		Host:       w.host,
		Kind:       run.Kind,
		Repository: run.Repository.ID,
		NotAfter:   time.Now().Add(time.Hour).UnixMilli(),
	})
	w.step(protocol.Tick{Now: now(), Online: w.online})
	return id
}

func (w *world) cancel(id topics.JobID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step(protocol.CancelAsked{Job: id, By: "somebody", Now: now()})
}

// state of a job, how many lines of it are stored, and its end if it has one.
func (w *world) job(id topics.JobID) (protocol.PlaneJob, []string, *topics.Finished) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var end *topics.Finished
	if ends := w.plane.Ends[id]; len(ends) > 0 {
		end = &ends[0]
	}
	return w.plane.Jobs[id], w.plane.Log[id], end
}

// awaitEnd returns a job's end, and checks that its log has no hole.
func (w *world) awaitEnd(id topics.JobID) topics.Finished {
	w.t.Helper()
	var end *topics.Finished
	var log []string
	await(w.t, "the job's end", func() error {
		var j protocol.PlaneJob
		if j, log, end = w.job(id); end == nil {
			return fmt.Errorf("it is %s, with %d lines", j.State, len(log))
		}
		return nil
	})
	if len(log) != end.Lines {
		w.t.Errorf("%d of %d lines arrived", len(log), end.Lines)
	}
	for i, l := range log {
		if !strings.HasPrefix(l, fmt.Sprintf("%d ", i+1)) || strings.HasSuffix(l, " gap") {
			w.t.Errorf("%q is not line %d", l, i+1)
		}
	}
	return *end
}

func (w *world) seen(what string, done func() bool) {
	w.t.Helper()
	await(w.t, what, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if done() {
			return nil
		}
		return fmt.Errorf("births %d, deaths %d, hellos %d, heartbeats %d", len(w.births), len(w.deaths), len(w.hellos), w.beats)
	})
}

func (w *world) enroll() {
	w.t.Helper()
	policy := preset(w.t, PolicyBackup, w.state)
	policy.RepositoryRoots = []string{w.folder}
	e := Enrolment{Server: w.address, Token: w.token.Reveal(), State: w.state, Policy: policy}
	if _, err := e.Run(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// run runs the enrolled agent; stop ends it and waits.
func (w *world) run() (stop func()) {
	w.t.Helper()
	timing := swift()
	if w.hookLimit > 0 {
		timing.Hook = w.hookLimit
	}
	if w.welcome > 0 {
		timing.Link.Welcome = w.welcome
	}
	if w.grace > 0 {
		timing.Restic.CancelGrace = w.grace
	}
	timing.Restic.Silence = w.patience
	a := &Agent{State: w.state, Restic: w.program, Timing: timing, Room: w.room, Log: slog.New(slog.NewTextHandler(w.t.Output(), nil))}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the agent stopped with %v", err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// await tries until it works, and fails with the last reason.
func await(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline, tick := time.After(60*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// left lists the processes that carry a job's mark.
func left(id topics.JobID) error {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(environs) == 0 {
		return errors.New("there is no /proc to look into")
	}
	for _, path := range environs {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), "RESTIC_MANAGER_JOB="+string(id)) {
			return fmt.Errorf("%s runs", filepath.Dir(path))
		}
	}
	return nil
}
