package restic

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/agent/process"
	"github.com/restic-manager/restic-manager/location"
	"github.com/restic-manager/restic-manager/topics"
)

// What is where a repository is to be is found out in three steps. We knock, which tells the
// certificate and whether anybody is there. Where we can, we look ourselves: restic tries for
// minutes again what a server refuses, and cannot tell an empty folder from none. Then
// restic opens the repository, if there may be one, without a lock. Whether the credential
// may delete is asked by deleting an object of a name that nothing can have.

// examineSpare is how long before its time is over an examination ends restic, so that there
// is time to say so.
const examineSpare = 700 * time.Millisecond

// Examine finds out what is where a repository is to be, before ctx ends. Nothing is written
// there, and nothing that is there is removed. A repository without a password is looked for,
// and not opened.
func (b Binary) Examine(ctx context.Context, place Place, r Repository) topics.Finding {
	at, err := location.ParseHere(r.URL.Reveal())
	if err == nil {
		err = location.CheckEnv(r.Env)
	}
	if err == nil {
		err = location.CheckPasted(r.Files, r.Env)
	}
	if err != nil {
		return other(topics.CauseUsage, "%v", err)
	}
	until, limited := ctx.Deadline()
	if !limited {
		until = time.Now().Add(time.Minute)
	}
	ctx, cancel := context.WithDeadline(ctx, until.Add(-examineSpare))
	defer cancel()
	x := examination{b: b, r: r, at: at, nothing: topics.Finding{State: topics.FindingMissing,
		Message: "There is no repository. Whether anything else is there cannot be told at this kind of storage."}}
	if !x.knock(ctx) {
		return x.found
	}
	switch at.Scheme() {
	case location.Local:
		x.folder(at.Path())
	case "rest":
		x.rest(ctx)
	case "s3":
		x.s3(ctx)
	case "rclone":
		x.rclone(ctx, place)
	}
	if x.found.State == "" {
		x.open(ctx, place)
	}
	if ctx.Err() != nil && x.found.State == topics.FindingOther && x.found.Cause == topics.CauseCancelled {
		x.found.Cause, x.found.Message = topics.CauseUnreachable, "There was no answer in time."
	}
	x.found.Message = cut(clean(x.found.Message), maxMessage)
	return x.found
}

func other(cause topics.Cause, format string, args ...any) topics.Finding {
	return topics.Finding{State: topics.FindingOther, Cause: cause, Message: fmt.Sprintf(format, args...)}
}

// An examination is what is known so far. It is over once found has a state.
type examination struct {
	b       Binary
	r       Repository
	at      location.Address
	found   topics.Finding
	nothing topics.Finding // state and message, if restic finds no repository
}

// ends notes how it ended, and keeps what was noted besides.
func (x *examination) ends(f topics.Finding) {
	x.found.State, x.found.Cause, x.found.Message = f.State, f.Cause, f.Message
}

// knock finds out whether somebody is there, and what certificate they show. It returns
// false if that is the end of it.
func (x *examination) knock(ctx context.Context) bool {
	address := x.r.endpoint()
	if address == "" { // a folder, a program, or ssh
		if e := x.b.Reach(ctx, x.r, mute{}); e.State != topics.Succeeded {
			x.ends(other(e.Cause, "%s", e.Message))
			x.found.HostKeys = e.HostKeys
			x.found.Reached = x.at.Scheme() == "sftp" && e.Cause != topics.CauseUnreachable && e.Cause != topics.CauseUsage
			return false
		}
		x.found.Reached = x.at.Scheme() == "sftp"
		return true
	}
	client := x.r.client()
	if client == nil {
		x.ends(other(topics.CauseUsage, "The certificates that are named for this repository cannot be read on the host."))
		return false
	}
	defer client.CloseIdleConnections()
	if c := x.certificate(ctx, address, client); c != nil {
		x.found.Certificate, x.found.Reached = c, true
		if !c.Trusted {
			x.ends(other(topics.CauseCertificate, "The server's certificate is not trusted: %s", c.Why))
			return false
		}
	}
	cause, err := knock(ctx, client, address)
	switch {
	case err != nil:
		x.ends(other(cause, "%s", err.Error()))
	case ctx.Err() != nil:
		x.ends(other(topics.CauseUnreachable, "The server takes the connection, and does not answer in time."))
	}
	x.found.Reached = x.found.Reached || err == nil
	return x.found.State == ""
}

