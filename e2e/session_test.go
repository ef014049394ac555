package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/restic-manager/restic-manager/e2e/world"
)

// A Session is somebody signed in, with a browser that knows no JavaScript.
type Session struct {
	w      *World
	client *http.Client
}

const (
	person     = "ada"
	passphrase = "a long enough password"
)

// addPerson makes the account that signs in.
func (w *World) addPerson() {
	w.t.Helper()
	cmd := exec.Command(program("restic-manager"), "user", "add", person, "--role", "admin", "--password-stdin", "--data", w.Data)
	cmd.Stdin = strings.NewReader(passphrase + "\n")
	if r := command(w.t, cmd); r.code != 0 {
		w.t.Fatalf("user add: exit status %d: %s", r.code, r.errs)
	}
}

// SignIn makes the account and signs in through the form.
func (w *World) SignIn() *Session {
	w.t.Helper()
	w.addPerson()
	return w.SignInAgain()
}

// SignInAgain signs in with the account that is there.
func (w *World) SignInAgain() *Session {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &Session{w, &http.Client{Jar: jar}}
	s.Submit("/login", url.Values{"name": {person}, "password": {passphrase}})
	if p := s.Page("/"); p.Missing("Signed in as " + person) {
		w.t.Fatalf("not signed in: %s", p.Text)
	}
	return s
}

// In is the same session for a test within the test.
func (s *Session) In(t *testing.T) *Session { return &Session{s.w.In(t), s.client} }

// A Page is one that was answered, after redirects.
type Page struct {
	Status int
	URL    *url.URL
	HTML   string
	Text   string // what a person reads
}

// Missing reports whether one of the texts is not on the page.
func (p Page) Missing(texts ...string) bool {
	for _, t := range texts {
		if !strings.Contains(p.Text, t) {
			return true
		}
	}
	return false
}

var (
	unread = regexp.MustCompile(`(?s)<(script|style|head)\b.*?</(script|style|head)>|<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
)

func read(w *World, answer *http.Response, err error) Page {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	text := spaces.ReplaceAllString(html.UnescapeString(unread.ReplaceAllString(string(b), " ")), " ")
	return Page{answer.StatusCode, answer.Request.URL, string(b), text}
}

// Page asks for one.
func (s *Session) Page(path string) Page {
	s.w.t.Helper()
	answer, err := s.client.Get("http://" + s.w.HTTP + path)
	return read(s.w, answer, err)
}

// Submit sends a form and answers with the page it leads to.
func (s *Session) Submit(path string, form url.Values) Page {
	s.w.t.Helper()
	answer, err := s.client.PostForm("http://"+s.w.HTTP+path, form)
	return read(s.w, answer, err)
}

// A Stream is a page's stream of events.
type Stream struct {
	t    *testing.T
	path string
	done chan struct{}

	mu    sync.Mutex
	lines []string
}

// Stream opens one.
func (s *Session) Stream(path string) *Stream {
	s.w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.w.HTTP+path, nil)
	if err != nil {
		s.w.t.Fatal(err)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		cancel()
		s.w.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		s.w.t.Errorf("GET %s: %s, %s", path, answer.Status, answer.Header.Get("Content-Type"))
	}
	stream := &Stream{t: s.w.t, path: path, done: make(chan struct{})}
	go func() {
		defer close(stream.done)
		defer answer.Body.Close()
		for b := bufio.NewReader(answer.Body); ; {
			line, err := b.ReadString('\n')
			stream.mu.Lock()
			stream.lines = append(stream.lines, strings.TrimSuffix(line, "\n"))
			stream.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	s.w.t.Cleanup(func() {
		cancel()
		<-stream.done
	})
	return stream
}

// AwaitSomething waits until the stream has said anything at all.
func (s *Stream) AwaitSomething() {
	s.t.Helper()
	world.Await(s.t, "something on "+s.path, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.lines) == 0 {
			return errors.New("it is silent")
		}
		return nil
	})
}

// AwaitClosed waits until the server has ended it.
func (s *Stream) AwaitClosed() {
	s.t.Helper()
	world.Await(s.t, s.path+" to be closed", func() error {
		select {
		case <-s.done:
			return nil
		default:
			return errors.New("it is open")
		}
	})
}

// awaitFiles waits until so many files match.
func awaitFiles(t *testing.T, pattern string, n int) {
	t.Helper()
	world.Await(t, fmt.Sprintf("%d files at %s", n, pattern), func() error {
		found, err := filepath.Glob(pattern)
		if err == nil && len(found) < n {
			err = fmt.Errorf("there are %d", len(found))
		}
		return err
	})
}
