package password

import (
	"errors"
	"strings"
	"testing"
)

func TestAPasswordFitsItsOwnHashOnly(t *testing.T) {
	h, err := Hash("correct horse")
	if err != nil || strings.Contains(h, "correct") {
		t.Fatalf("%q, %v", h, err)
	}
	for try, want := range map[string]bool{"correct horse": true, "correct horsE": false, "": false} {
		if got, err := Check(h, try); got != want || err != nil {
			t.Errorf("%q: %t, %v", try, got, err)
		}
	}
	if again, _ := Hash("correct horse"); again == h {
		t.Error("two hashes of one password are alike: no salt")
	}
}

func TestNobodysPasswordIsNeverRight(t *testing.T) {
	if ok, err := Check("", "anything at all"); ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestOnlyTheLengthIsARule(t *testing.T) {
	for _, p := range []string{"short", strings.Repeat("x", MaxLength+1)} {
		if _, err := Hash(p); !errors.Is(err, ErrLength) {
			t.Errorf("%d characters: %v", len(p), err)
		}
	}
}

func TestADamagedHashIsAnErrorAndNoMatch(t *testing.T) {
	for _, h := range []string{"x", "$argon2id$v=19$m=0,t=0,p=1$AA$AA", "$argon2id$v=19$m=99999999,t=2,p=1$AA$AA", "$argon2id$v=19$m=19456,t=2,p=1$!!$AA"} {
		if ok, err := Check(h, "correct horse"); ok || err == nil {
			t.Errorf("%q: %t, %v", h, ok, err)
		}
	}
}
