package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

const (
	limit  = 15 * time.Second // for a whole question and its answer
	answer = 512              // bytes of it that are read
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
func (a asker) ask(ctx context.Context, address, body string) (ok bool, text string) {
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
		return false, why(err)
	}
	defer reply.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(reply.Body, answer)) // what there is of it is shown
	text = reply.Status
	if s := strings.Join(strings.Fields(words.Visible(string(said))), " "); s != "" {
		text += ": " + s
	}
	switch {
	case reply.StatusCode >= 300 && reply.StatusCode < 400:
		return false, text + ". It leads to another address, which is not followed: enter the one that it leads to."
	case reply.StatusCode >= 200 && reply.StatusCode < 300:
		return true, text
	}
	return false, text
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
