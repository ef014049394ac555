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
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

var (
	// ErrEnrolled says that a state directory already holds an identity.
	ErrEnrolled = errors.New("this host is already enrolled")
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

// Enroll makes this host's keys, has server (HOST:PORT) give it an identity for
// token, and writes both into state, which is made if need be. Nothing is trusted
// but the CA whose fingerprint the token carries. An identity that is there is
// not touched. The error says what to do.
func Enroll(ctx context.Context, server, token, state, policy string) (*Identity, error) {
	granted, err := ParsePolicy(policy)
	if err != nil {
		return nil, err
	}
	pass, err := topics.ParseEnrollToken(token)
	if err != nil {
		return nil, err
	}
	if host, port, err := net.SplitHostPort(server); err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("%.200q is no address: give HOST:PORT, as in backup.example.org:8883", server)
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	path := filepath.Join(state, identityFile)
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%w: %s exists; to enrol it anew, stop the agent and move %s away", ErrEnrolled, path, state)
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look for an identity: %w", err)
	}

	if err := granted.save(state); err != nil { // first: a directory that cannot be written must not cost the token
		return nil, err
	}

	tlsKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "restic-manager-agent"}}, tlsKey)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&tlsKey.PublicKey)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(tlsKey)
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
	answer, err := ask(ctx, server, pass.CA, topics.EnrollRequest{
		Key: pass.Key, CSR: csr, SealKey: sealKey.Public(), Facts: hostFacts(hostname, version, granted), Protocol: topics.Protocol,
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
	return identity, identity.save(state)
}

// ask posts the request to whoever proves to be of the pinned CA.
func ask(ctx context.Context, server string, pin [32]byte, request topics.EnrollRequest) (*topics.EnrollResponse, error) {
	client := &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS13, ServerName: topics.ServerName, NextProtos: []string{topics.ALPNHTTP},
				InsecureSkipVerify: true, // the pinned CA is only in the chain that comes; VerifyConnection checks all of it
				VerifyConnection:   func(c tls.ConnectionState) error { return verify(c.PeerCertificates, pin) },
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+server+topics.EnrollPath, bytes.NewReader(topics.Encode(request)))
	if err != nil {
		return nil, fmt.Errorf("%.200q is no address: %w", server, err)
	}
	post.Header.Set("Content-Type", "application/json")
	response, err := client.Do(post)
	var network *net.OpError
	switch {
	case errors.Is(err, ErrOtherPlane):
		return nil, fmt.Errorf("%w (asked %s): check the address, or have a token made by the control plane that answers there", ErrOtherPlane, server)
	case errors.As(err, &network) && network.Op != "remote error", errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%w at %s: check address, port and firewall (%w)", ErrUnreachable, server, err)
	case err != nil:
		return nil, fmt.Errorf("ask %s for an identity: %w; check that this is the port for agents", server, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, topics.MaxPayload))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", server, err)
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		problem := topics.Problem{Status: response.StatusCode, Title: http.StatusText(response.StatusCode)}
		if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind == "application/problem+json" {
			_ = json.Unmarshal(body, &problem) // what it does not say, the status does
		}
		return nil, &Rejection{problem}
	}
	answer, err := topics.Decode[topics.EnrollResponse](body)
	if err != nil {
		return nil, fmt.Errorf("the control plane's answer cannot be used: %w", err)
	}
	return &answer, nil
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
