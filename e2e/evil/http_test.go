package evil

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"log/slog"

	"github.com/restic-manager/restic-manager/controlplane"
	"github.com/restic-manager/restic-manager/controlplane/password"
	e2e "github.com/restic-manager/restic-manager/e2e/world"
	"github.com/restic-manager/restic-manager/protocol"
	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/store/storetest"
	"github.com/restic-manager/restic-manager/topics"
)

// site is the address of a real control plane's pages, and an administrator's token.
func site(t *testing.T) (addr, token string) {
	t.Helper()
	p := &plane{t: t, dir: t.TempDir(), log: &e2e.Text{}}
	storetest.Make(t, filepath.Join(p.dir, "data"), store.Open)
	c := e2e.Must(controlplane.New(t.Context(), controlplane.Config{
		Data:   filepath.Join(p.dir, "data"),
		HTTP:   "127.0.0.1:0",
		Agents: "127.0.0.1:0",
		MQTT:   "127.0.0.1:0",
		Log:    slog.New(slog.NewTextHandler(p.log, nil)),
		Timing: planeTiming(),
		Logs:   controlplane.DefaultLogs(),
		Limits: protocol.DefaultLimits(),
	}))
	token = password.NewKey("rma_")
	if _, err := c.Store.AddAPIToken(t.Context(), store.Maker{Name: "test"}, store.APIToken{
		ID:      topics.NewID(time.Now()),
		Name:    "nightly",
		Role:    store.Admin,
		KeyHash: password.HashKey(token),
	}); err != nil {
		t.Fatal(err)
	}
	p.run(c.Run, c.Close)
	return c.HTTPAddr(), token
}

// spoken sends bytes as they are and returns the status of each answer, until the
// connection ends or nothing more comes; 0 stands for an end without an answer.
func spoken(t *testing.T, addr, says string) (statuses []int, headers []http.Header) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.Copy(c, strings.NewReader(says)) }()
	r := bufio.NewReader(c)
	for {
		a, err := http.ReadResponse(r, nil)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Error("neither an answer nor an end in 20 s")
			return statuses, headers
		case err != nil:
			if statuses == nil {
				statuses = []int{0}
			}
			return statuses, headers
		}
		statuses, headers = append(statuses, a.StatusCode), append(headers, a.Header)
		if _, err := io.Copy(io.Discard, a.Body); err != nil || a.Close {
			return statuses, headers
		}
	}
}

