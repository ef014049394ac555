package handout

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
)

// PinOf is the SHA-256 of a certificate's key, as curl's --pinnedpubkey takes it.
func PinOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}