// certificate returns what a server shows, nil if it shows none or is not there. The request
// for it carries no credential, since nothing is known yet of who answers it.
func (x *examination) certificate(ctx context.Context, address string, client *http.Client) *topics.Certificate {
	u, err := url.Parse(address)
	transport, is := client.Transport.(*http.Transport)
	if err != nil || !is || u.Scheme != "https" {
		return nil
	}
	var chain []*x509.Certificate
	curious := transport.Clone()
	trusted := curious.TLSClientConfig.RootCAs
	curious.TLSClientConfig.InsecureSkipVerify = true //nolint:gosec // it is looked at below, and nothing secret is sent
	curious.TLSClientConfig.VerifyConnection = func(s tls.ConnectionState) error {
		if s.ServerName == u.Hostname() || s.ServerName == "" { // and not a proxy's
			chain = s.PeerCertificates
		}
		return nil
	}
	defer curious.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.Scheme+"://"+u.Host+"/", nil)
	if err != nil {
		return nil
	}
	if answer, err := (&http.Client{Transport: curious, CheckRedirect: client.CheckRedirect}).Do(req); err == nil {
		_ = answer.Body.Close()
	}
	if len(chain) == 0 {
		return nil
	}
	return certificateOf(chain, u.Hostname(), trusted)
}

// certificateOf judges a chain that a server shows. roots are nil for those of the system.
func certificateOf(chain []*x509.Certificate, host string, roots *x509.CertPool) *topics.Certificate {
	leaf := chain[0]
	c := &topics.Certificate{Subject: named(leaf.Subject.CommonName, leaf.DNSNames, leaf.Subject.String()),
		Issuer: named(leaf.Issuer.CommonName, leaf.Issuer.Organization, leaf.Issuer.String()), NotAfter: leaf.NotAfter.UnixMilli(),
		SHA256: printOf(leaf)}
	between := x509.NewCertPool()
	for _, other := range chain[1:] {
		between.AddCert(other)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between})
	if c.Trusted = err == nil; c.Trusted {
		return c
	}
	c.Why = cut(clean(err.Error()), maxMessage)
	if !errors.As(err, &x509.UnknownAuthorityError{}) {
		return c // nobody's trust would help
	}
	top := chain[len(chain)-1] // the authority, if the server shows it
	for _, with := range []*x509.Certificate{top, leaf} {
		pool := x509.NewCertPool()
		pool.AddCert(with)
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool, Intermediates: between}); err == nil {
			text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: with.Raw})
			if len(text) <= topics.MaxPEM {
				c.PEM, c.PEMSHA256 = string(text), printOf(with)
			}
			return c
		}
	}
	return c
}

func printOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// named is the first name of somebody that a certificate has.
func named(common string, others []string, whole string) string {
	if len(others) > 0 {
		common = cmp.Or(common, others[0])
	}
	return cut(clean(cmp.Or(common, whole)), 200)
}

// folder looks into a folder of the host.
func (x *examination) folder(path string) {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.ends(topics.Finding{State: topics.FindingMissing, Message: "There is no such folder on the host. restic makes it together with the " +
			"repository."})
	case err != nil && causeOf(err) == topics.CausePermission:
		x.ends(other(topics.CausePermission, "The agent may not look into this folder: %v", err))
	case err != nil:
		x.ends(other(causeOf(err), "This is no folder that can be looked into: %v", err))
	case len(entries) == 0:
		x.ends(topics.Finding{State: topics.FindingEmpty, Message: "The folder is there, and nothing is in it."})
	case !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "config" }):
		x.ends(noRepository(filepath.Join(path, entries[0].Name())))
	}
	x.found.Reached, x.found.Entered = true, x.found.Cause != topics.CausePermission
}

// noRepository is said of data that is no repository. name is some of it.
func noRepository(name string) topics.Finding {
	return other(topics.CauseNoRepository, "There is other data, for one %.200q, and no repository.", name)
}