// TestRequestsNoBrowserSendsAreAnsweredOrEnded says what HTTP does not mean, or hardly
// ever. Nothing is answered as if somebody had a right they have not, nothing is a
// failure of ours, and everybody else goes on.
func TestRequestsNoBrowserSendsAreAnsweredOrEnded(t *testing.T) {
	t.Parallel()
	addr, token := site(t)
	auth := "Authorization: Bearer " + token + "\r\n"
	get := func(path string, headers ...string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nConnection: close\r\n" + auth + strings.Join(headers, "") + "\r\n"
	}
	post := func(path, body string, headers ...string) string {
		length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
		if slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Transfer-Encoding") }) {
			length = ""
		}
		return "POST " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nConnection: close\r\n" + auth + length +
			strings.Join(headers, "") + "\r\n" + body
	}
	line := func(method, path string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nConnection: close\r\n" + auth + "Content-Length: 0\r\n\r\n"
	}
	asJSON := "Content-Type: application/json\r\n"
	repository := `{"name":"vault","url":"/srv/x","password":"long enough"}`
	const nobody = "0123456789abcdef"
	for _, c := range []struct {
		what, says string
		want       []int // any of them
	}{
		{"a method nobody knows", line("BREW", "/api/hosts"), []int{405}},
		{"TRACE", line("TRACE", "/api/hosts"), []int{405}},
		{"CONNECT", line("CONNECT", "example.org:443"), []int{400, 404, 405}},
		{"a header of 10 MiB", get("/api/hosts", "X-Large: "+strings.Repeat("x", 10<<20)+"\r\n"), []int{431, 0}},
		{"1,000 headers", get("/api/hosts", strings.Repeat("X-Many: yes\r\n", 1000)), []int{200}},
		{"two hosts", get("/api/hosts", "Host: evil.example\r\n"), []int{400}},
		{"two lengths that differ", post("/api/repositories", repository, asJSON, "Content-Length: 3\r\n"), []int{400}},
		{"two cookies of one name", get("/account", "Cookie: session=a\r\nCookie: session=b\r\n"), []int{200, 303, 401, 403}},
		{"a length and chunks", "POST /api/repositories HTTP/1.1\r\nHost: " + addr + "\r\n" + auth + asJSON +
			"Content-Length: 6\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n" +
			"GET /api/users HTTP/1.1\r\nHost: x\r\n\r\n", []int{422}}, // its body is empty, and what comes behind it is nobody's
		{"an unknown transfer encoding", post("/api/repositories", "", asJSON, "Transfer-Encoding: gzip, chunked\r\n"), []int{400, 501}},
		{"a chunk of no size", post("/api/repositories", "zz\r\nx\r\n0\r\n\r\n", asJSON, "Transfer-Encoding: chunked\r\n"), []int{400}},
		{"a chunk extension that lasts", post("/api/repositories", "1;"+strings.Repeat("x", 64<<10)+"\r\nx\r\n0\r\n\r\n", asJSON,
			"Transfer-Encoding: chunked\r\n"), []int{400}},
		{"an absolute address", get("http://" + addr + "/api/hosts"), []int{200}},
		{"an absolute address of somebody else", get("http://evil.example/api/hosts"), []int{200, 400, 404}},
		{"dots in the path", get("/api/../api/./hosts"), []int{200, 301, 404}},
		{"encoded dots", get("/static/%2e%2e/%2e%2e/etc/passwd"), []int{404}},
		{"doubly encoded dots", get("/static/%252e%252e/etc/passwd"), []int{404}},
		{"an encoded slash", get("/api/jobs/..%2f..%2fusers"), []int{404}},
		{"NUL in the path", get("/jobs/%00"), []int{303, 404}},
		{"a path of 60 KiB", get("/" + strings.Repeat("a", 60<<10)), []int{404, 414, 431}},
		{"a path of a MiB", get("/" + strings.Repeat("a", 1<<20)), []int{414, 431, 0}},
		{"10,000 keys in the query", get("/api/jobs?" + strings.Repeat("a=1&", 10_000)), []int{200, 422}},
		{"one key 5,000 times", get("/api/jobs?" + strings.Repeat("state=failed&", 4_000)), []int{200, 422}},
		{"lists and objects as keys", get("/api/jobs?state[]=failed&state[x]=1"), []int{200, 422}},
		{"a malformed query", get("/api/jobs?state=%zz;a"), []int{200, 400, 422}},
		{"no content type", post("/api/repositories", repository), []int{201, 400, 415, 422}},
		{"the wrong content type", post("/api/repositories", "name=x", "Content-Type: application/x-www-form-urlencoded\r\n"), []int{415}},
		{"two content types", post("/api/repositories", "name=x", "Content-Type: text/plain\r\n", asJSON), []int{400, 415}},
		{"parts without a boundary", post("/hosts/new", "x", "Content-Type: multipart/form-data\r\n"), []int{400, 401, 303, 403, 415}},
		{"a form that is JSON", post("/hosts/new", repository, "Content-Type: application/x-www-form-urlencoded\r\n"),
			[]int{400, 303, 401, 403, 422}},
		{"JSON that is a form", post("/api/repositories", "name=x&url=y", asJSON), []int{400}},
		{"an object and more behind it", post("/api/repositories", repository+repository, asJSON), []int{400, 422}},
		{"the same key twice", post("/api/repositories",
			`{"name":"a","name":"b","url":"/srv/twice","password":"long enough"}`, asJSON), []int{201, 400, 422}},
		{"nesting of 20,000", post("/api/repositories", strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000), asJSON), []int{400, 422}},
		{"a number beyond all", post("/api/hosts/"+nobody+"/jobs", `{"kind":"backup","operation":{"keep":1e400}}`, asJSON),
			[]int{400, 404, 422}},
		{"a lone surrogate", post("/api/repositories", `{"name":"\ud800","url":"/srv/y","password":"long enough"}`, asJSON),
			[]int{201, 400, 422}},
		{"a byte order mark", post("/api/repositories", "\ufeff"+repository, asJSON), []int{400}},
		{"Expect: 100-continue", post("/api/repositories", `{}`, asJSON, "Expect: 100-continue\r\n"), []int{100, 422}},
		{"another expectation", post("/api/repositories", `{}`, asJSON, "Expect: the-unexpected\r\n"), []int{417}},
		{"10,000 ranges", get("/api/openapi.json", "Range: bytes="+strings.Repeat("0-1,", 10_000)+"0-1\r\n"), []int{200, 416}},
		{"a language of 50 KiB", get("/api/hosts", "Accept-Language: "+strings.Repeat("en;q=0.1,", 5_500)+"\r\n"), []int{200}},
		{"who says they come from elsewhere", get("/api/hosts",
			"X-Forwarded-For: 127.0.0.1, 10.0.0.1\r\nX-Forwarded-Host: evil.example\r\nForwarded: for=evil\r\n"), []int{200}},
		{"a host that is not ours", "GET /login HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", []int{200, 303, 400, 421}},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\x00", 64), []int{400, 405, 505, 0}},
		{"a version nobody speaks", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", []int{400, 505}},
		{"no version", "GET /\r\n\r\n", []int{400}},
		{"a page of 0", get("/api/jobs?limit=0"), []int{200, 422}},
		{"a page of -1", get("/api/jobs?limit=-1"), []int{422}},
		{"a page of 10^9", get("/api/jobs?limit=1000000000"), []int{200, 422}},
		{"a cursor that is forged", get("/api/jobs?after=%27%20OR%201=1--"), []int{200, 422}},
		{"an order nobody has", get("/api/jobs?sort=key_hash"), []int{200, 422}},
		{"a filter to lose oneself in", get("/api/hosts?q=" + strings.Repeat("(a%2b)%2b", 500)), []int{200, 422}},
		{"somebody's ID in capitals", get("/api/jobs/" + strings.ToUpper(nobody)), []int{404, 422}},
		{"an ID that is a number", get("/api/jobs/-99999999999999999999"), []int{404, 422}},
		{"headers of htmx that lie", get("/account",
			"HX-Request: true\r\nHX-Current-URL: https://evil.example/\r\nHX-Target: body\r\n"), []int{200, 303, 401, 403}},
		{"an event ID of somebody else's stream", get("/events", "Last-Event-ID: ../../../etc/passwd\r\n",
			"Sec-Fetch-Site: cross-site\r\n"), []int{401, 403}},
		{"a socket of another site", get("/api/jobs/"+nobody+"/stream",
			"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: https://evil.example\r\n"), []int{403, 404}},
		{"a socket without its key", get("/api/jobs/"+nobody+"/stream",
			"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"), []int{400, 404, 426}},
		{"a token in the query",
			"GET /api/hosts?token=" + token + "&access_token=" + token + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", []int{401}},
		{"a token cut short", strings.Replace(get("/api/hosts"), token, token[:len(token)-1], 1), []int{401}},
		{"a token and more", strings.Replace(get("/api/hosts"), token, token+"x", 1), []int{401}},
		{"a token of a MiB", strings.Replace(get("/api/hosts"), token, strings.Repeat("x", 50<<10), 1), []int{401}},
		{"a token of NULs", strings.Replace(get("/api/hosts"), token, "\x00\x00", 1), []int{400, 401}},
	} {
		t.Run(c.what, func(t *testing.T) {
			got, headers := spoken(t, addr, c.says)
			if !slices.Contains(c.want, got[0]) || len(got) > 1 && got[0] != 100 {
				t.Errorf("it is answered %v, want one of %v", got, c.want)
			}
			for i, h := range headers {
				if got[i] >= 500 && got[i] != 501 && got[i] != 505 {
					t.Errorf("it is a failure of ours: %d", got[i])
				}
				if to := h.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`)) {
					t.Errorf("it leads to %s", to)
				}
			}
		})
	}
	if got, _ := spoken(t, addr, get("/api/hosts")); got[0] != 200 {
		t.Errorf("a request as usual is answered %v", got)
	}
}

// TestWhoIsSlowIsLetGo has clients that never finish what they say, and one that
// never reads, while others are answered.
func TestWhoIsSlowIsLetGo(t *testing.T) {
	t.Parallel()
	addr, token := site(t)
	auth := "Authorization: Bearer " + token + "\r\n"
	slow := map[string]string{
		"says nothing":           "",
		"half a request line":    "GET /api/ho",
		"half a header":          "GET /api/hosts HTTP/1.1\r\nHost: x\r\nX-Half: ",
		"headers, one at a time": "GET /api/hosts HTTP/1.1\r\nHost: x\r\n",
	}
	began := time.Now()
	open := map[string]net.Conn{}
	for what, says := range slow {
		c := e2e.Must(net.Dial("tcp", addr))
		defer c.Close()
		_ = c.SetDeadline(began.Add(2 * time.Minute))
		e2e.Must(io.WriteString(c, says))
		open[what] = c
	}
	lazy := e2e.Must(net.Dial("tcp", addr)) // asks for much and never reads
	defer lazy.Close()
	_ = lazy.(*net.TCPConn).SetReadBuffer(1)
	_ = lazy.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(lazy, strings.Repeat("GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n"+auth+"\r\n", 200)) // as many as it takes

	drip := time.NewTicker(200 * time.Millisecond)
	defer drip.Stop()
	ended := make(chan string, len(open))
	for what, c := range open {
		go func() {
			_, _ = bufio.NewReader(c).ReadString(0) // until it is closed
			ended <- what
		}()
	}
	for left := len(open); left > 0; {
		select {
		case what := <-ended:
			left--
			if took := time.Since(began); took > time.Minute {
				t.Errorf("who %s is let go after %v", what, took)
			}
		case <-drip.C:
			_, _ = io.WriteString(open["headers, one at a time"], "X-Drip: "+strconv.Itoa(len(ended))+"\r\n") // until it is closed
			asked := time.Now()
			got, _ := spoken(t, addr, "GET /api/hosts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+auth+"\r\n")
			if took := time.Since(asked); got[0] != 200 || took > 20*time.Second {
				t.Errorf("meanwhile others are answered %v after %v", got, took)
			}
		}
	}
}

// TestABodyThatNeverEndsIsCutOff sends more than any route takes, with and without
// saying how much it will be.
func TestABodyThatNeverEndsIsCutOff(t *testing.T) {
	t.Parallel()
	addr, token := site(t)
	for _, c := range []struct{ what, head string }{
		{"chunks without end", "Transfer-Encoding: chunked\r\n"},
		{"a length beyond all", "Content-Length: 9223372036854775807\r\n"},
	} {
		for _, path := range []string{"/login", "/api/repositories"} {
			conn := e2e.Must(net.Dial("tcp", addr))
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			e2e.Must(io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: "+addr+"\r\nAuthorization: Bearer "+token+
				"\r\nContent-Type: application/json\r\n"+c.head+"\r\n"))
			chunk := bytes.Repeat([]byte("x"), 32<<10)
			chunked := append(fmt.Appendf(nil, "%x\r\n", len(chunk)), append(chunk, "\r\n"...)...)
			if !strings.HasPrefix(c.head, "Transfer") {
				chunked = chunk
			}
			sent := 0
			for sent < 64<<20 {
				n, err := conn.Write(chunked)
				if sent += n; err != nil {
					break
				}
			}
			a, err := http.ReadResponse(bufio.NewReader(conn), nil)
			status := 0
			if err == nil {
				status = a.StatusCode
				a.Body.Close()
			}
			if sent >= 64<<20 || status != 0 && !slices.Contains([]int{400, 413, 415, 422}, status) {
				t.Errorf("%s to %s: %d bytes were taken, and the answer is %s", c.what, path, sent, cmp.Or(strconv.Itoa(status), "none"))
			}
		}
	}
}
