package channels

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// A post office is a mail server of a test.
type postOffice struct {
	net.Listener
	tls      *tls.Config
	implicit bool // TLS from the first byte
	starttls bool // offers STARTTLS
	auth     string
	user     string              // who may sign in, with the password, as PLAIN has it
	answers  map[string][]string // to a command, or to a command and its argument: once each, the last one for ever

	mu    sync.Mutex
	mails []string
	to    [][]string
	clear []string // what was said before TLS
	asked []string
}

// startPost starts a mail server on 127.0.0.1 with a certificate of an authority that is
// trusted while the test runs.
func startPost(t *testing.T, p *postOffice) *postOffice {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der := must(x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key))
	p.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	was := trusted
	trusted = x509.NewCertPool()
	trusted.AddCert(must(x509.ParseCertificate(der)))
	t.Cleanup(func() { trusted = was })
	p.Listener = listen(t)
	go func() {
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *postOffice) fields(security string, more map[string]string) map[string]string {
	host, port, _ := net.SplitHostPort(p.Addr().String())
	values := map[string]string{"host": host, "port": port, "security": security, "from": "backups@example.net", "to": "ops@example.net"}
	for k, v := range more {
		values[k] = v
	}
	return values
}

func (p *postOffice) answer(key, usual string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if all := p.answers[key]; len(all) > 0 {
		if len(all) > 1 {
			p.answers[key] = all[1:]
		}
		return all[0]
	}
	return usual
}

func (p *postOffice) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	over := p.implicit
	if over {
		c = tls.Server(c, p.tls)
	}
	r := bufio.NewReader(c)
	say := func(text string) { _, _ = io.WriteString(c, text+"\r\n") }
	say(p.answer("greeting", "220 post.example.net ESMTP"))
	var to []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, arg, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		p.mu.Lock()
		p.asked = append(p.asked, line)
		if !over {
			p.clear = append(p.clear, line)
		}
		p.mu.Unlock()
		switch verb {
		case "EHLO":
			offer := "250-post.example.net\r\n"
			if p.starttls && !over {
				offer += "250-STARTTLS\r\n"
			}
			if p.auth != "" {
				offer += "250-AUTH " + p.auth + "\r\n"
			}
			say(p.answer(verb, offer+"250 8BITMIME"))
		case "STARTTLS":
			say("220 go ahead")
			c, over = tls.Server(c, p.tls), true
			r = bufio.NewReader(c)
		case "AUTH":
			_, given, _ := strings.Cut(arg, " ")
			b, _ := base64.StdEncoding.DecodeString(given)
			if string(b) == "\x00"+p.user {
				say("235 2.7.0 welcome")
			} else {
				say(p.answer(verb, "535 5.7.8 wrong password: "+given))
			}
		case "MAIL":
			to = nil
			say(p.answer(verb, "250 2.1.0 ok"))
		case "RCPT":
			address := strings.TrimSuffix(strings.TrimPrefix(arg, "TO:<"), ">")
			text := p.answer(verb+" "+address, "250 2.1.5 ok")
			if strings.HasPrefix(text, "250") {
				to = append(to, address)
			}
			say(text)
		case "DATA":
			say(p.answer(verb, "354 go on"))
			var b strings.Builder
			for {
				l, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(l, "."))
			}
			text := p.answer("END", "250 2.0.0 Ok: queued as 4XyZ")
			if strings.HasPrefix(text, "250") {
				p.mu.Lock()
				p.mails, p.to = append(p.mails, b.String()), append(p.to, to)
				p.mu.Unlock()
			}
			say(text)
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (p *postOffice) had() (mails []string, to [][]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.mails...), append([][]string(nil), p.to...)
}

