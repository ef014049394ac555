package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// An Alert is one as the API, a webhook and MQTT tell it.
type Alert struct {
	ID        string `json:"id"`
	Condition string `json:"condition"`
	Severity  string `json:"severity"`
	Subject   struct {
		Kind, ID, Name, Host, Repository string
	} `json:"subject"`
	Title    string `json:"title"`
	Cause    string `json:"cause"`
	Do       string `json:"do"`
	State    string `json:"state"`
	OpenedAt string `json:"opened_at"`
	SeenAt   string `json:"seen_at"`
	Count    int    `json:"count"`
	EndedAt  string `json:"ended_at"`
	Link     string `json:"link"`
}

// A Heard is what a webhook was told.
type Heard struct {
	Version int    `json:"version"`
	Event   string `json:"event"`
	Alert   *Alert `json:"alert"`
	Link    string `json:"link"`
}

// A Hook is a program of somebody's that is told of alerts.
type Hook struct {
	URL string

	t      *testing.T
	mu     sync.Mutex
	secret string // with which messages are signed
	heard  []Heard
}

// NewHook starts one.
func NewHook(t *testing.T) *Hook {
	h := &Hook{t: t}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	h.URL = srv.URL + "/hook"
	return h
}

// ServeHTTP takes a message, and refuses one that is not signed as it has to be.
func (h *Hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	at, signed := "", ""
	for part := range strings.SplitSeq(r.Header.Get("X-Restic-Manager-Signature"), ",") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "t":
			at = value
		case "v1":
			signed = value
		}
	}
	mac := hmac.New(sha256.New, []byte(h.secret))
	_, _ = mac.Write(append([]byte(at+"."), body...)) // it never fails
	var m Heard
	if got, _ := hex.DecodeString(signed); err != nil || !hmac.Equal(got, mac.Sum(nil)) || json.Unmarshal(body, &m) != nil {
		h.t.Errorf("a webhook was sent %s %s, signed %q: %v", r.Method, body, r.Header.Get("X-Restic-Manager-Signature"), err)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	h.heard = append(h.heard, m)
	fmt.Fprint(w, "heard")
}

// Events lists what it was told, as "opened ID", one for each message.
func (h *Hook) Events() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.heard {
		id := ""
		if m.Alert != nil {
			id = m.Alert.ID
		}
		all = append(all, m.Event+" "+id)
	}
	return all
}

// Last is the message it was told last.
func (h *Hook) Last() Heard {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heard[len(h.heard)-1]
}

// Await waits until it was told so many messages.
func (h *Hook) Await(what string, n int) {
	h.t.Helper()
	world.Await(h.t, "the webhook to be told "+what, func() error {
		if all := h.Events(); len(all) < n {
			return fmt.Errorf("it was told %q", all)
		}
		return nil
	})
}

// A Postbox is a mail server that takes everything.
type Postbox struct {
	Host, Port string

	t     *testing.T
	mu    sync.Mutex
	mails []*mail.Message
}

// NewPostbox starts one.
func NewPostbox(t *testing.T) *Postbox {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Postbox{t: t}
	if p.Host, p.Port, err = net.SplitHostPort(ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		open.Wait()
	})
	return p
}

// serve speaks with one client, as RFC 5321 has it.
func (p *Postbox) serve(conn net.Conn) {
	c := textproto.NewConn(conn)
	defer c.Close()
	say := func(line string) { _ = c.PrintfLine("%s", line) } // who went away hears nothing
	say("220 postbox")
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(line), " "); verb {
		case "DATA":
			say("354 go on")
			text, err := c.ReadDotBytes()
			if err != nil {
				return
			}
			m, err := mail.ReadMessage(strings.NewReader(string(text)))
			if err != nil {
				p.t.Errorf("a mail that is none: %v\n%s", err, text)
			}
			p.mu.Lock()
			p.mails = append(p.mails, m)
			p.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

// Subjects lists the subjects of the mails that came.
func (p *Postbox) Subjects() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.mails {
		text := m.Header.Get("Subject")
		if plain, err := new(mime.WordDecoder).DecodeHeader(text); err == nil {
			text = plain
		}
		all = append(all, text)
	}
	return all
}

// Await waits until so many mails came.
func (p *Postbox) Await(what string, n int) {
	p.t.Helper()
	world.Await(p.t, "a mail of "+what, func() error {
		if all := p.Subjects(); len(all) < n {
			return fmt.Errorf("there are %q", all)
		}
		return nil
	})
}