// nobody is a name that no object of a repository has: the hash of nothing that anybody saved.
func nobody() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// rest looks at a REST server.
func (x *examination) rest(ctx context.Context) {
	s, is := x.r.storage().(server)
	if !is {
		return // a socket, or the login cannot be read: restic says what is wrong
	}
	_, code, err := s.ask(ctx, http.MethodHead, "config")
	if err != nil {
		x.ends(other(topics.CauseUnreachable, "%s", unanswered(ctx, err)))
		return
	}
	switch {
	case code == http.StatusOK, code == http.StatusNotFound:
	case code == http.StatusUnauthorized && s.base.User == nil:
		x.ends(other(topics.CauseCredentials, "The server asks for a user and a password, and there are none."))
		return
	case code == http.StatusUnauthorized:
		x.ends(other(topics.CauseCredentials, "The server does not let this user and password in. With private repositories, the path begins "+
			"with the user's name."))
		return
	case code == http.StatusForbidden:
		x.ends(other(topics.CauseCredentials, "The server lets this user in, and not to this path. With private repositories, it begins with "+
			"the user's name."))
		return
	case code >= 500:
		x.ends(other(topics.CauseUnreachable, "The server answers that it cannot: %d %s.", code, http.StatusText(code)))
		return
	case code == http.StatusBadRequest:
		if b, _, err := s.ask(ctx, http.MethodGet, "config"); err == nil && wantsTLS(b) {
			x.ends(withoutTLS)
			return
		}
		fallthrough
	default:
		x.ends(other(topics.CauseUnknown, "Somebody answers, and not as a REST server for restic does: %d %s. Look at address and path.", code,
			http.StatusText(code)))
		return
	}
	if b, _, err := s.ask(ctx, http.MethodGet, keysFolder+"/"); code == http.StatusOK && err == nil && isPage(b) {
		x.ends(other(topics.CauseUnreachable, "A web page answers, and not a REST server for restic: a proxy in front of it may want a login. "+
			"Look at "+
			"address and path."))
		return
	}
	x.found.Entered = true
	x.mayDeleteAtServer(ctx, s)
	if code == http.StatusOK {
		return
	}
	for _, name := range []string{keysFolder, "snapshots"} {
		found, err := s.files(ctx, name)
		switch {
		case errors.Is(err, errUnseen):
			return
		case err != nil:
			x.ends(other(topics.CauseUnreachable, "%s", unanswered(ctx, err)))
			return
		case len(found) > 0:
			x.ends(other(topics.CauseDamaged, "There is data of a repository, and no config file: %s is not empty.", name))
			return
		case found == nil:
			x.ends(topics.Finding{State: topics.FindingMissing, Message: "Nothing is at this path. The server makes it together with the " +
				"repository."})
			return
		}
	}
	x.ends(topics.Finding{State: topics.FindingEmpty, Message: "The path is there, and nothing is in it."})
}

// withoutTLS is said of a server that wants TLS and is asked without.
var withoutTLS = other(topics.CauseUnreachable, "The server speaks TLS at this address: the URL begins with https:// then, not http://.")

// wantsTLS reports whether a refusal is that of Go's servers, nginx or Apache to who speaks
// plain HTTP where they speak TLS.
func wantsTLS(refusal []byte) bool {
	said := strings.ToLower(string(refusal))
	return strings.Contains(said, "https server") || strings.Contains(said, "https port") || strings.Contains(said, "ssl-enabled server port")
}

// isPage reports whether an answer is made for people: a login, or some other site.
func isPage(answer []byte) bool {
	return strings.HasPrefix(http.DetectContentType(answer), "text/html")
}

// mayDeleteAtServer asks a REST server to delete what is not there: one that lets nothing be
// deleted refuses that before it looks.
func (x *examination) mayDeleteAtServer(ctx context.Context, s server) {
	if _, code, err := s.ask(ctx, http.MethodDelete, "data/"+nobody()); err == nil {
		switch {
		case code == http.StatusForbidden || code == http.StatusMethodNotAllowed:
			x.found.MayDelete = new(false)
		case code/100 == 2 || code == http.StatusNotFound:
			x.found.MayDelete = new(true)
		}
	}
}

// unanswered says why a request has no answer.
func unanswered(ctx context.Context, err error) string {
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) {
		return "The server takes the connection, and does not answer in time."
	}
	return "The server does not answer: " + err.Error()
}

