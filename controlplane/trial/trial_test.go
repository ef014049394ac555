package trial

import (
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

func TestWhereBackupsAreToGo(t *testing.T) {
	var asked []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		user, password, _ := r.BasicAuth()
		switch {
		case strings.HasPrefix(r.URL.Path, "/broken/"):
			w.WriteHeader(http.StatusInternalServerError)
		case strings.HasPrefix(r.URL.Path, "/elsewhere/"):
			http.Redirect(w, r, "https://login.example.net", http.StatusFound)
		case user != "attic" || password != "right":
			w.WriteHeader(http.StatusUnauthorized)
		case !strings.HasPrefix(r.URL.Path, "/attic/"):
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path != "/attic/there/config":
			w.WriteHeader(http.StatusNotFound)
		}
	})
	clear, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer clear.Close()
	defer secure.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	ssh, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ssh.Close()
	go func() {
		for {
			c, err := ssh.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n")
			_ = c.Close()
		}
	}()
	closed := httptest.NewServer(handler)
	closed.Close()
	login := map[string]topics.Secret{location.RESTUser: "attic", location.RESTPassword: "right"}
	bad := map[string]topics.Secret{location.RESTUser: "attic", location.RESTPassword: "canary-0815"}
	for _, c := range []struct {
		at   string
		env  map[string]topics.Secret
		tone Tone
		say  string
	}{
		{"rest:" + secure.URL + "/attic/there", login, Good, "a repository is there already"},
		{"rest:" + secure.URL + "/attic/new/", login, Good, "Nothing is there yet"},
		{"rest:" + secure.URL + "/attic/{host}", login, Good, "Nothing is there yet"},
		{"rest:" + clear.URL + "/attic/new/", login, Good, "not encrypted"},
		{"rest:" + secure.URL + "/attic/new/", bad, Refused, "does not let this login in"},
		{"rest:" + secure.URL + "/attic/new/", nil, Refused, "asks for a login"},
		{"rest:" + secure.URL + "/nas/new/", login, Refused, "not to this path"},
		{"rest:" + secure.URL + "/broken/new/", login, Doubt, "cannot"},
		{"rest:" + secure.URL + "/elsewhere/", login, Refused, "not as a REST server"},
		{"rest:" + strings.Replace(clear.URL, "http:", "https:", 1) + "/attic/", login, Refused, "does not speak TLS"},
		{"rest:" + closed.URL + "/attic/", login, Doubt, "refuses connections"},
		{"s3:" + secure.URL + "/bucket", nil, Good, "answers"},
		{"sftp://backup@" + ssh.Addr().String() + "//srv/attic", nil, Good, "speaks SSH"},
		{"sftp://backup@" + strings.TrimPrefix(closed.URL, "http://") + "//srv/attic", nil, Doubt, "refuses connections"},
		{"/mnt/disk/attic", nil, Unsure, "on each host itself"},
		{"rclone:remote:attic", nil, Unsure, "rclone is set up on each host"},
		{"b2:bucket:attic", nil, Unsure, "is tried by the first backup"},
		{"nonsense", nil, Refused, ""},
	} {
		got := Of(t.Context(), topics.Secret(c.at), c.env, roots)
		if got.Tone != c.tone || !strings.Contains(got.Say, c.say) {
			t.Errorf("%s: %+v, want %s with %q", c.at, got, c.tone, c.say)
		}
		if strings.Contains(got.Say+got.Do, "canary-0815") {
			t.Errorf("%s: the password is said: %+v", c.at, got)
		}
	}
	if got := Of(t.Context(), topics.Secret("rest:"+secure.URL+"/attic/there"), login, x509.NewCertPool()); got.Tone != Refused ||
		!strings.Contains(got.Say, "not trusted") {
		t.Errorf("an unknown authority: %+v", got)
	}
	for _, a := range asked {
		if !strings.HasPrefix(a, "HEAD ") {
			t.Errorf("more than one small thing was asked for: %s", a)
		}
	}
}
