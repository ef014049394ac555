package release

import (
	"fmt"

	"aead.dev/minisign"
)

// SignedBy is the ID of the key that a signature says it was made with. It proves nothing:
// see [Verify].
func SignedBy(signature []byte) (string, error) {
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return fmt.Sprintf("%016X", s.KeyID), nil
}
