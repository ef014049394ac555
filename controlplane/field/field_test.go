package field

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, says := range map[string]string{
		"attic":                  "",
		"Käse & Brot":            "",
		strings.Repeat("é", 100): "",
		strings.Repeat("é", 101): "this one has 101",
		"":                       "Give it a name",
		" attic":                 "neither begins nor ends",
		".":                      "a dot or two",
		"..":                     "a dot or two",
		"a\x1b[31mb":             "can be seen",
		"a\nb":                   "can be seen",
		"a\tb":                   "can be seen",
		"a\u202eb":               "can be seen", // writes from right to left
		"a\u200bb":               "can be seen", // has no width
		"\u3164":                 "can be seen", // a letter that shows nothing
		"anna\u115f":             "can be seen",
		"a\u034fb":               "can be seen",
		"\xff":                   "can be seen",
	} {
		got := Name("name", name)
		if says == "" && got != "" || says != "" && !strings.Contains(got, says) {
			t.Errorf("%q: %q, want %q", name, got, says)
		}
	}
}

func TestErrors(t *testing.T) {
	e := Errors{}
	e.Say("name", "")
	if e.Err() != nil {
		t.Errorf("nothing is wrong, but: %v", e.Err())
	}
	e.Say("role", "A role is one of a, b.")
	e.Say("name", "Give it a name.")
	e.Say("name", "Another text.")
	if got, want := e.Err().Error(), "name: Give it a name. role: A role is one of a, b."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
