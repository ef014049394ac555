package channels

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
	"golang.org/x/net/idna"

	"github.com/restic-manager/restic-manager/words"
)

// maxSaid is how many bytes a mail server may say in one conversation.
const maxSaid = 256 << 10

// trusted are the authorities whose certificates a mail server may have, nil for those of
// this machine.
var trusted *x509.CertPool

// ports by the encryption.
var ports = map[string]string{"starttls": "587", "tls": "465", "none": "25"}

func mailPort(f fields) string {
	if port := f.get("port"); port != "" {
		return port
	}
	return ports[f.get("security")]
}

func checkMail(f fields, wrong said) {
	if host := f.get("host"); !rightHost(host) {
		text := "The mail server is a name or an address, as smtp.example.net."
		if strings.Contains(host, ":") {
			text += " Its port is a field of its own."
		}
		wrong.Say("host", text)
	}
	if n, err := strconv.Atoi(mailPort(f)); err != nil || n < 1 || n > 65535 {
		wrong.Say("port", "A port is a number from 1 to 65535.")
	}
	if _, err := mail.ParseAddress(f.get("from")); err != nil {
		wrong.Say("from", "This is no mail address. It looks like backups@example.net or Backups <backups@example.net>.")
	}
	n := 0
	for _, to := range f.list("to") {
		all, err := mail.ParseAddressList(to)
		if err != nil {
			wrong.Say("to", words.Visible(words.Cut(to, 60))+" is no mail address. Write one a line, or with commas between them.")
		}
		n += len(all)
	}
	if n > 50 {
		wrong.Say("to", "A channel has at most 50 addresses. Use a mailing list.")
	}
	if f.get("password") != "" && f.get("username") == "" {
		wrong.Say("username", "A password needs its user name.")
	}
}

// A quietConn is a connection on which the other side says no more than so much.
type quietConn struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (c *quietConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTalks
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

var (
	errTalks   = errors.New("the server said too much")
	errNoTLS   = errors.New("no STARTTLS")
	errInClear = errors.New("no mechanism without the password in clear")
	errNoAuth  = errors.New("no authentication")
)

// sendMail hands a message to a mail server, for all who are to have it.
func sendMail(ctx context.Context, f fields, m Message) Answer {
	stage := "connecting"
	a, err := handOver(ctx, f, m, &stage)
	if err == nil {
		return a
	}
	var said *textproto.Error
	switch {
	case errors.As(err, &said):
		text := strings.TrimSpace(strconv.Itoa(said.Code) + " " + f.shown([]byte(said.Msg), false))
		return Answer{Text: text + " (" + stage + ")", Hopeless: said.Code >= 500}
	case errors.Is(err, errNoTLS):
		return Answer{Text: "The server does not offer STARTTLS, so nothing was sent: it would have gone in clear. If it never does, " +
			"choose TLS with port 465."}
	case errors.Is(err, errInClear):
		return Answer{Text: "The password would have gone in clear, so nothing was sent. Choose STARTTLS or TLS.", Hopeless: true}
	case errors.Is(err, errNoAuth):
		return Answer{Text: "The server takes no user name and password here. Leave them empty, or choose another port.", Hopeless: true}
	case errors.Is(err, errTalks):
		return Answer{Text: "The server says more than a mail server would."}
	}
	return Answer{Text: why(ctx, err) + " (" + stage + ")"}
}

// handOver speaks with the mail server; stage says how far it came.
func handOver(ctx context.Context, f fields, m Message, stage *string) (Answer, error) {
	host := asciiHost(f.get("host"))
	socket, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, mailPort(f)))
	if err != nil {
		return Answer{}, err
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	if deadline, ok := ctx.Deadline(); ok {
		_ = socket.SetDeadline(deadline)
	}
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: trusted}
	var conn net.Conn = &quietConn{socket, maxSaid}
	if f.get("security") == "tls" {
		*stage = "TLS"
		over := tls.Client(conn, config)
		if err := over.HandshakeContext(ctx); err != nil {
			return Answer{}, err
		}
		conn = over
	}
	*stage = "greeting"
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return Answer{}, err
	}
	if err := c.Hello(ownName()); err != nil {
		return Answer{}, err
	}
	if f.get("security") == "starttls" {
		*stage = "STARTTLS"
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return Answer{}, errNoTLS
		}
		if err := c.StartTLS(config); err != nil {
			return Answer{}, err
		}
	}
	if f.get("username") != "" {
		*stage = "signing in"
		auth, err := authOf(c, f)
		if err == nil {
			err = c.Auth(auth)
		}
		if err != nil {
			return Answer{}, err
		}
	}
	return post(c, f, sameMessage(f, m), func(s string) { *stage = s }, mailOf(ctx, f, m, time.Now()))
}

