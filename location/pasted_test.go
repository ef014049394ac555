package location

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// made is a certificate and its key, as PEM.
func made(t *testing.T, name string, until time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	is := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: until.Add(-time.Hour),
		NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, is, is, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func TestWhatIsPastedIsWhatItShallBe(t *testing.T) {
	ca, key := made(t, "the NAS", time.Now().Add(time.Hour))
	other, otherKey := made(t, "attic", time.Now().Add(time.Hour))
	locked := string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")}))
	google := func(edit func(map[string]string)) string {
		v := map[string]string{"type": "service_account", "client_email": "a@b", "private_key": key,
			"token_uri": "https://oauth2.googleapis.com/token"}
		edit(v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	same := func(map[string]string) {}
	for what, c := range map[string]struct {
		name, text string
		env        map[string]string
		says       string // "" is taken
	}{
		"a certificate":              {name: CACert, text: ca},
		"two":                        {name: CACert, text: ca + other},
		"with words before it":       {name: CACert, text: "subject=the NAS\n" + ca},
		"with the line ends of a PC": {name: CACert, text: strings.ReplaceAll(ca, "\n", "\r\n")},
		"a key":                      {name: CACert, text: key, says: "is a private key"},
		"a certificate and a key":    {name: CACert, text: ca + key, says: "is a private key"},
		"an old key":                 {name: CACert, text: strings.ReplaceAll(key, "PRIVATE", "EC PRIVATE"), says: "is a private key"},
		"half a certificate":         {name: CACert, text: ca[:len(ca)/2], says: "no whole certificate"},
		"one and a half":             {name: CACert, text: ca + other[:len(other)/2], says: "no whole certificate"},
		"a broken one": {name: CACert, text: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
			Bytes: []byte("x")})), says: "certificate 1"},
		"a request": {name: CACert, text: strings.ReplaceAll(ca, "CERTIFICATE", "CERTIFICATE REQUEST"),
			says: "certificate request"},
		"a path": {name: CACert, text: "/etc/ssl/nas.pem", says: "no whole certificate"},
		"a file, too": {name: CACert, text: ca, env: map[string]string{CACert: "/etc/ssl/nas.pem"},
			says: "names a file on the host, too"},
		"another file":        {name: CACert, text: ca, env: map[string]string{ClientCert: "/etc/ssl/me.pem"}},
		"certificate and key": {name: ClientCert, text: ca + key},
		"key and certificate": {name: ClientCert, text: key + ca},
		"no key":              {name: ClientCert, text: ca, says: "no private key"},
		"no certificate":      {name: ClientCert, text: key, says: "no certificate"},
		"the key of another":  {name: ClientCert, text: ca + otherKey, says: "not the one of the certificate"},
		"a locked key":        {name: ClientCert, text: ca + locked, says: "passphrase"},
		"a service account":   {name: GoogleKey, text: google(same)},
		"of a type that runs things": {name: GoogleKey, text: google(func(v map[string]string) { v["type"] = "external_account" }),
			says: "external_account"},
		"a token from somewhere else": {name: GoogleKey,
			text: google(func(v map[string]string) { v["token_uri"] = "https://evil/token" }), says: "token_uri"},
		"a token in clear": {name: GoogleKey,
			text: google(func(v map[string]string) { v["token_uri"] = "http://oauth2.googleapis.com/" }), says: "token_uri"},
		"without a key": {name: GoogleKey, text: google(func(v map[string]string) { delete(v, "private_key") }),
			says: "is missing"},
		"no JSON":         {name: GoogleKey, text: "secret", says: "no JSON"},
		"a program":       {name: "RESTIC_PASSWORD_COMMAND", text: ca, says: "is no file"},
		"a configuration": {name: "RCLONE_CONFIG", text: "[x]", says: "is no file"},
		"too much":        {name: CACert, text: strings.Repeat(ca, 40), says: "at most"},
	} {
		err := CheckPasted(map[string]hidden{c.name: hidden(c.text)}, map[string]hidden{CACert: hidden(c.env[CACert]),
			ClientCert: hidden(c.env[ClientCert])})
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s is refused: %v", what, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %q in it", what, err, c.says)
		}
		if err != nil && (strings.Contains(err.Error(), "MIG") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: the error tells of it: %v", what, err)
		}
	}
}

func TestACertificateIsWarnedOfBeforeItEnds(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		until time.Time
		says  string
	}{
		{now.AddDate(1, 0, 0).Add(time.Hour), "begins on"},
		{now.Add(time.Hour), "ends on 1 May 2026"},
		{now.Add(-time.Second), "ended on 1 May 2026"},
	} {
		ca, _ := made(t, "the NAS", c.until)
		all := Certificates(map[string]hidden{CACert: hidden(ca)})
		if len(all) != 1 || !strings.Contains(all[0].Ending(now), c.says) || all[0].Subject != "the NAS" || len(all[0].SHA256) != 64 {
			t.Errorf("until %v: %+v %q, want %q", c.until, all, all[0].Ending(now), c.says)
		}
	}
	d := Dated{Name: CACert, From: now.AddDate(-1, 0, 0), Until: now.AddDate(0, 0, 31)}
	if said := d.Ending(now); said != "" {
		t.Errorf("%q of one that is good for a month", said)
	}
}

