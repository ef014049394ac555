package channels

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/restic-manager/restic-manager/words"
)

const (
	// maxAnswer is how many bytes of an answer are read, and shownAnswer how many of them,
	// once they can be looked at, are shown.
	maxAnswer   = 64 << 10
	shownAnswer = 512
	// patience is how long the body of an answer is awaited once its status is there.
	patience = 5 * time.Second
	// maxAfter is the longest that another side can have us wait.
	maxAfter = 24 * time.Hour
)

// transport makes a connection for each try. A proxy is used as by any program: if the
// environment names one, and never for this machine itself.
var transport = &http.Transport{
	Proxy:                  http.ProxyFromEnvironment,
	DialContext:            (&net.Dialer{Timeout: Limit}).DialContext,
	TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	TLSHandshakeTimeout:    10 * time.Second,
	MaxResponseHeaderBytes: 64 << 10,
	DisableKeepAlives:      true,
	DisableCompression:     true, // what is read is bounded as it comes
}

// client follows no redirect: where one leads, nobody typed.
var client = &http.Client{
	Transport:     transport,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// A reply is what an HTTP server answered.
type reply struct {
	Answer
	status int // 0 if there was no answer
	body   []byte
}

// A request is one to be sent to an HTTP server.
type request struct {
	method, url string
	header      http.Header
	body        []byte
}

// asked is a request that sends a value as JSON.
func asked(method, url string, value any) request {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // of structs of texts and numbers
	return request{method: method, url: url, body: bytes.TrimSpace(b.Bytes()),
		header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}}
}

// do sends a request and reads what the answer says, as far as it counts. The reply's text
// has no secret in it.
func (f fields) do(ctx context.Context, r request) reply {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return reply{Answer: Answer{Text: "The URL cannot be used.", Hopeless: true}}
	}
	req.Header = r.header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "restic-manager")
	}
	res, err := client.Do(req)
	if err != nil {
		return reply{Answer: Answer{Text: f.hide(failure(ctx, err, through(req)))}}
	}
	defer res.Body.Close()
	out := reply{status: res.StatusCode}
	var more bool
	out.body, more = readSome(res.Body)
	out.Answer = f.judged(res, out.body, more)
	return out
}

// readSome reads as much of a body as counts, and says whether there is more. One that is
// slow is left after a while: its status is known.
func readSome(body io.ReadCloser) (read []byte, more bool) {
	slow := time.AfterFunc(patience, func() { _ = body.Close() })
	defer slow.Stop()
	read, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if len(read) > maxAnswer {
		return read[:maxAnswer], true
	}
	return read, err != nil
}

// judged is what an answer means.
func (f fields) judged(res *http.Response, body []byte, more bool) Answer {
	a := Answer{OK: res.StatusCode >= 200 && res.StatusCode < 300, Text: statusOf(res)}
	if said := f.shown(body, more); said != "" {
		a.Text += ": " + said
	}
	switch {
	case a.OK:
	case res.StatusCode >= 300 && res.StatusCode < 400:
		a.Hopeless = true
		a.Text = statusOf(res) + ": it redirects"
		if to, err := res.Location(); err == nil && to.Host != "" {
			a.Text += " to " + words.Visible(words.Cut(to.Host, 253))
		}
		a.Text += ", and redirects are not followed. Enter the address where messages are taken."
	case res.StatusCode == http.StatusRequestTimeout, res.StatusCode == http.StatusTooEarly,
		res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 500:
		a.After = after(res.Header.Get("Retry-After"), time.Now())
	default:
		a.Hopeless = true
	}
	if a.OK && more && len(body) < maxAnswer {
		a.Text += " (its end did not come)"
	}
	return a
}

// shown is what can be shown of an answer's body: without secrets, without characters that
// deceive, at most so many bytes.
func (f fields) shown(body []byte, more bool) string {
	text := string(body)
	if more {
		text = f.wholeSecrets(text)
	}
	text = f.hide(text)
	return cutBytes(words.Visible(strings.TrimSpace(text)), shownAnswer)
}

// cutBytes is a text of at most so many bytes, whole characters.
func cutBytes(text string, most int) string {
	if len(text) <= most {
		return text
	}
	end := most - len("…")
	for end > 0 && text[end]&0xc0 == 0x80 {
		end--
	}
	return text[:end] + "…"
}

// statusOf is a status with the words for it that everybody uses, not those of the other
// side.
func statusOf(res *http.Response) string {
	return strings.TrimSpace(strconv.Itoa(res.StatusCode) + " " + http.StatusText(res.StatusCode))
}

// after reads a Retry-After, in seconds or as a date, in milliseconds.
func after(text string, now time.Time) int64 {
	text = strings.TrimSpace(text)
	var d time.Duration
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 {
		d = time.Duration(min(n, maxAfter.Seconds()) * float64(time.Second))
	} else if t, err := http.ParseTime(text); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxAfter).Milliseconds()
}

// through names the proxy that a request goes through, "" for none.
func through(req *http.Request) string {
	if u, err := http.ProxyFromEnvironment(req); err == nil && u != nil {
		return u.Host
	}
	return ""
}

// failure says why nothing was answered, in words and without the address, which may be
// secret.
func failure(ctx context.Context, err error, proxy string) string {
	text := why(ctx, err)
	if proxy != "" {
		text += " It was asked through the proxy " + words.Visible(proxy) + ", which the environment names."
	}
	return text
}

func why(ctx context.Context, err error) string {
	var address *url.Error
	if errors.As(err, &address) {
		err = address.Err
	}
	var (
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		name     x509.HostnameError
		invalid  x509.CertificateInvalidError
		record   tls.RecordHeaderError
		alert    tls.AlertError
		timeout  net.Error
		refused  = errors.Is(err, syscall.ECONNREFUSED)
		tooSlow  = errors.Is(context.Cause(ctx), errSlow) || errors.Is(err, context.DeadlineExceeded)
		verified *tls.CertificateVerificationError
	)
	if errors.As(err, &verified) && verified.Err != nil {
		err = verified.Err
	}
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled) && !tooSlow:
		return "It was given up before an answer came."
	case tooSlow:
		return "No answer came within 15 seconds."
	case errors.As(err, &dns) && dns.IsNotFound:
		return "There is no server of the name " + words.Visible(dns.Name) + "."
	case errors.As(err, &dns):
		return "The name " + words.Visible(dns.Name) + " could not be looked up: " + words.Visible(dns.Err) + "."
	case refused:
		return "The server refused the connection: nothing listens there."
	case errors.As(err, &unknown):
		return "The server's certificate is of an authority that this machine does not trust."
	case errors.As(err, &name):
		return "The server's certificate is for another name than " + words.Visible(name.Host) + "."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "The server's certificate has expired or is not valid yet."
	case errors.As(err, &invalid):
		return "The server's certificate is not valid: " + words.Visible(invalid.Error()) + "."
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "The server does not speak TLS there. Is it http:// in place of https://, or another port?"
	case errors.As(err, &alert):
		return "The server ended the TLS handshake: " + words.Visible(alert.Error()) + "."
	case errors.As(err, &timeout) && timeout.Timeout():
		return "No answer came in time."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "The server ended the connection without an answer."
	}
	return "It could not be asked: " + cutBytes(words.Visible(cmp.Or(err.Error(), fmt.Sprintf("%T", err))), shownAnswer) + "."
}