// post gives the server the message, which is known by a key. Who is refused keeps no other
// from having it; those who may be taken later are tried again, alone.
func post(c *smtp.Client, f fields, key string, at func(string), letter *letter) (Answer, error) {
	at("sender")
	if err := c.Mail(inBrackets(letter.from)); err != nil {
		return Answer{}, err
	}
	before := reachedBefore(key)
	var refused, reached []string
	var last error
	later, fresh := false, 0
	for _, to := range letter.to {
		if before.who[to.Address] {
			reached = append(reached, to.Address)
			continue
		}
		at("recipient " + words.Visible(to.Address))
		if err := c.Rcpt(inBrackets(to)); err != nil {
			var said *textproto.Error
			if !errors.As(err, &said) {
				return Answer{}, err
			}
			refused = append(refused, fmt.Sprintf("%s: %d %s", words.Visible(to.Address), said.Code, f.shown([]byte(said.Msg), false)))
			if last == nil || said.Code < 500 { // what may be better later counts
				last = err
			}
			later = later || said.Code < 500
			continue
		}
		reached = append(reached, to.Address)
		fresh++
	}
	if fresh == 0 && len(reached) > 0 { // none of those who were still to have it
		_ = c.Reset()
		again := reachedNow(key, before, reached, later)
		return Answer{OK: !again, Text: partly(letter, reached, refused, "")}, nil
	}
	if len(refused) == len(letter.to) {
		if len(refused) == 1 {
			return Answer{}, last
		}
		_ = c.Reset()
		return Answer{Text: cutBytes(strings.Join(refused, " · "), 4*shownAnswer), Hopeless: last.(*textproto.Error).Code >= 500}, nil
	}
	at("message")
	w, err := c.Data()
	if err != nil {
		return Answer{}, err
	}
	if _, err := letter.msg.WriteTo(w); err != nil {
		return Answer{}, err
	}
	if err := w.Close(); err != nil {
		return Answer{}, err
	}
	a := Answer{OK: true, Text: "250"}
	if d, ok := w.(*smtp.DataCloser); ok {
		a.Text = strings.TrimSpace("250 " + f.shown([]byte(d.ServerResponse()), false))
	}
	again := reachedNow(key, before, reached, later)
	if len(refused) > 0 || len(before.who) > 0 {
		a.OK, a.Text = !again, partly(letter, reached, refused, a.Text)
	}
	_ = c.Quit() // it has the message
	return a, nil
}

// partly says whom a message reached, and whom not.
func partly(l *letter, reached, refused []string, answer string) string {
	if answer != "" {
		answer = ": " + answer
	}
	text := fmt.Sprintf("It reached %d of %d%s", len(reached), len(l.to), answer)
	if len(refused) > 0 {
		text += "; and not " + strings.Join(refused, " · ")
	}
	return cutBytes(text, 4*shownAnswer)
}

// asciiHost is a server's name as DNS and certificates have it.
func asciiHost(host string) string {
	if name, err := idna.Lookup.ToASCII(host); err == nil {
		return name
	}
	return host // an address, or a name of a house's own network
}

// inBrackets is an address as SMTP has it, without the name.
func inBrackets(a *mail.Address) string { return (&mail.Address{Address: a.Address}).String() }

// authOf is how to sign in: the best that both sides can.
func authOf(c *smtp.Client, f fields) (smtp.Auth, error) {
	ok, offered := c.Extension("AUTH")
	if !ok {
		return nil, errNoAuth
	}
	name, password, host := f.get("username"), f.get("password"), asciiHost(f.get("host"))
	_, encrypted := c.TLSConnectionState()
	local := host == "localhost"
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		local = true
	}
	has := map[string]bool{}
	for _, one := range strings.Fields(strings.ToUpper(offered)) {
		has[one] = true
	}
	switch {
	case has["SCRAM-SHA-256"]:
		return smtp.ScramSHA256Auth(name, password), nil
	case has["CRAM-MD5"] && !encrypted:
		return smtp.CRAMMD5Auth(name, password), nil
	case !encrypted && !local:
		return nil, errInClear
	case has["PLAIN"]:
		return smtp.PlainAuth("", name, password, host, true), nil
	case has["LOGIN"]:
		return smtp.LoginAuth(name, password, host, true), nil
	case has["CRAM-MD5"]:
		return smtp.CRAMMD5Auth(name, password), nil
	}
	return nil, errNoAuth
}

// ownName is what this machine calls itself to a mail server.
func ownName() string {
	name, err := os.Hostname()
	if err != nil || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
		return "localhost"
	}
	return name
}
