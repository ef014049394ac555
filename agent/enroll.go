package agent

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/restic-manager/restic-manager/agent/restic"
	"github.com/restic-manager/restic-manager/agent/spool"
	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

var (
	// ErrEnrolled says that a state directory already holds an identity.
	ErrEnrolled = errors.New("this host is already enrolled")
	// ErrPolicy says that the host's administrator has decided otherwise already.
	ErrPolicy = errors.New("this host has a policy already, and it is not the one asked for")
	// ErrOtherPlane says that whoever answered is not the control plane that made the token.
	ErrOtherPlane = errors.New("this is not the control plane that made the token")
	// ErrUnreachable says that nobody answered.
	ErrUnreachable = errors.New("the control plane cannot be reached")
)

// A Rejection is the control plane's no, in its own words.
type Rejection struct{ topics.Problem }

func (r *Rejection) Error() string {
	if r.Detail != "" {
		return r.Detail
	}
	return fmt.Sprintf("the control plane answered %d %s", r.Status, r.Title)
}

// An Enrolment is a host asking for its identity. Nothing is trusted but the CA
// whose fingerprint the token carries.
type Enrolment struct {
	Server string // HOST:PORT
	Token  string
	State  string // directory, made if need be
	Policy Policy // as Preset or its own words; an empty one is the narrowest
	// Again allows an identity to be there already: it is replaced, with a token
	// made for this very host. The policy that is there stays, and so does the
	// journal, out of the way, because nothing opens it any more. No agent may run
	// on it.
	Again bool
}

// Enroll enrols a host under a preset.
func Enroll(ctx context.Context, server, token, state, preset string) (*Identity, error) {
	absolute, err := filepath.Abs(state)
	if err != nil {
		return nil, err
	}
	policy, err := Preset(preset, absolute)
	if err != nil {
		return nil, err
	}
	return Enrolment{Server: server, Token: token, State: state, Policy: policy}.Run(ctx)
}

// Run makes this host's keys, has the server give it an identity for the token,
// and writes it and the policy into the state directory. The error says what to do.
func (e Enrolment) Run(ctx context.Context) (*Identity, error) {
	state, err := filepath.Abs(e.State) // the policy holds paths below it
	if err != nil {
		return nil, fmt.Errorf("find the state directory: %w", err)
	}
	server, token, granted, again := e.Server, e.Token, e.Policy, e.Again
	if granted.Name == "" {
		if granted, err = Preset(PolicyBackup, state); err != nil {
			return nil, err
		}
	}
	pass, err := topics.ParseEnrollToken(token)
	if err != nil {
		return nil, err
	}
	if host, port, err := net.SplitHostPort(server); err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("%.200q is no address: give HOST:PORT, as in backup.example.org:8883", server)
	}
	if again { // others could read what is there, perhaps; its policy stays, so it has to be ours
		if err = planted(state); err == nil {
			err = private.MakeDir(state)
			private.Dir(state, kept()...)
		}
	} else {
		_, err = private.Claim(state) // before anything is in it
	}
	if err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	retire, release, err := makeRoom(state, again)
	if err != nil {
		return nil, err
	}
	defer release()
	forgo, err := granted.settle(state, again) // first: a directory that cannot be written must not cost the token
	if err != nil {
		return nil, err
	}
	enrolled := false
	defer func() {
		if !enrolled {
			forgo()
		}
	}()

	csr, private, public, err := newTLSKey()
	if err != nil {
		return nil, err
	}
	sealKey, err := seal.NewKey()
	if err != nil {
		return nil, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("this host's name: %w", err)
	}
	version := ""
	if binary, err := restic.Probe(ctx, ""); err == nil { // enrolling goes without
		version = binary.Version.String()
	}
	answer, err := post[topics.EnrollResponse](ctx, server, topics.EnrollPath, &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: topics.ServerName, NextProtos: []string{topics.ALPNHTTP},
		InsecureSkipVerify: true, // the pinned CA is only in the chain that comes; VerifyConnection checks all of it
		VerifyConnection:   func(c tls.ConnectionState) error { return verify(c.PeerCertificates, pass.CA) },
	}, topics.EnrollRequest{
		Key: pass.Key, CSR: csr, SealKey: sealKey.Public(), Facts: hostFacts(hostname, version, granted, state), Protocol: topics.Protocol,
	})
	if err != nil {
		return nil, err
	}
	identity := &Identity{
		Host: answer.Host, Name: answer.Name, Hostname: hostname, Server: server,
		Certificate: answer.Certificate, CA: answer.CA, TLSKey: private, SealKey: sealKey.Bytes(), PlaneKey: answer.SealKey,
	}
	if err := identity.check(pass.CA, public); err != nil {
		return nil, fmt.Errorf("the control plane's answer cannot be used: %w", err)
	}
	if err := retire(); err != nil {
		return nil, err
	}
	if err := granted.unpin(state, answer.Host); err != nil {
		return nil, err
	}
	if _, err := mark(state); err != nil { // before there are keys
		return nil, err
	}
	if err := identity.save(state); err != nil {
		return nil, err
	}
	identity.Held = answer.Held
	enrolled = true
	return identity, nil
}