// rclone asks rclone what is there, as restic would have it do.
func (x *examination) rclone(ctx context.Context, place Place) {
	path, err := exec.LookPath("rclone")
	if err != nil {
		x.ends(other(topics.CauseUsage, "There is no program rclone on the host, or the agent does not find it: %v", err))
		return
	}
	env := append(process.Inherited(), process.Mark(place.Job))
	for _, name := range []string{"RCLONE_CONFIG", "RCLONE_CONFIG_PASS"} {
		if value := x.r.Env[name].Reveal(); value != "" {
			env = append(env, name+"="+value)
		}
	}
	redactor := newRedactor([]string{x.r.Env["RCLONE_CONFIG_PASS"].Reveal()})
	var said, wrong bounded
	e := process.Run(ctx, process.Spec{Path: path, Args: []string{"lsf", "--max-depth", "1", "--retries", "1", "--low-level-retries", "1",
		"--", x.at.Rest()}, Env: env, Dir: filepath.Dir(path), Stdout: &said, Stderr: &wrong, CancelGrace: 100 * time.Millisecond,
		PipeGrace: 100 * time.Millisecond})
	names := slices.DeleteFunc(strings.Split(said.String(), "\n"), func(name string) bool { return name == "" })
	switch {
	case ctx.Err() != nil:
		x.ends(other(topics.CauseUnreachable, "rclone has not answered in time."))
	case e.Err != nil:
		x.ends(other(topics.CauseUsage, "rclone cannot be started: %v", e.Err))
	case e.Code == 3: // documented: directory not found
		x.ends(topics.Finding{State: topics.FindingMissing, Message: "There is no such folder at the remote. It is made together with the " +
			"repository."})
	case e.Code != 0:
		line := lastLine(redactor.redact(wrong.String()))
		cause := classify(line, bounds{repository: []string{x.at.Rest()}})
		x.ends(other(cause, "rclone says: %s", line))
		return
	case len(names) == 0:
		x.ends(topics.Finding{State: topics.FindingEmpty, Message: "Nothing is there."})
	case said.Len() < said.most() && !slices.Contains(names, "config"):
		x.ends(noRepository(names[0]))
	}
	x.found.Reached, x.found.Entered = x.found.Cause != topics.CauseUnreachable, x.found.Cause != topics.CauseUnreachable
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return clean(lines[len(lines)-1])
}

// snapshotCount counts the snapshots of a repository, without a lock.
type snapshotCount struct {
	silent
	n int
}

func (*snapshotCount) args(Version, string) ([]string, error) {
	return []string{"list", "snapshots", "--no-lock"}, nil
}
func (*snapshotCount) words() string { return "list snapshots" }

func (s *snapshotCount) read(_ *output, line []byte) bool {
	if !wholeLine.Match(line) {
		return false
	}
	s.n++
	return true
}

// count counts the snapshots of a repository that opens, if that is quick: whoever waits for
// the answer has no use for the number without the rest.
func (x *examination) count(ctx context.Context, place Place, r Repository) {
	const most = 4 * time.Second
	if until, limited := ctx.Deadline(); limited && time.Until(until) < 2*most {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if n := (&snapshotCount{}); x.b.run(ctx, place, r, n, mute{}).State == topics.Succeeded {
		x.found.Snapshots = &n.n
	}
}

// open has restic open what may be there.
func (x *examination) open(ctx context.Context, place Place) {
	r, guessed := x.r, x.r.Password == ""
	if guessed {
		r.Password = topics.Secret(nobody())
	}
	e := x.b.Exists(ctx, place, r, mute{})
	switch {
	case e.State == topics.Succeeded:
		x.found.Reached, x.found.Entered = true, true
		x.ends(topics.Finding{State: topics.FindingOurs, Message: "A repository is there, and the password opens it."})
		x.count(ctx, place, r)
	case e.Cause == topics.CausePassword:
		x.found.Reached, x.found.Entered = true, true
		x.ends(other(e.Cause, "A repository is there, and the password does not open it."))
		if guessed {
			x.found.Message = "A repository is there. Type its password to see whether it opens."
		}
	case e.Cause == topics.CauseNoRepository:
		x.found.Reached = true
		x.ends(x.nothing)
	case strings.Contains(e.Message, "no credentials found"):
		x.ends(other(e.Cause, "No access key is given, and the host has none of its own: no profile, no shared file, no instance role."))
	default:
		x.ends(other(e.Cause, "%s", e.Message))
	}
}