func TestMailGoesOutWithEachEncryption(t *testing.T) {
	for security, p := range map[string]*postOffice{"none": {}, "starttls": {starttls: true}, "tls": {implicit: true}} {
		p.auth, p.user = "PLAIN LOGIN", "anna\x00canary-password"
		startPost(t, p)
		a := Send(t.Context(), "email", p.fields(security, map[string]string{"username": "anna", "password": "canary-password",
			"to": "ops@example.net\r\nAnna Ö <anna@example.net>"}), messages()["opened"])
		if !a.OK || a.Text != "250 2.0.0 Ok: queued as 4XyZ" {
			t.Errorf("%s: %+v", security, a)
			continue
		}
		mails, to := p.had()
		if len(mails) != 1 || fmt.Sprint(to) != "[[ops@example.net anna@example.net]]" {
			t.Fatalf("%s: %d mails to %v", security, len(mails), to)
		}
		m := must(mail.ReadMessage(strings.NewReader(mails[0])))
		if m.Header.Get("Message-Id") == "" || m.Header.Get("Date") == "" || !strings.Contains(m.Header.Get("From"), "<backups@example.net>") {
			t.Errorf("%s: %v", security, m.Header)
		}
		for _, l := range p.clear {
			if security != "none" && !strings.HasPrefix(l, "EHLO") && l != "STARTTLS" {
				t.Errorf("%s: in clear: %s", security, l)
			}
		}
	}
}

func TestMailWithoutItsEncryptionIsNotSent(t *testing.T) {
	p := startPost(t, &postOffice{auth: "PLAIN"}) // somebody stripped STARTTLS
	values := p.fields("starttls", map[string]string{"username": "anna", "password": "canary-password"})
	a := Send(t.Context(), "email", values, messages()["opened"])
	if a.OK || a.Hopeless || !strings.Contains(a.Text, "does not offer STARTTLS") {
		t.Errorf("%+v", a)
	}
	for _, l := range p.asked {
		if strings.HasPrefix(l, "AUTH") || strings.HasPrefix(l, "MAIL") {
			t.Errorf("said in clear: %s", l)
		}
	}
	secure := startPost(t, &postOffice{starttls: true})
	trusted = x509.NewCertPool()
	if a := Send(t.Context(), "email", secure.fields("starttls", nil), messages()["opened"]); a.OK ||
		!strings.Contains(a.Text, "does not trust") {
		t.Errorf("a certificate of nobody: %+v", a)
	}
	if a := Send(t.Context(), "email", secure.fields("tls", nil), messages()["opened"]); a.OK ||
		!strings.Contains(a.Text, "does not speak TLS") {
		t.Errorf("TLS where there is none: %+v", a)
	}
	if mails, _ := secure.had(); len(mails) > 0 {
		t.Error("it was sent")
	}
}

func TestWhatAMailServerAnswersIsShown(t *testing.T) {
	say := func(pairs ...string) map[string][]string {
		all := map[string][]string{}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = []string{pairs[i+1]}
		}
		return all
	}
	const ops = "RCPT ops@example.net"
	two := map[string]string{"to": "ops@example.net\nb@example.net"}
	for name, c := range map[string]struct {
		answers  map[string][]string
		more     map[string]string
		want     string
		ok       bool
		hopeless bool
	}{
		"busy":           {say("greeting", "421 too many \x1b[31mconnections"), nil, "421 too many connections (greeting)", false, false},
		"sender refused": {say("MAIL", "550 5.7.1 not you"), nil, "550 5.7.1 not you (sender)", false, true},
		"nobody there":   {say(ops, "550 5.1.1 no such user"), nil, "550 5.1.1 no such user (recipient ops@example.net)", false, true},
		"greylisted":     {say(ops, "451 4.7.1 try later"), nil, "451 4.7.1 try later (recipient ops@example.net)", false, false},
		"too large":      {say("END", "552 5.3.4 too large"), nil, "552 5.3.4 too large (message)", false, true},
		"full":           {say("END", "452 4.3.1 no space"), nil, "452 4.3.1 no space (message)", false, false},
		"not signed in": {nil, map[string]string{"username": "anna", "password": "wrong canary"},
			"535 5.7.8 wrong password: [redacted] (signing in)", false, true},
		"one of two": {say(ops, "550 gone"), two, "It reached 1 of 2: 250 2.0.0 Ok: queued as 4XyZ; and not ops@example.net: 550 gone",
			true, false},
		"none of two": {say(ops, "550 gone", "RCPT b@example.net", "451 later"), two,
			"ops@example.net: 550 gone · b@example.net: 451 later", false, false},
		"several lines": {say("MAIL", "554-5.7.1 no\r\n554 5.7.1 really"), nil, `554 5.7.1 no\n5.7.1 really (sender)`, false, true},
		"signed in":     {nil, map[string]string{"username": "anna", "password": "p", "host": "localhost"}, "", true, false},
	} {
		p := startPost(t, &postOffice{auth: "PLAIN", user: "anna\x00p", answers: c.answers})
		a := Send(t.Context(), "email", p.fields("none", c.more), messages()["opened"])
		if a.OK != c.ok || a.Hopeless != c.hopeless || c.want != "" && a.Text != c.want || strings.Contains(a.Text, "canary") {
			t.Errorf("%s: %+v, want %q", name, a, c.want)
		}
	}
}

