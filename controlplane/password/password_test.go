package password

import (
	"errors"
	"strings"
	"testing"
)

// worked records what the checking of passwords costs.
func worked(t *testing.T) *[]cost {
	t.Helper()
	var done []cost
	real := work
	work = func(password string, salt []byte, c cost, size uint32) []byte {
		done = append(done, c)
		return real(password, salt, c, size)
	}
	t.Cleanup(func() { work = real })
	return &done
}

func TestAHashCostsWhatWeAskFor(t *testing.T) {
	done := worked(t)
	h, err := Hash("correct horse")
	if err != nil || !strings.HasPrefix(h, "$argon2id$v=19$m=65536,t=3,p=4$") || Stale(h) {
		t.Fatalf("%q, %v", h, err)
	}
	if c := (*done)[0]; c.memory < 64<<10 || c.passes < 3 {
		t.Errorf("a hash costs %s", c)
	}
}

func TestNobodyAndSomebodyCostTheSame(t *testing.T) {
	h, _ := Hash("correct horse")
	done := worked(t)
	for _, hash := range []string{h, ""} {
		if ok, err := Check(hash, "a wrong one"); ok || err != nil {
			t.Fatalf("%q: %t, %v", hash, ok, err)
		}
	}
	if len(*done) != 2 || (*done)[0] != (*done)[1] {
		t.Errorf("somebody and nobody cost %v", *done)
	}
}

func TestAHashOfOldStillFitsAndIsStale(t *testing.T) {
	now := today
	today = cost{1 << 10, 1, 1}
	h, err := Hash("correct horse")
	today = now
	if err != nil || !Stale(h) {
		t.Fatalf("%q, %v", h, err)
	}
	if ok, err := Check(h, "correct horse"); !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestAPasswordFitsItsOwnHashOnly(t *testing.T) {
	h, err := Hash("correct horse")
	if err != nil || strings.Contains(h, "correct") {
		t.Fatalf("%q, %v", h, err)
	}
	for try, want := range map[string]bool{"correct horse": true, "correct horsE": false, "": false, "correct horse ": false,
		" correct horse": false, "correct hors\u0065\u0301": false, "correct\u00a0horse": false} {
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
	for _, h := range []string{"x", "$argon2id$v=19$m=0,t=0,p=1$AA$AA", "$argon2id$v=19$m=99999999,t=2,p=1$AA$AA",
		"$argon2id$v=19$m=19456,t=2,p=1$!!$AA", "$argon2id$v=19$m=64,t=1,p=0$AAAA$AAAA", "$argon2id$v=19$m=64,t=1,p=999$AAAA$AAAA"} {
		if ok, err := Check(h, "correct horse"); ok || err == nil {
			t.Errorf("%q: %t, %v", h, ok, err)
		}
	}
}
