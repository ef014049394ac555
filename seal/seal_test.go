package seal

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func pair(t testing.TB, host string) (agent, plane *Channel) {
	t.Helper()
	a, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if agent, err = NewChannel(a, p.Public(), Agent, host); err != nil {
		t.Fatal(err)
	}
	if plane, err = NewChannel(p, a.Public(), Plane, host); err != nil {
		t.Fatal(err)
	}
	return agent, plane
}

func TestWhatOneSideSealsOnlyTheOtherOpens(t *testing.T) {
	agent, plane := pair(t, "attic")
	_, stranger := pair(t, "attic")
	sealed := agent.Seal("event", []byte("dear reader"))
	if got, err := plane.Open("event", sealed); err != nil || string(got) != "dear reader" {
		t.Fatalf("the plane opened %q, %v", got, err)
	}
	if bytes.Contains(sealed, []byte("dear")) || len(sealed) != len("dear reader")+Overhead {
		t.Errorf("%d sealed bytes: %q", len(sealed), sealed)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for what, open := range map[string]func() ([]byte, error){
		"another topic":   func() ([]byte, error) { return plane.Open("command", sealed) },
		"the writer":      func() ([]byte, error) { return agent.Open("event", sealed) },
		"another key":     func() ([]byte, error) { return stranger.Open("event", sealed) },
		"one flipped bit": func() ([]byte, error) { return plane.Open("event", flipped) },
		"a cut tail":      func() ([]byte, error) { return plane.Open("event", sealed[:len(sealed)-1]) },
		"nothing":         func() ([]byte, error) { return plane.Open("event", nil) },
		"another version": func() ([]byte, error) { return plane.Open("event", append([]byte{9}, sealed[1:]...)) },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s opened it: %q", what, got)
		}
	}
}

func TestTheHostIsPartOfTheSeal(t *testing.T) {
	a, _ := NewKey()
	p, _ := NewKey()
	agent, _ := NewChannel(a, p.Public(), Agent, "attic")
	plane, _ := NewChannel(p, a.Public(), Plane, "cellar")
	if _, err := plane.Open("event", agent.Seal("event", []byte("x"))); err == nil {
		t.Error("what attic sealed was opened as cellar's")
	}
}

func TestAMACIsBoundToItsWriterAndTopic(t *testing.T) {
	agent, plane := pair(t, "attic")
	sum := agent.Sign("birth", []byte("born 1 1"))
	if !plane.Verify("birth", []byte("born 1 1"), sum) {
		t.Error("a true MAC was refused")
	}
	if plane.Verify("death", []byte("born 1 1"), sum) || plane.Verify("birth", []byte("born 1 2"), sum) ||
		agent.Verify("birth", []byte("born 1 1"), sum) || plane.Verify("birth", []byte("born 1 1"), nil) {
		t.Error("a MAC held for another topic, payload or writer")
	}
}

func TestKeysSurviveTheirFileAndDoNotPrint(t *testing.T) {
	k, _ := NewKey()
	again, err := ParseKey(k.Bytes())
	if err != nil || !bytes.Equal(again.Public(), k.Public()) {
		t.Fatalf("the key came back different: %v", err)
	}
	if s := fmt.Sprint(k); !strings.Contains(s, "redacted") {
		t.Errorf("a key printed itself: %s", s)
	}
	if _, err := ParseKey([]byte("short")); err == nil {
		t.Error("a short key was accepted")
	}
	if _, err := NewChannel(k, make([]byte, 32), Agent, "attic"); err == nil {
		t.Error("the all-zero public key was accepted")
	}
}

func FuzzOpen(f *testing.F) {
	agent, plane := pair(f, "attic")
	f.Add("event", agent.Seal("event", []byte("x")))
	f.Fuzz(func(t *testing.T, topic string, b []byte) {
		if plain, err := plane.Open(topic, b); err == nil && (topic != "event" || string(plain) != "x") {
			t.Errorf("opened %q on %q as %q", b, topic, plain)
		}
	})
}
