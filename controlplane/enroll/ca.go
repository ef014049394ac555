// Package enroll gives hosts their credentials: it issues one-time tokens, signs
// certificates with the control plane's own CA, and exchanges the sealing keys.
package enroll

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/restic-manager/restic-manager/store"
	"github.com/restic-manager/restic-manager/topics"
)

// HostLife is how long the certificate of a host is valid.
const HostLife = 90 * 24 * time.Hour

// Validity of the other certificates. The control plane creates its own anew at
// every start.
const (
	caLife     = 20 * 365 * 24 * time.Hour
	serverLife = 365 * 24 * time.Hour
	skew       = 5 * time.Minute // how far a clock may be behind ours
)

// A CA signs the certificates of hosts. Agents pin it by its fingerprint.
type CA struct {
	Certificate *x509.Certificate
	HostLife    time.Duration // of the certificates of hosts
	key         *ecdsa.PrivateKey
	now         func() time.Time
}

type caFile struct {
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"` // PKCS #8
}

// OpenCA returns the installation's CA and creates it at the first call.
func OpenCA(ctx context.Context, s *store.Store, now func() time.Time) (*CA, error) {
	b, err := s.Secret(ctx, secretCA, func() ([]byte, error) { return newCA(now()) })
	if err != nil {
		return nil, err
	}
	var f caFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("the CA: %w", err)
	}
	return f.open(now)
}

func (f caFile) open(now func() time.Time) (_ *CA, err error) {
	ca := &CA{HostLife: HostLife, now: now}
	if ca.Certificate, err = x509.ParseCertificate(f.Certificate); err != nil {
		return nil, fmt.Errorf("the CA's certificate: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(f.Key)
	if err != nil {
		return nil, fmt.Errorf("the CA's key: %w", err)
	}
	var ok bool
	if ca.key, ok = key.(*ecdsa.PrivateKey); !ok {
		return nil, fmt.Errorf("the CA's key is a %T", key)
	}
	return ca, nil
}

func newCA(now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "restic-manager CA"},
		NotBefore: now.Add(-skew), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(caFile{Certificate: der, Key: pkcs})
}

func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// A serverCert is the control plane's own certificate. It is replaced when half of
// its validity has passed, because a control plane may run for years.
type serverCert struct {
	ca *CA

	mu    sync.Mutex
	cert  *tls.Certificate
	renew time.Time
}

func (c *serverCert) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.ca.now()
	if c.cert != nil && now.Before(c.renew) {
		return c.cert, nil
	}
	key, err := c.ca.serverKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: topics.ServerName}, DNSNames: []string{topics.ServerName},
		NotBefore: now.Add(-skew), NotAfter: now.Add(serverLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, c.ca.Certificate, key.Public(), c.ca.key)
	if err != nil {
		return nil, err
	}
	c.cert, c.renew = &tls.Certificate{Certificate: [][]byte{der, c.ca.Certificate.Raw}, PrivateKey: key}, now.Add(serverLife/2)
	return c.cert, nil
}

// serverKey is the key of the agents' port. It follows from the CA's, so that it is the
// same after every start: hosts that fetch their agent there know the port by it. Who has
// the CA's key could make a certificate for any other, too.
func (ca *CA) serverKey() (*ecdsa.PrivateKey, error) {
	secret, err := ca.key.Bytes()
	if err != nil {
		return nil, err
	}
	for n := range 100 { // one in 2^32 is no key of the curve
		scalar, err := hkdf.Key(sha256.New, secret, nil, fmt.Sprintf("restic-manager key of the agents' port %d", n), 32)
		if err != nil {
			return nil, err
		}
		if key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("the CA's key leads to no key for the agents' port")
}

// PinOfPort is the SHA-256 of the key of the agents' port, as curl's --pinnedpubkey takes
// it; "" if it has none.
func (d *Desk) PinOfPort() string {
	key, err := d.known().shown.ca.serverKey()
	if err != nil {
		return ""
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

var errCSR = errors.New("the request for a certificate is damaged or not signed by its own key")

// sign creates a host's certificate. It takes only the public key from the request;
// the control plane decides whose certificate it is.
func (ca *CA) sign(host topics.HostID, csr []byte) (der []byte, made *x509.Certificate, err error) {
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil || req.CheckSignature() != nil {
		return nil, nil, errCSR
	}
	if key, ok := req.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, nil, errCSR
	}
	now := ca.now()
	template := &x509.Certificate{
		SerialNumber: serial(), RawSubject: subject(host),
		NotBefore: now.Add(-min(skew, ca.HostLife/20)), NotAfter: now.Add(ca.HostLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err = x509.CreateCertificate(rand.Reader, template, ca.Certificate, req.PublicKey, ca.key)
	return der, template, err
}

func subject(host topics.HostID) []byte {
	der, err := asn1.Marshal(pkix.Name{CommonName: string(host)}.ToRDNSequence())
	if err != nil {
		panic(err) // a host ID is plain ASCII
	}
	return der
}