func TestAMailServerThatHangsOrTalksHoldsNobody(t *testing.T) {
	silent, talks, drips := listen(t), listen(t), listen(t)
	go accept(silent, func(net.Conn) {})
	go accept(talks, func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, "220-"+strings.Repeat("x", 1000)+"\r\n"); err != nil {
				return
			}
		}
	})
	go accept(drips, func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, "2"); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	for _, l := range []net.Listener{silent, talks, drips} {
		for _, security := range []string{"none", "starttls", "tls"} {
			p := &postOffice{Listener: l}
			if a := Send(impatient(t), "email", p.fields(security, nil), messages()["opened"]); a.OK || a.Text == "" || a.Hopeless {
				t.Errorf("%s: %+v", security, a)
			}
		}
	}
	closed := listen(t)
	go func() {
		for {
			c, err := closed.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	p := &postOffice{Listener: closed}
	if a := Send(t.Context(), "email", p.fields("none", nil), messages()["opened"]); a.OK ||
		!strings.Contains(a.Text, "ended the connection") {
		t.Errorf("%+v", a)
	}
}

// A mail of a storm of alerts arrives as it was meant, lines that begin with a dot too.
func TestMailArrivesWhole(t *testing.T) {
	p := startPost(t, &postOffice{})
	m := messages()["opened"]
	m.Alerts[0].Cause = ".\r\n.. a dot\n.begins " + strings.Repeat("long ", 500)
	if a := Send(t.Context(), "email", p.fields("none", nil), m); !a.OK {
		t.Fatalf("%+v", a)
	}
	mails, _ := p.had()
	_, text, html := openedMail(t, []byte(mails[0]))
	if want := ".\r\n.. a dot\r\n.begins long long"; !strings.Contains(text, want) || !strings.Contains(html, ".. a dot") {
		t.Errorf("the text is %q", text)
	}
}

// A name with letters beyond ASCII is asked for as DNS has it, and the server's certificate as well.
func TestAMailServersNameMayHaveAnyLetters(t *testing.T) {
	for typed, want := range map[string]string{"post.bücher.example": "post.xn--bcher-kva.example", "BÜCHER.example": "xn--bcher-kva.example",
		"smtp.example.net": "smtp.example.net", "127.0.0.1": "127.0.0.1", "::1": "::1", "fe80::1%eth0": "fe80::1%eth0", "nas_2": "nas_2"} {
		if got := asciiHost(typed); got != want {
			t.Errorf("%s is %s, want %s", typed, got, want)
		}
	}
	a := Send(t.Context(), "email", map[string]string{"host": "post.bücher.invalid", "security": "none", "from": "a@example.net",
		"to": "b@example.net"}, messages()["opened"])
	if a.OK || !strings.Contains(a.Text, "xn--bcher-kva.invalid") {
		t.Errorf("it is %+v", a)
	}
}

func TestAddressesMayStandInOneLine(t *testing.T) {
	values := map[string]string{"host": "smtp.example.net", "from": "backups@example.net",
		"to": "ops@example.net, \"Doe, Anna\" <anna@example.net>\nbob@example.net"}
	if err := Check("email", values); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range mailOf(t.Context(), whole("email", values), messages()["opened"], theMoment).to {
		got = append(got, a.Address)
	}
	if strings.Join(got, " ") != "ops@example.net anna@example.net bob@example.net" {
		t.Errorf("it goes to %q", got)
	}
	for _, bad := range []string{"ops@example.net; anna@example.net", "ops@example.net anna@example.net",
		strings.Repeat("a@example.net,", 50) + "a@example.net"} {
		values["to"] = bad
		if Check("email", values) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