func TestAPinTrustsTheCertificatesThatItHolds(t *testing.T) {
	ca, _ := made(t, "the NAS", time.Now())
	other, _ := made(t, "somebody", time.Now())
	mine := map[string]hidden{CACert: hidden(ca)}
	said := Described(hidden("rest:https://a:topsecret@nas/x"), nil, mine)
	address, env, err := ParseDescribed(said)
	if err != nil || address != "rest:https://nas/x" || strings.Contains(said, "secret") {
		t.Fatalf("%q is read as %q, %v", said, address, err)
	}
	entries := Trusting(Prints(env))
	for what, c := range map[string]struct {
		files map[string]hidden
		n     int
	}{
		"none":  {nil, 0},
		"it":    {mine, 0},
		"other": {map[string]hidden{CACert: hidden(other)}, 1},
		"both":  {map[string]hidden{CACert: hidden(other + ca)}, 1},
	} {
		if got := Strange(entries, Trust(c.files)); len(got) != c.n {
			t.Errorf("%s: %q are strange, want %d", what, got, c.n)
		}
	}
	for _, text := range []string{"rest:https://nas/ RESTIC_CACERT=/etc/x", "rest:https://nas/ RESTIC_CACERT=sha256:00",
		"rest:https://nas/ RESTIC_TLS_CLIENT_CERT=" +
			printForm + Trust(mine)[0]} {
		if _, env, err := ParseDescribed(text); err == nil {
			t.Errorf("%q is read as %v", text, env)
		}
	}
	// An agent of before reads such a pin, and takes the entry for somebody.
	if pin, open, other := Match([]string{"rest:https://nas/x"}, map[string][]string{"rest:https://nas/x": append([]string{""}, entries...)},
		hidden("rest:https://nas/x"), nil); pin == "" || open || other {
		t.Errorf("the pin does not hold its own place: %q %t %t", pin, open, other)
	}
}

func TestWhatIsBelowAPin(t *testing.T) {
	for _, c := range []struct {
		allowed, url string
		env          map[string]hidden
		holds        bool
	}{
		{"rest:https://nas:8000/", "rest:https://nas:8000/abc", nil, true},
		{"rest:https://nas:8000/", "rest:https://nas:8000/", nil, true},
		{"rest:https://nas:8000/", "rest:https://user:pw@nas:8000/a/b/", nil, true},
		{"rest:https://nas:8000/", "rest:https://nas:8001/abc", nil, false},
		{"rest:https://nas:8000/", "rest:http://nas:8000/abc", nil, false},
		{"rest:https://nas:8000/", "rest:https://nas:8000.evil/abc", nil, false},
		{"rest:https://nas:8000/ab", "rest:https://nas:8000/ab/c", nil, true},
		{"rest:https://nas:8000/ab", "rest:https://nas:8000/abc", nil, false},
		{"rest:https://nas:8000/ab", "rest:https://nas:8000/ab/../c", nil, false},
		{"rest:https://nas:8000/ab", "rest:https://nas:8000/ab/%2e%2e/c", nil, false},
		{"rest:https://nas:8000/ab", "rest:https://nas:8000/ab/..%2fc", nil, false},
		{"rest:https://nas:8000/ab", "rest:https://nas:8000/ab/c?x", nil, false},
		{"rest:https://nas:8000/ab", "rest:https://nas:8000/ab/c d", nil, true},
		{"s3:https://s3.example.com/bucket", "s3:s3.example.com/bucket/attic", nil, true},
		{"s3:https://s3.example.com/bucket", "s3:s3.example.com/bucket2/attic", nil, false},
		{"s3:https://s3.example.com/bucket", "s3:s3.example.com/bucket/../other", nil, false},
		{"sftp:nas:/srv", "sftp:anna@nas:/srv/x", nil, true},
		{"sftp:nas:/srv", "sftp:nas:/srv/../etc", nil, false},
		{"sftp:nas:/srv", "sftp:nas:/srvx", nil, false},
		{"b2:bucket:", "b2:bucket:a/b", nil, true},
		{"b2:bucket:a", "b2:bucket:ab", nil, false},
		{"b2:bucket:a", "b2:bucket:a/../b", nil, false},
		{"rclone:nas:a", `rclone:nas:a/..\b`, nil, false},
		{"azure:c:/ AZURE_ACCOUNT_NAME=ours", "azure:c:/x", map[string]hidden{"AZURE_ACCOUNT_NAME": "ours"}, true},
		{"azure:c:/ AZURE_ACCOUNT_NAME=ours", "azure:c:/x", map[string]hidden{"AZURE_ACCOUNT_NAME": "theirs"}, false},
		{"azure:c:/ AZURE_ACCOUNT_NAME=ours", "azure:c:/x", nil, false},
		{"/srv", "/srv/x", nil, true},
		{"/srv", "/srvx", nil, false},
		{"/srv", "/srv/../etc", nil, false},
	} {
		pin, _, _ := Match([]string{c.allowed}, map[string][]string{c.allowed: {"", Below}}, hidden(c.url), c.env)
		if (pin != "") != c.holds {
			t.Errorf("%s with all below holds %s: %t", c.allowed, c.url, pin != "")
		}
		exact, _ := Pin(hidden(c.url), c.env)
		if pin, _, _ := Match([]string{c.allowed}, map[string][]string{c.allowed: {""}}, hidden(c.url),
			c.env); (pin != "") != (exact == c.allowed) {
			t.Errorf("%s alone holds %s: %t", c.allowed, c.url, pin != "")
		}
	}
}

