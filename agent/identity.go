package agent

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/restic-manager/restic-manager/private"
	"github.com/restic-manager/restic-manager/seal"
	"github.com/restic-manager/restic-manager/topics"
)

// An Identity is who this host is to its control plane: a file with private
// keys, 0600. Certificates are DER, keys PKCS #8 and raw X25519.
type Identity struct {
	Host        topics.HostID `json:"host"`
	Name        string        `json:"name"`     // the control plane's, when the host was enrolled
	Hostname    string        `json:"hostname"` // what restic calls this host, for ever
	Server      string        `json:"server"`   // HOST:PORT
	Certificate []byte        `json:"certificate"`
	CA          []byte        `json:"ca"`
	TLSKey      []byte        `json:"tls_key"`
	SealKey     []byte        `json:"seal_key"`
	PlaneKey    []byte        `json:"plane_key"` // the control plane's public one

	// Next is the identity of the control plane that this one is to move to, and Before
	// the one it has moved from. Both are nil while the control plane has one alone.
	Next   *Plane `json:"next,omitempty"`
	Before *Plane `json:"before,omitempty"`

	// Held says of a new identity that somebody has to approve the host before it is let in.
	Held bool `json:"-"`
}

// A Plane is who the control plane is.
type Plane struct {
	CA  []byte `json:"ca"`
	Key []byte `json:"key"` // its public sealing key
}

// String hides the keys.
func (i *Identity) String() string { return "host " + string(i.Host) }

const identityFile = "identity.json"

// ErrNotEnrolled says that a state directory holds no identity.
var ErrNotEnrolled = errors.New("this host is not enrolled")

// LoadIdentity reads what Enroll wrote.
func LoadIdentity(state string) (*Identity, error) {
	path := filepath.Join(state, identityFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s; run restic-manager-agent enroll first", ErrNotEnrolled, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the host's identity: %w", err)
	}
	i := new(Identity)
	if err := json.Unmarshal(b, i); err != nil {
		return nil, i.damaged(path, err)
	}
	if _, err := topics.ParseHostID(string(i.Host)); err != nil {
		return nil, i.damaged(path, err)
	}
	if _, err := i.channel(); err != nil {
		return nil, i.damaged(path, err)
	}
	if _, err := i.credentials(); err != nil {
		return nil, i.damaged(path, err)
	}
	return i, nil
}

func (*Identity) damaged(path string, err error) error {
	return fmt.Errorf("%s is damaged (%w): enrol this host again, with --again and a token made for it; its policy stays", path, err)
}

func (i *Identity) channel() (*seal.Channel, error) {
	own, err := seal.ParseKey(i.SealKey)
	if err != nil {
		return nil, fmt.Errorf("the sealing key: %w", err)
	}
	return seal.NewChannel(own, i.PlaneKey, seal.Agent, string(i.Host))
}

// journalKey is what the agent's journal is sealed under.
func (i *Identity) journalKey() ([32]byte, error) {
	key, err := hkdf.Key(sha256.New, i.SealKey, nil, "restic-manager/1 journal", 32)
	if err != nil {
		return [32]byte{}, err
	}
	return [32]byte(key), nil
}

// credentials is what the host shows to its control plane, and what it knows that by. A
// renewal replaces it while connections are made.
type credentials struct {
	mu       sync.Mutex // of changes
	identity atomic.Pointer[Identity]
	current  atomic.Pointer[shown]
}

// shown is what one connection goes by. It does not change.
type shown struct {
	leaf    *x509.Certificate
	cert    tls.Certificate
	roots   *x509.CertPool
	channel *seal.Channel
}

func (i *Identity) credentials() (*credentials, error) {
	c := &credentials{}
	return c, c.use(i)
}

// use makes new connections show this identity's certificate.
func (c *credentials) use(i *Identity) error {
	key, err := x509.ParsePKCS8PrivateKey(i.TLSKey)
	if err != nil {
		return fmt.Errorf("the TLS key: %w", err)
	}
	s := &shown{roots: x509.NewCertPool()}
	if s.leaf, err = x509.ParseCertificate(i.Certificate); err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	s.cert = tls.Certificate{Certificate: [][]byte{i.Certificate}, PrivateKey: key, Leaf: s.leaf}
	for _, p := range []*Plane{{CA: i.CA}, i.Next, i.Before} {
		if p == nil {
			continue
		}
		ca, err := x509.ParseCertificate(p.CA)
		if err != nil {
			return fmt.Errorf("the CA: %w", err)
		}
		s.roots.AddCert(ca)
	}
	if s.channel, err = i.channel(); err != nil {
		return err
	}
	c.identity.Store(i)
	c.current.Store(s)
	return nil
}

// change replaces the identity on disk and then for new connections. If f answers
// false, nothing changes.
func (c *credentials) change(state string, f func(*Identity) (bool, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := *c.identity.Load()
	if changes, err := f(&next); !changes || err != nil {
		return err
	}
	if err := next.save(state); err != nil {
		return err
	}
	return c.use(&next)
}

// tls is how the agent speaks with its control plane: whatever address it
// dialled, the other side proves to be of the CA it was enrolled at.
func (s *shown) tls(protocol string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: s.roots, ServerName: topics.ServerName, NextProtos: []string{protocol},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &s.cert, nil },
	}
}

// save writes the identity.
func (i *Identity) save(state string) error { return writeFile(state, identityFile, i) }

// writeFile writes JSON atomically: after a crash the file is the old or the new one.
func writeFile(dir, name string, content any) (err error) {
	b, err := json.MarshalIndent(content, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+name+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close(), private.Hand(f.Name()), private.Own(f.Name(), dir))
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
	}
	if d, err := os.Open(dir); err == nil { // the name is on disk, too; where a directory cannot be synced it need not be
		_ = d.Sync()
		d.Close()
	}
	return nil
}

// check verifies a new identity: the CA has the expected fingerprint, and issued the
// certificate for this key.
func (i *Identity) check(pin [32]byte, public []byte) error {
	if _, err := topics.ParseHostID(string(i.Host)); err != nil {
		return err
	}
	ca, err := x509.ParseCertificate(i.CA)
	if err != nil || topics.Fingerprint(ca) != pin {
		return errors.New("its CA is not the one the token names")
	}
	leaf, err := x509.ParseCertificate(i.Certificate)
	if err != nil {
		return fmt.Errorf("the certificate: %w", err)
	}
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, public) {
		return errors.New("the certificate is for another key")
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return fmt.Errorf("the certificate is not valid now, %s: set this host's clock", time.Now().UTC().Format(time.RFC3339))
		}
		return fmt.Errorf("the certificate: %w", err)
	}
	if host := leaf.Subject.CommonName; host != string(i.Host) {
		return fmt.Errorf("the certificate is for the host %.60q", host)
	}
	_, err = i.channel()
	return err
}
