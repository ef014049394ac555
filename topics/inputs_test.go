package topics

import (
	"strings"
	"testing"
)

// TestPayloadsNobodySends has what no encoder of ours makes. What is refused is passed
// over as a whole; what is taken means what is written beside it.
func TestPayloadsNobodySends(t *testing.T) {
	const head = `{"session":{"epoch":1,"n":1},"n":1,`
	beat := func(b string) (Heartbeat, error) { return Decode[Heartbeat]([]byte(b)) }
	for what, b := range map[string]string{
		"nothing":                   "",
		"one byte":                  "{",
		"noise":                     "\x8f\x12\xff\x00\x91",
		"no JSON":                   "epoch: 1",
		"a list":                    "[]",
		"a number":                  "7",
		"null":                      "null",
		"something behind it":       head + `"clock":1}{}`,
		"a byte order mark":         "\ufeff" + head + `"clock":1}`,
		"a number as a text":        head + `"clock":"1"}`,
		"a text as a number":        `{"session":{"epoch":1,"n":1},"n":"one"}`,
		"a number beyond all":       head + `"clock":1e400}`,
		"a number that is none":     head + `"clock":NaN}`,
		"a number beyond 64 bits":   head + `"clock":9223372036854775808}`,
		"half a number":             head + `"clock":1.5}`,
		"leading zeros":             head + `"clock":007}`,
		"an epoch below zero":       `{"session":{"epoch":-1,"n":1},"n":1}`,
		"a session without numbers": `{"session":{},"n":1}`,
		"no session at all":         `{"n":1,"clock":1}`,
		"nesting of 20,000":         head + `"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}",
		"more than a message holds": head + `"x":"` + strings.Repeat("x", MaxPayload) + `"}`,
		"a list of a million":       head + `"x":[` + strings.Repeat("0,", 1_000_000) + "0]}",
	} {
		if v, err := beat(b); err == nil {
			t.Errorf("%s: taken as %+v", what, v)
		}
	}
	for what, c := range map[string]struct {
		says  string
		clock int64
	}{
		"a field nobody knows":            {head + `"clock":3,"of a later version":{"a":[1]}}`, 3},
		"a field that is missing":         {`{"session":{"epoch":1,"n":1},"n":1}`, 0},
		"null for a number":               {head + `"clock":null}`, 0},
		"a minus before zero":             {head + `"clock":-0}`, 0},
		"the same field twice":            {head + `"clock":3,"clock":4}`, 4},
		"the same field, in capitals":     {head + `"clock":3,"CLOCK":5}`, 5},
		"a number beyond a float's whole": {head + `"clock":9007199254740993}`, 9007199254740993},
		"text that is no UTF-8":           {head + `"clock":3,"x":"` + "\xff" + `"}`, 3},
		"half a surrogate":                {head + `"clock":3,"x":"\ud800"}`, 3},
	} {
		if v, err := beat(c.says); err != nil || v.Clock != c.clock || v.N != 1 {
			t.Errorf("%s: %+v, %v; want the clock %d", what, v, err, c.clock)
		}
	}
	for percent, taken := range map[string]bool{"0": true, "99.9": true, "100": true, "100.1": false, "-0.1": false, "1e300": false,
		`"50"`: false} {
		if _, err := Decode[Progress]([]byte(head + `"percent":` + percent + "}")); (err == nil) != taken {
			t.Errorf("%s percent: %v, want it taken: %t", percent, err, taken)
		}
	}
}