// settle sees to it that the host has a policy before it has a control plane, and
// makes p that one. One that is there was somebody's decision, with the repositories
// it was pinned to: it is kept, and another is not put in its place. What forgo
// takes back is only what was written here.
func (p *Policy) settle(state string, keep bool) (forgo func(), err error) {
	path := filepath.Join(state, policyFile)
	switch _, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
		return func() {
			if _, err := os.Lstat(filepath.Join(state, identityFile)); errors.Is(err, os.ErrNotExist) { // nobody else enrolled here meanwhile
				_ = os.Remove(path)
			}
		}, p.Save(state)
	case err != nil:
		return nil, fmt.Errorf("look for the host's policy: %w", err)
	}
	there, err := LoadPolicy(state)
	if err != nil {
		return nil, err
	}
	if !keep && !bytes.Equal(topics.Encode(there), topics.Encode(*p)) {
		return nil, fmt.Errorf("%w: %s; to keep it, enrol with --again (restic-manager-agent policy shows it), or remove it if nobody "+
			"needs it", ErrPolicy, path)
	}
	*p = there
	return func() {}, nil
}

// unpin takes back what the agent itself wrote into the policy while the machine was
// another host: the first repository that worked then is not this host's. What an
// administrator allowed stays.
func (p *Policy) unpin(state string, now topics.HostID) error {
	if p.PinnedAs == "" || p.PinnedAs == now {
		return nil
	}
	p.PinnedAs = ""
	if len(p.Repositories) > 0 {
		delete(p.As, p.Repositories[0])
		p.Repositories = p.Repositories[1:] // the agent's is the first, and it writes only into an empty list
	}
	return p.Save(state)
}

// makeRoom sees to it that nobody's identity is lost by accident. It answers with
// what takes the journal of one that is to be replaced out of the way; until
// release is called no agent can run there.
func makeRoom(state string, again bool) (retire func() error, release func(), err error) {
	path := filepath.Join(state, identityFile)
	nothing := func() {}
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return func() error { return nil }, nothing, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("look for an identity: %w", err)
	}
	if !again {
		return nil, nil, fmt.Errorf("%w: %s exists; to give it new keys, have a token made for this host and enrol with --again",
			ErrEnrolled, path)
	}
	// The old journal is sealed under the old key. One that cannot be opened, or
	// was left over by a crash in here, is of no use; one that is in use is an agent's.
	if old, err := LoadIdentity(state); err == nil {
		key, err := old.journalKey()
		if err != nil {
			return nil, nil, err
		}
		journal, err := spool.Open(state, key, time.Now)
		if errors.Is(err, spool.ErrRunning) {
			return nil, nil, err
		}
		if err == nil {
			release = func() { _ = journal.Close() }
		}
	}
	if release == nil {
		release = nothing
		if err := spool.Retirable(state); err != nil { // before it costs the token
			return nil, nil, fmt.Errorf("the old journal cannot be taken out of the way: %w; stop what has it open, and enrol again", err)
		}
	}
	return func() error {
		release() // Windows renames nothing that is open
		err := spool.Retire(state, time.Now())
		if err != nil {
			return fmt.Errorf("take the old journal out of the way: %w", err)
		}
		return nil
	}, release, nil
}

// newTLSKey makes a key for TLS and the request for its certificate.
func newTLSKey() (csr, private, public []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, nil, err
	}
	if csr, err = x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: pkix.Name{CommonName: "restic-manager-agent"}}, key); err != nil {
		return nil, nil, nil, err
	}
	if public, err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
		return nil, nil, nil, err
	}
	private, err = x509.MarshalPKCS8PrivateKey(key)
	return csr, private, public, err
}

// post sends a request to the agents' port and reads the answer.
func post[T any](ctx context.Context, server, path string, conf *tls.Config, request any) (answer T, err error) {
	client := &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: conf},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+server+path, bytes.NewReader(topics.Encode(request)))
	if err != nil {
		return answer, fmt.Errorf("%.200q is no address: %w", server, err)
	}
	post.Header.Set("Content-Type", "application/json")
	response, err := client.Do(post)
	var network *net.OpError
	switch {
	case errors.Is(err, ErrOtherPlane):
		return answer, fmt.Errorf("%w (asked %s): check the address, or have a token made by the control plane that answers there",
			ErrOtherPlane, server)
	case errors.As(err, &network) && network.Op != "remote error", errors.Is(err, context.DeadlineExceeded):
		return answer, fmt.Errorf("%w at %s: check address, port and firewall (%w)", ErrUnreachable, server, err)
	case err != nil:
		return answer, fmt.Errorf("ask %s for an identity: %w; check that this is the port for agents", server, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, topics.MaxPayload))
	if err != nil {
		return answer, fmt.Errorf("read the answer of %s: %w", server, err)
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		problem := topics.Problem{Status: response.StatusCode, Title: http.StatusText(response.StatusCode)}
		if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind == "application/problem+json" {
			_ = json.Unmarshal(body, &problem) // what it does not say, the status does
		}
		return answer, &Rejection{problem}
	}
	if answer, err = topics.Decode[T](body); err != nil {
		return answer, fmt.Errorf("the control plane's answer cannot be used: %w", err)
	}
	return answer, nil
}

// verify accepts a chain that ends in the CA with this fingerprint and names the
// control plane.
func verify(chain []*x509.Certificate, pin [32]byte) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	pinned := false
	for _, c := range chain {
		if c.IsCA && topics.Fingerprint(c) == pin {
			roots.AddCert(c)
			pinned = true
		} else {
			between.AddCert(c)
		}
	}
	if !pinned {
		return ErrOtherPlane
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: topics.ServerName})
	return err
}
