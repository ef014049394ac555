package topics

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
)

// ServerName is the name in the control plane's certificate, and what agents
// verify whatever address they dialled: who they talk to is decided by the CA
// they know.
const ServerName = "restic-manager"

// The protocols one TLS port for agents tells apart by ALPN. No protocol at all
// counts as MQTT.
const (
	ALPNMQTT = "mqtt"
	ALPNHTTP = "http/1.1"
)

// Where agents post on their port: an [EnrollRequest] with a token, and a
// [RenewRequest] with the certificate that is about to run out.
const (
	EnrollPath = "/enroll"
	RenewPath  = "/renew"
)

// Protocol is the range of wire versions this build speaks.
var Protocol = [2]int{1, 1}

// An EnrollToken lets one host in, once. It carries the fingerprint of the
// control plane's CA, so that first contact trusts nobody blindly.
type EnrollToken struct {
	Key Secret   // what the control plane looks the token up with
	CA  [32]byte // see Fingerprint
}

const tokenPrefix = "rmt1_"

// ErrToken says that a text is no enrolment token.
var ErrToken = errors.New("this is no enrolment token; copy it whole, it begins with " + tokenPrefix)

// NewEnrollToken makes a token with 256 bits of chance.
func NewEnrollToken(ca *x509.Certificate) EnrollToken {
	return EnrollToken{Key: Secret(rand.Text() + rand.Text()), CA: Fingerprint(ca)}
}

// Fingerprint is the SHA-256 of a certificate's public key.
func Fingerprint(c *x509.Certificate) [32]byte { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// Reveal writes the token for a person to carry.
func (t EnrollToken) Reveal() string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(t.CA[:], t.Key.Reveal()...))
}

// ParseEnrollToken reads what Reveal wrote; spaces around it do not matter.
func ParseEnrollToken(s string) (EnrollToken, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	if !ok {
		return EnrollToken{}, ErrToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) != 32+2*26 {
		return EnrollToken{}, ErrToken
	}
	return EnrollToken{Key: Secret(b[32:]), CA: [32]byte(b[:32])}, nil
}

// An EnrollRequest is an agent asking for its identity. Its private keys never
// leave the host.
type EnrollRequest struct {
	Key      Secret `json:"key"` // of the token
	CSR      []byte `json:"csr"` // DER; proves possession of the TLS key, its names are ignored
	SealKey  []byte `json:"seal_key"`
	Facts    Facts  `json:"facts"`
	Protocol [2]int `json:"protocol"`
}

// An EnrollResponse is the identity. Certificates are DER.
type EnrollResponse struct {
	Host        HostID `json:"host"`
	Name        string `json:"name"`
	Certificate []byte `json:"certificate"`
	CA          []byte `json:"ca"`
	SealKey     []byte `json:"seal_key"` // the control plane's public one
	// Held is that somebody has to approve the host first; until then it is refused, and
	// tries again.
	Held bool `json:"held,omitempty"`
}

// A RenewRequest asks for the certificate that follows the one the connection
// is made with. The sealing key stays.
type RenewRequest struct {
	CSR []byte `json:"csr"` // DER, with a key of its own; its names are ignored
	// Instance is the process that asks, see Birth: after two machines had one identity,
	// the one that stays gets the next certificate.
	Instance string `json:"instance,omitempty"`
	// CA is the fingerprint of the CA that is to sign, when the host moves to another
	// identity of the control plane, see Succession. Empty asks for the one before.
	CA []byte `json:"ca,omitempty"`
}

// A RenewResponse is that certificate, DER. Until it is used for the first time
// the one before stays good.
type RenewResponse struct {
	Certificate []byte `json:"certificate"`
}

// A Problem is how HTTP answers say what went wrong (RFC 9457).
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"` // what happened, and what to do
	// Snapshots are whole IDs of those that could be asked for in place of one that is
	// gone, the likeliest first; of the API alone.
	Snapshots []string `json:"snapshots,omitempty"`
	// Cause is why a job that is asked for would fail, of those in docs/CAUSES.md; of the
	// API alone.
	Cause Cause `json:"cause,omitempty"`
	// Command is what the host's administrator runs there to permit it; Job goes on with what
	// was asked. Both of the API alone.
	Command string `json:"command,omitempty"`
	Job     JobID  `json:"job,omitempty"`
}