func TestTheHostStandsInUserAndPassword(t *testing.T) {
	at, env := SplitLogin(hidden("rest:https://{host}:pw-{host}@nas/x/{host}/"), map[string]hidden{CACert: "/etc/{host}.pem"})
	if at != "rest:https://nas/x/{host}/" || env[RESTUser] != Host || env[RESTPassword] != "pw-{host}" || !LoginPerHost(env) {
		t.Fatalf("the login is %q of %q", string(env[RESTUser]), string(at))
	}
	for _, name := range []string{"attic", "attic.lan", "A_b-c.9"} {
		login := ExpandLogin(env, name)
		if string(login[RESTUser]) != name || string(login[RESTPassword]) != "pw-"+name || login[CACert] != "/etc/{host}.pem" {
			t.Errorf("%s logs in as %q", name, string(login[RESTUser]))
		}
		joined, _ := JoinLogin(Expand(at, name), login)
		a, err := Parse(string(joined))
		if err != nil || a.URL().User.Username() != name || a.URL().Path != "/x/"+name+"/" || a.URL().Host != "nas" {
			t.Errorf("%s goes to %q", name, string(joined))
		}
	}
	if env[RESTUser] != Host {
		t.Error("the login itself was changed")
	}
}

func TestOptionsAreOfATable(t *testing.T) {
	for _, c := range []struct{ scheme, name, value, says string }{
		{"rest", "rest.connections", "5", ""},
		{"rest", "rest.connections", "100", ""},
		{"rest", "rest.connections", "101", "from 1 to 100"},
		{"rest", "rest.connections", "0", "from 1 to 100"},
		{"rest", "rest.connections", "05", "from 1 to 100"},
		{"rest", "rest.connections", "-1", "from 1 to 100"},
		{"rest", "rest.connections", "5,x=y", "from 1 to 100"},
		{"rest", "rest.connections", "", "from 1 to 100"},
		{"rest", "s3.connections", "5", "no option of this kind"},
		{"s3", "s3.storage-class", "STANDARD_IA", ""},
		{"s3", "s3.storage-class", "DEEP_ARCHIVE", "is one of"},
		{"s3", "s3.bucket-lookup", "path", ""},
		{"s3", "s3.list-objects-v1", "yes", "is one of true, false"},
		{"s3", "s3.region", "eu", "AWS_DEFAULT_REGION"},
		{"s3", "s3.layout", "default", "no option"},
		{"sftp", "sftp.command", "/bin/sh", "a program"},
		{"sftp", "sftp.args", "-oProxyCommand=x", "may name a program"},
		{"rclone", "rclone.program", "/bin/sh", "a program"},
		{"rclone", "rclone.args", "x", "may name a program"},
		{"rclone", "rclone.timeout", "90s", ""},
		{"rclone", "rclone.timeout", "5m", ""},
		{"rclone", "rclone.timeout", "5h", "a time from"},
		{"rclone", "rclone.timeout", "5", "a time from"},
		{"rclone", "rclone.timeout", "", "a time from"},
		{Local, "local.connections", "4", ""},
	} {
		err := CheckOptions(c.scheme, map[string]string{c.name: c.value})
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s=%q of %s: %v, want %q", c.name, c.value, c.scheme, err, c.says)
		}
	}
	for _, o := range Options {
		if o.Label == "" || o.Words == "" || len(OptionsOf(o.Scheme())) == 0 || meant[o.Name] != "" {
			t.Errorf("%s says nothing of itself", o.Name)
		}
	}
}

func TestAProfileIsOfAFileThatIsNamed(t *testing.T) {
	if err := CheckEnv(map[string]hidden{awsProfile: "backup"}); err == nil || !strings.Contains(err.Error(), awsFile) {
		t.Errorf("a profile of no file: %v", err)
	}
	if err := CheckEnv(map[string]hidden{awsProfile: "backup", awsFile: "/root/.aws/credentials"}); err != nil {
		t.Error(err)
	}
}
