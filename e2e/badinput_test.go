package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWhatAnAPICallCannotMeanIsAnsweredWithAProblem(t *testing.T) {
	w := NewWorld(t)
	attic := w.Enrol("attic")
	attic.Write("a", "a")
	attic.Group("all")
	jobs := "/api/hosts/" + attic.ID + "/jobs"
	viewer := w.CLI("api-token", "create", "--name", "looker", "--role", "viewer", "--data", w.Data)
	for _, c := range []struct {
		name, method, path string
		body               any
		headers            []string
		status             int
	}{
		{"unknown route", "GET", "/api/nonsense", nil, nil, 404},
		{"unknown route below a job", "GET", "/api/jobs/0123456789abcdef/nonsense", nil, nil, 404},
		{"unknown job", "GET", "/api/jobs/0123456789abcdef", nil, nil, 404},
		{"unknown job's log", "GET", "/api/jobs/0123456789abcdef/log", nil, nil, 404},
		{"unknown job's stream", "GET", "/api/jobs/0123456789abcdef/stream", nil, nil, 404},
		{"unknown job to cancel", "POST", "/api/jobs/0123456789abcdef/cancel", nil, nil, 404},
		{"an id that is none", "GET", "/api/jobs/..%2f..%2fetc", nil, nil, 404},
		{"unknown host", "POST", "/api/hosts/0123456789abcdef/jobs", map[string]any{"kind": "backup", "source_group": "all"}, nil, 404},
		{"unknown host's snapshots", "GET", "/api/hosts/0123456789abcdef/snapshots", nil, nil, 404},
		{"unknown group", "POST", jobs, map[string]any{"kind": "backup", "source_group": "nothing"}, nil, 404},
		{"unknown kind", "POST", jobs, map[string]any{"kind": "explode", "source_group": "all"}, nil, 422},
		{"wrong method", "DELETE", "/api/hosts", nil, nil, 405},
		{"wrong method for a job", "PUT", "/api/jobs/0123456789abcdef", map[string]any{}, nil, 405},
		{"no token", "GET", "/api/hosts", nil, []string{"Authorization", ""}, 401},
		{"wrong token", "GET", "/api/hosts", nil, []string{"Authorization", "Bearer rma_nonsense"}, 401},
		{"wrong scheme", "GET", "/api/hosts", nil, []string{"Authorization", "Basic YTpi"}, 401},
		{"a viewer who asks for a backup", "POST", jobs, map[string]any{
			"kind":         "backup",
			"source_group": "all",
		}, []string{"Authorization", "Bearer " + viewer}, 403},
		{"malformed JSON", "POST", jobs, `{"kind": "backup", `, nil, 400},
		{"no JSON at all", "POST", jobs, "\x00\xff\x00", nil, 400},
		{"no body", "POST", jobs, "", nil, 400},
		{"a list for an object", "POST", "/api/repositories", `[1,2,3]`, nil, 422},
		{"a repository without a URL", "POST", "/api/repositories", map[string]any{"name": "x", "password": "y"}, nil, 422},
		{"10 MiB", "POST", "/api/repositories", `{"name":"` + strings.Repeat("x", 10<<20) + `"}`, nil, 413},
		{"wrong content type", "POST", jobs, "kind=backup", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"after what is no number", "GET", "/api/jobs/0123456789abcdef/log?after=yesterday", nil, nil, 422},
		{"a relative path to back up", "PUT", "/api/hosts/" + attic.ID + "/source-groups/x", map[string]any{
			"repository": "0123456789abcdef",
			"paths":      []string{"etc"},
		}, nil, 422},
	} {
		r := w.request(c.method, c.path, c.body, c.headers...)
		var problem struct {
			Title  string `json:"title"`
			Status int    `json:"status"`
			Detail string `json:"detail"`
		}
		media := r.Header.Get("Content-Type")
		if err := json.Unmarshal(r.body, &problem); err != nil || r.StatusCode != c.status || problem.Status != c.status ||
			problem.Title == "" || problem.Detail == "" ||
			!strings.HasPrefix(media, "application/problem+json") {
			t.Errorf("%s: %s %s is answered %s, %s, %.400s; want %d with title, status and detail",
				c.name, c.method, c.path, r.Status, media, r.body, c.status)
		}
		if c.status == 405 && r.Header.Get("Allow") == "" {
			t.Errorf("%s: the answer does not say what is allowed", c.name)
		}
		if c.status == 401 && r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: the answer does not say how to authenticate", c.name)
		}
	}
	session := w.SignIn()
	for _, path := range []string{"/nonsense", "/jobs/0123456789abcdef", "/hosts/0123456789abcdef", "/jobs/%00",
		"/hosts/" + attic.ID + "/source-groups/nothing/edit"} {
		if p := session.Page(path); p.Status != 404 || p.Missing("Go to the fleet") {
			t.Errorf("%s is answered %d: %s", path, p.Status, p.Text)
		}
	}
	if r := w.request("GET", "/api/openapi.json", nil); r.StatusCode != 200 || !json.Valid(r.body) ||
		!bytes.Contains(r.body, []byte("/api/jobs/{")) {
		t.Errorf("openapi.json: %s", r.Status)
	}
	w.MustStopCleanly()
}

// certificate makes one that another authority signed, for a name.
func foreignCertificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// mqttConnect is a valid CONNECT of MQTT 3.1.1.
func mqttConnect(id string) []byte {
	body := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(id))}, id...)
	return append([]byte{0x10, byte(len(body))}, body...)
}

