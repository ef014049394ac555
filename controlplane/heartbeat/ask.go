package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

const (
	limit  = 15 * time.Second // for a whole question and its answer
	answer = 512              // bytes of it that are shown
)

// An asker asks other services. It follows no redirect: whoever answers with one is not who
// the address was meant for.
type asker struct{ client *http.Client }

func newAsker() asker {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: limit, KeepAlive: -1}).DialContext
	t.DisableKeepAlives = true // once a minute at most: what lies open in between only breaks
	t.MaxResponseHeaderBytes = 16 << 10
	return asker{&http.Client{Transport: t, Timeout: limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// ask asks for an address, or posts a body to it. The text is the status and a little of the
// answer, or why there is none; it never holds the address, which is a secret.
func (a asker) ask(ctx context.Context, kind Kind, address, body string) (ok bool, text string) {
	hide := hider(address)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	method, content := http.MethodGet, io.Reader(nil)
	if body != "" {
		method, content = http.MethodPost, strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return false, "The address is not one that can be asked for."
	}
	r.Header.Set("User-Agent", "restic-manager")
	if body != "" {
		r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	reply, err := a.client.Do(r)
	if err != nil {
		return false, cut(hide.Replace(why(err)))
	}
	defer reply.Body.Close()
	// What there is of it is shown; what may be half of the address at its end is read and not shown.
	said, _ := io.ReadAll(io.LimitReader(reply.Body, answer+longest))
	text = strings.TrimSpace(strconv.Itoa(reply.StatusCode) + " " + http.StatusText(reply.StatusCode))
	if s := cut(strings.Join(strings.Fields(words.Visible(hide.Replace(string(said)))), " ")); s != "" {
		text += ": " + s
	}
	switch {
	case reply.StatusCode >= 300 && reply.StatusCode < 400:
		return false, text + ". It leads to another address, which is not followed: enter the one that it leads to."
	case reply.StatusCode >= 200 && reply.StatusCode < 300:
		return !kind.refuses(string(said)), text
	}
	return false, text
}

// cut is a text of which so much is shown as of an answer.
func cut(text string) string {
	if len(text) <= answer {
		return text
	}
	return strings.ToValidUTF8(text[:answer-len("…")], "") + "…"
}

// hider puts a mark in the place of what is secret in an address, wherever another side or an
// error repeats it: all but the server's name.
func hider(address string) *strings.Replacer {
	u, err := url.Parse(address)
	if err != nil {
		return strings.NewReplacer(address, "[redacted]")
	}
	var parts []string
	add := func(least int, texts ...string) {
		for _, t := range texts {
			for _, s := range []string{t, url.PathEscape(t), url.QueryEscape(t), html.EscapeString(t)} {
				if len(s) >= least {
					parts = append(parts, s)
				}
			}
		}
	}
	add(2, address, u.RequestURI())
	if u.Path != "/" {
		add(2, u.Path)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		add(4, u.User.Username(), password)
	}
	for _, segment := range strings.Split(u.Path, "/") {
		add(8, segment) // shorter ones are words, as "ping" and "push"
	}
	for _, values := range u.Query() {
		add(8, values...)
	}
	slices.SortFunc(parts, func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, p := range slices.Compact(parts) {
		pairs = append(pairs, p, "[redacted]")
	}
	return strings.NewReplacer(pairs...)
}

// why says why there was no answer, without the address.
func why(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var n net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		return fmt.Sprintf("There was no answer within %d seconds.", int(limit.Seconds()))
	}
	return words.Visible(err.Error())
}
