package release

import (
	"testing"

	"aead.dev/minisign"
)

func TestASignatureNamesItsKey(t *testing.T) {
	pub, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := KeyID(pub.String())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := SignedBy(minisign.Sign(private, []byte("{}"))); got != want || err != nil {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if got, err := SignedBy([]byte("no signature")); err == nil {
		t.Errorf("what is none is by %s", got)
	}
}