func TestStrangersOnTheAgentsPortAreClosedSoonAndDisturbNobody(t *testing.T) {
	w := NewQuietWorld(t)
	attic := w.Enrol("attic")
	standIn := NewStandIn(t, attic.Dir, "words 1 100; gate strangers; words 101 2000")
	attic.Restic = standIn.Path
	attic.Noise("photo.raw", 8)
	attic.Group("all")
	attic.Start()
	id := attic.Backup("all")
	standIn.AwaitAt("strangers")

	plain := func() (net.Conn, error) { return net.Dial("tcp", w.Agents) }
	over := func(protocol string, certificates ...tls.Certificate) func() (net.Conn, error) {
		return func() (net.Conn, error) {
			c := &tls.Config{InsecureSkipVerify: true, Certificates: certificates} // a stranger does not care who answers
			if protocol != "" {
				c.NextProtos = []string{protocol}
			}
			return tls.Dial("tcp", w.Agents, c)
		}
	}
	noise := make([]byte, 64<<10)
	_, _ = rand.Read(noise) // never fails
	foreign := foreignCertificate(t, attic.ID)
	connect := mqttConnect(attic.ID + "_1")
	var strangers sync.WaitGroup
	for name, c := range map[string]struct {
		dial func() (net.Conn, error)
		say  []byte
	}{
		"no certificate":                         {over(""), connect},
		"no certificate, by name":                {over("mqtt"), connect},
		"a foreign certificate":                  {over("mqtt", foreign), connect},
		"garbage instead of TLS":                 {plain, noise},
		"MQTT without TLS":                       {plain, connect},
		"garbage inside TLS":                     {over("mqtt"), noise},
		"a packet that says it is huge":          {over("mqtt"), []byte{0x10, 0xff, 0xff, 0xff, 0x7f}},
		"a truncated subscribe first":            {over("mqtt"), []byte{0x82, 0x06, 0x00, 0x01, 0x00, 0xff, 0x61, 0x00}},
		"silence":                                {plain, nil},
		"silence after the handshake":            {over("mqtt"), nil},
		"silence in the middle of a packet":      {over("mqtt"), connect[:5]},
		"silence where enrolment is asked for":   {over("http/1.1"), nil},
		"half a request where enrolment is":      {over("http/1.1"), []byte("POST /enroll HTTP/1.1\r\nHost: x\r\nContent-Le")},
		"half a record":                          {plain, []byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01}},
		"a protocol nobody speaks":               {over("h2"), connect},
		"a well-known one on the consumers' own": {func() (net.Conn, error) { return net.Dial("tcp", w.MQTT) }, nil},
	} {
		strangers.Go(func() {
			began := time.Now()
			conn, err := c.dial()
			if err != nil {
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("%s: refused after %v", name, took)
				}
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(began.Add(time.Minute))
			_, _ = conn.Write(c.say) // it may be closed by now
			n, err := io.Copy(io.Discard, conn)
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("%s: closed after %v (%v), want 3.5 s on a machine that does nothing else", name, took, err)
			}
			if n > 1024 {
				t.Errorf("%s: was told %d bytes", name, n)
			}
		})
	}
	strangers.Wait()
	for _, h := range w.Hosts() {
		if !h.Online {
			t.Errorf("%s is not online any more", h.Name)
		}
	}
	standIn.Open("strangers")
	w.AwaitState(id, "succeeded")
	w.mustBeComplete(id, 2000)
	if n := strings.Count(attic.process.Errs.String(), "msg=connected"); n > 1 {
		t.Errorf("the agent had to connect %d times", n)
	}
	w.MustStopCleanly()
}

func TestATokenLetsInOneHostOnce(t *testing.T) {
	w := NewWorld(t)
	w.Enrol("attic")
	first := w.CLI("enroll-token", "create", "--data", w.Data)
	enroll := func(token string) result {
		return command(t, agentCommand("enroll", "--server", w.Agents, "--token", token, "--state", t.TempDir()+"/state"))
	}
	if r := enroll(first); r.code != 0 {
		t.Fatalf("exit status %d: %s", r.code, r.errs)
	}
	for name, token := range map[string]string{
		"used":                     first,
		"shortened":                first[:len(first)-1],
		"of another control plane": NewWorldToken(t),
	} {
		if r := enroll(token); r.code != 1 || !strings.Contains(r.errs, "token") && !strings.Contains(r.errs, "control plane") {
			t.Errorf("a token %s: exit status %d, it says %s", name, r.code, r.errs)
		}
	}
	if hosts := w.Hosts(); len(hosts) != 2 {
		t.Errorf("there are %d hosts, want 2", len(hosts))
	}
	for path, body := range map[string]string{"/enroll": "{", "/nothing": "{}", "/": ""} {
		// who answers is not the point
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true,
			NextProtos: []string{"http/1.1"}}}}
		r, err := client.Post("https://"+w.Agents+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			continue
		}
		b, _ := io.ReadAll(r.Body) // what there is of it
		r.Body.Close()
		client.CloseIdleConnections()
		if r.StatusCode/100 != 4 || !strings.Contains(string(b), fmt.Sprint(r.StatusCode)) {
			t.Errorf("POST %s on the agents' port: %s: %s", path, r.Status, b)
		}
	}
	w.MustStopCleanly()
}
