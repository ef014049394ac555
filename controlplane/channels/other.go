package channels

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/restic-manager/restic-manager/words"
)

// others bounds the tries through shoutrrr that go on after nobody waits for them any
// more: some of its services heed no deadline.
var others = make(chan struct{}, 8)

// A listener notes what the last HTTP server answered, which shoutrrr's services hide
// behind words of their own.
type listener struct {
	next http.RoundTripper
	f    fields

	mu     sync.Mutex
	answer *Answer
}

// RoundTrip implements http.RoundTripper.
func (l *listener) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, more := readSome(res.Body)
	_ = res.Body.Close()
	a := l.f.judged(res, body, more)
	l.mu.Lock()
	l.answer = &a
	l.mu.Unlock()
	res.Body = io.NopCloser(strings.NewReader(string(body)))
	res.ContentLength = int64(len(body))
	return res, nil
}

func (l *listener) heard() *Answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answer
}

// bound is a request's deadline for services that give none.
type bound struct {
	ctx  context.Context
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, done := context.WithCancel(r.Context())
	stop := context.AfterFunc(b.ctx, done)
	res, err := b.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		stop()
		done()
		return nil, err
	}
	res.Body = &closing{res.Body, func() { stop(); done() }}
	return res, nil
}

type closing struct {
	io.ReadCloser
	done func()
}

// Close implements io.Closer.
func (c *closing) Close() error {
	defer c.done()
	return c.ReadCloser.Close()
}

// sendOther tells a service that shoutrrr knows.
func sendOther(ctx context.Context, f fields, m Message) Answer {
	select {
	case others <- struct{}{}:
	default:
		return Answer{Text: "Earlier messages to such services still wait for an answer.", After: Limit.Milliseconds()}
	}
	p := pageOf(ctx, m).fit(func(p page) bool { return size(p.plain()) <= 1500 && size(p.heading()) <= 200 })
	text := joined([]string{p.plain(), p.link})
	if text == "" {
		text = p.heading()
	}
	l := &listener{next: bound{ctx, transport}, f: f}
	result := make(chan error, 1)
	go func() {
		defer func() { <-others }()
		defer func() {
			if r := recover(); r != nil { // of a service, at a URL that it did not expect
				result <- errPanicked
			}
		}()
		result <- shout(ctx, f.get("url"), apart(p.tone.emoji+" "+p.heading()), apart(text), l)
	}()
	select {
	case <-ctx.Done():
		return Answer{Text: failure(ctx, ctx.Err(), "")}
	case err := <-result:
		heard := l.heard()
		switch {
		case err == nil && heard == nil:
			return Answer{OK: true, Text: "The service took it."}
		case err == nil, heard != nil && !heard.OK:
			return *heard
		}
		a := Answer{Text: cutBytes(f.hide(shouted(ctx, err)), shownAnswer)}
		if heard != nil {
			a.Text = heard.Text + " (" + a.Text + ")"
		}
		return a
	}
}

var errPanicked = errors.New("the service cannot use this URL")

// shouted is an error of shoutrrr in words.
func shouted(ctx context.Context, err error) string {
	var address *url.Error
	if errors.As(err, &address) {
		return why(ctx, err)
	}
	return words.Visible(strings.Join(strings.Fields(err.Error()), " "))
}

// shout sends a text through shoutrrr, once.
func shout(ctx context.Context, to, title, text string, l *listener) error {
	r, err := router.NewWithOptions(log.New(io.Discard, "", 0), types.SenderOptions{Timeout: Limit,
		HTTPClient: &http.Client{Transport: l, CheckRedirect: client.CheckRedirect, Timeout: Limit}}, to)
	if err != nil {
		return fmt.Errorf("the URL cannot be used: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		r.Timeout = time.Until(deadline)
	}
	params := types.Params{"title": title}
	return errors.Join(r.Send(text, &params)...)
}

// notOther are services of shoutrrr that tell nobody outside.
var notOther = map[string]string{"logger": "It would only write into this program's log."}

func checkOther(f fields, wrong said) {
	u, err := url.Parse(f.get("url"))
	if err != nil || u.Scheme == "" {
		wrong.Say("url", "This is no URL of shoutrrr. It looks like pushbullet://token.")
		return
	}
	service, _, _ := strings.Cut(u.Scheme, "+")
	switch {
	case service == "http" || service == "https":
		wrong.Say("url", "For a URL of a program of yours add a channel of the kind webhook.")
	case !router.SupportsSchema(service):
		wrong.Say("url", "shoutrrr knows no service "+words.Visible(words.Cut(service, 40))+". It knows "+
			strings.Join(router.SupportedSchemas(), ", ")+".")
	case notOther[service] != "":
		wrong.Say("url", notOther[service])
	}
}
